"""The criteria together; see the tests of `promote` for what they do to real challengers."""

from dataclasses import replace

import pytest

from finntelligence.errors import InvalidDeclarationError
from finntelligence.portfolio import Capability
from tests.training.gate.conftest import safer_if_dearer
from training.gate.criteria import Gate, PromoteParams
from training.stages import Paths

PARAMS = PromoteParams(minimum_gain=0.0, applicants=50, screened=100, priced=50, bootstrap=10)


@pytest.fixture
def gate(trained, simulated, heldout):
    paths = Paths("simulated", trained)
    return Gate(paths=paths, portfolio=simulated, heldout=heldout, params=PARAMS)


def test_a_pairs_own_criteria_cover_both_models_and_the_price(gate, pair):
    found = gate.alone(pair)
    assert {v.criterion.partition(":")[0] for v in found} == {"risk", "acceptance"}
    assert [v.criterion for v in found if "price slope" in v.criterion]
    assert all(v.passed for v in found)


@pytest.mark.parametrize(
    "setting",
    [
        {"price_slope": (1.1, 1.2)},
        {"calibration_slope": (0.9,)},
        {"calibration_slope": (1.1, 0.9)},
        {"price_slope": 0.8},
        {"price_slope": [0.8, "1.25"]},
        {"applicants": 0},
        {"applicants": 10.5},
        {"applicants": "10"},
        {"priced": 0},
        {"bootstrap": 1},
        {"minimum_gain": float("nan")},
        {"minimum_gain": None},
        {"seed": -1},
    ],
)
def test_an_impossible_setting_is_named(setting):
    (name,) = setting
    with pytest.raises(InvalidDeclarationError, match=rf"params.yaml: promote\.{name}"):
        PromoteParams(**({"minimum_gain": 0.0} | setting))


def test_monotonicity_is_judged_of_the_pair_itself_whatever_was_evaluated(gate, changed):
    found = gate.alone(changed(Capability.RISK, safer_if_dearer))
    assert "risk: monotonicity violations" in {v.criterion for v in found if not v.passed}


def test_a_champion_that_cannot_be_compared_is_no_silent_pass(gate, pair):
    found = gate.against(pair, None, "it is of another declaration")
    assert [v.criterion for v in found if v.outcome == "not testable"] == [
        "risk: log-loss below the champion's, held-out loans",
        "acceptance: log-loss below the champion's, randomised quotes",
    ]
    assert all("it is of another declaration" in v.why for v in found[:2])


def test_what_is_amiss_with_the_champion_stands_beside_its_losses(gate, pair):
    *losses, _ = gate.against(pair, pair, "it learned from other data")
    assert [v.why.endswith("; it learned from other data") for v in losses] == [True, True]


def test_a_champion_is_faced_by_both_losses_and_by_value_and_the_list_price_by_value(gate, pair):
    assert [v.figure for v in gate.against(pair, pair)] == [0.0] * 3
    (alone,) = gate.against(pair, None)
    assert alone.criterion == "value of the offers"


def test_a_champion_has_every_flag_of_its_own(gate, pair):
    assert gate.flags(pair, pair) == {}


def test_a_risk_model_alone_is_judged_by_what_can_be_judged(gate, pair):
    only = replace(pair, models={Capability.RISK: pair.models[Capability.RISK]})
    assert {v.criterion.partition(":")[0] for v in gate.alone(only)} == {"risk"}
    assert [v.outcome for v in gate.against(only, None)] == ["not testable"]
    assert gate.flags(only, None) is None
