import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finntelligence.groups import (
    Estimate,
    Groups,
    Resamples,
    area_under_curve,
    percentile_interval,
    ratio,
)

LABELS = st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=40)


def resamples(rows, draws=40, seed=1):
    return Resamples.draw(rows, draws, np.random.default_rng(seed))


# Groups


@given(LABELS.filter(any))
def test_the_reference_is_the_largest_group_and_of_equals_the_first(column):
    groups = Groups.of(column)
    sizes = {label: column.count(label) for label in groups.labels}
    assert groups.labels[groups.reference] == min(sizes, key=lambda label: (-sizes[label], label))


@given(LABELS.filter(any))
def test_every_known_applicant_is_in_one_group_and_nobody_else(column):
    groups = Groups.of(column)
    found = [None if code < 0 else groups.labels[code] for code in groups.codes]
    assert found == column
    assert groups.rows(np.ones(len(column), dtype=bool)).sum() == sum(c is not None for c in column)


def test_a_named_reference_is_the_reference():
    groups = Groups.of(["b", "b", "a"], reference="a")
    assert groups.labels[groups.reference] == "a"
    assert [groups.labels[g] for g in groups.others] == ["b"]


@pytest.mark.parametrize("absent", [None, np.nan, float("nan")])
def test_an_absent_value_is_no_group(absent):
    assert Groups.of(np.array(["a", absent], dtype=object)).codes.tolist() == [0, -1]


@pytest.mark.parametrize(("column", "reference"), [(["a", "b"], "c"), ([None], None), ([], None)])
def test_without_anybody_to_compare_with_there_are_no_groups(column, reference):
    with pytest.raises(ValueError, match=r"reference must be one of a, b|at least one known"):
        Groups.of(column, reference)


# Resamples


@given(st.integers(1, 600), st.integers(0, 5), st.integers(0, 99))
def test_each_resample_holds_as_many_applicants_as_the_sample(rows, draws, seed):
    counts = resamples(rows, draws, seed).counts
    assert counts.shape == (rows, 1 + draws)
    assert (counts.sum(axis=0) == rows).all()
    assert (counts[:, 0] == 1).all()


def test_sums_are_those_of_the_applicants_drawn():
    rng, rows = np.random.default_rng(3), 3_000  # more than are summed at a time
    values, draws = rng.normal(size=(rows, 2)), resamples(rows, 5)
    chosen = np.flatnonzero(rng.random(rows) < 0.6)
    for d, held in enumerate(draws.counts.T):
        drawn = np.repeat(np.arange(rows), held)
        expected = values[drawn[np.isin(drawn, chosen)]].sum(axis=0)
        np.testing.assert_allclose(draws.sums(values[chosen], chosen)[d], expected)


def test_the_sums_of_the_groups_are_the_sums_of_everybody_known():
    rng = np.random.default_rng(4)
    groups = Groups.of(rng.choice(np.array(["a", "b", "c", None], dtype=object), 500))
    values, among, draws = rng.normal(size=(500, 3)), rng.random(500) < 0.7, resamples(500)
    chosen = np.flatnonzero(among & (groups.codes >= 0))
    found = draws.group_sums(values, groups, among)
    assert found.shape == (41, 3, 3)
    np.testing.assert_allclose(found.sum(axis=1), draws.sums(values[chosen], chosen))


def test_nineteen_of_twenty_intervals_hold_the_true_mean():
    rng, held, trials, rows = np.random.default_rng(5), 0, 300, 80
    for _ in range(trials):
        sample = rng.exponential(size=rows)
        draws = Resamples.draw(rows, 200, rng)
        found = percentile_interval(draws.sums(sample[:, None], np.arange(rows))[:, 0] / rows)
        held += found.low <= 1 <= found.high
    assert 0.89 <= held / trials <= 0.98


# Estimates


def test_draws_without_a_figure_are_left_out():
    found = percentile_interval(np.array([1.0, np.nan, 2.0, np.nan, 2.0]))
    assert found == Estimate(value=1.0, low=2.0, high=2.0)


@pytest.mark.parametrize("resampled", [[np.nan, 1.0, 2.0], [np.inf, 1.0, 2.0]])
def test_what_has_no_figure_has_no_interval(resampled):
    nothing = Estimate(value=None, low=None, high=None)
    assert percentile_interval(np.array(resampled)) == nothing


def test_a_figure_without_draws_has_no_interval():
    alone = Estimate(value=1.0, low=None, high=None)
    assert percentile_interval(np.array([1.0])) == alone
    assert percentile_interval(np.array([1.0, np.nan])) == alone
    assert Estimate.around(1.0, np.nan) == alone


@given(st.integers(-9, 9), st.integers(-9, 9))
def test_a_ratio_is_a_quotient_or_nothing(above, below):
    found = float(ratio(np.array(float(above)), np.array(float(below))))
    assert np.isnan(found) if below == 0 else found == above / below


# Area under the curve


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=25),
    st.lists(st.integers(0, 6), min_size=1, max_size=25),
)
def test_the_area_is_the_share_of_pairs_in_order_ties_half(positives, negatives):
    score = np.array([*positives, *negatives], dtype=float)
    positive = np.arange(len(score)) < len(positives)
    pairs = [(p > n) + (p == n) / 2 for p in positives for n in negatives]
    found = area_under_curve(score, positive)
    assert found.value == pytest.approx(np.mean(pairs))
    assert area_under_curve(-score, positive).value == pytest.approx(1 - found.value)
    if len(positives) > 1 and len(negatives) > 1:
        slack = 1e-12
        assert 0 <= found.low <= found.value + slack
        assert found.value - slack <= found.high <= 1


def test_the_areas_interval_is_as_wide_as_a_bootstraps():
    rng, rows = np.random.default_rng(6), 400
    positive = rng.random(rows) < 0.4
    score = rng.normal(size=rows) + 0.8 * positive
    drawn = (rng.integers(0, rows, rows) for _ in range(400))
    spread = np.std([area_under_curve(score[d], positive[d]).value for d in drawn])
    found = area_under_curve(score, positive)
    assert (found.high - found.low) / (2 * 1.96 * spread) == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize("positive", [[True, True], [False, False]])
def test_one_class_alone_has_no_area(positive):
    found = area_under_curve(np.array([1.0, 2.0]), np.array(positive))
    assert found == Estimate(value=None, low=None, high=None)
