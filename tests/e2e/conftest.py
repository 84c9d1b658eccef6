"""Applicants of the simulated book, and what the engine decides on them in one process."""

import asyncio
import json
from pathlib import Path

import httpx
import pandas as pd
import pytest
import yaml

APPLICANTS = 50
IN_PROCESS = """
import asyncio, json, sys
from runners.store import ServedPair
from serving.handler import Engine, handle, in_process
from serving.wire import OfferRequest, from_core, to_core

pair = ServedPair("simulated")
market, scorers = pair.market()
engine = Engine(
    market=market,
    versions=pair.all_versions(market),
    score_risk=in_process(scorers["risk"].coefficients),
    score_acceptance=in_process(scorers["acceptance"].coefficients),
    explain_risk=in_process(scorers["risk"].contributions),
)

def answer(body):
    request = to_core(OfferRequest(**body), market.portfolio)
    found = asyncio.run(handle(request, engine))
    return from_core(found.decision, found.decision_id, market.portfolio).model_dump_json()

print("[" + ",".join(map(answer, json.load(sys.stdin))) + "]")
"""


def but_id(answer):
    """Return an answer without what differs every time."""
    return {name: value for name, value in answer.items() if name != "decision_id"}


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
    done = project.run("-c", IN_PROCESS, given=json.dumps(applicants))
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [but_id(answer) for answer in json.loads(done.stdout)]


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
