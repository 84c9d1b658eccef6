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

from finntelligence.errors import FinntelligenceError
from serving.client import Client
from serving.problems import kind_of
from serving.wire import OfferRequest

pytest_plugins = ["tests.e2e.project"]

SERVE = ("-m", "cli", "serve")
CONNECTIONS = 16
BAD = [
    {"fico": None},
    {"fico": 200},
    {"home": "castle"},
    {"shoe_size": 43},
    {"annual_income": "much"},
]
# 200 requests decided one after the other by the operations themselves, errors as their problems
IN_PROCESS = """
import asyncio, json, sys
from finntelligence.errors import FinntelligenceError
from runners.store import ServedPair
from serving.handler import Engine, in_process
from serving.operations import Call, Operations
from serving.problems import problem_of

pair = ServedPair("simulated")
market, scorers = pair.market()
engine = Engine(
    market=market,
    versions=pair.all_versions(market),
    score_risk=in_process(scorers["risk"].coefficients),
    score_acceptance=in_process(scorers["acceptance"].coefficients),
    explain_risk=in_process(scorers["risk"].contributions),
)
operations = Operations(engine=lambda: engine)

async def answered(body):
    try:
        answer = await operations.optimise(body, Call(channel="cli"))
    except FinntelligenceError as error:
        return problem_of(error).model_dump(mode="json")
    return answer.model_dump(mode="json")

async def all_of_them(bodies):
    return [await answered(body) for body in bodies]

print(json.dumps(asyncio.run(all_of_them(json.load(sys.stdin)))))
"""


def but_id(answer):
    """Return an answer without what differs every time."""
    return {name: value for name, value in answer.items() if name != "decision_id"}


@pytest.fixture(scope="module")
def bodies(applicants):
    """Two hundred requests: applicants with explanations and without, every fifth one wrong."""
    found = []
    for at in range(200):
        body = applicants[at % len(applicants)] | {"explain": at % 3 == 0}
        wrong = BAD[at // 5 % len(BAD)] if at % 5 == 4 else {}
        found.append(body | {"features": body["features"] | wrong})
    return found


@pytest.fixture(scope="module")
def expected(project, bodies):
    """What one process answers, each request's errors included."""
    done = project.run("-c", IN_PROCESS, given=json.dumps(bodies))
    assert done.returncode == 0, done.stderr
    return [but_id(answer) for answer in json.loads(done.stdout)]


def by_client(client, body):
    """Return what a client is answered: the answer, or code and words of what it raises."""
    try:
        return but_id(client.offers(OfferRequest(**body)).model_dump(mode="json"))
    except FinntelligenceError as error:
        return kind_of(error).code, str(error)


def told(answer):
    """Return an in-process answer as `by_client` does."""
    if "outcome" in answer:
        return answer
    return answer["type"].rpartition(":")[2], answer["detail"]


def test_every_door_answers_the_same_requests_as_one_process_does(
    server, bodies, expected, asked_together
):
    assert Counter("outcome" in answer for answer in expected) == {True: 160, False: 40}
    responses = asked_together(f"{server.url}/v1/offers", bodies)
    assert [but_id(response.json()) for response in responses] == expected
    with Client.http(server.url) as http, Client.grpc(server.grpc) as grpc:
        for client in (http, grpc):
            assert [by_client(client, body) for body in bodies] == list(map(told, expected))


def test_one_bad_request_among_twenty_is_one_clear_error_and_nineteen_answers(
    server, bodies, expected, asked_together
):
    twenty = [*[at for at in range(50) if at % 5 != 4][:19], 4]
    responses = asked_together(f"{server.url}/v1/offers", [bodies[at] for at in twenty])
    assert [response.status_code for response in responses] == [200] * 19 + [422]
    assert [but_id(response.json()) for response in responses] == [expected[at] for at in twenty]
    (error,) = responses[-1].json()["errors"]
    assert error["field"] == "features.fico"


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

    def _ask(self, at):
        made = Client.grpc if at % 2 else Client.http
        where = self.server.grpc if at % 2 else self.server.url
        with made(where, attempts=1, deadline_s=20) as client:
            while not self._stop.is_set():
                at += 1
                try:
                    answer = client.offers(OfferRequest(**self.bodies[at % len(self.bodies)]))
                except FinntelligenceError as error:
                    self.refused[f"{type(error).__name__}: {error}"] += 1
                    self._stop.wait(0.02)
                else:
                    self.answered.add(answer.decision_id)


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


def test_no_answered_decision_is_lost_when_any_process_is_killed(project, bodies, tmp_path):
    with project.server(*SERVE) as server, Load(server, bodies) as load:
        for name in ("RiskRunner", "AcceptanceRunner", "finntelligence"):
            load.until(100)
            (victim,) = processes(server, name)
            victim.send_signal(signal.SIGKILL)
            load.until(50)
    assert load.answered <= recorded_ids(project, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_nothing_answered_is_lost_when_the_service_is_told_to_end(
    project, bodies, tmp_path, number
):
    before = recorded_ids(project, tmp_path)
    with project.server(*SERVE) as server, Load(server, bodies) as load:
        load.until(200)
        server.process.send_signal(number)
        assert server.process.wait(40) == 0
    # nothing that was answered is lost; what was not accepted any more was refused in our words
    assert load.answered <= recorded_ids(project, tmp_path) - before
    assert [told for told in load.refused if told.startswith("UnexpectedAnswer")] == []
    assert "Traceback" not in server.output()
