import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from finntelligence.errors import InvalidApplicationError
from finntelligence.features import application_columns, design_matrix
from finntelligence.offers import application
from finntelligence.quote import quote
from serving.decision_log import DecisionLog
from serving.operations import LONGEST_KEY, Call, Operations
from serving.problems import NoRecordError
from serving.record.entry import key_digest
from serving.record.errors import UnknownDecisionError
from serving.record.settings import RecordSettings
from serving.wire import OfferRequest
from tests.serving.doors import Log

CALL = Call(channel="cli")
TERMS = {"principal": 12_000, "term_months": 36, "quoted_rate": 0.12}


@pytest.fixture
def operations(engine):
    return Operations(engine=lambda: engine)


def test_a_quote_is_the_cores_of_the_same_applicant(operations, example, market):
    answer = asyncio.run(operations.quote({**example, **TERMS}, CALL))
    asked = application(market.portfolio, **example)
    row = design_matrix(market.portfolio, application_columns(asked))
    heads = market.risk.coefficients(row)[0], market.acceptance.coefficients(row)[0]
    expected = quote(asked, market, *heads, *TERMS.values())
    assert (answer.npv, answer.apr, answer.waterfall) == (
        *(expected.npv, expected.apr, expected.waterfall),
    )
    assert [rule.code for rule in answer.broken] == [rule.code for rule in expected.broken]
    assert answer.permitted == (not answer.broken)


def test_a_quote_is_nothing_decided_and_nothing_recorded(operations, example, record):
    asyncio.run(operations.quote({**example, **TERMS}, CALL))
    assert record.answers == []


@pytest.mark.parametrize("wrong", [True, "12000", None, [], 10**400, float("nan")], ids=repr)
@pytest.mark.parametrize("name", TERMS)
def test_terms_that_are_no_number_are_refused_by_name(operations, example, name, wrong):
    with pytest.raises(InvalidApplicationError) as caught:
        asyncio.run(operations.quote({**example, **TERMS, name: wrong}, CALL))
    assert [problem.field for problem in caught.value.problems] == [name]


def test_an_amount_is_to_the_cent(operations, example):
    answer = asyncio.run(operations.quote({**example, **TERMS, "principal": 9999.996}, CALL))
    assert answer.principal == 10_000


def test_a_question_is_checked_before_any_model_is_asked(engine_for, market, example):
    asked = []

    async def score(rows):
        asked.append(rows)
        return market.risk.coefficients(rows)

    operations = Operations(engine=lambda: engine_for(market, score_risk=score))
    example["features"]["fico"] = 200
    for ask, more in ((operations.optimise, {}), (operations.quote, TERMS)):
        with pytest.raises(InvalidApplicationError):
            asyncio.run(ask({**example, **more}, CALL))
    assert asked == []


def test_a_request_ends_with_the_engine_it_began_with(engine_for, market, example):
    engines = [engine_for(market)]

    async def while_the_engine_changes(rows):
        engines.insert(0, replace(engines[0], versions={"pair": "another"}))
        return market.risk.coefficients(rows)

    first = replace(engines[0], score_risk=while_the_engine_changes)
    engines[0] = first
    operations = Operations(engine=lambda: engines[0])
    answer = asyncio.run(operations.quote({**example, **TERMS}, CALL))
    assert answer.versions == first.versions
    assert operations.engine().versions == {"pair": "another"}


def test_what_was_answered_to_a_key_is_answered_again_without_deciding(engine, example, record):
    earlier = asyncio.run(Operations(engine=lambda: engine).optimise(example, CALL))
    log = Log(OfferRequest(**example).model_dump(), earlier.model_dump())

    async def answered(key, request):
        log.asked.append((key, request))
        return json.loads(json.dumps(log.answer))

    log.answered = answered
    call = Call(channel="http", caller="c", idempotency_key="abc")
    record.answers.clear()
    again = asyncio.run(Operations(engine=lambda: engine, log=log).optimise(example, call))
    assert again == earlier
    assert record.answers == []
    # the digests under which the record keeps it
    assert log.asked == [(key_digest("abc", "c", "offers"), log.entry.request_digest)]


def test_the_record_itself_is_asked_and_told(engine, example, tmp_path):
    async def asked():
        settings = RecordSettings(url=f"sqlite:///{tmp_path}/decisions.db")
        record = DecisionLog.open(settings, "simulated", tmp_path)
        operations = Operations(engine=lambda: engine, log=record)
        answer = await operations.optimise(example, CALL)
        request = OfferRequest(**example).model_dump(mode="json")
        now = datetime.now(UTC)
        key = key_digest("abc", None, "offers")
        entry = replace(
            Log(request, answer.model_dump(mode="json")).entry,
            decision_id=answer.decision_id,
            at=now,
            idempotency_key=key,
        )
        await record.append(entry)
        found = await operations.decision(answer.decision_id, CALL)
        again = await operations.optimise(example, Call(channel="http", idempotency_key="abc"))
        said = {"outcome": "accepted", "on": str(now.date()), "offer": 0}
        outcome = await operations.outcome(answer.decision_id, said, CALL)
        told = await operations.decision(answer.decision_id, CALL)
        with pytest.raises(UnknownDecisionError):
            await operations.decision("nobody's", CALL)
        await record.close()
        assert found.answer == again == answer
        assert told.outcomes == [outcome]

    asyncio.run(asked())


@pytest.mark.parametrize("key", ["", "k" * (LONGEST_KEY + 1)])
def test_a_key_has_a_length(key):
    with pytest.raises(InvalidApplicationError, match="Idempotency-Key: must have 1 to"):
        Call(channel="http", idempotency_key=key)


def test_without_a_record_there_are_no_decisions(operations):
    said = {"outcome": "accepted", "on": "2027-01-16"}
    for ask in (operations.decision("x", CALL), operations.outcome("x", said, CALL)):
        with pytest.raises(NoRecordError):
            asyncio.run(ask)


def test_the_policy_is_json_with_its_digest(operations, market):
    content = json.loads(json.dumps(operations.policy(), allow_nan=False))
    assert content["digest"] == market.policy.digest
    assert content["economics"]["cost_of_funds"] == market.policy.economics.cost_of_funds


def test_every_book_is_quoted(any_engine, any_portfolio):
    operations = Operations(engine=lambda: any_engine)
    offered = asyncio.run(operations.optimise(any_portfolio.example, CALL))
    best = offered.offers[0]
    terms = {name: getattr(best, name) for name in TERMS}
    content = {**any_portfolio.example, **terms}
    quoted = asyncio.run(operations.quote(content, CALL))
    assert quoted.permitted
    assert quoted.expected_profit == pytest.approx(best.expected_profit)
