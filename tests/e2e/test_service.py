"""The real service: its processes, its doors and its end, as an operator and a caller see them."""

import json
import re
import shlex
import signal
import socket
import time

import httpx
import psutil
import pytest

from serving.record.database import current, opened
from serving.record.settings import RecordSettings
from tests.e2e.project import LOOPBACK, VERSION

pytest_plugins = ["tests.e2e.project"]

TEN_MB = 10_000_000
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def client(server):
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


def but_id(answer):
    """Return an answer without what differs every time."""
    return {name: value for name, value in answer.items() if name != "decision_id"}


def problem(response, status):
    """Return the problem that a response holds."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    content = response.json()
    assert content["status"] == status
    assert content["type"].startswith("urn:finntelligence:problem:")
    assert content["title"]
    assert "\n" not in content["detail"]
    return content


def test_the_printed_command_is_answered_with_offers(server):
    printed = server.printed("curl -s ")
    (line,) = [text for text in printed.splitlines() if text.startswith("curl ")]
    words = shlex.split(line)
    headers = dict(word.split(": ") for word in words if ": " in word and "{" not in word)
    url = next(word for word in words if word.startswith("http"))
    response = httpx.post(url, headers=headers, content=words[-1])
    assert response.status_code == 200
    assert response.json()["outcome"] == "offers"


def test_every_printed_address_answers(server):
    urls = set(re.findall(r"^  \w+ +(http\S+)$", server.printed("curl -s "), re.MULTILINE))
    assert {url.removeprefix(server.url) for url in urls} == {"/v1/offers", "/v1/status", "/docs"}
    for url in urls:
        assert httpx.get(url).status_code in (200, 405)


@pytest.mark.parametrize("path", ["/", "/v1/status"])
def test_status_says_ready_with_the_published_pair(client, project, path):
    served = json.loads((project.root / "build" / "simulated" / "served.json").read_text())
    content = client.get(path).json()
    assert content["version"] == VERSION
    assert content["status"] == "ready"
    assert content["pair"] == served["pair"]
    assert content["models"] == {
        name: {"version": entry["tag"], "ready": True} for name, entry in served["models"].items()
    }


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_every_probe_answers(client, path):
    assert client.get(path).status_code == 200


def test_metrics_are_in_the_text_format(client):
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    assert "# TYPE" in response.text


def test_a_browser_gets_the_api_page_with_all_it_loads(client):
    page = client.get("/", headers={"Accept": "text/html,*/*;q=0.8"}, follow_redirects=True)
    assert page.url.path == "/docs"
    assert page.headers["content-type"].startswith("text/html")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 4
    for path in loaded:
        assert client.get(path).status_code == 200
    assert client.get("/openapi.json").json()["openapi"].startswith("3.1")


def test_both_addresses_give_the_same_answer(client, example):
    first, second = (client.post(path, json=example) for path in ("/v1/offers", "/predict"))
    assert first.status_code == second.status_code == 200
    assert first.json()["decision_id"] != second.json()["decision_id"]
    assert but_id(first.json()) == but_id(second.json())


def test_every_decision_is_in_the_log_under_its_id(client, server, example):
    decision_id = client.post("/v1/offers", json=example).json()["decision_id"]
    (line,) = [x for x in server.printed(decision_id).splitlines() if decision_id in x]
    assert "offers" in line


def test_no_income_is_a_decline_with_its_reason(client, example):
    body = example | {"features": example["features"] | {"annual_income": 0}}
    response = client.post("/v1/offers", json=body)
    assert response.status_code == 200
    content = response.json()
    assert (content["outcome"], content["offers"]) == ("decline", [])
    assert content["reasons"][0]["code"] == "PTI"
    assert "Income" in content["reasons"][0]["text"]


def test_a_declined_applicant_who_asks_as_the_counter_offer_says_gets_that_offer(client, example):
    features = example["features"] | {"annual_income": 20_000}
    body = example | {"features": features, "requested_principal": 40_000}
    declined = client.post("/v1/offers", json=body).json()
    assert declined["outcome"] == "decline"
    counter = declined["counter_offer"]
    asked = {name: counter[name] for name in ("requested_principal", "requested_term_months")}
    assert client.post("/v1/offers", json=body | asked).json()["offers"][0] == counter["offer"]


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"shoe_size": 44}, "features.shoe_size", "is unknown"),
        ({"fico": None}, "features.fico", "is required"),
        ({"annual_income": float("nan")}, "features.annual_income", "must be a number"),
        ({"group": "a"}, "features.group", "never used for offers"),
    ],
)
def test_a_wrong_feature_is_named_with_what_would_be_right(client, example, change, field, words):
    body = json.dumps(example | {"features": example["features"] | change})
    content = problem(client.post("/v1/offers", content=body, headers=JSON), 422)
    ((found, text),) = [(error["field"], error["problem"]) for error in content["errors"]]
    assert found == field
    assert words in text


def test_a_missing_field_is_named(client, example):
    body = {name: value for name, value in example.items() if name != "requested_principal"}
    content = problem(client.post("/v1/offers", json=body), 422)
    expected = {"field": "requested_principal", "problem": "is required"}
    assert content["errors"] == [expected]


def test_a_term_that_is_not_offered_is_answered_with_those_that_are(client, example):
    content = problem(client.post("/v1/offers", json=example | {"requested_term_months": 13}), 422)
    (error,) = content["errors"]
    assert error["field"] == "requested_term_months"
    assert "24, 36, 48, 60" in error["problem"]


def test_malformed_json_is_a_bad_request(client):
    content = problem(client.post("/v1/offers", content=b'{"features": ', headers=JSON), 400)
    assert "must be JSON" in content["detail"]


def test_another_content_type_is_refused_by_name(client, example):
    body = json.dumps(example)
    response = client.post("/v1/offers", content=body, headers={"Content-Type": "text/plain"})
    assert "text/plain" in problem(response, 415)["detail"]


@pytest.mark.parametrize("announced", [True, False])
def test_ten_megabytes_are_refused_announced_or_not(client, announced):
    def chunks():
        for _ in range(TEN_MB // 10_000):
            yield b" " * 10_000

    body = b" " * TEN_MB if announced else chunks()
    response = client.post("/v1/offers", content=body, headers=JSON)
    assert "at most" in problem(response, 413)["detail"]


def test_an_unknown_path_is_a_problem(client):
    assert "/v1/nowhere" in problem(client.get("/v1/nowhere"), 404)["detail"]


def test_a_wrong_method_is_a_problem_that_says_what_is_allowed(client):
    response = client.put("/v1/offers", json={})
    assert problem(response, 405)
    assert response.headers["allow"] == "POST"


def test_after_every_refusal_the_same_connection_still_serves(client, example):
    client.post("/v1/offers", content=b"{", headers=JSON)
    client.put("/v1/offers")
    assert client.post("/v1/offers", json=example).status_code == 200


def test_concurrent_applicants_get_exactly_what_one_process_decides(
    server, applicants, decided, asked_together
):
    responses = asked_together(f"{server.url}/v1/offers", applicants)
    assert {response.status_code for response in responses} == {200}
    assert [but_id(response.json()) for response in responses] == decided
    assert len({response.json()["decision_id"] for response in responses}) == len(applicants)
    assert {answer["outcome"] for answer in decided} == {"offers", "decline"}


def test_one_bad_request_among_others_spoils_only_itself(
    server, applicants, decided, asked_together
):
    bodies = applicants[:20]
    bodies[7] = bodies[7] | {"features": bodies[7]["features"] | {"fico": float("nan")}}
    bodies[7] = {**bodies[7], "features": {**bodies[7]["features"], "fico": "many"}}
    responses = asked_together(f"{server.url}/v1/offers", bodies)
    problem(responses[7], 422)
    for at, response in enumerate(responses):
        if at != 7:
            assert but_id(response.json()) == decided[at]


def test_a_model_that_hangs_is_told_by_every_door_until_it_answers_again(client, server, example):
    family = psutil.Process(server.process.pid).children(recursive=True)
    (risk,) = [process for process in family if "RiskRunner" in process.cmdline()]
    risk.suspend()
    try:
        content = client.get("/v1/status").json()
        ready = client.get("/readyz").status_code
        alive = client.get("/livez").status_code
        response = client.post("/v1/offers", json=example)
    finally:
        risk.resume()
    assert content["status"] == "degraded"
    assert {name: model["ready"] for name, model in content["models"].items()} == {
        "risk": False,
        "acceptance": True,
    }
    assert (ready, alive) == (503, 200)
    assert "risk" in problem(response, 503)["detail"]
    assert response.headers["retry-after"]
    deadline = time.monotonic() + 30
    while client.get("/v1/status").json()["status"] != "ready":
        assert time.monotonic() < deadline
    assert client.post("/v1/offers", json=example).status_code == 200


def test_a_port_in_use_is_one_clear_line_and_exit_1(project):
    with socket.create_server((LOOPBACK, 0)) as holder:
        port = str(holder.getsockname()[1])
        done = project.run("-m", "cli", "serve", "--port", port)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"{LOOPBACK}:{port} is not free" in line
    assert done.stdout == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_every_process_with_exit_0(project, number):
    with project.server("-m", "cli", "serve") as server:
        family = psutil.Process(server.process.pid).children(recursive=True)
        assert len(family) >= 3  # the front and two runners, at least
        server.process.send_signal(number)
        assert server.process.wait(30) == 0
        _, alive = psutil.wait_procs(family, timeout=5)
        assert alive == []
        assert "Traceback" not in server.output()


SERVE = {
    "finnt": ("-m", "cli", "serve"),
    "bentoml": ("-m", "bentoml", "serve", "service:OfferService"),
}


@pytest.mark.parametrize(
    "command",
    [
        "finnt",
        "bentoml",
    ],
)
def test_an_empty_model_store_refuses_to_serve_and_names_the_repair(project, tmp_path, command):
    environment = {**project.environment, "BENTOML_HOME": str(tmp_path)}
    done = project.run(*SERVE[command], environment=environment)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "make pipeline PORTFOLIO=simulated" in line


def test_an_unpublished_portfolio_refuses_to_serve_and_names_the_repair(project):
    done = project.run(*SERVE["bentoml"], "--arg", "portfolio=kz2008")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "make pipeline PORTFOLIO=kz2008" in line


IMPORTED = """
import sys
from pathlib import Path
import service
others = {"aiohttp", "alembic", "serving.grpc_door", "serving.http_door", "sqlalchemy", "xgboost"}
early = others & sys.modules.keys()
from serving.decision_log import DecisionLog
DecisionLog.open(service.RecordSettings(), "simulated", Path(sys.argv[1]))
print(sorted(early), sorted({"alembic", "mako"} & sys.modules.keys()))
"""


def test_every_process_imports_what_it_needs_alone_and_a_front_with_a_record_no_migrations(
    project, tmp_path
):
    current(opened(RecordSettings().database("simulated", tmp_path)))
    done = project.run("-c", IMPORTED, str(tmp_path))
    assert done.stdout == "[] []\n", done.stderr
