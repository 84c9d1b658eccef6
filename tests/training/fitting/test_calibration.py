import numpy as np
import pytest

from training.fitting.calibration import calibrated


def drawn(logit, seed=0):
    return (np.random.default_rng(seed).logistic(size=len(logit)) < logit).astype(float)


@pytest.fixture
def logit():
    return np.random.default_rng(1).normal(-1, 1.5, 4_000)


def test_a_model_that_is_too_sure_and_too_low_is_corrected(logit):
    (intercept, slope), found = calibrated(logit, drawn(0.5 + 0.6 * logit))
    assert found["applied"]
    assert intercept == pytest.approx(0.5, abs=0.15)
    assert slope == pytest.approx(0.6, abs=0.1)


def test_a_model_that_is_right_is_left_alone(logit):
    result, found = calibrated(logit, drawn(logit))
    assert result == (0.0, 1.0)
    assert not found["applied"]
    assert found["slope"] == pytest.approx(1, abs=0.15)


def test_a_ranking_the_wrong_way_round_is_not_turned_over(logit):
    result, found = calibrated(logit, drawn(-logit))
    assert found["slope"] < 0
    assert result == (0.0, 1.0)


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_rows_of_one_outcome_correct_nothing(logit, outcome):
    result, found = calibrated(logit, np.full(len(logit), outcome))
    assert result == (0.0, 1.0)
    assert not found["applied"]
