"""Customers of a running service, over both doors; every answer is compared with the engine's own.

    python -m loadtests.mix simulated build/load/mix.jsonl
    locust -f loadtests/locustfile.py --headless --host http://127.0.0.1:3000 --csv build/load/run

Users arrive over `--ramp` seconds, stay for `--hold` and leave as they came. Each thinks before it
asks, on average `--think` seconds. Three of four speak HTTP, one gRPC. A wrong answer counts as
a failure, as one that does not come does; with any failure, or with a door that nobody asked, the
exit status is 1.
"""

import random
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any

import grpc.experimental.gevent
from locust import FastHttpUser, LoadTestShape, User, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from finntelligence.errors import FinntelligenceError
from loadtests.arrivals import users_at
from loadtests.questions import Judge, Question, read
from serving.client import Client
from serving.wire import OfferRequest

grpc.experimental.gevent.init_gevent()

OFFERS = "/v1/offers"
METHOD = "OptimiseOffers"
_TIMEOUT_S = 30


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    """Say what may be chosen."""
    parser.add_argument("--mix", default="build/load/mix.jsonl", help="made by loadtests.mix")
    parser.add_argument("--grpc", default="127.0.0.1:50051", help="the gRPC door")
    parser.add_argument("--peak", type=int, default=100, help="most users at once")
    parser.add_argument("--ramp", type=float, default=10, help="seconds until all are there")
    parser.add_argument("--hold", type=float, default=30, help="seconds that all stay")
    parser.add_argument("--think", type=float, default=0.5, help="mean seconds before a request")


class Mix:
    """What all users of a run share: the questions, in turn, and who judges the answers."""

    def __init__(self, questions: list[Question]) -> None:
        self._questions, self._turn, self._judge = questions, count(), Judge()

    def next(self) -> Question:
        """Return the next question."""
        return self._questions[next(self._turn) % len(self._questions)]

    def wrong(self, answer: Any, question: Question) -> str | None:
        """Return what is wrong with an answer, if anything is."""
        return self._judge.wrong(answer, question)


@events.init.add_listener
def read_mix(environment: Environment, **_: Any) -> None:
    """Read the questions once."""
    environment.mix = Mix(read(Path(environment.parsed_options.mix)))


@events.quitting.add_listener
def fail_unless_all_was_right(environment: Environment, **_: Any) -> None:
    """Set the exit status."""
    asked = {name: entry.num_requests for (name, _), entry in environment.stats.entries.items()}
    doors = asked.get(OFFERS, 0) and asked.get(METHOD, 0)
    failed = environment.stats.total.num_failures or environment.runner.exceptions
    environment.process_exit_code = int(bool(failed) or not doors)


def thinking(user: User) -> float:
    """Return the seconds until a user's next request: many short ones, some long ones."""
    return random.expovariate(1 / user.environment.parsed_options.think)


class HttpCustomer(FastHttpUser):
    """Asks over HTTP, on a connection that is kept."""

    weight = 3
    wait_time = thinking
    network_timeout = connection_timeout = _TIMEOUT_S

    @task
    def ask(self) -> None:
        """Ask for offers."""
        mix = self.environment.mix
        question = mix.next()
        with self.client.post(OFFERS, json=dict(question.body), catch_response=True) as response:
            if response.status_code != 200:
                response.failure(f"{response.status_code}: {response.text or response.error}")
                return
            wrong = mix.wrong(response.json(), question)
            if wrong:
                response.failure(wrong)


class GrpcCustomer(User):
    """Asks over gRPC, on a channel that is kept."""

    weight = 1
    wait_time = thinking

    def on_start(self) -> None:
        """Open the channel; what fails counts, so nothing is asked again."""
        target = self.environment.parsed_options.grpc
        self._client = Client.grpc(target, attempts=1, deadline_s=_TIMEOUT_S)

    def on_stop(self) -> None:
        """Close it."""
        self._client.close()

    @task
    def ask(self) -> None:
        """Ask for offers."""
        mix = self.environment.mix
        question = mix.next()
        request, began = OfferRequest(**question.body), perf_counter()
        failure = None
        try:
            answer = self._client.offers(request).model_dump(mode="json")
        except FinntelligenceError as error:
            failure = error
        else:
            wrong = mix.wrong(answer, question)
            failure = ValueError(wrong) if wrong else None
        self.environment.events.request.fire(
            request_type="gRPC",
            name=METHOD,
            response_time=1000 * (perf_counter() - began),
            response_length=0,
            exception=failure,
            context={},
        )


class ThereAndBack(LoadTestShape):
    """Users arrive evenly, stay, and leave evenly."""

    def tick(self) -> tuple[int, float] | None:
        """Return how many users there are to be now, and how many may come or go a second."""
        options = self.runner.environment.parsed_options
        return users_at(self.get_run_time(), options.peak, options.ramp, options.hold)
