import numpy as np
import pytest

from finntelligence.policy import Policy
from finntelligence.portfolio import Capability
from tests.training.gate.conftest import safer_if_dearer
from training.evidence.price_curves import Prices
from training.gate.monotone import monotone

RISK = Capability.RISK


@pytest.fixture(scope="module")
def prices(simulated):
    return Prices.quotable(Policy.from_mapping(simulated, {}))


@pytest.mark.parametrize("model", Capability)
def test_a_model_whose_signs_are_kept_breaks_nothing(pair, heldout, prices, model):
    found = monotone(pair, model, heldout.tables[model].head(60), prices)
    assert (found.passed, found.figure) == (True, 0.0)
    assert f"on {len(prices.ticks):,} rates for each of 60 held-out applicants" in found.why


def test_whoever_is_safer_at_a_higher_price_is_counted_on_every_step(changed, heldout, prices):
    found = monotone(changed(RISK, safer_if_dearer), RISK, heldout.tables[RISK].head(5), prices)
    assert not found.passed
    assert found.figure == pytest.approx(5 * (len(prices.ticks) - 1), rel=0.5)
    few = Prices(ticks=np.array([0.1, 0.2]), below=0.0, above=0.0)
    only = monotone(changed(RISK, safer_if_dearer), RISK, heldout.tables[RISK].head(5), few)
    assert only.figure <= 5
