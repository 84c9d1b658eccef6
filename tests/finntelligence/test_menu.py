import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from finntelligence import menu
from finntelligence.menu import (
    MOST_CANDIDATES,
    Menu,
    best_menu,
    choice_probabilities,
    menu_profit,
)

UNLIMITED = MOST_CANDIDATES
MULTINOMIAL = 1.0

usual_p = st.floats(0.01, 0.99)
any_p = st.floats(0, 1, exclude_min=True, exclude_max=True)
any_dissimilarity = st.floats(0, 1, exclude_min=True)
usual_dissimilarity = st.floats(0.05, 1)
size = st.integers(1, 8)
usual_offer = st.tuples(usual_p, st.floats(-500, 2000))


def candidates(most=6, least=1):
    """Offers as (p_accept, npv)."""
    return st.lists(usual_offer, min_size=least, max_size=most)


def split(offers):
    return [p for p, _ in offers], [npv for _, npv in offers]


# --- an independent answer: the textbook's sums and plain loops -------------------------------


def textbook(p_accept, mu):
    """P(o) of each offer, as the design writes it."""
    attraction = [math.exp(math.log(p / (1 - p)) / mu) for p in p_accept]
    inclusive = sum(attraction)
    p_any = inclusive**mu / (1 + inclusive**mu)
    return [p_any * a / inclusive for a in attraction]


def textbook_profit(p_accept, npv, mu, menu):
    shares = textbook([p_accept[o] for o in menu], mu)
    return sum(share * npv[o] for share, o in zip(shares, menu, strict=True))


def brute_force(p_accept, npv, mu, most):
    """The profit of the best menu; showing nothing earns nothing."""
    menus = [
        menu
        for shown in range(1, min(most, len(npv)) + 1)
        for menu in itertools.combinations(range(len(npv)), shown)
    ]
    return max([0.0, *(textbook_profit(p_accept, npv, mu, menu) for menu in menus)])


# --- choice ---------------------------------------------------------------------------------


@given(any_p, any_dissimilarity)
def test_one_offer_keeps_its_probability(p, mu):
    p_choice, p_any = choice_probabilities([p], mu)
    assert (p_choice.tolist(), p_any) == ([p], p)


@given(st.lists(usual_p, min_size=1, max_size=12), usual_dissimilarity)
def test_choice_is_the_textbooks_nested_logit(p_accept, mu):
    p_choice, _ = choice_probabilities(p_accept, mu)
    np.testing.assert_allclose(p_choice, textbook(p_accept, mu), rtol=1e-10)


@given(st.lists(usual_p, min_size=1, max_size=12))
def test_at_dissimilarity_one_choice_is_the_multinomial_logit(p_accept):
    odds = [p / (1 - p) for p in p_accept]
    p_choice, _ = choice_probabilities(p_accept, MULTINOMIAL)
    np.testing.assert_allclose(p_choice, [o / (1 + sum(odds)) for o in odds], rtol=1e-12)


@given(st.lists(any_p, min_size=1, max_size=12), any_dissimilarity)
def test_any_offer_is_taken_at_least_as_often_as_the_likeliest_alone(p_accept, mu):
    _, p_any = choice_probabilities(p_accept, mu)
    assert max(p_accept) * (1 - 1e-15) <= p_any <= 1


@given(st.lists(any_p, min_size=1, max_size=12), any_dissimilarity)
def test_the_choices_sum_to_that_of_any(p_accept, mu):
    p_choice, p_any = choice_probabilities(p_accept, mu)
    assert (p_choice >= 0).all()
    assert p_choice.sum() == pytest.approx(p_any, rel=1e-14)


@given(st.lists(usual_p, min_size=1, max_size=12, unique=True), st.floats(1e-300, 1e-3))
def test_as_dissimilarity_falls_only_the_likeliest_offer_counts(p_accept, mu):
    logits = sorted(math.log(p / (1 - p)) for p in p_accept)
    assume(len(logits) == 1 or logits[-1] - logits[-2] > 30 * mu)
    p_choice, p_any = choice_probabilities(p_accept, mu)
    likeliest = np.where(np.array(p_accept) == max(p_accept), max(p_accept), 0)
    np.testing.assert_allclose(p_choice, likeliest, atol=1e-9)
    assert p_any == pytest.approx(max(p_accept), abs=1e-9)


@given(st.lists(usual_p, min_size=1, max_size=8), usual_p, usual_dissimilarity)
def test_one_more_offer_makes_a_loan_likelier_and_each_other_offer_less(p_accept, more, mu):
    fewer, p_fewer = choice_probabilities(p_accept, mu)
    longer, p_longer = choice_probabilities([*p_accept, more], mu)
    assert p_longer >= p_fewer * (1 - 1e-14)
    assert (longer[:-1] <= fewer * (1 + 1e-12)).all()


