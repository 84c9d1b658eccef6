import numpy as np
import pytest

from finntelligence.steering import MOST_STEP, Course, Usage, steered

CURVE = tuple((c, 5000.0 - 40_000 * c) for c in (0.0, 0.025, 0.05, 0.1))
COURSE = Course(applicants=1000, budget=3e6, curve=CURVE)


def after(principal, applicants=500, capital=0.05, course=COURSE):
    return steered(
        course, capital, [Usage(capital=capital, applicants=applicants, principal=principal)]
    )


def test_a_campaign_on_its_course_keeps_its_price():
    assert after(500 * COURSE.expected(0.05)) == pytest.approx(0.05)


def test_lending_ahead_of_the_plan_is_made_dearer_and_behind_it_cheaper():
    assert after(1.3e6) < 0.05 < after(1.7e6)


def test_one_steering_moves_the_price_no_further_than_a_step():
    assert after(2.9e6) == pytest.approx(0.05 + MOST_STEP)
    assert after(0.0) == pytest.approx(0.05 - MOST_STEP)


def test_until_somebody_asks_the_price_stays_as_it_is():
    for capital in (0.0123, 0.07):
        assert steered(COURSE, capital, []) == capital


def test_what_other_prices_lent_is_lent_but_tells_nothing_of_these_customers():
    own = Usage(capital=0.05, applicants=300, principal=300 * COURSE.expected(0.05))
    others = Usage(capital=None, applicants=200, principal=200 * COURSE.expected(0.05))
    assert COURSE.planned([own, others]) == own.principal
    assert steered(COURSE, 0.05, [own, others]) == pytest.approx(0.05)
    more = Usage(capital=None, applicants=200, principal=800_000.0)
    # 900,000 + 800,000 are lent, which leaves 2,600 for each of the 500 who are still to come
    assert steered(COURSE, 0.05, [own, more]) == pytest.approx(COURSE.price_of(2600.0))


def test_a_budget_is_never_used_up_by_lending_at_a_discount():
    roomy = Course(applicants=1000, budget=9e6, curve=((-0.05, 7000.0), *CURVE))
    assert after(500 * 5000.0, capital=0.0, course=roomy) == 0


def test_a_minimum_volume_pays_for_lending():
    course = Course(applicants=1000, minimum_volume=6e6, curve=((-0.05, 7000.0), *CURVE))
    assert after(500 * 5500.0, capital=-0.01, course=course) < -0.01


@pytest.mark.parametrize("applicants", [1000, 1200])
def test_a_budget_that_is_used_up_is_made_dear_whoever_still_asks(applicants):
    assert after(3.1e6, applicants) == pytest.approx(0.05 + MOST_STEP)
    assert after(3.1e6, applicants, capital=0.1) == pytest.approx(0.1)  # the curve's dearest


def test_a_minimum_volume_that_was_missed_is_made_cheap_whoever_still_asks():
    course = Course(applicants=1000, minimum_volume=6e6, curve=((-0.05, 7000.0), *CURVE))
    assert after(5e6, applicants=1000, capital=-0.05, course=course) == pytest.approx(-0.05)


@pytest.mark.parametrize("bias", [0.8, 1.0, 1.3])
def test_a_campaign_whose_customers_differ_from_the_plan_still_ends_on_its_budget(bias):
    """Ten steerings; the truth lends `bias` times the curve, with the noise of single loans."""
    rng = np.random.default_rng(5)
    capital, used = 0.05, []
    for _ in range(10):
        mean = bias * COURSE.expected(capital)
        taken = rng.random(100) < 0.4
        lent = float((taken * rng.exponential(mean / 0.4, 100)).sum())
        used.append(Usage(capital=capital, applicants=100, principal=lent))
        capital = steered(COURSE, capital, used)
    assert 0.9 < sum(each.principal for each in used) / COURSE.budget < 1.1


@pytest.mark.parametrize(
    "wrong",
    [
        {"budget": None},
        {"applicants": 0},
        {"curve": ((0.0, 5000.0),)},
        {"curve": ((0.0, 5000.0), (0.0, 4000.0))},
        {"curve": ((0.0, 5000.0), (0.1, 6000.0))},
    ],
)
def test_a_course_that_leads_nowhere_is_refused(wrong):
    with pytest.raises(ValueError, match=r"course|price|budget"):
        Course(**{"applicants": 1000, "budget": 3e6, "curve": CURVE, **wrong})
