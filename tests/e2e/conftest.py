"""Applicants of the simulated book, and what the engine decides on them in one process."""

import asyncio
import json
from pathlib import Path

import httpx
import pandas as pd
import pytest
import yaml

from tests.e2e.project import LOOPBACK

APPLICANTS = 50
# what one process answers, errors as their problems
IN_PROCESS = """
import asyncio, json, sys
from finntelligence.errors import FinntelligenceError
from runners.store import ServedPair
from serving.handler import Engine
from serving.operations import Call, Operations
from serving.problems import problem_of

pair = ServedPair("simulated")
market, scorers = pair.market()
engine = Engine.of_scorers(market, pair.all_versions(market), scorers)
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


def in_process(project, bodies):
    """Return what a process without a server answers to each body, one at a time."""
    done = project.run("-c", IN_PROCESS, given=json.dumps(bodies))
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [but_id(answer) for answer in json.loads(done.stdout)]


@pytest.fixture(scope="session")
def example(project):
    """The request that the book's declaration shows."""
    path = project.root / "portfolios" / "simulated.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))["example"]


@pytest.fixture(scope="session")
def applicants(project, example):
    """Requests of different applicants of the simulated book."""
    quotes = pd.read_parquet(project.root / "data" / "interim" / "simulated" / "quotes.parquet")
    rows = quotes[: 20 * APPLICANTS : 20].to_dict("records")  # pandas gives Python's own numbers
    return [
        {
            "requested_principal": row["requested_principal"],
            "requested_term_months": row["requested_term_months"],
            "features": {name: row[name] for name in example["features"]},
        }
        for row in rows
    ]


@pytest.fixture(scope="session")
def decided(project, applicants):
    """What the engine decides on each applicant, one at a time, in a process without a server."""
    return in_process(project, applicants)


@pytest.fixture(scope="session")
def asked_together():
    """Return a function that sends all bodies to an address at once."""

    def ask(url, bodies):
        async def together():
            limits = httpx.Limits(max_connections=len(bodies))
            async with httpx.AsyncClient(timeout=30, limits=limits) as client:
                return await asyncio.gather(*(client.post(url, json=body) for body in bodies))

        return asyncio.run(together())

    return ask


@pytest.fixture(scope="session")
def server(project):
    """The service as `finnt serve` runs it."""
    with project.server("-m", "cli", "serve") as running:
        yield running


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory) -> Path:
    """A folder that is no project."""
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="session")
def exported(project, elsewhere):
    """The Bento as one file, and its tag."""
    built = project.run("-m", "bentoml", "build", "--output", "tag")
    assert built.returncode == 0, built.stderr
    tag = built.stdout.strip().rpartition("__tag__:")[2]
    path = elsewhere / "offers.bento"
    done = project.run("-m", "bentoml", "export", tag, str(path))
    assert done.returncode == 0, done.stderr
    return tag, path


@pytest.fixture(scope="session")
def other_machine(project, elsewhere, exported):
    """An environment that knows nothing of the project but the imported Bento."""
    home = elsewhere / "bentoml"
    home.mkdir()
    environment = {**project.environment, "BENTOML_HOME": str(home)}
    del environment["PYTHONPATH"]
    words = ("-m", "bentoml", "import", str(exported[1]))
    done = project.run(*words, cwd=elsewhere, environment=environment)
    assert done.returncode == 0, done.stderr
    return environment


@pytest.fixture(scope="session")
def bento_server(project, exported, elsewhere, other_machine):
    """The Bento as it serves there."""
    words = ("-m", "bentoml", "serve", exported[0], "--host", LOOPBACK)
    with project.server(*words, cwd=elsewhere, environment=other_machine) as running:
        yield running
