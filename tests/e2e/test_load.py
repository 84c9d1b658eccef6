"""Customers of the real service, as `make load` sends them, and contenders of `make bench`."""

import contextlib
import csv
import http.server
import json
import threading
import uuid

import pytest

from loadtests.contenders import CONTENDERS
from loadtests.probe import WrongAnswerError, probe_grpc, probe_http
from loadtests.questions import Question, read

pytest_plugins = ["tests.e2e.project"]

LOCUST = ("-m", "locust", "--headless", "--only-summary", "-f", "loadtests/locustfile.py")
FEW = ("--peak", "8", "--ramp", "1", "--hold", "2", "--think", "0.1")
KNOWN = {each.name: each for each in CONTENDERS}


@pytest.fixture(scope="module")
def mix(project, tmp_path_factory):
    path = tmp_path_factory.mktemp("load") / "mix.jsonl"
    done = project.run("-m", "loadtests.mix", "simulated", str(path), "--applicants", "40")
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def questions(mix):
    return read(mix)


@pytest.fixture
def customers(project, server, mix, tmp_path):
    """A function that sends customers to an HTTP door, and to the service's gRPC door."""

    def sent(url):
        doors = ("--host", url, "--grpc", server.grpc, "--mix", str(mix))
        done = project.run(*LOCUST, *FEW, *doors, "--csv", str(tmp_path / "run"))
        with (tmp_path / "run_stats.csv").open() as rows:
            return done, {row["Name"]: row for row in csv.DictReader(rows)}

    return sent


@contextlib.contextmanager
def lying(questions):
    """A door that answers as the service does, but for a tenth of a basis point."""
    known = {json.dumps(each.body, sort_keys=True): each.answer for each in questions}

    class Door(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer = json.loads(json.dumps(known[json.dumps(asked, sort_keys=True)]))
            for offer in answer["offers"]:
                offer["apr"] += 1e-5
            answer["decision_id"] = f"{answer['versions']['pair']}-{uuid.uuid4().hex}"
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    door = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=door.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{door.server_port}"
    finally:
        door.shutdown()
        thread.join()
        door.server_close()


def test_customers_find_every_answer_right_at_both_doors(customers, server):
    done, rows = customers(server.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(rows["Aggregated"]["Failure Count"]) == 0
    for door in ("/v1/offers", "OptimiseOffers"):
        assert int(rows[door]["Request Count"]) > 0


def test_one_wrong_number_fails_the_test_though_every_status_is_right(customers, questions):
    with lying(questions) as url:
        done, rows = customers(url)
    assert done.returncode == 1
    assert int(rows["/v1/offers"]["Failure Count"]) > 0
    assert int(rows["OptimiseOffers"]["Failure Count"]) == 0
    assert "wrong answer: offers" in done.stdout + done.stderr


def test_a_contender_is_asked_for_right_answers_at_both_doors(server, questions):
    separate = KNOWN["separate"]
    some = questions[:8]
    asked = probe_http(server.url, separate, some, market=None)
    assert [json.loads(body) for body, _ in asked] == [each.body for each in some]
    assert all(size > 300 for _, size in probe_grpc(server.grpc, separate, some))


def test_a_contender_with_another_answer_is_not_measured(server, questions):
    first = questions[0]
    other = Question(first.body, {**first.answer, "currency": "ZAR"})
    with pytest.raises(WrongAnswerError, match="currency"):
        probe_http(server.url, KNOWN["separate"], [other], market=None)
    with pytest.raises(WrongAnswerError, match="currency"):
        probe_grpc(server.grpc, KNOWN["separate"], [other])


@pytest.mark.parametrize("name", ["limit", "depends"])
def test_a_contender_of_ours_that_is_not_the_service_answers_right(
    name, project, questions, tmp_path
):
    answer = tmp_path / "answer.json"
    answer.write_text(json.dumps(next(each.answer for each in questions if each.answer["offers"])))
    words = [word.format(port=0, folder=tmp_path) for word in KNOWN[name].command]
    port = words.index("--port")
    own = {
        "FINNT_RECORD_URL": f"sqlite:///{tmp_path}/decisions.db",
        "FINNT_RUNNER_SECRET": "of this test alone, and long enough",
    }
    environment = {**project.environment, **own}
    given = (*words[:port], *words[port + 2 :])
    with project.server(*given, environment=environment) as running:
        assert len(probe_http(running.url, KNOWN[name], questions[:8], market=None)) == 8
