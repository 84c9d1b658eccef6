"""A real database of either kind, a log on it, and decisions that an engine really made."""

import asyncio
import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from finntelligence import __version__
from serving.decision_log import DecisionLog
from serving.handler import handle
from serving.record.database import migrate, opened
from serving.record.documents import documents_of
from serving.record.entry import Entry
from serving.record.settings import RecordSettings
from serving.wire import OfferRequest, from_core, to_core

NOW = datetime.now(UTC)


@pytest.fixture(scope="session")
def migrated(postgresql):
    """Return an engine of PostgreSQL's migrated database."""
    engine = opened(postgresql)
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request, tmp_path):
    """Return the settings of a database of each kind that holds nothing yet."""
    if request.param == "sqlite":
        return RecordSettings(url=f"sqlite:///{tmp_path / 'decisions.db'}")
    engine = request.getfixturevalue("migrated")
    with engine.begin() as connection:
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        connection.execute(sa.text("TRUNCATE records, chains, documents, idempotency"))
    return RecordSettings(url=engine.url.render_as_string(hide_password=False))


@pytest.fixture
def log_for(settings, tmp_path):
    """Return what opens logs on the database; all are closed in the end."""
    made = []

    def open_log(**changes):
        log = DecisionLog.open(settings.model_copy(update=changes), "simulated", tmp_path)
        made.append(log)
        return log

    yield open_log
    for log in made:
        asyncio.run(log.close())


@pytest.fixture
def log(log_for):
    return log_for()


@pytest.fixture
def raw(log):
    """Execute SQL behind the record's back, past its triggers."""

    def execute(statement, **values):
        with log.engine.begin() as connection:
            if log.engine.dialect.name == "postgresql":
                connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
            else:
                names = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
                for name in connection.execute(sa.text(names)).scalars().all():
                    connection.execute(sa.text(f"DROP TRIGGER {name}"))
            return connection.execute(sa.text(statement), values).rowcount

    return execute


@pytest.fixture(scope="session")
def entry(market):
    """Return a plain entry, as small as one may be; `changes` replaces parts of it."""

    def made(**changes):
        parts = {
            "decision_id": f"0a0a0a0a-0b0b0b0b-{uuid.uuid4().hex}",
            "at": NOW,
            "portfolio": "simulated",
            "channel": "http",
            "request": {"requested_principal": 12_000, "features": {"fico": 705}},
            "heads": {"risk": [-2.0, 0.02], "acceptance": [0.5, -0.2]},
            "versions": {"pair": "0a0a0a0a-0b0b0b0b"},
            "documents": {},
            "answer": {"outcome": "offers", "offers": [{"quoted_rate": 0.15}]},
            "latency_ms": 2.5,
        }
        return Entry(**{**parts, **changes})

    return made


@pytest.fixture
def decided(engine_for, log):
    """Return what makes a market decide on a request, and the entry that records it whole.

    `scorers` replaces parts of the engine.
    """

    def made(market, request=None, policies=None, scorers=None, **changes):
        portfolio = market.portfolio
        asked = OfferRequest.model_validate(request or dict(portfolio.example))
        versions = {
            "pair": "0a0a0a0a-0b0b0b0b",
            "risk": "finnt-made-risk:v1-0",
            "acceptance": "finnt-made-acceptance:v1-0",
            "portfolio": portfolio.digest,
            "policy": market.policy.digest,
            "engine": __version__,
        }
        engine = engine_for(market, versions=versions, **(scorers or {}))
        application = to_core(asked, portfolio)
        answer = asyncio.run(handle(application, engine, explain=asked.explain))
        body = from_core(answer.decision, answer.decision_id, portfolio)
        entry = Entry(
            decision_id=answer.decision_id,
            at=NOW,
            portfolio=portfolio.name,
            channel="http",
            request=asked.model_dump(mode="json", exclude={"applicant_id"}),
            heads={model: list(found) for model, found in answer.heads.items()},
            versions=versions,
            documents=asyncio.run(log.keep(documents_of(market, policies))),
            answer=body.model_dump(mode="json"),
            latency_ms=2.5,
        )
        return replace(entry, **changes)

    return made
