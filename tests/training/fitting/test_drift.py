import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.fitting.drift import drift, stability

samples = arrays(float, st.integers(1, 60), elements=st.floats(-1e6, 1e6) | st.just(np.nan))


@pytest.mark.parametrize("before", [0.97, 0.92, 0.6, 0.3, 0.05])
def test_a_flag_whose_share_moves_by_a_third_drifts(before):
    rows = np.arange(10_000) / 10_000
    after = before - 1 / 3 if before > 0.5 else before + 1 / 3
    assert stability((rows < before) * 1.0, (rows < after) * 1.0) > 0.25


def test_values_that_go_missing_are_drift():
    values = np.random.default_rng(0).normal(size=5_000)
    gone = np.where(np.arange(5_000) % 3 == 0, np.nan, values)
    assert stability(values, values) == 0
    assert stability(values, gone) > 0.25
    assert stability(np.full(10, np.nan), np.full(10, np.nan)) == 0


def test_the_index_is_the_published_sum():
    before, after = np.repeat([0.0, 1.0], [80, 20]), np.repeat([0.0, 1.0], [50, 50])
    expected = (0.5 - 0.8) * np.log(0.5 / 0.8) + (0.5 - 0.2) * np.log(0.5 / 0.2)
    assert stability(before, after) == pytest.approx(expected)


@given(samples, samples)
def test_no_population_is_steadier_than_itself(before, after):
    assert stability(before, before) == 0
    assert stability(before, after) >= 0


@given(samples, samples)
def test_the_order_of_the_rows_does_not_matter(before, after):
    assert stability(before[::-1], after[::-1]) == stability(before, after)


@pytest.fixture
def steady():
    """Two features of 3,000 rows in three periods, and the periods."""
    return np.random.default_rng(1).normal(size=(3_000, 2)), np.repeat([1, 2, 3], 1_000)


def test_drift_is_looked_for_between_the_first_and_the_last_period(steady):
    matrix, period = steady
    in_the_middle, at_the_end = matrix.copy(), matrix.copy()
    in_the_middle[period == 2, 0] += 5
    at_the_end[period == 3, 0] += 5
    assert drift(in_the_middle, period, ("a", "b"))["a"] < 0.1
    found = drift(at_the_end, period, ("a", "b"))
    assert found["a"] > 1
    assert found["b"] < 0.1


@pytest.mark.parametrize("seed", range(5))
def test_a_steady_book_of_few_rows_a_month_has_no_drifting_feature(seed):
    rng = np.random.default_rng(seed)
    names = tuple("abcdefghij")
    matrix, period = rng.normal(size=(1_200, len(names))), np.repeat(np.arange(24), 50)
    assert max(drift(matrix, period, names).values()) < 0.1


def test_two_periods_are_compared_however_small_one_is():
    matrix, period = (np.arange(1_000) % 7.0)[:, None], np.repeat([1, 2], [100, 900])
    matrix[100:] += 5
    assert drift(matrix, period, ("a",))["a"] > 1
    assert drift(matrix[:50], period[:50], ("a",)) == {"a": 0}


@pytest.mark.parametrize("rows", [499, 500])
def test_a_first_or_last_period_is_joined_by_its_neighbour_only_where_it_is_small(rows):
    period = np.repeat([1, 2, 3, 4], [rows, 1_000, 1_000, rows])
    matrix = (period == 2).astype(float)[:, None]
    assert (drift(matrix, period, ("a",))["a"] > 0.25) == (rows < 500)


def test_drift_is_looked_for_in_the_population_to_score_as_well(steady):
    matrix, period = steady
    ahead = np.add(matrix[:500], [0, 5])
    found = drift(matrix, period, ("a", "b"), ahead)
    assert found["b"] > 1
    assert found["a"] < 0.1
