import asyncio
import itertools
import json

import httpx
import pytest
from bentoml import server_context
from bentoml._internal.server.http import instruments
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from serving.http_metrics import UNKNOWN, bound_traffic, endpoint_of

KEPT = instruments.RunnerTrafficMetricsMiddleware
NAMES = (f"made{i}" for i in itertools.count())  # a name of a metric is registered once
SERIES = "_request_total"


async def _seen(request):
    return Response(request.url.path)


async def _refused(_):
    body = json.dumps({"type": "urn:finntelligence:problem:outcome-conflict"})
    return Response(body, 409, media_type="application/problem+json")


async def _late(_):
    return JSONResponse({"error": "Not able to process the request"}, 504)


ROUTES = [
    Route("/v1/decisions/{decision_id}", _seen),
    Route("/v1/offers", _refused, methods=["POST"]),
    Route("/late", _late),
    Mount("/pages", Starlette(routes=[Route("/{page}", _seen)])),
]


@pytest.fixture
def asked(monkeypatch):
    """Return what asks an application behind BentoML's metrics, as they are in a service."""
    monkeypatch.setattr(instruments, "RunnerTrafficMetricsMiddleware", KEPT)
    monkeypatch.setattr(server_context, "service_routes", ["/coefficients"])
    monkeypatch.setattr(server_context, "service_name", "front")
    monkeypatch.setattr(server_context, "bento_name", "made")
    monkeypatch.setattr(server_context, "bento_version", "v1")
    bound_traffic(lambda: ROUTES, "front")
    name = next(NAMES)
    app = instruments.RunnerTrafficMetricsMiddleware(Starlette(routes=ROUTES), namespace=name)

    def ask(*paths, method="GET"):
        async def together():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
                return [await client.request(method, path) for path in paths]

        return asyncio.run(together()), endpoints(name)

    return ask


def endpoints(name):
    samples = (s for m in REGISTRY.collect() for s in m.samples)
    return {
        s.labels["endpoint"] for s in samples if s.name.startswith(name) and "endpoint" in s.labels
    }


def problems(code):
    return REGISTRY.get_sample_value("finnt_problems_total", {"door": "http", "code": code}) or 0


def test_a_path_is_known_by_its_routes_template_and_no_stranger_adds_a_series(asked):
    paths = [f"/v1/decisions/{i}" for i in range(5)]
    strange = [f"/wp-{i}" for i in range(5)] + ["/v1/decisions/1/2", "/livez/1"]
    answers, labels = asked(*paths, *strange, "/pages/one", "/pages/two")
    assert labels == {"/v1/decisions/{decision_id}", "/pages", UNKNOWN, "/coefficients"}
    assert [answer.text for answer in answers[:5]] == paths


def test_a_services_own_routes_and_probes_are_known(monkeypatch):
    monkeypatch.setattr(server_context, "service_routes", ["/coefficients"])
    known = endpoint_of(ROUTES)
    for path in ("/coefficients", "/readyz", "/v1/offers"):
        assert known(path) == path
    assert known("/coefficients/1") == UNKNOWN


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("POST", "/v1/offers", "outcome-conflict"),
        ("GET", "/late", "timeout"),
        ("GET", "/nowhere", "bad-request"),
    ],
)
def test_a_refusal_counts_once_whoever_gives_it(asked, method, path, code):
    before = problems(code)
    asked(path, method=method)
    assert problems(code) == before + 1


def test_what_is_answered_and_what_a_runner_refuses_is_no_refusal_of_the_door(asked, monkeypatch):
    before = problems("outcome-conflict")
    asked("/v1/decisions/1")
    monkeypatch.setattr(server_context, "service_name", "RiskRunner")
    asked("/v1/offers", method="POST")
    assert problems("outcome-conflict") == before


def test_each_answer_is_counted_by_status_and_timed(asked):
    def value(what, status):
        return sum(
            s.value
            for m in REGISTRY.collect()
            for s in m.samples
            if s.name.startswith("made")
            and s.name.endswith(what)
            and s.labels.get("endpoint") == "/late"
            and s.labels["http_response_code"] == status
        )

    names = "_request_total", "_request_duration_seconds_count"
    before = [value(name, "504") for name in names]
    asked("/late", "/late", "/late")
    assert [value(name, "504") - was for name, was in zip(names, before, strict=True)] == [3, 3]


def test_nothing_is_in_progress_once_all_is_answered_or_failed(asked):
    def open_now():
        samples = (s for m in REGISTRY.collect() for s in m.samples)
        return sum(s.value for s in samples if s.name.endswith("_request_in_progress"))

    async def failing(*_):
        raise ValueError("a defect")

    asked("/late", "/v1/decisions/1")
    app = instruments.RunnerTrafficMetricsMiddleware(failing, namespace=next(NAMES))
    with pytest.raises(ValueError, match="a defect"):
        asyncio.run(app({"type": "http", "path": "/late"}, None, None))
    assert open_now() == 0
