import asyncio
import contextlib
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
import stamina
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from finntelligence.errors import InvalidApplicationError, ModelUnavailableError
from serving.client import Client, Tls, UnreachableError
from serving.problems import (
    BadRequestError,
    NoRecordError,
    OverloadedError,
    TimedOutError,
    TooLargeError,
    UnexpectedAnswerError,
)
from serving.record.errors import OutcomeConflictError, UnknownDecisionError
from serving.wire import OfferRequest
from serving.wire_quotes import QuoteRequest
from tests.serving.doors import KNOWN, LIMIT, PRUNED, Log, grpc_door, http_app, http_url
from tests.serving.papers import papers_in

TERMS = {"principal": 12_000, "term_months": 36, "quoted_rate": 0.12}
DOORS = ("http", "grpc")


@pytest.fixture(params=DOORS)
def client_of(request):
    """Return a function that opens either door and a client of it."""
    opened = []

    def made(engine, log=None, **limits):
        if request.param == "http":
            door = http_url(http_app(engine, log))
            client = Client.http(door.__enter__(), **limits)
        else:
            door = grpc_door(engine, log=log)
            client = Client.grpc(f"127.0.0.1:{door.__enter__().port}", **limits)
        opened.extend((client, door))
        return client

    yield made
    for each in reversed(opened):
        each.__exit__(None, None, None)


@pytest.fixture
def asked(example):
    return OfferRequest(**example)


@pytest.fixture
def log(example, client):
    return Log({**example, "explain": False}, client.post("/v1/offers", json=example).json())


def test_offers_come_typed_and_the_same_through_both_doors(engine, asked):
    with (
        http_url(http_app(engine)) as url,
        grpc_door(engine) as door,
        Client.http(url) as http,
        Client.grpc(f"127.0.0.1:{door.port}") as by_grpc,
    ):
        for request in (asked, asked.model_copy(update={"explain": True})):
            first, second = http.offers(request), by_grpc.offers(request)
            assert first.offers[0].expected_profit > 0
            assert first.model_copy(update={"decision_id": second.decision_id}) == second
        quote = QuoteRequest(**asked.model_dump(exclude={"explain", "applicant_id"}), **TERMS)
        assert http.quote(quote) == by_grpc.quote(quote)
        assert http.quote(quote).permitted


def test_a_decision_and_its_outcome_are_read_and_recorded(client_of, engine, log):
    client = client_of(engine, log)
    found = client.decision(KNOWN)
    assert found.at == log.entry.at
    assert found.answer.model_dump() == log.answer
    assert found.request.features == log.entry.request["features"]
    said = client.record_outcome(KNOWN, "accepted", date(2027, 1, 16), offer=0)
    assert said == client.record_outcome(KNOWN, "accepted", date(2027, 1, 16), offer=0)
    assert client.decision(KNOWN).outcomes == [said]
    with pytest.raises(OutcomeConflictError, match="already accepted"):
        client.record_outcome(KNOWN, "declined_by_customer", date(2027, 1, 16))
    assert client.decision(PRUNED).answer is None
    with pytest.raises(UnknownDecisionError):
        client.decision("a b?c%2F")


def test_an_outcome_that_is_none_is_refused_before_it_is_sent(client_of, engine):
    with pytest.raises(InvalidApplicationError, match="outcome: must be one of 'accepted'"):
        client_of(engine).record_outcome(KNOWN, "stolen", date(2027, 1, 16))


def test_a_wrong_field_is_the_cores_own_error_and_never_asked_twice(
    client_of, engine_for, market, asked
):
    client = client_of(engine_for(market))
    asked.features["fico"] = 200
    with pytest.raises(InvalidApplicationError) as caught:
        client.offers(asked)
    (problem,) = caught.value.problems
    assert (problem.field, problem.problem) == (
        "features.fico",
        "must be a number from 300 to 850 points",
    )


def test_what_a_protocol_cannot_say_is_refused_here(engine, asked):
    wrong = asked.model_copy(update={"requested_term_months": "long"})
    with grpc_door(engine) as door, Client.grpc(f"127.0.0.1:{door.port}") as client:  # noqa: SIM117
        with pytest.raises(BadRequestError, match="does not fit the protocol"):
            client.offers(wrong)


def test_a_service_without_a_record_says_so(client_of, engine):
    with pytest.raises(NoRecordError):
        client_of(engine).decision(KNOWN)


def failing(market, failures, error):
    """Return a scorer that fails so many times first, and how often it was asked."""
    asked = []

    async def score(rows):
        asked.append(1)
        if len(asked) <= failures:
            raise error
        return market.risk.coefficients(rows)

    return score, asked


def test_what_may_succeed_later_is_asked_again_and_answered(client_of, engine_for, market, asked):
    error = OverloadedError("too much", retry_after_s=0.01)
    score, calls = failing(market, 2, error)
    with stamina.set_testing(True, attempts=5):
        assert client_of(engine_for(market, score_risk=score)).offers(asked).offers
    assert len(calls) == 3


def test_attempts_are_bounded_and_the_last_error_is_told(client_of, engine_for, market, asked):
    score, calls = failing(market, 99, ModelUnavailableError("the model does not answer"))
    client = client_of(engine_for(market, score_risk=score))
    with stamina.set_testing(True, attempts=3), pytest.raises(ModelUnavailableError):
        client.offers(asked)
    assert len(calls) == 3


def test_no_wait_goes_beyond_the_deadline(client_of, engine_for, market, asked):
    score, calls = failing(market, 99, ModelUnavailableError("the model does not answer"))
    client = client_of(engine_for(market, score_risk=score), deadline_s=0.9)
    with pytest.raises(ModelUnavailableError):
        client.offers(asked)  # it is told to wait a second
    assert len(calls) == 1


