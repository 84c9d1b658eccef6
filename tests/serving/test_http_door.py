import asyncio
import json
import time
from dataclasses import replace

import httpx
import pytest

from finntelligence.errors import ModelUnavailableError
from serving.http_door import PlainErrors, ready_within

LIMIT = 4096  # what the client of `conftest.py` sets
VERSIONS_OF_ANOTHER = {
    "pair": "0c0c0c0c-0d0d0d0d",
    "alias": "production",
    "risk": "finnt-made-risk:v2-0",
    "acceptance": "finnt-made-acceptance:v2-0",
}


def problem(response, status):
    """Return the problem that a response holds."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    content = response.json()
    assert content["status"] == status
    assert content["title"]
    assert content["detail"]
    assert content["type"].startswith("urn:finntelligence:problem:")
    return content


def test_offers_come_best_first_with_exact_versions(client, example, engine):
    response = client.post("/v1/offers", json=example)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    content = response.json()
    profits = [offer["expected_profit"] for offer in content["offers"]]
    assert profits
    assert profits == sorted(profits, reverse=True)
    assert content["outcome"] == "offers"
    assert content["versions"] == engine.versions


def test_the_answer_is_recorded_under_the_id_it_carries(client, example, record):
    content = client.post("/v1/offers", json=example).json()
    assert [entry.decision_id for entry in record.entries] == [content["decision_id"]]


def test_both_addresses_give_the_same_answer(client, example):
    first, second = (client.post(path, json=example).json() for path in ("/v1/offers", "/predict"))
    assert first.pop("decision_id") != second.pop("decision_id")
    assert first == second


def test_a_decline_is_an_answer_with_reasons_and_no_error(client, example):
    example["features"]["annual_income"] = 0
    response = client.post("/v1/offers", json=example)
    content = response.json()
    assert response.status_code == 200
    assert content["outcome"] == "decline"
    assert content["offers"] == []
    assert all(reason["code"] and reason["text"] for reason in content["reasons"])
    assert content["reasons"]


def test_every_reason_has_its_source_in_the_law(client, example):
    example["features"]["annual_income"] = 0
    content = client.post("/v1/offers", json=example).json()
    assert all(reason["source"].startswith("12 CFR 1002.9") for reason in content["reasons"])


def test_offers_are_explained_when_asked_and_else_not(client, example):
    plain, explained = (
        client.post("/v1/offers", json=example | extra).json() for extra in ({}, {"explain": True})
    )
    assert plain["explanation"] is None
    assert explained["explanation"]["effects"]
    assert explained["offers"] == plain["offers"]


def test_a_wrong_field_is_named_with_what_would_be_right(client, example):
    example["features"]["fico"] = 200
    content = problem(client.post("/v1/offers", json=example), 422)
    expected = {"field": "features.fico", "problem": "must be a number from 300 to 850 points"}
    assert content["errors"] == [expected]


def test_a_body_that_is_not_json_is_a_bad_request(client):
    content = problem(client.post("/v1/offers", content=b"{"), 400)
    assert content["type"].endswith(":bad-request")


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"]
)
def test_json_is_json_in_any_spelling(client, example, kind):
    body = json.dumps(example).encode()
    response = client.post("/v1/offers", content=body, headers={"Content-Type": kind})
    assert response.status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "nonsense"]
)
def test_another_content_type_is_refused_by_name(client, example, kind):
    body = json.dumps(example).encode()
    response = client.post("/v1/offers", content=body, headers={"Content-Type": kind})
    assert kind in problem(response, 415)["detail"]


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_above_the_limit_is_refused_announced_or_not(client, announced):
    async def chunks():
        for _ in range(5):
            yield b" " * 1024

    body = b" " * (LIMIT + 1) if announced else chunks()
    content = problem(client.post("/v1/offers", content=body), 413)
    assert str(LIMIT) in content["detail"]


def test_reading_stops_soon_after_the_limit(client):
    sent = []

    def endless():
        for _ in range(10_000):
            sent.append(1)
            yield b" " * 1024

    messages = endless()

    async def receive():
        return {"type": "http.request", "body": next(messages), "more_body": True}

    answered = []

    async def send(message):
        answered.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/offers", "headers": []}
    asyncio.run(client.app({**scope, "query_string": b"", "root_path": ""}, receive, send))
    assert answered[0]["status"] == 413
    assert len(sent) <= LIMIT // 1024 + 1


def test_a_body_of_exactly_the_limit_is_read(client, example):
    body = json.dumps(example).encode().ljust(LIMIT)
    assert client.post("/v1/offers", content=body).status_code == 200


@pytest.mark.parametrize("scorer", ["score_risk", "score_acceptance"])
def test_a_model_that_does_not_answer_is_worth_a_retry(
    client_for, engine_for, market, example, scorer
):
    async def unavailable(rows):
        raise ModelUnavailableError("the model does not answer")

    client = client_for(engine_for(market, **{scorer: unavailable}))
    response = client.post("/v1/offers", json=example)
    problem(response, 503)
    assert int(response.headers["retry-after"]) > 0


def test_a_callers_error_is_not_worth_a_retry(client):
    assert "retry-after" not in client.post("/v1/offers", content=b"{").headers


def test_an_unknown_path_is_a_problem(client):
    assert problem(client.get("/nowhere"), 404)["type"].endswith(":not-found")


@pytest.mark.parametrize(
    ("status", "kind", "replaced"),
    [
        (404, "text/plain; charset=utf-8", True),
        (404, "application/problem+json", False),
        (404, "text/html", False),
        (500, "text/plain", False),
        (200, "text/plain", False),
    ],
)
def test_only_a_plain_text_404_of_the_frame_becomes_a_problem(status, kind, replaced):
    async def frame(scope, receive, send):
        headers = [(b"content-type", kind.encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"in ", "more_body": True})
        await send({"type": "http.response.body", "body": b"parts"})

    async def ask():
        transport = httpx.ASGITransport(PlainErrors(frame))
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
            return await client.get("/nowhere")

    response = asyncio.run(ask())
    if replaced:
        assert "/nowhere" in problem(response, 404)["detail"]
    else:
        assert (response.status_code, response.text) == (status, "in parts")
        assert response.headers["content-type"] == kind


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/offers"), ("DELETE", "/v1/status")])
def test_a_wrong_method_is_a_problem_that_says_what_is_allowed(client, method, path):
    response = client.request(method, path)
    assert problem(response, 405)["type"].endswith(":method-not-allowed")
    assert response.headers["allow"]


@pytest.mark.parametrize("path", ["/", "/v1/status"])
def test_status_says_what_is_served_to_the_exact_version(client, path, engine, portfolio):
    content = client.get(path).json()
    assert content["status"] == "ready"
    assert content["version"] == "1.2.3"
    assert content["pair"] == engine.versions["pair"]
    assert content["alias"] == engine.versions["alias"]
    assert content["served_since"] == "2027-01-15T08:00:00+00:00"
    assert content["reload_refused"] is None
    assert content["models"] == {
        name: {"version": engine.versions[name], "ready": True} for name in ("risk", "acceptance")
    }
    assert content["portfolio"]["digest"] == portfolio.digest
    assert content["policy"]["digest"] == engine.market.policy.digest
    assert content["uptime_s"] >= 5


def test_another_engine_takes_over_at_once_and_says_since_when(client, engine, example):
    door = client.app.state.door
    other = replace(engine, versions=VERSIONS_OF_ANOTHER)
    before = time.time()
    client.app.state.door = replace(door, reload_refused="no such model").serving(other)
    assert before <= client.app.state.door.served_since <= time.time()
    content = client.get("/v1/status").json()
    assert content["pair"] == VERSIONS_OF_ANOTHER["pair"]
    assert content["models"]["risk"]["version"] == VERSIONS_OF_ANOTHER["risk"]
    assert content["reload_refused"] is None
    assert client.post("/v1/offers", json=example).json()["versions"] == other.versions


def test_a_request_in_flight_ends_with_the_engine_it_began_with(
    client_for, engine_for, market, example
):
    other = replace(engine_for(market), versions=VERSIONS_OF_ANOTHER)

    async def while_the_door_changes(rows):
        client.app.state.door = client.app.state.door.serving(other)
        return market.risk.coefficients(rows)

    client = client_for(engine_for(market, score_risk=while_the_door_changes))
    first, second = (client.post("/v1/offers", json=example).json() for _ in range(2))
    assert first["decision_id"].startswith("0a0a0a0a-0b0b0b0b-")
    assert first["versions"]["risk"] == "finnt-made-risk:v1-0"
    assert second["decision_id"].startswith("0c0c0c0c-0d0d0d0d-")
    assert second["versions"] == VERSIONS_OF_ANOTHER


def test_status_is_degraded_while_one_model_does_not_answer(client_for, engine):
    client = client_for(engine, acceptance=False)
    content = client.get("/v1/status").json()
    assert content["status"] == "degraded"
    assert [model["ready"] for model in content["models"].values()] == [True, False]


def test_every_link_of_the_status_leads_somewhere(client):
    for path in client.get("/").json()["links"].values():
        assert client.get(path).status_code in (200, 405)


def test_a_browser_is_sent_to_the_api_page(client):
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    response = client.get("/", headers={"Accept": accept})
    assert response.is_redirect
    page = client.get(response.headers["location"])
    assert page.headers["content-type"].startswith("text/html")
    assert "swagger-ui" in page.text


def test_the_api_page_may_load_nothing_from_elsewhere(client):
    page = client.get("/docs")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "<script>" not in page.text
    assert "/openapi.json" in client.get("/docs/start.js").text


def test_readiness_is_false_for_a_model_that_is_slow_or_gone():
    async def answer():
        return True

    async def slow():
        await asyncio.sleep(5)

    async def gone():
        raise ConnectionRefusedError

    started = time.monotonic()
    verdicts = [asyncio.run(ready_within(0.05, ask())) for ask in (answer, slow, gone)]
    assert verdicts == [True, False, False]
    assert time.monotonic() - started < 2
