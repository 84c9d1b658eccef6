import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from finntelligence.errors import InvalidApplicationError, ModelUnavailableError
from finntelligence.features import application_columns, design_matrix
from finntelligence.offers import application
from finntelligence.quote import quote
from serving.decision_log import DecisionLog
from serving.operations import LONGEST_KEY, Call, Operations
from serving.problems import NoRecordError
from serving.record.documents import documents_of
from serving.record.entry import key_digest
from serving.record.errors import RecordUnavailableError, UnknownDecisionError
from serving.record.settings import RecordSettings
from serving.wire import OfferRequest
from tests.serving.doors import Log

CALL = Call(channel="cli")
TERMS = {"principal": 12_000, "term_months": 36, "quoted_rate": 0.12}


@pytest.fixture
def operations(engine):
    return Operations(engine=lambda: engine)


@pytest.fixture
def recorded(engine, record):
    """The operations, with a record in memory."""
    return Operations(engine=lambda: engine, log=record)


def test_exactly_the_answer_given_is_recorded_once(recorded, example, record, engine, market):
    answer = asyncio.run(recorded.optimise(example, Call(channel="grpc", caller="c")))
    (entry,) = record.entries
    assert (entry.decision_id, entry.channel, entry.caller) == (answer.decision_id, "grpc", "c")
    assert entry.answer == answer.model_dump(mode="json")
    assert entry.request == OfferRequest(**example).model_dump(
        mode="json", exclude={"applicant_id"}
    )
    assert entry.versions == engine.versions
    row = design_matrix(
        market.portfolio, application_columns(application(market.portfolio, **example))
    )
    for model in ("risk", "acceptance"):
        assert list(entry.heads[model]) == getattr(market, model).coefficients(row)[0].tolist()
    assert 0 < entry.latency_ms < 60_000


def test_no_answer_is_given_that_could_not_be_recorded(recorded, example, record, caplog):
    async def full(entry):
        raise RecordUnavailableError("no space left")

    record.append = full
    with caplog.at_level("INFO"), pytest.raises(RecordUnavailableError):
        asyncio.run(recorded.optimise(example, CALL))
    assert caplog.records == []


def test_a_decision_that_was_not_made_is_not_recorded(engine_for, market, example, record):
    async def unavailable(rows):
        raise ModelUnavailableError("the model does not answer")

    operations = Operations(engine=lambda: engine_for(market, score_risk=unavailable), log=record)
    with pytest.raises(ModelUnavailableError):
        asyncio.run(operations.optimise(example, CALL))
    assert record.entries == []


def test_of_two_requests_with_one_key_both_get_the_faster_ones_answer(recorded, example, record):
    first = asyncio.run(recorded.optimise(example, CALL))

    async def slower(entry):
        return record.entries[0].answer

    record.append = slower
    assert asyncio.run(recorded.optimise(example, CALL)) == first


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


def test_a_quote_is_nothing_decided_and_nothing_recorded(recorded, example, record):
    asyncio.run(recorded.quote({**example, **TERMS}, CALL))
    assert record.entries == []


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


def test_what_was_answered_to_a_key_is_answered_again_without_deciding(engine, example, caplog):
    earlier = asyncio.run(Operations(engine=lambda: engine).optimise(example, CALL))
    log = Log(OfferRequest(**example).model_dump(exclude={"applicant_id"}), earlier.model_dump())

    async def answered(key, request):
        log.asked.append((key, request))
        return json.loads(json.dumps(log.answer))

    log.answered = answered
    call = Call(channel="http", caller="c", idempotency_key="abc")
    with caplog.at_level("INFO"):
        again = asyncio.run(Operations(engine=lambda: engine, log=log).optimise(example, call))
    assert again == earlier
    assert caplog.records == []
    # the digests under which the record keeps it
    assert log.asked == [(key_digest("abc", "c", "offers"), log.entry.request_digest)]


def test_the_record_itself_is_asked_and_told(engine, example, tmp_path):
    async def asked():
        settings = RecordSettings(url=f"sqlite:///{tmp_path}/decisions.db")
        record = DecisionLog.open(settings, "simulated", tmp_path)
        operations = Operations(engine=lambda: engine, log=record)
        call = Call(channel="http", idempotency_key="abc")
        answer = await operations.optimise(example, call)
        found = await operations.decision(answer.decision_id, CALL)
        again = await operations.optimise(example, call)
        said = {"outcome": "accepted", "on": str(datetime.now(UTC).date()), "offer": 0}
        outcome = await operations.outcome(answer.decision_id, said, CALL)
        told = await operations.decision(answer.decision_id, CALL)
        with pytest.raises(UnknownDecisionError):
            await operations.decision("nobody's", CALL)
        await record.close()
        assert found.answer == again == answer
        assert told.outcomes == [outcome]

    asyncio.run(asked())


@pytest.mark.parametrize("key", ["", "k" * (LONGEST_KEY + 1), "a b", "\n", "\N{SNOWMAN}"])
def test_a_key_is_short_and_plain(key):
    with pytest.raises(InvalidApplicationError, match="Idempotency-Key: must have 1 to"):
        Call(channel="http", idempotency_key=key)


def test_without_a_record_there_are_no_decisions(operations):
    said = {"outcome": "accepted", "on": "2027-01-16"}
    for ask in (
        operations.decision("x", CALL),
        operations.outcome("x", said, CALL),
        operations.replay("x", CALL),
    ):
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


def test_a_recorded_decision_is_computed_again(engine, market, example, tmp_path):
    async def asked():
        settings = RecordSettings(url=f"sqlite:///{tmp_path}/decisions.db")
        record = DecisionLog.open(settings, "simulated", tmp_path)
        kept = await record.keep(documents_of(market, {}))
        operations = Operations(engine=lambda: replace(engine, documents=kept), log=record)
        answer = await operations.optimise(example, CALL)
        replayed = await operations.replay(answer.decision_id, CALL)
        with pytest.raises(UnknownDecisionError):
            await operations.replay("nobody's", CALL)
        await record.close()
        return replayed

    replayed = asyncio.run(asked())
    assert (replayed.agrees, replayed.compared, replayed.differences) == (True, ["offers"], [])


def test_a_request_is_the_same_whether_a_door_says_12_or_12_0(recorded, example, record):
    floats = {
        **example,
        "requested_principal": float(example["requested_principal"]),
        "features": {
            name: float(value) if isinstance(value, int) else value
            for name, value in example["features"].items()
        },
    }
    for each in (example, floats):
        asyncio.run(recorded.optimise(each, CALL))
    first, second = (entry.request_digest for entry in record.entries)
    assert first == second
