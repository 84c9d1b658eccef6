"""The locked service and its guarded runners, as strangers, key holders and operators meet them."""

import contextlib
import json
import re

import grpc
import httpx
import psutil
import pytest
from _bentoml_impl.serde import PickleSerde

from serving.client import Client
from serving.keys import add, revoke
from serving.problems import ForbiddenError, OverloadedError, UnauthenticatedError
from serving.stubs import offers_pb2 as pb
from serving.wire import OfferRequest
from tests.e2e.project import LOOPBACK
from tests.runners.test_arrays import Touching

pytest_plugins = ["tests.e2e.project"]

SERVE = ("-m", "bentoml", "serve", "service:OfferService", "--host", LOOPBACK)
# what the container's entrypoint runs
START = ("-m", "bentoml_cli._internal.start", "start-http-server")
PART = (*START, "service:OfferService", "--host", LOOPBACK)
SECRET = "0123456789abcdef" * 2
PICKLE = {"Content-Type": PickleSerde.media_type}
NOBODYS = "0a0a0a0a-0b0b0b0b-" + "1" * 32


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="module")
def web(keys):
    """A key that may ask for offers."""
    return add(keys, "web", ["offer"], rate=10_000)


@pytest.fixture(scope="module")
def locked(project, keys, web):
    """The service as plain BentoML runs it: with keys; one front, which counts by itself."""
    ours = {"FINNT_AUTH_OFF": "no", "FINNT_AUTH_KEYS_FILE": str(keys), "FINNT_FRONT_WORKERS": "1"}
    with project.server(*SERVE, environment=project.environment | ours) as running:
        yield running


def both_doors(server, key):
    """Yield a client of each door that shows a key."""
    for made in (Client.http(server.url, key=key), Client.grpc(server.grpc, key=key)):
        with made as client:
            yield client


def test_both_doors_admit_a_key_for_its_scope_and_refuse_all_else_in_the_same_words(
    locked, web, example
):
    asked, said = OfferRequest(**example), []
    for client in both_doors(locked, web):
        assert client.offers(asked).outcome == "offers"
        with pytest.raises(ForbiddenError) as forbidden:
            client.decision(NOBODYS)
        said.append(str(forbidden.value))
    for key in (None, web[:-1] + "x", "finnt_00000000_" + "0" * 64):
        for client in both_doors(locked, key):
            with pytest.raises(UnauthenticatedError) as unknown:
                client.offers(asked)
            said.append(str(unknown.value))
    assert len(set(said)) == 3  # forbidden; no key; a key that is not known


def test_a_decision_is_recorded_under_the_callers_key(project, locked, keys, web, example):
    with Client.http(locked.url, key=web) as client:
        decision_id = client.offers(OfferRequest(**example)).decision_id
    shown = project.run("-m", "cli", "decisions", "show", decision_id)
    assert shown.returncode == 0, shown.stderr
    assert web.split("_")[1] in shown.stdout
    assert web not in shown.stdout


def test_a_key_is_good_from_when_it_is_made_until_it_is_revoked(locked, keys, example):
    asked, key = OfferRequest(**example), add(keys, "guest", ["offer"])
    for client in both_doors(locked, key):
        assert client.offers(asked)
    revoke(keys, "guest")
    for client in both_doors(locked, key):
        with pytest.raises(UnauthenticatedError):
            client.offers(asked)


def test_both_doors_count_one_allowance(locked, keys, example):
    key, asked = add(keys, "slow", ["offer"], rate=0.001), OfferRequest(**example)
    with Client.http(locked.url, key=key) as first:
        assert first.offers(asked)
    with (
        Client.grpc(locked.grpc, key=key, attempts=1) as second,
        pytest.raises(OverloadedError, match=r"0\.001 requests a second"),
    ):
        second.offers(asked)


@pytest.mark.parametrize("path", ["/docs.json", "/schema.json", "/metrics", "/", "/v1/nowhere"])
def test_no_path_but_the_probes_and_pages_is_answered_without_a_key(locked, path):
    response = httpx.get(f"{locked.url}{path}")
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")


def test_the_api_page_loads_from_here_alone_and_tells_no_server(locked):
    for path in ("/docs", "/docs/start.js", "/openapi.json", "/static_content/swagger-ui.css"):
        response = httpx.get(f"{locked.url}{path}")
        assert response.status_code == 200
        assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "server" not in response.headers


def test_no_key_is_in_what_the_service_prints(locked, web):
    printed = locked.output()
    assert "gRPC on" in printed
    assert re.search(r"finnt_[0-9a-f]{8}_", printed) is None
    assert web.split("_")[2] not in printed


def test_without_a_key_in_force_a_locked_service_refuses_to_start(project, tmp_path):
    ours = {"FINNT_AUTH_KEYS_FILE": str(tmp_path / "none.json")}
    done = project.run(*SERVE, environment=project.environment | ours)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "finnt keys add" in line


@pytest.mark.parametrize(
    ("host", "ours"), [("0.0.0.0", {}), (LOOPBACK, {"FINNT_GRPC_HOST": "0.0.0.0"})]
)
def test_an_unlocked_service_refuses_to_start_off_loopback(project, host, ours):
    ours = {"FINNT_AUTH_OFF": "yes", **ours}
    words = (*SERVE[:-1], host)
    done = project.run(*words, environment=project.environment | ours)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "FINNT_AUTH_OFF is for loopback only" in line