def test_every_attempt_carries_the_same_idempotency_key(client_of, engine_for, market, asked, log):
    error = ModelUnavailableError("the model does not answer")
    score, _ = failing(market, 2, error)
    client = client_of(engine_for(market, score_risk=score), log)
    with stamina.set_testing(True, attempts=5):
        client.offers(asked)
    assert len(log.asked) == 3
    assert len(set(log.asked)) == 1
    client.offers(asked)
    assert len(set(log.asked)) == 2


def test_a_service_that_is_too_slow_is_given_up_at_the_deadline(
    client_of, engine_for, market, asked
):
    gate = threading.Event()

    async def stuck(rows):
        while not gate.is_set():
            await asyncio.sleep(0.01)
        return market.risk.coefficients(rows)

    client = client_of(engine_for(market, score_risk=stuck), deadline_s=0.2)
    began = time.monotonic()
    with pytest.raises(TimedOutError):
        client.offers(asked)
    gate.set()
    assert time.monotonic() - began < 10


def test_a_door_that_trickles_is_given_up_at_the_deadline_and_the_connection_closed(asked):
    closed = threading.Event()

    def trickle(listening):
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:  # each piece within any bound on a read
                connection.sendall(b"x: y\r\n")
                time.sleep(0.05)
        closed.set()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=trickle, args=(listening,), daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        began = time.monotonic()
        with Client.http(url, deadline_s=0.5) as client, pytest.raises(TimedOutError):
            client.offers(asked)
        assert time.monotonic() - began < 10
        assert closed.wait(10)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://127.0.0.1:{moved}"])
def test_what_cannot_become_right_is_not_asked_again(asked, url):
    calls = []

    async def moved(_):
        calls.append(1)
        return Response(status_code=308, headers={"location": "http://127.0.0.1:1/v1/offers"})

    app = Starlette(routes=[Route("/v1/offers", moved, methods=["POST"])])
    with http_url(app) as at:
        client = Client.http(url.replace("http://127.0.0.1:{moved}", at))
        with client, pytest.raises((UnreachableError, UnexpectedAnswerError)):
            client.offers(asked)
    assert len(calls) == ("moved" in url)


def test_threads_share_a_client(engine, asked):
    with (
        http_url(http_app(engine)) as url,
        Client.http(url) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        answers = list(pool.map(lambda _: client.offers(asked), range(24)))
    assert len({answer.decision_id for answer in answers}) == 24


def test_a_request_that_is_too_large_is_told_and_not_sent_again(client_of, engine, asked):
    asked.features["fico"] = "x" * LIMIT
    with pytest.raises(TooLargeError):
        client_of(engine).offers(asked)


@pytest.mark.parametrize("door", DOORS)
def test_nothing_at_the_address_is_unreachable(door, asked):
    made = Client.http("http://127.0.0.1:1") if door == "http" else Client.grpc("127.0.0.1:1")
    with made as client, stamina.set_testing(True, attempts=2), pytest.raises(UnreachableError):
        client.offers(asked)


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (PlainTextResponse("no", 502), UnexpectedAnswerError),
        (PlainTextResponse("busy", 429), OverloadedError),
        (PlainTextResponse("late", 504), TimedOutError),
        (Response("{}", 200, media_type="application/json"), UnexpectedAnswerError),
        (PlainTextResponse("hello", 200), UnexpectedAnswerError),
    ],
)
def test_what_another_answers_in_the_services_place_is_typed_too(asked, response, error):
    async def answer(_):
        return response

    app = Starlette(routes=[Route("/v1/offers", answer, methods=["POST"])])
    with http_url(app) as url, Client.http(url) as client, pytest.raises(error):
        client.offers(asked)


@contextlib.contextmanager
def client_of_grpc(engine, authorise):
    door = grpc_door(engine, authorise=authorise)
    with door as opened, Client.grpc(f"127.0.0.1:{opened.port}", key="k1") as client:
        yield client


@pytest.mark.parametrize("door", DOORS)
def test_the_key_travels_as_a_bearer(door, engine, asked):
    seen = []

    async def keep(headers, _):
        seen.append(headers["authorization"])

    async def answer(request):
        seen.append(request.headers["authorization"])
        return PlainTextResponse("", 500)

    app = Starlette(routes=[Route("/v1/offers", answer, methods=["POST"])])
    if door == "http":
        refused = pytest.raises(UnexpectedAnswerError)
        with http_url(app) as url, Client.http(url, key="k1") as client, refused:
            client.offers(asked)
    else:
        with client_of_grpc(engine, keep) as client:
            client.offers(asked)
    assert seen == ["Bearer k1"]


def test_both_clients_show_and_check_certificates(engine, asked, tmp_path):
    papers = papers_in(tmp_path)
    key, certificate = papers["service"]
    authority = papers["authority"][1]
    caller = Tls(ca_file=authority, key_file=papers["caller"][0], cert_file=papers["caller"][1])
    files = {"tls_key_file": key, "tls_cert_file": certificate, "client_ca_file": authority}
    asks_too = {"ssl_ca_certs": authority, "ssl_cert_reqs": ssl.CERT_REQUIRED}
    with (
        http_url(http_app(engine), ssl_keyfile=key, ssl_certfile=certificate, **asks_too) as url,
        grpc_door(engine, settings=files) as door,
        stamina.set_testing(True, attempts=1),
    ):
        target = f"127.0.0.1:{door.port}"
        for client in (Client.http(url, tls=caller), Client.grpc(target, tls=caller)):
            with client:
                assert client.offers(asked).offers
        nobody = Tls(ca_file=authority)
        for client in (Client.http(url, tls=nobody), Client.grpc(target, tls=nobody)):
            with client, pytest.raises(UnreachableError):
                client.offers(asked)
