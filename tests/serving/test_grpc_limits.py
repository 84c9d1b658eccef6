import asyncio
import logging
import threading
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import REGISTRY

from serving.grpc_door import SERVICE
from serving.problems import (
    ClosingError,
    ForbiddenError,
    OverloadedError,
    TimedOutError,
    UnauthenticatedError,
)
from serving.stubs import offers_pb2 as pb
from tests.serving.doors import (
    KNOWN,
    Log,
    call,
    channel_to,
    failed,
    grpc_door,
    optimise,
)


@pytest.fixture
def door(engine):
    with grpc_door(engine) as opened:
        yield opened


@pytest.fixture
def channel(door):
    with channel_to(door) as opened:
        yield opened


@pytest.fixture
def log(example, client):
    return Log({**example, "explain": False}, client.post("/v1/offers", json=example).json())


# --- who may ask, how much and how long ----------------------------------------------------------


def test_the_auth_hook_sees_the_headers_and_the_scope_and_decides(engine, log, example):
    async def authorise(headers, scope):
        key = headers.get("authorization", "")
        if not key:
            raise UnauthenticatedError("show a key")
        if scope not in key:
            raise ForbiddenError(f"the key lacks the scope {scope}")
        return "somebody"

    read = (("authorization", "Bearer read"),)
    with grpc_door(engine, log=log, authorise=authorise) as door, channel_to(door) as to:
        refused = [
            failed(to, "OptimiseOffers", optimise(example))[0],
            failed(to, "OptimiseOffers", optimise(example), metadata=read)[0],
            failed(to, "RecordOutcome", b"", metadata=read)[0],
            failed(to, "QuoteOffer", b"\xff", metadata=read)[0],
        ]
        call(to, "GetDecision", pb.GetDecisionRequest(decision_id=KNOWN), metadata=read)
        health = health_pb2_grpc.HealthStub(to).Check(health_pb2.HealthCheckRequest())
    assert [code.name for code in refused] == ["UNAUTHENTICATED", *["PERMISSION_DENIED"] * 3]
    assert health.status in (1, 2)


def test_an_idempotency_key_is_asked_for_in_the_record(engine, log, example):
    log.answer["decision_id"] = "earlier"

    async def answered(key, request):
        log.asked.append((key, request))
        return log.answer

    log.answered = answered
    key = (("idempotency-key", "abc"),)
    with grpc_door(engine, log=log) as door, channel_to(door) as to:
        answer = call(to, "OptimiseOffers", optimise(example), metadata=key)
        code, error, _ = failed(
            to, "OptimiseOffers", optimise(example), metadata=(("idempotency-key", "k" * 201),)
        )
    assert pb.OptimiseOffersResponse.FromString(answer).decision_id == "earlier"
    assert len(log.asked) == 1
    assert "abc" not in str(log.asked)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.problems[0].field == "Idempotency-Key"


def slow(market, gate):
    """Return a scorer that waits for a `threading.Event`, and tells when it is cancelled."""
    state = {"begun": threading.Event(), "cancelled": threading.Event()}

    async def score(rows):
        state["begun"].set()
        try:
            while not gate.is_set():
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            state["cancelled"].set()
            raise
        return market.risk.coefficients(rows)

    return score, state


def test_a_deadline_bounds_what_the_models_may_take(engine_for, market, example):
    score, state = slow(market, threading.Event())
    with grpc_door(engine_for(market, score_risk=score)) as door, channel_to(door) as to:
        began = time.monotonic()
        code, _, _ = failed(to, "OptimiseOffers", optimise(example), timeout=0.2)
        assert state["cancelled"].wait(10)
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 10


def test_without_a_deadline_the_services_own_limit_holds(engine_for, market, example):
    score, state = slow(market, threading.Event())
    engine = engine_for(market, score_risk=score)
    with grpc_door(engine, settings={"timeout_s": 0.1}) as door, channel_to(door) as to:
        code, error, wait = failed(to, "OptimiseOffers", optimise(example), timeout=None)
        assert state["cancelled"].wait(10)
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert isinstance(error, TimedOutError)
    assert wait is None


def test_a_cancelled_call_stops_and_the_next_is_answered(engine_for, market, example, caplog):
    gate = threading.Event()
    score, state = slow(market, gate)
    with grpc_door(engine_for(market, score_risk=score)) as door, channel_to(door) as to:
        asking = to.unary_unary("/finntelligence.v1.Offers/OptimiseOffers").future(
            optimise(example).SerializeToString()
        )
        assert state["begun"].wait(5)
        asking.cancel()
        assert state["cancelled"].wait(5)
        gate.set()
        assert call(to, "OptimiseOffers", optimise(example))
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_more_calls_at_once_than_allowed_are_shed_while_health_answers(engine_for, market, example):
    gate = threading.Event()
    score, state = slow(market, gate)
    engine = engine_for(market, score_risk=score)
    with grpc_door(engine, settings={"max_concurrent": 1}) as door, channel_to(door) as to:
        asking = to.unary_unary("/finntelligence.v1.Offers/OptimiseOffers").future(
            optimise(example).SerializeToString(), timeout=10
        )
        assert state["begun"].wait(5)
        code, error, wait = failed(to, "OptimiseOffers", optimise(example))
        healthy(to)
        gate.set()
        assert asking.result()
        assert call(to, "OptimiseOffers", optimise(example))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert isinstance(error, OverloadedError)
    assert wait > 0