def test_an_unlocked_service_answers_no_foreign_name_or_page(server, example):
    for headers in ({"Host": "rebound.example"}, {"Sec-Fetch-Site": "cross-site"}):
        response = httpx.post(f"{server.url}/v1/offers", json=example, headers=headers)
        assert response.status_code == 403


@pytest.fixture(scope="module")
def apart(project):
    """The risk runner, the acceptance runner and the front, each started by itself."""
    environment = {**project.environment, "FINNT_RUNNER_SECRET": SECRET}
    with contextlib.ExitStack() as stack:

        def part(*words):
            made = project.server(*PART, *words, environment=environment)
            return stack.enter_context(made)

        parts = {name: part("--service-name", name) for name in ("RiskRunner", "AcceptanceRunner")}
        depends = [
            word
            for name, runner in parts.items()
            for word in ("--depends", f"{name}={runner.url.replace('http', 'tcp')}")
        ]
        parts["front"] = part(*depends)
        yield parts


def test_a_front_apart_from_its_runners_answers_as_one_process(
    apart, applicants, decided, asked_together
):
    responses = asked_together(f"{apart['front'].url}/v1/offers", applicants)
    assert {response.status_code for response in responses} == {200}
    answers = [{k: v for k, v in r.json().items() if k != "decision_id"} for r in responses]
    assert answers == decided


@pytest.mark.parametrize("name", ["RiskRunner", "AcceptanceRunner"])
@pytest.mark.parametrize(
    ("shown", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer " + "f" * 32}, 401),
        ({"Authorization": f"Bearer {SECRET}"}, 400),
    ],
)
def test_a_pickle_that_runs_something_is_refused_unexecuted(apart, tmp_path, name, shown, status):
    mark = tmp_path / "mark"
    body = b"".join(PickleSerde().serialize_value({"rows": Touching(mark)}).data)
    url = f"{apart[name].url}/coefficients"
    assert httpx.post(url, content=body, headers=PICKLE | shown).status_code == status
    assert not mark.exists()


def test_a_part_that_is_not_told_the_secret_refuses_to_start(project):
    done = project.run(*PART, "--service-name", "RiskRunner")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "FINNT_RUNNER_SECRET" in line


MARKED = {"annual_income": 73_137.4242, "fico": 7_423.4242}
MARKS = ("73137.42", "7423.42", "marked-applicant")


def ask_with_marks(server, example):
    """Send everything that an applicant may be known by, in every way that may go wrong."""
    features = example["features"]
    marked = example | {"features": features | {"annual_income": MARKED["annual_income"]}}
    bodies = [
        marked,
        marked | {"explain": True, "applicant_id": "marked-applicant"},
        marked | {"applicant_id": ["marked-applicant"]},
        example | {"features": features | MARKED},
        example | {"features": features | {"annual_income": "marked-applicant"}},
        marked | {"requested_principal": "marked-applicant"},
        marked | {"marked-applicant": 1},
        example | {"features": features | {"marked-applicant": 1}},
        example | {"features": features | {"annual_income": ["marked-applicant"] * 200}},
    ]
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for path in ("/v1/offers", "/predict", "/v1/quote"):
            for body in bodies:
                client.post(path, json=body)
                client.post(path, json=body, headers={"Idempotency-Key": "marked-applicant"})
            client.post(path, content=json.dumps(marked)[:-9] + "marked-applicant")
            client.put(path, json=marked)
            client.post(f"{path}/marked-applicant?name=marked-applicant", json=marked)
        client.get("/v1/decisions/marked-applicant")
        client.post("/v1/decisions/marked-applicant/outcome", json={"outcome": "marked-applicant"})
        client.post("/v1/offers", json=marked, headers={"Authorization": "marked-applicant"})
        client.post("/v1/offers", content=b"marked-applicant", headers={"X": "marked-applicant"})
        answered = client.post("/v1/offers", json=marked)
    with grpc.insecure_channel(server.grpc) as channel:
        ask = channel.unary_unary("/finntelligence.v1.Offers/GetDecision")
        for message in (
            pb.GetDecisionRequest(decision_id="marked-applicant").SerializeToString(),
            b"marked-applicant",
        ):
            with pytest.raises(grpc.RpcError):
                ask(message, timeout=10)
    return answered.status_code


@pytest.mark.parametrize("form", ["plain", "json"])
def test_nothing_of_an_applicant_is_printed_whatever_goes_wrong(project, example, form):
    environment = project.environment | {
        "FINNT_FRONT_MODEL_TIMEOUT_S": "3",
        "FINNT_LOG_FORMAT": form,
    }
    with project.server("-m", "cli", "serve", environment=environment) as server:
        assert ask_with_marks(server, example) == 200
        family = psutil.Process(server.process.pid).children(recursive=True)
        (risk,) = [process for process in family if "RiskRunner" in process.cmdline()]
        risk.suspend()
        try:
            body = example | {"features": example["features"] | {"annual_income": 73_137.4242}}
            assert httpx.post(f"{server.url}/v1/offers", json=body).status_code == 503
        finally:
            risk.resume()
    printed = server.output()
    assert "decision" in printed
    assert [mark for mark in MARKS if mark in printed] == []