@given(usual_p, st.integers(1, 12), any_dissimilarity)
def test_twins_are_chosen_alike(p, twins, mu):
    p_choice, _ = choice_probabilities([p] * twins, mu)
    assert len(set(p_choice.tolist())) == 1


@pytest.mark.parametrize("mu", [5e-324, 1e-300, 1e-3, 0.5, 1.0])
def test_extremes_neither_overflow_nor_become_nothing(mu):
    p_choice, p_any = choice_probabilities([5e-324, 1e-200, 0.5, 1 - 2**-53], mu)
    assert np.isfinite(p_choice).all()
    assert p_any == pytest.approx(1, abs=1e-15)
    hopeless, p_any = choice_probabilities([1e-200, 1e-250], mu)
    assert p_any == pytest.approx(1e-200)
    assert hopeless[0] == pytest.approx(1e-200)


def test_of_an_empty_menu_nothing_is_taken():
    p_choice, p_any = choice_probabilities([])
    assert (p_choice.size, p_any) == (0, 0.0)
    assert menu_profit([], []) == 0.0


@given(candidates(), usual_dissimilarity)
def test_profit_is_that_of_the_textbook(offers, mu):
    p_accept, npv = split(offers)
    expected = textbook_profit(p_accept, npv, mu, range(len(npv)))
    assert menu_profit(p_accept, npv, mu) == pytest.approx(expected, rel=1e-9, abs=1e-9)


# --- the best menu --------------------------------------------------------------------------


@given(candidates(), usual_dissimilarity, size)
def test_the_best_menu_earns_what_trying_every_menu_finds(offers, mu, most):
    p_accept, npv = split(offers)
    chosen = best_menu(p_accept, npv, mu, most)
    assert len(chosen) <= most
    assert list(chosen) == sorted(set(chosen))
    earned = textbook_profit(p_accept, npv, mu, chosen) if chosen else 0.0
    assert earned == pytest.approx(brute_force(p_accept, npv, mu, most), rel=1e-9)


@given(candidates(least=9, most=12), usual_dissimilarity)
def test_no_prefix_by_npv_earns_more_and_one_earns_as_much(offers, mu):
    p_accept, npv = split(offers)
    order = sorted(range(len(npv)), key=lambda o: -npv[o])
    prefixes = [order[:k] for k in range(1, len(npv) + 1)]
    best = max([0.0, *(textbook_profit(p_accept, npv, mu, prefix) for prefix in prefixes)])
    assert Menu.of(p_accept, npv, mu, UNLIMITED).profit == pytest.approx(best, rel=1e-9)


@given(st.lists(st.tuples(usual_p, st.integers(-500, 2000)), min_size=1, max_size=12))
def test_under_the_multinomial_logit_what_earns_more_than_the_menu_is_in_it(offers):
    p_accept, npv = split(offers)
    menu = Menu.of(p_accept, npv, MULTINOMIAL, UNLIMITED)
    clear = [o for o in range(len(npv)) if abs(npv[o] - menu.profit) > 1e-6]
    assert {o for o in clear if npv[o] > menu.profit} == set(menu.chosen) & set(clear)


def test_with_a_limit_the_best_menu_need_not_be_a_prefix_by_npv():
    p_accept, npv = [0.5, 0.1], [300, 400]
    assert best_menu(p_accept, npv, MULTINOMIAL) == (0, 1)
    assert best_menu(p_accept, npv, MULTINOMIAL, 1) == (0,)


@given(candidates(), usual_dissimilarity, size)
def test_no_offer_of_the_best_menu_lowers_its_profit(offers, mu, most):
    p_accept, npv = split(offers)
    menu = Menu.of(p_accept, npv, mu, most)
    for o in menu.chosen:
        others = [other for other in menu.chosen if other != o]
        without = textbook_profit(p_accept, npv, mu, others) if others else 0.0
        assert without < menu.profit


@given(candidates(), usual_offer, usual_dissimilarity, size)
def test_one_more_candidate_never_lowers_the_profit(offers, more, mu, most):
    fewer = Menu.of(*split(offers), mu, most).profit
    assert Menu.of(*split([*offers, more]), mu, most).profit >= fewer * (1 - 1e-11)


@given(candidates(), usual_dissimilarity, size)
def test_a_longer_menu_never_lowers_the_profit(offers, mu, most):
    shorter = Menu.of(*split(offers), mu, most).profit
    assert Menu.of(*split(offers), mu, most + 1).profit >= shorter * (1 - 1e-11)


