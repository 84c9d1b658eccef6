import numpy as np
import pytest

from finntelligence.portfolio import Capability
from training.fitting.base_logit import ridge_logit
from training.fitting.hyperparameters import FitParams
from training.simulator.slope_recovery import OFFERS, SLOPE, offers_of_known_slope, recovery
from training.stages import read_params
from training.tables import load_portfolio

LOGS = 100


@pytest.fixture(scope="module")
def portfolio():
    return load_portfolio("kz2008")


def test_the_slope_of_the_offers_is_the_known_one(portfolio):
    slopes = []
    for seed in range(30):
        quotes = offers_of_known_slope(portfolio, seed)
        level = quotes["risk_class"].to_numpy() == np.array([["LOW"], ["MEDIUM"], ["HIGH"]])
        price = 100 * (quotes["quoted_rate"] - quotes["list_rate"]).to_numpy()
        design = np.column_stack([*level, price]).astype(float)
        outcome = quotes["accepted"].to_numpy(dtype=float)
        slopes.append(ridge_logit(design, outcome, np.full(4, 1e-9), np.zeros(4))[0][3])
    # a logit without the other columns sees a slope that is a little flatter
    assert np.mean(slopes) == pytest.approx(SLOPE, abs=0.1 * abs(SLOPE))


def test_the_offers_are_as_many_and_as_often_taken_as_the_real_ones(portfolio):
    quotes = offers_of_known_slope(portfolio, 0)
    assert len(quotes) == OFFERS
    assert 1_600 < quotes["accepted"].sum() < 2_100  # 1,840 in waves 1 and 2


@pytest.mark.timeout(900)
def test_the_interval_covers_the_true_slope_as_often_as_it_says(portfolio):
    params = read_params(str(Capability.ACCEPTANCE), FitParams)
    found = recovery(portfolio, params, range(LOGS))
    assert 90 <= found["covered"] <= 99
