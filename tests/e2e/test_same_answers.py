"""The same two hundred requests get the same answers through every door and in every topology."""

import json
import signal
import threading
from collections import Counter

import httpx
import psutil
import pytest

from finntelligence.errors import FinntelligenceError
from serving.client import Client
from serving.problems import kind_of
from serving.wire import OfferRequest
from tests.e2e.conftest import but_id, in_process

pytest_plugins = ["tests.e2e.project"]

SERVE = ("-m", "cli", "serve")
CALLERS = 8
# every fifth request is one of these; what is not about a feature replaces what it names
WRONG = [
    {"features": {"fico": None}},
    {"features": {"fico": 200}},
    {"features": {"home": "castle"}},
    {"features": {"shoe_size": 43}},
    {"features": {"annual_income": "much"}},
    {"features": {"annual_income": float("nan")}},
    {"features": {"annual_income": 0}},  # a decline, not an error
    {"requested_term_months": 13},
    {"requested_principal": 10**9},
    {"requested_principal": -5},
]
MALFORMED = [b"", b"{", b"[]", b'"offers"', b'{"features": 1}', b"\xff"]


@pytest.fixture(scope="module")
def bodies(applicants):
    """Two hundred requests, with explanations and without, every fifth one wrong."""
    found = []
    for at in range(200):
        body = applicants[at % len(applicants)] | {"explain": at % 3 == 0}
        wrong = WRONG[at // 5 % len(WRONG)] if at % 5 == 4 else {}
        features = body["features"] | wrong.get("features", {})
        found.append(body | wrong | {"features": features})
    return found


@pytest.fixture(scope="module")
def expected(project, bodies):
    """What one process answers, each request's errors included."""
    answers = in_process(project, bodies)
    assert Counter("outcome" in answer for answer in answers) == {True: 164, False: 36}
    return answers


@pytest.fixture(scope="module")
def split(project):
    """The service in parts, with two risk runners."""
    ours = {"FINNT_RUNNER_RISK_REPLICAS": "2"}
    words = (*SERVE, "--topology", "split")
    with project.server(*words, environment=project.environment | ours) as running:
        yield running


@pytest.fixture(scope="module")
def embedded(project):
    """The front alone, with both models."""
    with project.server(*SERVE, "--topology", "embedded") as running:
        yield running


@pytest.fixture(scope="module", params=["server", "split", "embedded", "bento_server"])
def served(request):
    """The service in each of its forms."""
    return request.getfixturevalue(request.param)


def told(answer):
    """Return an answer, or of a problem its code and words."""
    return answer if "outcome" in answer else (answer["type"].rpartition(":")[2], answer["detail"])


def by_grpc(client, body):
    """Return what a client is answered, as `told` does."""
    try:
        return but_id(client.offers(OfferRequest(**body)).model_dump(mode="json"))
    except FinntelligenceError as error:
        return kind_of(error).code, str(error)


def all_at_once(url, bodies):
    """Post all bodies to an address at once, NaN and all."""
    contents = [json.dumps(body).encode() for body in bodies]
    answers = [None] * len(contents)
    turns = iter(range(len(contents)))
    lock = threading.Lock()

    def caller():
        with httpx.Client(timeout=60, headers={"Content-Type": "application/json"}) as client:
            while True:
                with lock:
                    at = next(turns, None)
                if at is None:
                    return
                answers[at] = client.post(url, content=contents[at])

    callers = [threading.Thread(target=caller) for _ in range(20)]
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    return answers


def test_every_form_of_the_service_answers_over_http_as_one_process_does(served, bodies, expected):
    responses = all_at_once(f"{served.url}/v1/offers", bodies)
    assert [but_id(response.json()) for response in responses] == expected


def test_every_form_of_the_service_answers_over_grpc_as_one_process_does(served, bodies, expected):
    with Client.grpc(served.grpc) as client:
        assert [by_grpc(client, body) for body in bodies] == list(map(told, expected))


def test_what_cannot_be_read_is_refused_in_the_same_words_by_every_form(served, server):
    def refusals(url):
        headers = {"Content-Type": "application/json"}
        with httpx.Client(base_url=url, headers=headers) as client:
            responses = [client.post("/v1/offers", content=content) for content in MALFORMED]
        return [(response.status_code, response.json()) for response in responses]

    assert refusals(served.url) == refusals(server.url)
    assert {status for status, _ in refusals(served.url)} <= {400, 422}


def test_one_bad_request_among_twenty_is_one_clear_error_and_nineteen_answers(
    served, bodies, expected
):
    twenty = [*[at for at in range(50) if at % 5 != 4][:19], 4]
    responses = all_at_once(f"{served.url}/v1/offers", [bodies[at] for at in twenty])
    assert [response.status_code for response in responses] == [200] * 19 + [422]
    assert [but_id(response.json()) for response in responses] == [expected[at] for at in twenty]
    (error,) = responses[-1].json()["errors"]
    assert error["field"] == "features.fico"


def family(server):
    """Return the processes of a service, by the words that started each."""
    return psutil.Process(server.process.pid).children(recursive=True)


def test_embedded_starts_no_runner(embedded):
    assert [each for each in family(embedded) if "RiskRunner" in each.cmdline()] == []


class Asking:
    """Callers that ask without a pause, over both doors, and keep what they are told."""

    def __init__(self, server, bodies, expected):
        right = [at for at in range(len(bodies)) if "outcome" in expected[at]]
        self._questions = [(bodies[at], expected[at]) for at in right]
        self._server, self._stop = server, threading.Event()
        self.right, self.wrong = 0, []
        self._answered = threading.Condition()
        self._threads = [threading.Thread(target=self._ask, args=(at,)) for at in range(CALLERS)]

    def __enter__(self):
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for each in self._threads:
            each.join(60)

    def _ask(self, at):
        made = Client.grpc if at % 2 else Client.http
        where = self._server.grpc if at % 2 else self._server.url
        with made(where, attempts=1, deadline_s=30) as client:
            while not self._stop.is_set():
                at += 1
                body, expected = self._questions[at % len(self._questions)]
                answer = by_grpc(client, body)
                with self._answered:
                    if answer == expected:
                        self.right += 1
                    else:
                        self.wrong.append(answer)
                    self._answered.notify_all()

    def more(self, count):
        """Wait for so many more answers."""
        with self._answered:
            wanted = self.right + count
            assert self._answered.wait_for(lambda: self.right >= wanted or self.wrong, 60)


def test_of_two_risk_runners_each_may_be_killed_and_replaced_and_no_request_fails(
    split, bodies, expected
):
    with Asking(split, bodies, expected) as asking:
        for number in (1, 2):
            asking.more(50)
            begun = split.output().count("RiskRunner initialized")
            port = (
                split.printed(f"RiskRunner {number} tcp://")
                .partition(f"RiskRunner {number} tcp://127.0.0.1:")[2]
                .split()[0]
            )
            (starter,) = [
                each
                for each in psutil.Process(split.process.pid).children()
                if each.cmdline()[-1] == port
            ]
            for each in (starter, *starter.children(recursive=True)):
                each.send_signal(signal.SIGKILL)
            asking.more(50)
            split.printed(f"RiskRunner {number} has ended", within=20)
            while split.output().count("RiskRunner initialized") == begun:
                asking.more(1)
            asking.more(50)
        assert asking.wrong == []
    assert httpx.get(f"{split.url}/v1/status").json()["status"] == "ready"


def test_the_parts_end_together_and_leave_nobody_behind(project):
    with project.server(*SERVE, "--topology", "split") as server:
        parts = family(server)
        assert len(parts) >= 6  # three starters and what they start
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(60) == 0
        _, alive = psutil.wait_procs(parts, timeout=5)
        assert alive == []
