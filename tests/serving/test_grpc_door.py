import asyncio
import copy
import logging
from datetime import UTC

import grpc
import httpx
import pytest

from finntelligence.errors import InvalidApplicationError, ModelUnavailableError
from serving.messages import from_message
from serving.problems import (
    NoRecordError,
)
from serving.stubs import offers_pb2 as pb
from serving.wire import BadRequestError
from tests.serving.doors import (
    KNOWN,
    LIMIT,
    PRUNED,
    Log,
    call,
    channel_to,
    failed,
    features_of,
    grpc_door,
    http_app,
    optimise,
)

TERMS = {"principal": 12_000.0, "term_months": 36, "quoted_rate": 0.12}


def changed(request, **features):
    """Return a copy of a request with other features; ... leaves one out."""
    other = copy.deepcopy(request)
    for name, value in features.items():
        if value is ...:
            del other["features"][name]
        else:
            other["features"][name] = value
    return other


def without(request, name):
    return {key: value for key, value in request.items() if key != name}


@pytest.fixture
def door(engine):
    with grpc_door(engine) as opened:
        yield opened


@pytest.fixture
def channel(door):
    with channel_to(door) as opened:
        yield opened


@pytest.fixture
def post(engine):
    """Return a function that asks the HTTP door of the same engine."""
    app = http_app(engine)

    def ask(path, content):
        async def asked():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
                return await client.post(path, json=content)

        return asyncio.run(asked())

    return ask


GOOD = {
    "as declared": lambda r: r,
    "explained": lambda r: {**r, "explain": True},
    "another amount": lambda r: {**r, "requested_principal": 7345.67},
    "a decline": lambda r: changed(r, annual_income=0),
}
BAD = {
    "no amount": lambda r: without(r, "requested_principal"),
    "no term": lambda r: without(r, "requested_term_months"),
    "a negative amount": lambda r: {**r, "requested_principal": -5.0},
    "a term that is not offered": lambda r: {**r, "requested_term_months": 37},
    "a score out of range": lambda r: changed(r, fico=200),
    "years in parts": lambda r: changed(r, employment_years=6.5),
    "a word for a number": lambda r: changed(r, fico="high"),
    "a number for a word": lambda r: changed(r, home=3),
    "an unknown word": lambda r: changed(r, home="tent"),
    "a missing field": lambda r: changed(r, fico=...),
    "an empty field": lambda r: changed(r, fico=None),
    "a field that nobody declared": lambda r: changed(r, shoe_size=43),
    "several at once": lambda r: {**changed(r, fico=1, home="x"), "requested_principal": 1.0},
}


def plain(content):
    """Return an answer without its own id, and without what is absent."""
    if isinstance(content, dict):
        items = content.items()
        return {k: plain(v) for k, v in items if k != "decision_id" and v not in (None, [])}
    return [plain(each) for each in content] if isinstance(content, list) else content


@pytest.mark.parametrize("change", GOOD.values(), ids=GOOD)
def test_both_doors_give_the_same_answer(channel, post, example, change):
    request = change(example)
    answer = pb.OptimiseOffersResponse.FromString(
        call(channel, "OptimiseOffers", optimise(request))
    )
    expected = post("/v1/offers", request).json()
    assert plain(from_message(answer)) == plain(expected)
    assert answer.decision_id[:18] == expected["decision_id"][:18]


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_both_doors_refuse_in_the_same_words(channel, post, example, change):
    request = change(example)
    code, error, wait = failed(channel, "OptimiseOffers", optimise(request))
    expected = post("/v1/offers", request)
    assert expected.status_code == 422
    assert (code, wait) == (grpc.StatusCode.INVALID_ARGUMENT, None)
    assert isinstance(error, InvalidApplicationError)
    assert [(p.field, p.problem) for p in error.problems] == [
        (p["field"], p["problem"]) for p in expected.json()["errors"]
    ]
    assert str(error) == expected.json()["detail"]


@pytest.mark.parametrize("change", GOOD.values(), ids=GOOD)
def test_both_doors_give_the_same_quote(channel, post, example, change):
    request = {**without(change(example), "explain"), **TERMS}
    message = pb.QuoteOfferRequest(**features_of(request))
    answer = pb.QuoteOfferResponse.FromString(call(channel, "QuoteOffer", message))
    expected = post("/v1/quote", request)
    assert expected.status_code == 200
    assert plain(from_message(answer)) == plain(expected.json())


@pytest.mark.parametrize(
    "wrong",
    [
        {"principal": -1.0},
        {"principal": float("nan")},
        {"term_months": 0},
        {"quoted_rate": 11.0},
        {"quoted_rate": 9.0, "term_months": 600},
        {"quoted_rate": None},
    ],
    ids=str,
)
def test_both_doors_refuse_impossible_terms_in_the_same_words(channel, post, example, wrong):
    request = {k: v for k, v in {**example, **TERMS, **wrong}.items() if v is not None}
    code, error, _ = failed(channel, "QuoteOffer", pb.QuoteOfferRequest(**features_of(request)))
    if wrong.get("principal") != wrong.get("principal"):  # JSON has no NaN; a word is as wrong
        request["principal"] = "much"
    expected = post("/v1/quote", request).json()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert str(error) == expected["detail"]
    assert expected["status"] == 422


