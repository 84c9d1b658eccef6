import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact as scipys

from finntelligence.fairness import (
    adverse_impact_ratio,
    fisher_exact,
    group_means,
    standardised_mean_difference,
)
from finntelligence.groups import Groups, Resamples
from finntelligence.screening import DISCLAIMER, Thresholds

COUNT = st.integers(0, 60)


def draws(groups, seed=7):
    return Resamples.draw(len(groups.codes), 200, np.random.default_rng(seed))


def approvals(given_, asked, ref_given, ref_asked):
    """The screen of group b against a, who are more in number or named."""
    column = ["b"] * asked + ["a"] * ref_asked
    approved = [i < given_ for i in range(asked)] + [i < ref_given for i in range(ref_asked)]
    groups = Groups.of(column, "a")
    (screen,) = adverse_impact_ratio(np.array(approved), groups, draws(groups))
    return screen


def prices(apr, ref_apr, thresholds=None):
    groups = Groups.of(["b"] * len(apr) + ["a"] * len(ref_apr), "a")
    both = np.array([*apr, *ref_apr], dtype=float)
    (screen,) = standardised_mean_difference(both, groups, draws(groups), thresholds)
    return screen


@pytest.fixture(scope="module")
def three():
    """1,200 applicants in three groups and nobody knows which, whose approvals and APR differ."""
    rng = np.random.default_rng(1)
    labels = np.array(["a", "b", "c", None], dtype=object)
    column = rng.choice(labels, 1_200, p=[0.5, 0.25, 0.15, 0.1])
    approved = rng.random(1_200) < np.select([column == "a", column == "b"], [0.95, 0.6], 0.85)
    apr = np.where(approved, rng.normal(np.where(column == "c", 0.2, 0.15), 0.04), np.nan)
    return Groups.of(column), approved, apr


# Adverse impact ratio


@given(COUNT, COUNT, COUNT, COUNT)
def test_the_exact_test_is_scipys(given_, declined, ref_given, ref_declined):
    found = fisher_exact(given_, given_ + declined, ref_given, ref_given + ref_declined)
    table = [[given_, declined], [ref_given, ref_declined]]
    assert found == pytest.approx(scipys(table).pvalue, rel=1e-9, abs=1e-300)


def test_the_exact_test_is_scipys_on_a_large_book_too():
    found = fisher_exact(12_000, 20_000, 24_500, 40_000)
    assert found == pytest.approx(scipys([[12_000, 8_000], [24_500, 15_500]]).pvalue, rel=1e-6)
    assert fisher_exact(0, 200_000, 200_000, 200_000) == 0


@given(COUNT, COUNT)
def test_equal_counts_are_no_evidence(given_, declined):
    assert fisher_exact(given_, given_ + declined, given_, given_ + declined) == pytest.approx(1)


@pytest.mark.parametrize(
    ("given_", "ref_given", "flag"),
    [(79, 100, True), (80, 100, False), (40, 50, False), (39, 50, True), (100, 80, False)],
)
def test_four_fifths_is_the_line(given_, ref_given, flag):
    screen = approvals(given_, 100, ref_given, 100)
    assert screen.value == pytest.approx(min(given_, ref_given) / max(given_, ref_given))
    assert screen.flag is flag


def test_a_group_that_is_never_approved_is_flagged():
    screen = approvals(0, 400, 900, 1_000)
    assert (screen.value, screen.flag) == (0, True)
    assert screen.p_value < 1e-100


