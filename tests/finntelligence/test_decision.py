import pytest

from finntelligence.decision import Decision, Reason, decide
from finntelligence.optimiser import Optimum, optimum
from finntelligence.policy import RULES

VERSIONS = {"risk": "risk/7", "acceptance": "acceptance/3"}
REASONS = {rule.code: rule.reason for rule in RULES}


def decided(asked):
    return decide(*asked.all, VERSIONS)


def test_a_decision_without_offers_and_reasons_cannot_be_made():
    with pytest.raises(ValueError, match="a decline needs a reason"):
        Decision(offers=(), reasons=(), versions=VERSIONS)


def test_a_decline_needs_no_offer_and_an_offer_no_reason(simulated, ask):
    reasons = (Reason("PTI", "Income is too low"),)
    assert Decision(offers=(), reasons=reasons, versions=VERSIONS).reasons == reasons
    assert decided(ask(simulated)).reasons == ()


HARSH = {
    "own": {},
    "affordable": {"pti_cap": 0.02},
    "safe": {"pd_cutoff": 0.01},
    "cheap": {"apr_cap": 0.06},
    "profitable": {"minimum_raroc": 3},
    "near": {"trust_region": {"below": 0, "above": 0}},
    "narrow": {"minimum_rate": 0.2, "maximum_rate": 0.2001},
}


@pytest.mark.parametrize("policy", HARSH)
def test_a_decision_has_offers_or_reasons_and_never_both(book, usual, policy):
    for seed in range(20):
        decision = decided(usual(book, seed, {"tick": 0.005} | HARSH[policy]))
        assert bool(decision.offers) != bool(decision.reasons)
        assert decision.versions == VERSIONS


@pytest.mark.parametrize("policy", [name for name in HARSH if name != "own"])
def test_a_decline_says_at_most_four_plain_reasons_worst_first(book, usual, policy):
    for seed in range(20):
        asked = usual(book, seed, {"tick": 0.005} | HARSH[policy])
        decision, broken = decided(asked), optimum(*asked.all).broken
        if decision.offers:
            continue
        codes = [reason.code for reason in decision.reasons]
        assert len(codes) == min(len(broken), 4)
        assert [broken[code] for code in codes] == sorted(broken.values(), reverse=True)[:4]
        for reason in decision.reasons:
            assert reason.text == REASONS.get(reason.code, reason.text)
            assert len(reason.text) > 20


@pytest.mark.parametrize(
    ("code", "changes", "features"),
    [
        ("PTI", {}, {"annual_income": 0}),
        ("DTI", {"pti_cap": None}, {"annual_income": 0}),
        ("DTI", {}, {"dti": 100}),
        ("APR_CAP", {"apr_cap": 0.05}, {}),
        ("PD_CUTOFF", {"pd_cutoff": 0.0001}, {}),
        ("RAROC", {"minimum_raroc": 10}, {}),
        ("EXPECTED_LOSS", {"economics": {"acquisition_cost": 1e6}}, {}),
        ("PRICE_RANGE", {"minimum_rate": 0.35, "maximum_rate": 0.35}, {}),
    ],
)
def test_a_decline_names_the_rule_that_left_nothing(simulated, ask, code, changes, features):
    decision = decided(ask(simulated, changes, features))
    assert decision.offers == ()
    assert [reason.code for reason in decision.reasons] == [code]


def test_of_many_reasons_the_four_that_stopped_most_are_told(simulated, ask, monkeypatch):
    broken = {"PTI": 1, "DTI": 5, "APR_CAP": 2, "PD_CUTOFF": 4, "PRICE_RANGE": 3, "RAROC": 0}
    stopped = Optimum(offers=(), broken=broken)
    monkeypatch.setattr("finntelligence.decision.optimum", lambda *_: stopped)
    codes = [reason.code for reason in decided(ask(simulated)).reasons]
    assert codes == ["DTI", "PD_CUTOFF", "PRICE_RANGE", "APR_CAP"]


def test_the_offers_of_a_decision_are_the_best_permitted_ones(book, ask):
    asked = ask(book)
    assert decided(asked).offers == optimum(*asked.all).offers
    assert decided(asked) == decided(asked)