def test_bytes_that_are_no_message_are_a_bad_request(channel):
    code, error, _ = failed(channel, "OptimiseOffers", b"\xff\xff")
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert isinstance(error, BadRequestError)


def test_a_very_long_refusal_still_arrives(channel, example):
    unknown = {"\N{PILE OF POO}" * 90 + str(i): 1 for i in range(40)}
    code, error, _ = failed(channel, "OptimiseOffers", optimise(changed(example, **unknown)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert len(error.problems) > 3


def test_a_message_above_the_limit_is_refused(channel, example):
    request = changed(example, fico="x" * LIMIT)
    assert failed(channel, "OptimiseOffers", optimise(request))[0] is (
        grpc.StatusCode.RESOURCE_EXHAUSTED
    )


@pytest.mark.parametrize("scorer", ["score_risk", "score_acceptance"])
def test_a_model_that_does_not_answer_is_worth_a_retry(engine_for, market, example, scorer):
    async def unavailable(rows):
        raise ModelUnavailableError("the model does not answer")

    with grpc_door(engine_for(market, **{scorer: unavailable})) as door, channel_to(door) as to:
        code, error, wait = failed(to, "OptimiseOffers", optimise(example))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert isinstance(error, ModelUnavailableError)
    assert wait > 0


def test_a_defect_is_logged_without_what_the_applicant_said(engine_for, market, example, caplog):
    income = example["features"]["annual_income"]

    async def broken(rows):
        raise ValueError(f"income {income}")

    with grpc_door(engine_for(market, score_risk=broken)) as door, channel_to(door) as to:
        code, error, _ = failed(to, "OptimiseOffers", optimise(example))
    assert code is grpc.StatusCode.INTERNAL
    assert str(income) not in str(error)
    (told,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert "ValueError" in told.getMessage()
    assert "broken" in told.getMessage()
    assert str(income) not in caplog.text


# --- decisions -----------------------------------------------------------------------------------


@pytest.fixture
def log(example, post):
    return Log({**example, "explain": False}, post("/v1/offers", example).json())


def test_a_recorded_decision_is_read_back(engine, log, example):
    with grpc_door(engine, log=log) as door, channel_to(door) as to:
        asked = pb.GetDecisionRequest(decision_id=KNOWN)
        found = pb.DecisionRecord.FromString(call(to, "GetDecision", asked))
        pruned = pb.DecisionRecord.FromString(
            call(to, "GetDecision", pb.GetDecisionRequest(decision_id=PRUNED))
        )
    assert found.at.ToDatetime(UTC) == log.entry.at
    assert plain(from_message(found.answer)) == plain(log.answer)
    assert from_message(found.request) == {**example, "explain": False}
    assert (found.portfolio, found.channel, found.propensity) == ("simulated", "http", 0.25)
    assert not pruned.HasField("answer")


@pytest.mark.parametrize(
    ("method", "message", "code"),
    [
        ("GetDecision", pb.GetDecisionRequest(decision_id="nobody's"), "NOT_FOUND"),
        ("GetDecision", pb.GetDecisionRequest(), "NOT_FOUND"),
        ("RecordOutcome", pb.RecordOutcomeRequest(decision_id=KNOWN), "INVALID_ARGUMENT"),
        (
            "RecordOutcome",
            pb.RecordOutcomeRequest(decision_id=KNOWN, outcome=77, on="2027-01-16"),
            "INVALID_ARGUMENT",
        ),
        (
            "RecordOutcome",
            pb.RecordOutcomeRequest(decision_id=KNOWN, outcome=1, on="16 January"),
            "INVALID_ARGUMENT",
        ),
        (
            "RecordOutcome",
            pb.RecordOutcomeRequest(decision_id="nobody's", outcome=1, on="2027-01-16"),
            "NOT_FOUND",
        ),
    ],
)
def test_a_question_about_no_decision_or_no_outcome_is_refused(engine, log, method, message, code):
    with grpc_door(engine, log=log) as door, channel_to(door) as to:
        assert failed(to, method, message)[0].name == code


def test_the_same_outcome_twice_is_one_and_another_is_a_conflict(engine, log):
    said = pb.RecordOutcomeRequest(decision_id=KNOWN, outcome=1, on="2027-01-16", offer=0)
    other = pb.RecordOutcomeRequest(decision_id=KNOWN, outcome=2, on="2027-01-16")
    with grpc_door(engine, log=log) as door, channel_to(door) as to:
        first, second = (call(to, "RecordOutcome", said) for _ in range(2))
        code, _, _ = failed(to, "RecordOutcome", other)
    assert first == second
    assert pb.RecordedOutcome.FromString(first).on == "2027-01-16"
    assert pb.RecordedOutcome.FromString(first).offer == 0
    assert code is grpc.StatusCode.FAILED_PRECONDITION


def test_without_a_record_there_are_no_decisions(channel):
    asked = pb.GetDecisionRequest(decision_id=KNOWN)
    code, error, _ = failed(channel, "GetDecision", asked)
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert isinstance(error, NoRecordError)