@pytest.mark.parametrize(("rows", "flag"), [(29, None), (30, True)])
def test_a_group_of_fewer_than_thirty_is_shown_and_not_flagged(rows, flag):
    screen = approvals(rows // 3, rows, 90, 100)
    assert screen.value < 0.5
    assert screen.flag is flag
    assert ("too few" in screen.says) is (flag is None)


def test_the_largest_group_is_flagged_where_a_smaller_one_is_approved_more_often():
    screen = approvals(100, 100, 500, 1_000)
    assert (screen.group, screen.reference, screen.value, screen.flag) == ("a", "b", 0.5, True)


def test_a_group_of_fewer_than_thirty_is_nobodys_reference():
    screen = approvals(29, 29, 500, 1_000)
    assert (screen.group, screen.reference, screen.flag) == ("b", "a", None)


def test_of_groups_approved_alike_the_largest_is_the_reference():
    screen = approvals(50, 100, 500, 1_000)
    assert (screen.group, screen.reference, screen.flag) == ("b", "a", False)


def test_where_nobody_is_approved_there_is_no_ratio():
    screen = approvals(0, 100, 0, 100)
    assert (screen.value, screen.low, screen.high, screen.flag) == (None,) * 4
    assert "no figure" in screen.says


def test_nineteen_of_twenty_intervals_hold_the_true_ratio():
    rng, held, trials = np.random.default_rng(2), 0, 200
    groups = Groups.of(["a"] * 300 + ["b"] * 200)
    for _ in range(trials):
        approved = rng.random(500) < np.repeat([0.8, 0.6], [300, 200])
        resamples = Resamples.draw(500, 200, rng)
        (screen,) = adverse_impact_ratio(approved, groups, resamples)
        held += screen.low <= 0.75 <= screen.high
    assert 0.9 <= held / trials <= 0.985


# Standardised mean difference


def test_it_is_cohens_d_in_per_cent():
    rng = np.random.default_rng(3)
    apr, ref = rng.normal(0.2, 0.05, 70), rng.normal(0.18, 0.03, 90)
    pooled = np.sqrt((69 * apr.var(ddof=1) + 89 * ref.var(ddof=1)) / 158)
    expected = 100 * (apr.mean() - ref.mean()) / pooled
    screen = prices(apr, ref)
    assert screen.value == pytest.approx(expected)
    assert screen.low < expected < screen.high


@given(st.floats(0.1, 10), st.floats(-1, 1))
def test_neither_the_unit_of_the_price_nor_a_fee_on_all_matters(scale, shift):
    rng = np.random.default_rng(4)
    apr, ref = rng.normal(0.2, 0.05, 40), rng.normal(0.18, 0.03, 40)
    moved = prices(scale * apr + shift, scale * ref + shift)
    assert moved.value == pytest.approx(prices(apr, ref).value, rel=1e-6)


def test_the_other_side_sees_the_same_difference_turned_round():
    rng = np.random.default_rng(5)
    apr, ref = rng.normal(0.2, 0.05, 40), rng.normal(0.18, 0.03, 40)
    assert prices(apr, ref).value == pytest.approx(-prices(ref, apr).value)


def test_only_the_dearer_side_is_adverse():
    rng = np.random.default_rng(6)
    dear, cheap = rng.normal(0.2, 0.03, 50), rng.normal(0.17, 0.03, 50)
    assert (prices(dear, cheap).flag, prices(cheap, dear).flag) == (True, False)


def test_thresholds_are_the_callers():
    rng = np.random.default_rng(6)
    dear, cheap = rng.normal(0.2, 0.03, 50), rng.normal(0.17, 0.03, 50)
    screen = prices(dear, cheap, Thresholds(most_smd=200))
    assert screen.flag is False
    assert "limit 200" in screen.says
    assert prices(dear, cheap, Thresholds(least_rows=51)).flag is None


@pytest.mark.parametrize("apr", [[0.1] * 40, [np.nan] * 40])
def test_prices_that_do_not_vary_or_are_not_there_have_no_difference(apr):
    screen = prices(apr, [0.1] * 60)
    assert (screen.value, screen.flag) == (None, None)


# Every screen


def screened(groups, approved, apr):
    shared = groups, draws(groups)
    return adverse_impact_ratio(approved, *shared), standardised_mean_difference(apr, *shared)


def test_every_group_meets_the_reference_once(three):
    for screens in screened(*three):
        assert [(s.group, s.reference) for s in screens] == [("b", "a"), ("c", "a")]


def test_rows_count_who_enters_the_figure(three):
    groups, approved, _ = three
    asked, priced = screened(*three)
    everybody = groups.rows(np.ones(1_200, dtype=bool))
    assert [s.rows for s in asked] == everybody[1:].tolist()
    assert [s.rows for s in priced] == groups.rows(approved)[1:].tolist()
    assert {s.reference_rows for s in asked} == {everybody[0]}


def test_applicants_of_unknown_group_change_no_figure(three):
    groups, approved, apr = three
    known = groups.codes >= 0
    column = np.array(groups.labels)[groups.codes[known]]
    without = screened(Groups.of(column), approved[known], apr[known])
    for screens, fewer in zip(screened(*three), without, strict=True):
        assert [s.value for s in screens] == pytest.approx([s.value for s in fewer])


def test_a_seed_is_an_interval(three):
    assert screened(*three) == screened(*three)


def test_screens_are_ready_for_json_and_say_what_they_are_not(three):
    for screens in screened(*three):
        for screen in screens:
            content = asdict(screen)
            assert json.loads(json.dumps(content, allow_nan=False)) == content
            assert screen.says.endswith(DISCLAIMER)
            assert screen.says.startswith(f"{screen.group} against a: ")
            assert screen.low < screen.value < screen.high


# Means


def test_a_groups_mean_is_that_of_its_members_with_a_value(three):
    groups, approved, apr = three
    found = group_means({"apr": apr, "approved": approved.astype(float)}, groups, draws(groups))
    assert set(found) == {"apr", "approved"}
    for g, mean in enumerate(found["apr"]):
        there = apr[(groups.codes == g) & approved]
        assert mean.group == groups.labels[g]
        assert mean.rows == len(there)
        assert mean.value == pytest.approx(there.mean())
        assert mean.low < mean.value < mean.high
    assert [m.rows for m in found["approved"]] == groups.rows(approved | ~approved).tolist()


def test_a_group_without_values_has_no_mean():
    groups = Groups.of(["a", "b"])
    empty = group_means({"apr": np.array([0.1, np.nan])}, groups, draws(groups))["apr"][1]
    assert (empty.rows, empty.value, empty.low, empty.high) == (0, None, None, None)
