"""What an operator sees of the real service: metrics, traces and log lines."""

import json
import time

import grpc
import httpx
import pytest

from tests.serving.collector import collecting, told
from tests.serving.doors import call, failed, optimise
from tests.serving.promql import exposed, of_alerts, of_dashboard, unanswered

pytest_plugins = ["tests.e2e.project"]

WITHIN_S = 15
INCOME = 68_123.45  # found wherever it leaks


@pytest.fixture(scope="module")
def collector():
    with collecting() as made:
        yield made


@pytest.fixture(scope="module")
def seen(project, collector):
    """The service with traces on and JSON lines."""
    said = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "FINNT_LOG_FORMAT": "json",
    }
    environment = {**project.environment, **said}
    with project.server("-m", "cli", "serve", environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def request_body(example):
    return example | {"features": example["features"] | {"annual_income": INCOME}}


@pytest.fixture(scope="module")
def answered(seen, request_body):
    """An offer and a decline over HTTP, an offer over gRPC, and a bad request at both doors."""
    with httpx.Client(base_url=seen.url, timeout=30) as client:
        offers = client.post("/v1/offers", json=request_body).json()
        poor = request_body["features"] | {"annual_income": 0}
        decline = client.post("/v1/offers", json=request_body | {"features": poor}).json()
        assert client.post("/v1/offers", json={}).status_code == 422
    with grpc.insecure_channel(seen.grpc) as channel:
        call(channel, "OptimiseOffers", optimise(request_body))
        failed(channel, "OptimiseOffers", optimise(request_body | {"requested_principal": -1}))
    return offers, decline


def test_every_query_of_dashboard_and_alerts_is_answered_by_the_real_metrics(seen, answered):
    series = exposed(httpx.get(f"{seen.url}/metrics").text)
    lacking = {
        title: missing
        for title, query in of_dashboard() + of_alerts()
        if (missing := unanswered(query, series))
    }
    assert lacking == {}


def test_the_metrics_tell_what_was_answered(seen, answered):
    text = httpx.get(f"{seen.url}/metrics").text
    for line in (
        'finnt_decisions_total{arm="none",channel="http",outcome="offers"} 1.0',
        'finnt_decisions_total{arm="none",channel="http",outcome="decline"} 1.0',
        'finnt_decisions_total{arm="none",channel="grpc",outcome="offers"} 1.0',
        'finnt_problems_total{code="invalid-application",door="http"} 1.0',
        'finnt_problems_total{code="invalid-application",door="grpc"} 1.0',
        'finnt_decline_reasons_total{code="PTI"} 1.0',
        'finnt_stage_seconds_count{stage="record"} 3.0',
    ):
        assert line in text.splitlines()
    assert "AcceptanceRunner" in text  # the runners' own


def test_one_trace_spans_the_front_and_both_runners(seen, answered, request_body, collector):
    parent = "00-" + "7e" * 16 + "-" + "cd" * 8 + "-01"
    httpx.post(f"{seen.url}/v1/offers", json=request_body, headers={"traceparent": parent})
    deadline = time.monotonic() + WITHIN_S
    wanted = {"finntelligence", "RiskRunner", "AcceptanceRunner"}
    while time.monotonic() < deadline:
        spans = [span for span in list(collector.spans) if span.trace_id.hex() == "7e" * 16]
        if wanted <= {told(span).get("finnt.component") for span in spans}:
            break
        time.sleep(0.1)
    names = {span.name for span in spans}
    assert names == {
        *("POST /v1/offers", "validate", "score", "decide", "record", "POST /coefficients")
    }
    (score,) = [span for span in spans if span.name == "score"]
    behind = [span for span in spans if span.name == "POST /coefficients"]
    assert {told(span)["finnt.component"] for span in behind} == {"RiskRunner", "AcceptanceRunner"}
    assert {span.parent_span_id for span in behind} == {score.span_id}


def test_each_decision_is_a_json_line_and_nothing_tells_of_the_applicant(seen, answered, collector):
    for answer in answered:
        printed = seen.printed(answer["decision_id"])
        lines = [json.loads(x) for x in printed.splitlines() if x.startswith("{")]
        (line,) = [x for x in lines if x.get("decision_id") == answer["decision_id"]]
        assert line["outcome"] == answer["outcome"]
        assert len(line["trace_id"]) == 32
    for text in (seen.output(), str(collector.spans), httpx.get(f"{seen.url}/metrics").text):
        assert "68123" not in text
