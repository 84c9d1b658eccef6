import asyncio
import contextlib
from collections import Counter

import httpx
import pytest
from opentelemetry import propagate
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from serving import tracing
from serving.tracing import CannotTraceError, TracedRequests, interceptors, stage
from tests.serving.collector import collecting, told
from tests.serving.doors import call, channel_to, failed, grpc_door, http_url, optimise

NAMES = (
    *("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED"),
    *("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_TRACES_EXPORTER", "OTEL_SERVICE_NAME"),
)
PARENT = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"


@pytest.fixture
def collector():
    with collecting() as made:
        yield made


@contextlib.contextmanager
def forgotten():
    """Let this process think again about whether it traces."""
    tracing._tracer.cache_clear()
    tracing._provider.cache_clear()
    yield
    tracing._tracer.cache_clear()
    tracing._provider.cache_clear()


@pytest.fixture
def off(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    with forgotten():
        yield


@pytest.fixture
def traced(collector, monkeypatch, off):
    """Return a function that returns the collector once everything has arrived."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)

    def arrived():
        assert tracing._provider().force_flush(5000)
        return collector

    yield arrived
    tracing._provider().shutdown()


def runner():
    async def coefficients(_):
        return PlainTextResponse("1")

    return TracedRequests(
        Starlette(routes=[Route("/coefficients", coefficients, methods=["POST"])]), "runner"
    )


def front(runner_url):
    """A front that scores as BentoML's client does: it injects the trace into the headers."""

    async def offers(_):
        with stage("score"):
            headers = {}
            propagate.inject(headers)
            async with httpx.AsyncClient() as client:
                await client.post(f"{runner_url}/coefficients", headers=headers)
        return PlainTextResponse("offers")

    async def defect(_):
        raise ValueError("an income of 123456")

    routes = [
        Route("/v1/offers", offers, methods=["POST"]),
        Route("/v1/decisions/{decision_id}", defect),
        Route("/livez", offers, methods=["GET"]),
    ]
    return TracedRequests(Starlette(routes=routes), "front")


@pytest.fixture
def doors():
    with http_url(runner()) as behind, http_url(front(behind)) as url:
        yield url


def test_one_trace_spans_front_stage_and_runner(traced, doors):
    assert httpx.post(f"{doors}/v1/offers", headers={"traceparent": PARENT}).text == "offers"
    found = traced()
    request, score, runner = map(found.named, ("POST /v1/offers", "score", "POST /coefficients"))
    assert {span.trace_id.hex() for span in found.spans} == {"ab" * 16}
    assert request.parent_span_id.hex() == "cd" * 8
    assert score.parent_span_id == request.span_id
    assert runner.parent_span_id == score.span_id
    assert told(request)["finnt.component"] == "front"
    assert found.services == {"finntelligence"}


def test_a_request_without_a_trace_begins_one_each(traced, doors):
    for _ in range(2):
        httpx.post(f"{doors}/v1/offers")
    assert Counter(Counter(span.trace_id for span in traced().spans).values()) == {3: 2}


def test_spans_tell_no_content_query_id_or_message(traced, doors):
    decision = "0a0a0a0a-0b0b0b0b-" + "1" * 32
    httpx.get(f"{doors}/v1/decisions/{decision}?income=123456", headers={"X-Income": "123456"})
    (span,) = traced().spans
    assert "123456" not in str(span)
    assert span.name == "GET /v1/decisions/{decision_id}"
    assert span.status.code == 2
    assert told(span) == {
        "finnt.component": "front",
        "http.request.method": "GET",
        "http.response.status_code": 500,
        "url.path": "/v1/decisions/{decision_id}",
        "error.type": "ValueError",
    }


def test_probes_leave_no_span_and_unknown_paths_no_name(traced, doors):
    httpx.get(f"{doors}/livez")
    httpx.get(f"{doors}/wp-login.php")
    spans = [span for span in traced().spans if span.name.startswith("GET")]
    assert [span.name for span in spans] == ["GET"]
    assert "url.path" not in told(spans[0])


def test_a_grpc_call_continues_the_callers_trace(traced, engine, example):
    with grpc_door(engine, interceptors=interceptors()) as door, channel_to(door) as channel:
        given = optimise(example)
        call(channel, "OptimiseOffers", given, metadata=(("traceparent", PARENT),))
        failed(channel, "OptimiseOffers", optimise(example | {"requested_principal": -1}))
    found = traced()
    calls = [s for s in found.spans if s.name == "finntelligence.v1.Offers/OptimiseOffers"]
    assert sorted(told(span)["rpc.grpc.status_code"] for span in calls) == [0, 3]
    assert "ab" * 16 in {span.trace_id.hex() for span in calls}


def test_a_stop_sends_what_is_left(traced, collector):
    async def lived(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        await PlainTextResponse("")(scope, receive, send)

    async def told_to_end():
        app = TracedRequests(lived)
        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        await app(scope, None, lambda _: asyncio.sleep(0))
        await app({"type": "lifespan"}, None, None)

    asyncio.run(told_to_end())
    assert [span.name for span in collector.spans] == ["GET /"]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_where_nobody_collects_nothing_is_made(environment, off, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert interceptors() == ()
    assert tracing._tracer() is None


def test_a_protocol_that_is_not_there_is_refused_before_anything_starts(off, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(CannotTraceError, match="OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf"):
        interceptors()


def test_a_stage_is_timed_also_where_it_fails(off):
    def count():
        return REGISTRY.get_sample_value("finnt_stage_seconds_count", {"stage": "record"}) or 0

    before = count()
    with stage("record"):
        pass
    with pytest.raises(KeyError), stage("record"):
        raise KeyError
    assert count() == before + 2