def test_calls_are_counted_by_method_and_code(channel, example):
    def counted(code):
        labels = {"method": "OptimiseOffers", "code": code}
        return REGISTRY.get_sample_value("finnt_grpc_calls_total", labels) or 0

    before = counted("OK"), counted("INVALID_ARGUMENT")
    call(channel, "OptimiseOffers", optimise(example))
    failed(channel, "OptimiseOffers", b"\xff")
    # a call is counted when its answer is already on the way
    until(lambda: (counted("OK"), counted("INVALID_ARGUMENT")) == (before[0] + 1, before[1] + 1))
    assert REGISTRY.get_sample_value("finnt_grpc_open_calls") == 0


# --- health, reflection, closing -----------------------------------------------------------------


def healthy(channel, service=""):
    """Return what health says of a service."""
    asked = health_pb2.HealthCheckRequest(service=service)
    answer = health_pb2_grpc.HealthStub(channel).Check(asked, timeout=5)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


def until(condition, seconds=5):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it never happened"
        time.sleep(0.01)


def test_health_is_serving_only_while_both_models_are(engine, monkeypatch):
    monkeypatch.setattr("serving.grpc_door._READY_EVERY_S", 0.02)
    ready = {"risk": True, "acceptance": False}

    async def models_ready():
        if ready["risk"] is None:
            raise OSError
        return ready

    with grpc_door(engine, models_ready=models_ready) as door, channel_to(door) as to:
        assert healthy(to) == "NOT_SERVING"
        ready["acceptance"] = True
        until(lambda: healthy(to) == "SERVING")
        assert healthy(to, SERVICE) == "SERVING"
        ready["risk"] = None
        until(lambda: healthy(to, SERVICE) == "NOT_SERVING")
        with pytest.raises(grpc.RpcError) as caught:
            healthy(to, "nobody's")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_who_only_listens_starves_nobody(engine, example, monkeypatch):
    monkeypatch.setattr("serving.grpc_streams.MOST_STREAMS", 2)
    with grpc_door(engine, settings={"max_concurrent": 1}) as door, channel_to(door) as to:
        before = refusals("overloaded")
        watch = health_pb2_grpc.HealthStub(to).Watch
        watching = [watch(health_pb2.HealthCheckRequest(), timeout=20) for _ in range(2)]
        assert all(next(each) for each in watching)
        with pytest.raises(grpc.RpcError) as caught:
            next(watch(health_pb2.HealthCheckRequest(), timeout=20))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.RpcError) as caught:
            next(reflection_pb2_grpc.ServerReflectionStub(to).ServerReflectionInfo(iter([])))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refusals("overloaded") == before + 2
        assert call(to, "OptimiseOffers", optimise(example))
        watching[0].cancel()
        until(lambda: _is_watched(watch))


def _is_watched(watch):
    """Whether there is room for one more who watches."""
    try:
        return bool(next(watch(health_pb2.HealthCheckRequest(), timeout=20)))
    except grpc.RpcError:
        return False


def refusals(code):
    labels = {"door": "grpc", "code": code}
    return REGISTRY.get_sample_value("finnt_problems_total", labels) or 0


def test_a_method_that_nobody_has_is_refused_and_counted(channel):
    before = refusals("not-found")
    assert failed(channel, "Nowhere")[0] is grpc.StatusCode.UNIMPLEMENTED
    assert refusals("not-found") == before + 1


def test_a_door_on_the_sixth_versions_loopback_answers(engine, example):
    with grpc_door(engine, settings={"host": "[::1]"}) as door:  # noqa: SIM117
        with grpc.insecure_channel(f"[::1]:{door.port}") as to:
            assert call(to, "OptimiseOffers", optimise(example))


def test_reflection_tells_every_service(channel):
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    (answer,) = stub.ServerReflectionInfo(asked, timeout=5)
    told = {service.name for service in answer.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= told


@pytest.mark.parametrize(
    "method",
    ["grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch"],
)
def test_health_refuses_bytes_that_are_no_message(channel, method):
    with pytest.raises(grpc.RpcError) as caught:
        list(channel.unary_stream(f"/{method}")(b"\xff", timeout=5))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_reflection_refuses_bytes_that_are_no_message(channel):
    method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    with pytest.raises(grpc.RpcError) as caught:
        list(channel.stream_stream(method)(iter([b"\xff"]), timeout=5))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_closing_answers_what_is_in_flight_and_waits_for_no_watcher(engine_for, market, example):
    gate = threading.Event()
    score, state = slow(market, gate)
    with grpc_door(engine_for(market, score_risk=score)) as door, channel_to(door) as to:
        watching = health_pb2_grpc.HealthStub(to).Watch(health_pb2.HealthCheckRequest())
        assert next(watching)
        body = optimise(example).SerializeToString()
        ask = to.unary_unary("/finntelligence.v1.Offers/OptimiseOffers")
        asking = [ask.future(body, timeout=10) for _ in range(20)]
        assert state["begun"].wait(5)
        until(lambda: REGISTRY.get_sample_value("finnt_grpc_open_calls") == 20)
        began = time.monotonic()
        closing = asyncio.run_coroutine_threadsafe(door.close(8), door.loop)
        until(lambda: failed(to, "QuoteOffer")[0] is grpc.StatusCode.UNAVAILABLE)
        assert isinstance(failed(to, "QuoteOffer")[1], ClosingError)
        gate.set()
        assert all(each.result() for each in asking)
        closing.result(10)
        assert time.monotonic() - began < 4
