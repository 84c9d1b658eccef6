"""The criteria together; see the tests of `promote` for what they do to real challengers."""

from dataclasses import replace

import pytest

from finntelligence.errors import InvalidDeclarationError
from finntelligence.portfolio import Capability
from training.gate.criteria import Gate, PromoteParams
from training.stages import Paths

PARAMS = PromoteParams(minimum_gain=0.0, applicants=50, screened=100, bootstrap=10)
SMOOTH = {"violations": 0, "ticks": 10, "applicants": 5}
EVALUATION = {
    model: {"price": {"violations": {"model": SMOOTH}}} for model in ("risk", "acceptance")
}


@pytest.fixture
def gate(trained, simulated, heldout):
    paths = Paths("simulated", trained)
    return Gate(paths=paths, portfolio=simulated, heldout=heldout, params=PARAMS)


def test_a_pairs_own_criteria_cover_both_models_and_the_price(gate, pair):
    found = gate.alone(pair, EVALUATION)
    assert {v.criterion.partition(":")[0] for v in found} == {"risk", "acceptance"}
    assert [v.criterion for v in found if "price slope" in v.criterion]
    assert all(v.passed for v in found)


@pytest.mark.parametrize(
    "setting",
    [
        {"price_slope": (1.1, 1.2)},
        {"calibration_slope": (0.9,)},
        {"calibration_slope": (1.1, 0.9)},
        {"applicants": 0},
        {"bootstrap": 1},
    ],
)
def test_an_impossible_setting_is_named(setting):
    (name,) = setting
    with pytest.raises(InvalidDeclarationError, match=rf"promote\.{name}: must be"):
        PromoteParams(minimum_gain=0.0, **setting)


def test_one_broken_monotonicity_fails(gate, pair):
    broken = {"price": {"violations": {"model": SMOOTH | {"violations": 1}}}}
    found = gate.alone(pair, {**EVALUATION, "risk": broken})
    assert [v.criterion for v in found if not v.passed] == ["risk: monotonicity violations"]


def test_a_champion_is_faced_by_both_losses_and_by_value_and_the_list_price_by_value(gate, pair):
    assert [v.figure for v in gate.against(pair, pair)] == [0.0] * 3
    (alone,) = gate.against(pair, None)
    assert alone.criterion == "value of the offers"


def test_a_champion_has_every_flag_of_its_own(gate, pair):
    assert gate.flags(pair, pair) == {}


def test_a_risk_model_alone_is_judged_by_what_can_be_judged(gate, pair):
    only = replace(pair, models={Capability.RISK: pair.models[Capability.RISK]})
    assert {v.criterion.partition(":")[0] for v in gate.alone(only, EVALUATION)} == {"risk"}
    assert [v.outcome for v in gate.against(only, None)] == ["not testable"]
    assert gate.flags(only, None) is None