@given(candidates(), usual_dissimilarity, size, st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_does_not_change_the_profit(offers, mu, most, random):
    shuffled = random.sample(offers, len(offers))
    profit = Menu.of(*split(offers), mu, most).profit
    assert Menu.of(*split(shuffled), mu, most).profit == pytest.approx(profit, rel=1e-11)


@given(st.lists(st.tuples(any_p, st.floats(-1e6, 1e6)), max_size=12), any_dissimilarity, size)
def test_something_is_shown_exactly_when_some_loan_is_worth_booking(offers, mu, most):
    p_accept, npv = split(offers)
    chosen = best_menu(p_accept, npv, mu, most)
    assert bool(chosen) == any(value > 0 for value in npv)
    assert all(npv[o] > 0 for o in chosen)


@given(usual_p, usual_p, st.floats(1, 1000))
def test_at_equal_profit_fewer_offers_are_shown(p, other, npv):
    # the second offer alone earns p * npv, and one worth just that changes nothing
    assert best_menu([other, p], [p * npv, npv], MULTINOMIAL) == (1,)


@given(usual_p, st.floats(1, 1000), usual_dissimilarity, st.integers(1, 5))
def test_at_equal_profit_and_length_earlier_offers_are_shown(p, npv, mu, most):
    assert best_menu([p] * 6, [npv] * 6, mu, most) == tuple(range(most))


@given(candidates(), usual_dissimilarity, size)
def test_a_menu_says_what_its_offers_do_when_shown_together(offers, mu, most):
    p_accept, npv = split(offers)
    menu = Menu.of(p_accept, npv, mu, most)
    assert menu.chosen == best_menu(p_accept, npv, mu, most)
    shown = [p_accept[o] for o in menu.chosen], [npv[o] for o in menu.chosen]
    p_choice, p_any = choice_probabilities(shown[0], mu)
    assert (menu.p_choice, menu.p_any) == (tuple(p_choice.tolist()), p_any)
    assert menu.profit == menu_profit(*shown, mu)


def test_a_menu_of_nothing_earns_nothing():
    nothing = Menu(chosen=(), p_choice=(), p_any=0.0, profit=0.0)
    assert Menu.of([0.5, 0.2], [-10, 0]) == Menu.of([], []) == nothing


# --- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize("mu", [0, -0.5, 1.0001, math.inf, math.nan])
def test_a_dissimilarity_outside_its_range_is_refused(mu):
    for ask in (choice_probabilities, lambda p, mu: menu_profit(p, [1.0], mu)):
        with pytest.raises(ValueError, match="dissimilarity"):
            ask([0.5], mu)
    with pytest.raises(ValueError, match="dissimilarity"):
        best_menu([0.5], [1.0], mu)


@pytest.mark.parametrize("p_accept", [[0.0], [1.0], [0.5, -0.1], [math.nan], 0.5, [[0.5]]])
def test_what_is_not_a_row_of_probabilities_is_refused(p_accept):
    npv = np.ones(np.shape(p_accept))
    with pytest.raises(ValueError, match="p_accept"):
        choice_probabilities(p_accept)
    for ask in (menu_profit, best_menu, Menu.of):
        with pytest.raises(ValueError, match="p_accept"):
            ask(p_accept, npv)


@pytest.mark.parametrize("npv", [[1.0], [1.0, 2.0, 3.0], 1.0, [[1.0, 2.0]], [1.0, math.inf]])
def test_values_that_do_not_fit_the_offers_are_refused(npv):
    for ask in (menu_profit, best_menu, Menu.of):
        with pytest.raises(ValueError, match="npv"):
            ask([0.5, 0.2], npv)


def test_more_candidates_than_can_all_be_tried_are_refused():
    with pytest.raises(ValueError, match="13 offers"):
        best_menu([0.5] * 13, [1.0] * 13)


def test_a_menu_without_room_is_refused():
    with pytest.raises(ValueError, match="0 of 1 offers"):
        best_menu([0.5], [1.0], size=0)


def test_a_menu_cannot_be_built_with_probabilities_of_other_offers():
    with pytest.raises(ValueError, match="each chosen offer"):
        Menu(chosen=(0, 1), p_choice=(0.5,), p_any=0.5, profit=1.0)


@given(st.lists(usual_p, min_size=1, max_size=12), usual_dissimilarity)
def test_one_menu_has_the_probabilities_it_has_among_many(offers, mu):
    p = np.array(offers)
    among, any_of_them = menu._choice(p, np.ones((p.size, 1), dtype=bool), mu)
    alone, any_alone = choice_probabilities(p, mu)
    np.testing.assert_allclose(alone, among[:, 0], rtol=1e-12)
    assert any_alone == pytest.approx(float(any_of_them[0]), rel=1e-12)
