from dataclasses import replace

import pytest

from finntelligence.adverse_action import Reason, reasons
from finntelligence.decision import Decision, decide
from finntelligence.errors import ModelMismatchError
from finntelligence.features import application_columns, design_matrix
from finntelligence.optimiser import optimum
from finntelligence.why_this import why_this

VERSIONS = {"risk": "risk/7", "acceptance": "acceptance/3"}


def parts_of(asked):
    row = design_matrix(asked.market.portfolio, application_columns(asked.application))
    return asked.market.risk.contributions(row)[0]


def decided(asked):
    applied, under, *pair = asked.all
    return decide(applied, under, tuple(pair), VERSIONS, optimum(*asked.all))


def explained(asked):
    applied, under, *pair = asked.all
    return decide(applied, under, tuple(pair), VERSIONS, optimum(*asked.all), parts_of(asked))


def test_a_decision_without_offers_and_reasons_cannot_be_made():
    with pytest.raises(ValueError, match="a decline needs a reason"):
        Decision(offers=(), reasons=(), versions=VERSIONS)


def test_a_decline_needs_no_offer_and_an_offer_no_reason(simulated, ask):
    told = (Reason("PTI", "Income is too low"),)
    assert Decision(offers=(), reasons=told, versions=VERSIONS).reasons == told
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
        asked = usual(book, seed, {"tick": 0.005} | HARSH[policy])
        decision = explained(asked)
        assert bool(decision.offers) != bool(decision.reasons)
        assert decision.versions == VERSIONS
        assert bool(decision.offers) == (decision.explanation is not None)


def test_the_offers_of_a_decision_are_the_best_permitted_ones(book, ask):
    asked = ask(book)
    assert decided(asked).offers == optimum(*asked.all).offers
    assert decided(asked) == decided(asked)


def test_asking_why_changes_no_offer(book, usual):
    for seed in range(10):
        asked = usual(book, seed)
        assert explained(asked).offers == optimum(*asked.all).offers


def test_with_contributions_the_first_offer_is_explained_and_without_none_is(book, ask):
    asked = ask(book)
    applied, under, *pair = asked.all
    first = explained(asked).offers[0]
    expected = why_this(applied, under, first, tuple(pair), parts_of(asked))
    assert explained(asked).explanation == expected
    assert decided(asked).explanation is None


def test_a_decline_gives_the_reasons_of_an_adverse_action(simulated, ask):
    asked = ask(simulated, {"pd_cutoff": 0.0001, "pti_cap": 0.001}, {"fico": 500})
    applied, under, *pair = asked.all
    found, parts = optimum(*asked.all), parts_of(asked)
    assert explained(asked).reasons == reasons(applied, under, tuple(pair), found, parts)


def test_what_has_an_offer_has_no_reasons_of_a_decline(simulated, ask):
    asked = ask(simulated)
    applied, under, *pair = asked.all
    found, parts = optimum(*asked.all), parts_of(asked)
    with pytest.raises(ValueError, match="was not declined"):
        reasons(applied, under, tuple(pair), found, parts)
    with pytest.raises(ValueError, match="where nothing is offered"):
        replace(found, offers=())


def test_a_model_that_cannot_be_explained_declines_nobody(simulated, ask):
    applied, under, *pair = ask(simulated, {"pd_cutoff": 0.0001}, {"fico": 500}).all
    bare = replace(under, risk=replace(under.risk, evidence={}))
    row = design_matrix(simulated, application_columns(applied))
    found, parts = optimum(applied, bare, *pair), bare.risk.contributions(row)[0]
    with pytest.raises(ModelMismatchError, match="train it again"):
        decide(applied, bare, tuple(pair), VERSIONS, found, parts)


def test_a_decline_without_contributions_is_a_mistake(simulated, ask):
    with pytest.raises(ValueError, match="a decline needs the risk model's contributions"):
        decided(ask(simulated, {"pd_cutoff": 0.0001}))
