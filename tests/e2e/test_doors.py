"""Both doors of the real service: the same answers as one process, and none lost in trouble."""

import json
import re
import signal
import threading
import time
from collections import Counter

import httpx
import psutil
import pytest

from finntelligence.errors import FinntelligenceError, ModelUnavailableError
from serving.client import Client
from serving.problems import ClosingError
from serving.transports import UnreachableError
from serving.wire import OfferRequest

pytest_plugins = ["tests.e2e.project"]

SERVE = ("-m", "cli", "serve")
CONNECTIONS = 16
DEADLINE_S = 20
RECOVERED_WITHIN_S = 10
READY_WITHIN_S = 1.0
BAD = [
    {"fico": None},
    {"fico": 200},
    {"home": "castle"},
    {"shoe_size": 43},
    {"annual_income": "much"},
]


@pytest.fixture(scope="module")
def bodies(applicants):
    """Two hundred requests: applicants with explanations and without, every fifth one wrong."""
    found = []
    for at in range(200):
        body = applicants[at % len(applicants)] | {"explain": at % 3 == 0}
        wrong = BAD[at // 5 % len(BAD)] if at % 5 == 4 else {}
        found.append(body | {"features": body["features"] | wrong})
    return found


def test_the_call_that_the_readme_shows_is_answered(project, server):
    text = (project.root / "README.md").read_text(encoding="utf-8")
    (block,) = [b for b in re.findall(r"```python\n(.*?)```", text, re.S) if "Client.grpc" in b]
    done = project.run("-c", block.replace("127.0.0.1:50051", server.grpc))
    assert done.returncode == 0, done.stderr
    decision_id, rate = done.stdout.split()
    with Client.grpc(server.grpc) as client:
        assert client.decision(decision_id).answer.offers[0].quoted_rate == float(rate)


def test_what_one_door_recorded_the_other_shows(server, bodies):
    with Client.http(server.url) as http, Client.grpc(server.grpc) as grpc:
        for asked, other, channel in ((http, grpc, "http"), (grpc, http, "grpc")):
            answer = asked.offers(OfferRequest(**bodies[0]))
            recorded = other.decision(answer.decision_id)
            assert (recorded.channel, recorded.answer) == (channel, answer)


def test_a_replay_agrees(server, bodies):
    for body in (bodies[0], bodies[1]):
        decision_id = httpx.post(f"{server.url}/v1/offers", json=body).json()["decision_id"]
        replayed = httpx.post(f"{server.url}/v1/decisions/{decision_id}/replay").json()
        assert (replayed["agrees"], replayed["notes"]) == (True, [])
        assert {"heads", "offers", "reasons"} <= set(replayed["compared"])


def test_a_key_gets_one_answer_at_either_door(server, bodies):
    with Client.http(server.url) as http, Client.grpc(server.grpc) as grpc:
        answers = [
            client.offers(OfferRequest(**bodies[0]), idempotency_key="one-of-both-doors")
            for client in (http, grpc)
        ]
    assert answers[0] == answers[1]


class Load:
    """Callers who ask without a pause, over HTTP and gRPC, and keep what they are told."""

    def __init__(self, server, bodies):
        self.server, self.bodies = server, [b for at, b in enumerate(bodies) if at % 5 != 4]
        self.answered, self.refused, self.unheard = set(), Counter(), Counter()
        self.slowest_s = 0.0
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(at,)) for at in range(CONNECTIONS)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def until(self, count, within=60):
        """Wait until so many more were answered."""
        wanted, deadline = len(self.answered) + count, time.monotonic() + within
        while len(self.answered) < wanted:
            assert time.monotonic() < deadline, (self.refused, self.unheard)
            time.sleep(0.02)

    def until_recovered(self, within):
        """Wait until a second passes in which many are answered and nobody is refused."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            refused, answered = self.refused.total() + self.unheard.total(), len(self.answered)
            self._stop.wait(1)
            told = self.refused.total() + self.unheard.total()
            if told == refused and len(self.answered) >= answered + CONNECTIONS:
                return
        raise AssertionError((self.refused, self.unheard))

    def _ask(self, at):
        made = Client.grpc if at % 2 else Client.http
        where = self.server.grpc if at % 2 else self.server.url
        with made(where, attempts=1, deadline_s=DEADLINE_S) as client:
            while not self._stop.is_set():
                at, asked_at = at + 1, time.monotonic()
                try:
                    answer = client.offers(OfferRequest(**self.bodies[at % len(self.bodies)]))
                except UnreachableError as error:  # nobody took the request, or the line broke
                    self.unheard[f"{error}"] += 1
                    self._stop.wait(0.02)
                except FinntelligenceError as error:
                    self.refused[type(error)] += 1
                    self._stop.wait(0.02)
                else:
                    self.answered.add(answer.decision_id)
                self.slowest_s = max(self.slowest_s, time.monotonic() - asked_at)


def recorded_ids(project, folder):
    """Return the ids of all recorded decisions, once the record is found whole."""
    verified = project.run("-m", "cli", "decisions", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    path = folder / "decisions.jsonl"
    done = project.run("-m", "cli", "decisions", "export", "--as", "jsonl", str(path))
    assert done.returncode == 0, done.stderr
    return {json.loads(line)["decision_id"] for line in path.read_text().splitlines()}


def processes(server, name):
    """Return the processes of one service."""
    family = psutil.Process(server.process.pid).children(recursive=True)
    return [each for each in family if name in each.cmdline()]


def test_killing_any_process_loses_no_answer_and_is_over_within_ten_seconds(
    project, bodies, tmp_path
):
    before = recorded_ids(project, tmp_path)
    with project.server(*SERVE) as server, Load(server, bodies) as load:
        for name in ("RiskRunner", "AcceptanceRunner", "finntelligence"):
            load.until(100)
            victim, *_ = processes(server, name)  # a front has one for each core
            broken = load.unheard.total()
            victim.send_signal(signal.SIGKILL)
            load.until_recovered(within=RECOVERED_WITHIN_S)
            # only who loses the front itself may be told nothing
            assert name == "finntelligence" or load.unheard.total() == broken
    assert set(load.refused) <= {ModelUnavailableError}
    assert load.slowest_s < DEADLINE_S
    assert load.answered <= recorded_ids(project, tmp_path) - before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_that_is_told_to_end_answers_all_that_it_accepted(
    project, bodies, tmp_path, number
):
    before = recorded_ids(project, tmp_path)
    with project.server(*SERVE) as server, Load(server, bodies) as load:
        load.until(200)
        server.process.send_signal(number)
        assert server.process.wait(40) == 0
    # what is not taken any more is not recorded, and nothing else is refused
    assert set(load.refused) <= {ClosingError}
    assert load.answered == recorded_ids(project, tmp_path) - before
    assert "Traceback" not in server.output()


def ready_after(server):
    """Return what /readyz says, and after how many seconds."""
    asked_at = time.monotonic()
    response = httpx.get(f"{server.url}/readyz", timeout=DEADLINE_S)
    return response.status_code, time.monotonic() - asked_at


def test_models_that_hang_are_told_within_a_second_and_recovered_from(project, bodies):
    # a second is what the model has, and another what a busy machine may take
    quick = {**project.environment, "FINNT_FRONT_MODEL_TIMEOUT_S": "1"}
    with project.server(*SERVE, environment=quick) as server:
        runners = [*processes(server, "RiskRunner"), *processes(server, "AcceptanceRunner")]
        for each in runners:
            each.suspend()
        try:
            status, seconds = ready_after(server)
            with (
                Client.http(server.url, attempts=1) as http,
                Client.grpc(server.grpc, attempts=1) as grpc,
            ):
                for client in (http, grpc):
                    with pytest.raises(ModelUnavailableError):
                        client.offers(OfferRequest(**bodies[0]))
            refused = httpx.post(f"{server.url}/v1/offers", json=bodies[0], timeout=DEADLINE_S)
        finally:
            for each in runners:
                each.resume()
        assert (status, seconds < READY_WITHIN_S) == (503, True), seconds
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        with Client.grpc(server.grpc) as grpc:
            assert grpc.offers(OfferRequest(**bodies[0])).decision_id


def test_without_the_acceptance_model_both_doors_offer_list_prices_where_the_policy_says_so(
    project, bodies
):
    policy = project.root / "policy.yaml"
    kept = policy.read_text(encoding="utf-8")
    quick = {**project.environment, "FINNT_FRONT_MODEL_TIMEOUT_S": "1"}
    try:
        with project.server(*SERVE, environment=quick) as server:
            # an edit of the policy is taken over while the service runs
            policy.write_text("simulated: {degrade: {acceptance: list_price}}\n", encoding="utf-8")
            server.printed("under policy", within=RECOVERED_WITHIN_S)
            (acceptance,) = processes(server, "AcceptanceRunner")
            acceptance.suspend()
            try:
                with Client.http(server.url) as http, Client.grpc(server.grpc) as grpc:
                    found = [c.offers(OfferRequest(**bodies[1])) for c in (http, grpc)]
            finally:
                acceptance.resume()
            for answer in found:
                assert answer.degraded
                assert {offer.p_accept for offer in answer.offers} <= {None}
                again = httpx.post(f"{server.url}/v1/decisions/{answer.decision_id}/replay").json()
                assert again["agrees"], again
            over_http, over_grpc = (answer.model_dump(exclude={"decision_id"}) for answer in found)
            assert over_http == over_grpc
            with Client.http(server.url) as http:
                assert not http.offers(OfferRequest(**bodies[1])).degraded
    finally:
        policy.write_text(kept, encoding="utf-8")
