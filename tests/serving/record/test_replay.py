"""A recorded decision is computed again, and agrees or says exactly what differs."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from finntelligence.errors import ModelMismatchError, ModelUnavailableError
from finntelligence.policy import Policy
from finntelligence.shadow_prices import ShadowPrices
from serving.record.errors import UnknownDecisionError
from serving.record.replay import Difference, Models, replay


def models_of(market):
    return Models(
        market=market,
        score_risk=market.risk.coefficients,
        score_acceptance=market.acceptance.coefficients,
        explain_risk=market.risk.contributions,
    )


STRICT = {"pd_cutoff": 0.001}


def strict(market):
    """The market under which the example is declined."""
    return replace(market, policy=Policy.from_mapping(market.portfolio, STRICT))


@pytest.fixture
def recorded(decided, log, market):
    """Record a decision of the example, changed as told; return its id."""

    def made(request=None, priced_by=market, **changes):
        entry = decided(priced_by, request, **changes)
        asyncio.run(log.append(entry))
        return entry.decision_id

    return made


def test_a_decision_agrees_with_what_its_recorded_coefficients_give(log, recorded):
    again = replay(log.engine, recorded())
    assert again.agrees
    assert again.compared == ("offers",)


def test_a_decision_agrees_with_what_its_models_give(log, recorded, market):
    again = replay(log.engine, recorded(), lambda _: models_of(market))
    assert (again.differences, again.notes) == ((), ())
    assert {"heads", "offers", "reasons", "counter_offer"} <= set(again.compared)


def test_a_decision_is_computed_again_at_the_shadow_prices_it_was_made_at(log, recorded, market):
    dear = replace(market, prices=ShadowPrices(principal=0.03, expected_loss=0.1))
    decision_id = recorded(priced_by=dear)
    assert replay(log.engine, decision_id).agrees
    again = replay(log.engine, decision_id, lambda _: models_of(market))
    assert (again.differences, again.notes) == ((), ())


def test_an_explanation_is_computed_again_with_the_models(log, recorded, example, market):
    decision_id = recorded({**example, "explain": True})
    assert replay(log.engine, decision_id).agrees
    again = replay(log.engine, decision_id, lambda _: models_of(market))
    assert again.agrees
    assert "explanation" in again.compared


def test_another_offer_than_was_computed_is_told_by_its_path(log, decided, market):
    entry = decided(market)
    offer = entry.answer["offers"][0]
    rate = offer["quoted_rate"]
    offer["quoted_rate"] = 0.5
    asyncio.run(log.append(entry))
    again = replay(log.engine, entry.decision_id, lambda _: models_of(market))
    assert again.differences == (Difference("offers[0].quoted_rate", 0.5, rate),)
    assert again.rows() == [("offers[0].quoted_rate", "0.5", repr(rate))]


def test_other_models_are_told_by_their_coefficients(log, recorded, market):
    decision_id = recorded()
    other = replace(
        market, risk=replace(market.risk, linear=market.risk.linear + np.array([[0.1]]))
    )
    again = replay(log.engine, decision_id, lambda _: models_of(other))
    assert not again.agrees
    assert again.differences[0].field == "heads.risk[0]"


def test_a_decline_from_recorded_coefficients_agrees_and_says_what_it_could_not_compare(
    log, decided, market
):
    entry = decided(market)
    declined = {**entry.answer, "outcome": "decline", "offers": []}
    heads = {**entry.heads, "risk": [9.0, 0.02]}
    asyncio.run(log.append(replace(entry, heads=heads, answer=declined)))
    again = replay(log.engine, entry.decision_id)
    assert again.agrees
    assert "not compared" in again.notes[0]


def test_a_decline_is_computed_again_with_its_reasons(log, decided, market):
    narrow = strict(market)
    entry = decided(narrow, policies={market.portfolio.name: STRICT})
    asyncio.run(log.append(entry))
    assert entry.answer["outcome"] == "decline"
    again = replay(log.engine, entry.decision_id, lambda _: models_of(narrow))
    assert (again.differences, again.notes) == ((), ())
    entry.answer["reasons"][0]["code"] = "OTHER"
    changed = replace(entry, decision_id=f"{entry.decision_id[:-1]}x")
    asyncio.run(log.append(changed))
    again = replay(log.engine, changed.decision_id, lambda _: models_of(narrow))
    assert [d.field for d in again.differences] == ["reasons[0].code"]


def test_offers_where_the_coefficients_give_none_differ(log, decided, market):
    entry = decided(market)
    asyncio.run(log.append(replace(entry, heads={**entry.heads, "risk": [9.0, 0.02]})))
    again = replay(log.engine, entry.decision_id)
    assert Difference("outcome", "offers", "decline") in again.differences


def test_models_that_are_not_at_hand_leave_the_recorded_coefficients(log, recorded):
    def gone(_):
        raise ModelMismatchError("the model store lacks it")

    again = replay(log.engine, recorded(), gone)
    assert again.agrees
    assert again.notes == ("the models are not at hand: the model store lacks it",)


def test_models_under_another_policy_are_not_asked(log, recorded, market):
    again = replay(log.engine, recorded(), lambda _: models_of(strict(market)))
    assert (again.agrees, again.compared) == (True, ("offers",))
    assert "another policy" in again.notes[0]


def test_another_engine_is_told(log, decided, market):
    entry = decided(market)
    asyncio.run(log.append(replace(entry, versions={**entry.versions, "engine": "0.0.1"})))
    assert "decided by engine 0.0.1" in replay(log.engine, entry.decision_id).notes[0]


def test_a_decision_whose_parts_nobody_kept_cannot_be_replayed(log, recorded):
    with pytest.raises(ModelMismatchError, match="no record of acceptance, policy, portfolio"):
        replay(log.engine, recorded(documents={}))


def test_an_unknown_decision_cannot_be_replayed(log):
    with pytest.raises(UnknownDecisionError):
        replay(log.engine, "nobody")


def test_a_degraded_decision_agrees_with_the_models_and_without_them(
    decided, log, portfolio, market
):
    changes = {"degrade": {"acceptance": "list_price"}}
    degrading = replace(market, policy=Policy.from_mapping(portfolio, changes))

    async def unavailable(rows):
        raise ModelUnavailableError("the acceptance model does not answer")

    entry = decided(
        degrading,
        policies={portfolio.name: changes},
        scorers={"score_acceptance": unavailable},
    )
    asyncio.run(log.append(entry))
    assert (entry.answer["degraded"], entry.answer["offers"][0]["p_accept"]) == (True, None)
    for load in (None, lambda _: models_of(degrading)):
        again = replay(log.engine, entry.decision_id, load)
        assert again.agrees, again.differences
        assert "offers" in again.compared
    assert "heads" in again.compared
