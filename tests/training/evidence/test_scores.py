from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from training.evidence.scores import gain, row_losses, scores

PARAMS = SimpleNamespace(bootstrap=100, seed=7)
MEASURES = (
    *("auc", "log_loss", "brier", "gain", "ece"),
    *("calibration_slope", "calibration_intercept"),
)


@pytest.fixture(scope="module")
def truth():
    """4,000 true probabilities and what came of them."""
    rng = np.random.default_rng(1)
    p = rng.beta(2, 6, size=4_000)
    return p, (rng.random(4_000) < p).astype(float)


def test_scores_are_scikit_learns(truth):
    p, outcome = truth
    found = scores(outcome, p, 0.25, PARAMS)
    constant = np.full_like(p, 0.25)
    assert found["log_loss"]["value"] == pytest.approx(log_loss(outcome, p))
    assert found["brier"]["value"] == pytest.approx(brier_score_loss(outcome, p))
    assert found["auc"]["value"] == pytest.approx(roc_auc_score(outcome, p))
    assert found["constant_log_loss"] == pytest.approx(log_loss(outcome, constant))
    assert found["gain"]["value"] == pytest.approx(
        log_loss(outcome, constant) - log_loss(outcome, p)
    )
    assert found["rows"] == 4_000
    assert found["events"] == outcome.sum()


def test_the_truth_beats_a_constant_beyond_doubt(truth):
    p, outcome = truth
    found = scores(outcome, p, outcome.mean(), PARAMS)
    assert found["gain"]["low"] > 0
    assert found["auc"]["low"] > 0.5


def test_shuffled_predictions_beat_nothing(truth):
    p, outcome = truth
    shuffled = np.random.default_rng(2).permutation(p)
    found = scores(outcome, shuffled, outcome.mean(), PARAMS)
    assert found["gain"]["high"] < 0
    assert found["auc"]["low"] < 0.5 < found["auc"]["high"]


def test_a_constant_gains_nothing_over_itself(truth):
    _, outcome = truth
    found = scores(outcome, np.full(len(outcome), 0.3), 0.3, PARAMS)
    assert found["gain"] == {"value": 0, "low": 0, "high": 0}


def test_every_score_lies_inside_its_interval(truth):
    p, outcome = truth
    found = scores(outcome, p, 0.25, PARAMS)
    for name in MEASURES:
        assert found[name]["low"] < found[name]["value"] < found[name]["high"], name


def test_four_times_the_rows_halve_the_intervals(truth):
    p, outcome = truth
    few, many = (scores(outcome[::step], p[::step], 0.25, PARAMS) for step in (4, 1))
    for name in set(MEASURES) - {"ece"}:  # whose interval ends at 0
        width = {
            step: each[name]["high"] - each[name]["low"] for step, each in ((4, few), (1, many))
        }
        assert 1.4 < width[4] / width[1] < 2.8, name


def test_a_seed_is_an_interval(truth):
    p, outcome = truth
    first, again = (scores(outcome, p, 0.25, PARAMS) for _ in range(2))
    assert first == again


def test_the_order_of_the_rows_changes_no_score(truth):
    p, outcome = truth
    rounded, order = p.round(2), np.random.default_rng(3).permutation(len(p))  # with ties
    first = scores(outcome, rounded, 0.25, PARAMS)
    again = scores(outcome[order], rounded[order], 0.25, PARAMS)
    for name in MEASURES:
        assert first[name]["value"] == pytest.approx(again[name]["value"], rel=1e-9)


@settings(max_examples=50, deadline=None)
@given(
    outcome=st.lists(st.booleans(), min_size=3, max_size=40).filter(lambda y: 0 < sum(y) < len(y)),
    seed=st.integers(0, 1_000),
)
def test_ranking_is_scikit_learns_for_any_few_rows_with_ties(outcome, seed):
    y = np.array(outcome, dtype=float)
    p = np.random.default_rng(seed).integers(1, 6, len(y)) / 10
    found = scores(y, p, 0.25, SimpleNamespace(bootstrap=3, seed=seed))
    assert found["auc"]["value"] == pytest.approx(roc_auc_score(y, p))
    for name in found.keys() & set(MEASURES):
        assert np.isfinite(list(found[name].values())).all()


