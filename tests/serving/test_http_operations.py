import asyncio

import httpx
import pytest

from finntelligence.errors import ModelUnavailableError
from tests.serving.doors import KNOWN, LIMIT, Log, http_app

TERMS = {"principal": 12_000, "term_months": 36, "quoted_rate": 0.12}


def ask(app, method, path, **words):
    async def asked():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
            return await client.request(method, path, **words)

    return asyncio.run(asked())


@pytest.fixture
def app(engine, example, client):
    answer = client.post("/v1/offers", json=example).json()
    return http_app(engine, Log({**example, "explain": False}, answer))


REFUSED = [
    ("POST", "/v1/offers", {"content": b"{"}, 400, "bad-request"),
    ("POST", "/v1/quote", {"content": b"[]"}, 400, "bad-request"),
    ("POST", "/v1/quote", {"json": {}}, 422, "invalid-application"),
    ("POST", "/v1/quote", {"content": b" " * (LIMIT + 1)}, 413, "body-too-large"),
    (
        "POST",
        "/v1/quote",
        {"content": b"{}", "headers": {"Content-Type": "text/plain"}},
        415,
        "unsupported-media-type",
    ),
    ("GET", "/v1/quote", {}, 405, "method-not-allowed"),
    ("GET", "/v1/decisions/nobodys", {}, 404, "unknown-decision"),
    ("POST", f"/v1/decisions/{KNOWN}/outcome", {"json": {}}, 422, "invalid-application"),
    (
        "POST",
        "/v1/decisions/nobodys/outcome",
        {"json": {"outcome": "accepted", "on": "2027-01-16"}},
        404,
        "unknown-decision",
    ),
    (
        "POST",
        "/v1/offers",
        {"json": {}, "headers": {"Idempotency-Key": "k" * 201}},
        422,
        "invalid-application",
    ),
]


@pytest.mark.parametrize(("method", "path", "words", "status", "code"), REFUSED)
def test_what_is_wrong_is_a_problem_with_its_code(app, method, path, words, status, code):
    response = ask(app, method, path, **words)
    assert response.status_code == response.json()["status"] == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"].endswith(f":{code}")


def test_the_operations_answer_as_the_door_does(app, client, example):
    first, second = (
        each("/v1/offers", json=example).json()
        for each in (client.post, lambda path, **words: ask(app, "POST", path, **words))
    )
    assert first.pop("decision_id") != second.pop("decision_id")
    assert first == second


def test_a_model_that_does_not_answer_is_worth_a_retry(engine_for, market, example):
    async def unavailable(rows):
        raise ModelUnavailableError("the model does not answer")

    app = http_app(engine_for(market, score_risk=unavailable))
    response = ask(app, "POST", "/v1/quote", json={**example, **TERMS})
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"


def test_the_policy_in_force_is_told(app, market):
    assert ask(app, "GET", "/v1/policy").json()["digest"] == market.policy.digest
