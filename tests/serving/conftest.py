"""A hand-made engine: two small models written down here, and scorers that are plain functions."""

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml

from finntelligence.basis import BasisColumn
from finntelligence.explain import reference_of
from finntelligence.features import application_columns, design_matrix, feature_names
from finntelligence.heads import Head
from finntelligence.market import Market
from finntelligence.offers import application
from finntelligence.optimiser import terms_at
from finntelligence.policy import Policy
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.response import PriceResponse
from serving.handler import Engine, in_process
from serving.http_door import Door, http_door
from serving.operations import Operations
from serving.record.errors import UnknownDecisionError

PORTFOLIOS = Path(__file__).parents[2] / "portfolios"
LIMIT = 4096
VERSIONS = {
    "pair": "0a0a0a0a-0b0b0b0b",
    "alias": "production",
    "risk": "finnt-made-risk:v1-0",
    "acceptance": "finnt-made-acceptance:v1-0",
}


def declaration(name):
    """Return the content of a portfolio's file."""
    return yaml.safe_load((PORTFOLIOS / f"{name}.yaml").read_text(encoding="utf-8"))


def response(portfolio, model, intercept, slope, sign):
    """Return a model of two heads whose intercept moves with the amount asked for."""
    amount = BasisColumn(feature="requested_principal", kind="z", low=100, high=40_000, mean=9000)
    return PriceResponse(
        model=model,
        portfolio=portfolio,
        features=feature_names(portfolio),
        basis=(amount,),
        heads=(
            Head(name="intercept", phi="one"),
            Head(name="gap", phi="gap", sign=sign, floor=0.001),
        ),
        linear=np.array([[intercept, 1e-5], [slope, 0.0]]),
        calibration=(0.0, 1.0),
        income_fill=4000.0,
        evidence={},
    )


def market_of(portfolio):
    """Return a market in which the applicant of the declaration's example gets offers.

    That applicant, at the benchmark's price, is the risk model's mean approved one too.
    """
    market = Market(
        portfolio=portfolio,
        policy=Policy.from_mapping(portfolio),
        risk=response(portfolio, Capability.RISK, -3.0, 0.02, 1),
        acceptance=response(portfolio, Capability.ACCEPTANCE, -1.0, -0.2, -1),
    )
    example = application(portfolio, **portfolio.example)
    columns = application_columns(example)
    principal, term = columns["requested_principal"], columns["requested_term_months"]
    rate = portfolio.price.benchmark.rate(columns, term, market.policy.economics.cost_of_funds)
    terms = terms_at(example, market, principal, term, rate)
    contributions = market.risk.contributions(design_matrix(portfolio, columns))
    approved = reference_of(market.risk, contributions, terms)
    return replace(market, risk=replace(market.risk, evidence={"reference": approved}))


class Recorder:
    """A record in memory: keeps the entries that it is asked to append."""

    def __init__(self):
        self.entries, self.waiting = [], 0

    async def append(self, entry):
        self.entries.append(entry)
        return entry.answer

    async def decision(self, decision_id):
        raise UnknownDecisionError("no decision is recorded under this id")

    async def replay(self, decision_id, load=None):
        return await self.decision(decision_id)

    async def links(self, decision_id):
        return await self.decision(decision_id)


class Client:
    """Asks a door in this process."""

    def __init__(self, engine, ready, log=None):
        async def models_ready():
            return ready

        self.app = http_door()
        self.app.state.operations = Operations(engine=lambda: self.app.state.door.engine, log=log)
        self.app.state.door = Door(
            engine=engine,
            version="1.2.3",
            max_body_bytes=LIMIT,
            models_ready=models_ready,
            started_at=time.time() - 5,
            served_since=1_800_000_000.0,
        )

    def request(self, method, path, **words):
        async def ask():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
                return await client.request(method, path, **words)

        return asyncio.run(ask())

    def get(self, path, **words):
        return self.request("GET", path, **words)

    def post(self, path, **words):
        return self.request("POST", path, **words)


@pytest.fixture(params=["simulated", "kz2008"], scope="session")
def any_portfolio(request):
    """Each declared book that prices offers."""
    return Portfolio.from_mapping(declaration(request.param))


@pytest.fixture(scope="session")
def portfolio():
    return Portfolio.from_mapping(declaration("simulated"))


@pytest.fixture(scope="session")
def market(portfolio):
    return market_of(portfolio)


@pytest.fixture
def record():
    return Recorder()


@pytest.fixture
def engine_for():
    """Return an engine of a market; `changes` replaces parts of it."""

    def made(market, **changes):
        parts = {
            "market": market,
            "versions": VERSIONS,
            "score_risk": in_process(market.risk.coefficients),
            "score_acceptance": in_process(market.acceptance.coefficients),
            "explain_risk": in_process(market.risk.contributions),
        }
        return Engine(**{**parts, **changes})

    return made


@pytest.fixture
def engine(engine_for, market):
    return engine_for(market)


@pytest.fixture
def any_engine(engine_for, any_portfolio):
    return engine_for(market_of(any_portfolio))


@pytest.fixture
def client_for(record):
    """Return a client of a door with this engine; `ready` is what its models say."""

    def made(engine, **ready):
        return Client(engine, {"risk": True, "acceptance": True, **ready}, record)

    return made


@pytest.fixture
def client(client_for, engine):
    return client_for(engine)


@pytest.fixture
def example(portfolio):
    """The declaration's example request; each test may change its own copy."""
    return json.loads(json.dumps(dict(portfolio.example)))
