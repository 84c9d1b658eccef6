from dataclasses import replace

import numpy as np
import pytest

from finntelligence.portfolio import Capability
from tests.challengers import halved, stretched
from training.gate.slopes import calibration_slope, price_slope, price_told

RISK, ACCEPTANCE = Capability.RISK, Capability.ACCEPTANCE
PRICE, TOTAL = (0.8, 1.25), (0.9, 1.1)


def constant(response):
    return replace(response, linear=np.zeros_like(response.linear))


def test_a_pair_of_the_same_world_has_slopes_of_one(pair, heldout):
    for found in (
        price_slope(pair, heldout, *PRICE),
        calibration_slope(pair, RISK, heldout, *TOTAL),
        calibration_slope(pair, ACCEPTANCE, heldout, *TOTAL),
    ):
        assert found.passed
        assert found.interval[0] <= found.figure <= found.interval[1]
        assert found.figure == pytest.approx(1, abs=0.2)


def test_half_the_price_slope_shows_twice_the_figure(pair, changed, heldout):
    whole = price_slope(pair, heldout, *PRICE).figure
    found = price_slope(changed(ACCEPTANCE, halved), heldout, *PRICE)
    assert found.figure == pytest.approx(2 * whole, rel=0.05)
    assert not found.passed
    assert "too flat" in found.why


@pytest.mark.parametrize("model", [RISK, ACCEPTANCE])
def test_a_stretched_logit_shows_a_slope_as_much_too_low(pair, changed, heldout, model):
    whole = calibration_slope(pair, model, heldout, *TOTAL).figure
    found = calibration_slope(changed(model, stretched), model, heldout, *TOTAL)
    assert found.figure == pytest.approx(whole / 1.6, rel=1e-3)
    assert not found.passed
    assert "too steep" in found.why


def test_without_randomised_quotes_no_price_slope_is_claimed(pair, discretionary):
    found = price_slope(pair, discretionary, *PRICE)
    assert found.outcome == "not testable"
    assert "no randomised quotes" in found.why
    assert "held-out quotes" in calibration_slope(pair, ACCEPTANCE, discretionary, *TOTAL).criterion


def test_prices_that_never_left_the_list_price_tell_nothing(pair, heldout):
    quotes = heldout.tables[ACCEPTANCE]
    tables = {**heldout.tables, ACCEPTANCE: quotes.assign(quoted_rate=quotes["list_rate"])}
    assert price_slope(pair, replace(heldout, tables=tables), *PRICE).outcome == "not testable"


def test_a_point_within_the_limits_passes_without_one_in_the_interval(pair, changed, heldout):
    found = price_slope(changed(ACCEPTANCE, halved), heldout, 0.8, 3.0)
    assert found.interval[0] > 1
    assert found.passed


def test_a_slope_whose_error_is_beyond_it_is_refused(pair, changed):
    def vague(response):
        errors = {**response.evidence["standard_errors"], "gap": 707.0}
        return replace(response, evidence={**response.evidence, "standard_errors": errors})

    assert price_told(pair).passed
    found = price_told(changed(ACCEPTANCE, vague))
    assert not found.passed
    assert found.interval[1] > 0
    assert "at random" in found.why
