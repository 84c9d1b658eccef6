import json
from dataclasses import asdict

import numpy as np
import pytest

from finntelligence.group_calibration import BINS, group_calibration
from finntelligence.groups import Groups, Resamples, area_under_curve


def draws(groups, number=200, seed=7):
    return Resamples.draw(len(groups.codes), number, np.random.default_rng(seed))


def loans(rows=4_000, seed=1, shift=0.0):
    """Predictions of two groups; outcomes follow them, but for b's logit, which is off by shift."""
    rng = np.random.default_rng(seed)
    groups = Groups.of(rng.choice(["a", "b"], rows, p=[0.7, 0.3]))
    logit = rng.normal(-1.2 + 0.3 * groups.codes, 0.8)
    truth = 1 / (1 + np.exp(-(logit + shift * groups.codes)))
    return groups, 1 / (1 + np.exp(-logit)), (rng.random(rows) < truth).astype(float)


def refitted(predicted, outcome):
    """The intercept by bisection: fitted probabilities must sum to the outcomes."""
    logit, low, high = np.log(predicted / (1 - predicted)), -20.0, 20.0
    for _ in range(80):
        middle = (low + high) / 2
        more = (1 / (1 + np.exp(-(logit + middle)))).sum() < outcome.sum()
        low, high = (middle, high) if more else (low, middle)
    return low


def test_means_are_those_of_the_group():
    groups, predicted, outcome = loans()
    for g, found in enumerate(group_calibration(predicted, outcome, groups, draws(groups))):
        p, y = predicted[groups.codes == g], outcome[groups.codes == g]
        assert (found.group, found.rows, found.events) == (groups.labels[g], len(p), y.sum())
        assert found.predicted.value == pytest.approx(p.mean())
        assert found.observed.value == pytest.approx(y.mean())
        assert found.error.value == pytest.approx(p.mean() - y.mean())
        assert found.auc == area_under_curve(p, y)


def test_the_intercept_makes_predictions_sum_to_outcomes():
    groups, predicted, outcome = loans(shift=0.5)
    a, b = group_calibration(predicted, outcome, groups, draws(groups))
    for g, found in enumerate((a, b)):
        p, y = predicted[groups.codes == g], outcome[groups.codes == g]
        assert found.intercept.value == pytest.approx(refitted(p, y), abs=1e-9)
    assert a.intercept_gap is None
    assert b.intercept_gap.value == pytest.approx(b.intercept.value - a.intercept.value)


def test_predictions_far_off_are_still_fitted():
    groups = Groups.of(["a"] * 1_000)
    outcome = (np.arange(1_000) < 3).astype(float)
    (found,) = group_calibration(np.full(1_000, 0.999), outcome, groups, draws(groups))
    assert found.intercept.value == pytest.approx(np.log(3 / 997) - np.log(0.999 / 0.001))


def test_one_newton_step_is_as_good_as_fitting_every_resample_again():
    groups, predicted, outcome = loans()
    resamples = draws(groups, 100)
    found = group_calibration(predicted, outcome, groups, resamples)[1]
    exact = []
    for held in resamples.counts.T[1:]:
        drawn = np.repeat(np.arange(len(outcome)), held)
        drawn = drawn[groups.codes[drawn] == 1]
        exact.append(refitted(predicted[drawn], outcome[drawn]))
    low, high = np.quantile(exact, [0.025, 0.975])
    width = high - low
    assert (found.intercept.low, found.intercept.high) == pytest.approx((low, high), abs=width / 50)


@pytest.mark.parametrize("shift", [-0.6, 0.6])
def test_a_shift_of_one_group_is_found_and_only_there(shift):
    groups, predicted, outcome = loans(shift=shift)
    a, b = group_calibration(predicted, outcome, groups, draws(groups))
    assert a.intercept.low < 0 < a.intercept.high
    assert b.intercept_gap.low < shift < b.intercept_gap.high
    assert not b.intercept_gap.low < 0 < b.intercept_gap.high
    assert np.sign(b.error.value) == -np.sign(shift)
    assert b.ece.value > a.ece.value


def test_nineteen_of_twenty_gap_intervals_of_calibrated_groups_hold_zero():
    held, trials = 0, 100
    for seed in range(trials):
        groups, predicted, outcome = loans(rows=400, seed=seed)
        b = group_calibration(predicted, outcome, groups, draws(groups, 100, seed))[1]
        held += b.intercept_gap.low <= 0 <= b.intercept_gap.high
    assert 0.88 <= held / trials <= 0.99


def test_the_calibration_error_is_the_mean_distance_over_bins_of_equal_mass():
    groups, predicted, outcome = loans(rows=3_001)
    found = group_calibration(predicted, outcome, groups, draws(groups))[0]
    mine = np.flatnonzero(groups.codes == 0)
    ranked = mine[np.argsort(predicted[mine])]
    bins = np.array_split(ranked, BINS)
    distances = [abs((predicted[b] - outcome[b]).sum()) for b in bins]
    assert found.ece.value == pytest.approx(sum(distances) / len(mine), abs=2e-3)
    assert 0 <= found.ece.low < found.ece.value < found.ece.high


def test_outcomes_all_alike_have_neither_intercept_nor_area():
    groups, predicted, _ = loans(rows=200)
    for found in group_calibration(predicted, np.zeros(200), groups, draws(groups)):
        assert (found.events, found.intercept.value, found.auc.value) == (0, None, None)
        assert found.error.value == pytest.approx(found.predicted.value)


def test_fewer_rows_than_bins_are_no_trouble():
    groups = Groups.of(["a", "b", "a"])
    predicted, outcome = np.array([0.2, 0.5, 0.8]), np.array([0.0, 1.0, 1.0])
    a, b = group_calibration(predicted, outcome, groups, draws(groups))
    assert a.ece.value == pytest.approx(0.2)
    assert b.ece.value == pytest.approx(0.5)


@pytest.mark.parametrize("wrong", [0.0, 1.0, -0.1, np.nan])
def test_what_is_no_probability_is_refused(wrong):
    groups = Groups.of(["a", "a"])
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        group_calibration(np.array([0.5, wrong]), np.zeros(2), groups, draws(groups))


def test_it_is_ready_for_json():
    groups, predicted, outcome = loans(rows=300)
    for found in group_calibration(predicted, outcome, groups, draws(groups)):
        content = asdict(found)
        assert json.loads(json.dumps(content, allow_nan=False)) == content