def test_held_out_rows_without_one_event_still_have_a_log_loss():
    found = scores(np.zeros(50), np.full(50, 0.1), 0.1, PARAMS)
    assert found["log_loss"]["value"] == pytest.approx(-np.log(0.9))
    assert "auc" not in found
    assert "calibration_slope" not in found  # nor can one prediction have a slope


def test_a_hopeless_certainty_costs_much_and_not_everything():
    found = scores(np.array([1.0, 0, 1, 0]), np.array([0.0, 1, 1, 0]), 0.5, PARAMS)
    assert 10 < found["log_loss"]["value"] < 30


# Calibration


def test_true_predictions_are_calibrated(truth):
    p, outcome = truth
    found = scores(outcome, p, 0.25, PARAMS)
    assert found["calibration_slope"]["low"] < 1 < found["calibration_slope"]["high"]
    assert found["calibration_intercept"]["low"] < 0 < found["calibration_intercept"]["high"]
    assert found["ece"]["value"] < found["ece_if_calibrated"]


def test_calibration_is_that_of_a_logit_on_the_logit(truth):
    p, outcome = truth
    logit = np.log(p / (1 - p))
    fitted = LogisticRegression(C=np.inf, tol=1e-10).fit(logit[:, None], outcome)
    found = scores(outcome, p, 0.25, PARAMS)
    assert found["calibration_slope"]["value"] == pytest.approx(fitted.coef_[0, 0], rel=1e-3)


@pytest.mark.parametrize(("shift", "stretch"), [(0.7, 1.0), (0.0, 2.0)])
def test_what_was_done_to_the_logits_is_found(truth, shift, stretch):
    p, outcome = truth
    moved = 1 / (1 + np.exp(-(stretch * np.log(p / (1 - p)) + shift)))
    found = scores(outcome, moved, 0.25, PARAMS)
    slope = found["calibration_slope"]
    assert slope["low"] < 1 / stretch < slope["high"]
    if stretch == 1:
        assert found["calibration_intercept"]["value"] == pytest.approx(-shift, abs=0.1)
    assert found["ece"]["value"] > found["ece_if_calibrated"]
    assert found["ece"]["low"] > 0


def test_one_step_from_the_fit_is_a_refits_interval(truth):
    p, outcome = truth
    found = scores(outcome, p, 0.25, SimpleNamespace(bootstrap=200, seed=1))["calibration_slope"]
    rng, logit, refits = np.random.default_rng(1), np.log(p / (1 - p)), []
    for _ in range(60):
        rows = rng.integers(0, len(p), len(p))
        refit = LogisticRegression(C=np.inf).fit(logit[rows, None], outcome[rows])
        refits.append(refit.coef_[0, 0])
    assert found["high"] - found["low"] == pytest.approx(3.92 * np.std(refits), rel=0.3)


def test_calibration_error_is_the_mean_gap_of_its_bins():
    predicted, outcome = np.repeat([0.1, 0.6], 10), np.repeat([0.0, 1.0], 10)
    assert scores(outcome, predicted, 0.5, PARAMS)["ece"]["value"] == pytest.approx(0.25)


def test_predictions_that_tie_share_a_bin():
    predicted, outcome = np.full(30, 0.5), np.tile([0.0, 1.0], 15)
    assert scores(outcome, predicted, 0.5, PARAMS)["ece"]["value"] == pytest.approx(0)


# Comparison


def test_a_model_gains_over_a_rival_what_the_rivals_loss_exceeds_its_own(truth):
    p, outcome = truth
    rival = np.full_like(p, 0.25)
    found = gain(outcome, p, rival, PARAMS)
    difference = row_losses(outcome, rival).mean() - row_losses(outcome, p).mean()
    assert found["value"] == pytest.approx(difference)
    assert found["low"] > 0


def test_a_paired_comparison_sees_what_two_intervals_do_not(truth):
    p, outcome = truth
    worse = np.clip(p * 1.15, 0, 0.99)
    paired = gain(outcome, p, worse, PARAMS)
    ours, theirs = (scores(outcome, q, 0.25, PARAMS)["log_loss"] for q in (p, worse))
    assert ours["high"] > theirs["low"]
    assert paired["low"] > 0
