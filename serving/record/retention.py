"""Retention: what is older than we must keep is emptied, and the chains stay verifiable.

Creditors keep applications for 25 months (12 CFR 1002.12(b)(1)). Removed is all content: request,
coefficients, answer, outcome. What stays of a record is its place, its times and its digests.

A database may hold several books, each kept for a time of its own. An outcome's book is its
decision's; where that was emptied already, the outcome goes with whichever book is pruned next.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from finntelligence.declaration import canonical_json
from finntelligence.errors import InvalidDeclarationError
from serving.record.chain import Event
from serving.record.database import FAILURES, unavailable, writing
from serving.record.entry import micros
from serving.record.errors import RecordUnavailableError
from serving.record.idempotency import forget
from serving.record.schema import records
from serving.record.transaction import now_us
from serving.record.writer import transaction

__all__ = ["Pruned", "months_before", "prune"]

_ROWS = 500  # of one transaction: decisions are recorded meanwhile
_EMPTIED = ("decision", "outcome")
_Due = sa.ColumnElement[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How many records were emptied, and how many idempotency keys forgotten."""

    before: datetime
    records: int
    keys: int

    def rows(self) -> list[tuple[str, ...]]:
        """Return one row: before when, records, keys."""
        return [(self.before.isoformat(), str(self.records), str(self.keys))]


def months_before(months: int, today: datetime) -> datetime:
    """Return the first moment of the month that is `months` before today's.

    >>> months_before(25, datetime(2026, 3, 31, tzinfo=UTC)).isoformat()
    '2024-02-01T00:00:00+00:00'
    """
    year, month = divmod(today.year * 12 + today.month - 1 - months, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


def prune(engine: sa.Engine, before: datetime, portfolio: str) -> Pruned:
    """Empty a book's decisions and outcomes recorded before a moment; again changes nothing.

    A record of the pruning is chained first. SQLite overwrites what it removes (`secure_delete`);
    PostgreSQL gives the space back at the next VACUUM.

    Raises:
        InvalidDeclarationError: when `before` is in the future.
        RecordUnavailableError: when the database does not answer; or when SQLite's log still holds
            what was removed, because somebody reads it: then do it again.
    """
    before_us, at_us = micros(before), now_us()
    if before_us > at_us:
        raise InvalidDeclarationError(f"before: must not be in the future, is {before.date()}")
    said = {"before": before.astimezone(UTC).isoformat(), "portfolio": portfolio}
    content = canonical_json(said)
    event = Event(kind="pruning", at_us=at_us, content=content, before_us=before_us)

    try:
        with writing(engine).begin() as connection:
            keys = forget(connection)
            due = _due(engine, before_us, portfolio)
            is_due = bool(_old(connection, due, 1))
        if is_due:
            transaction(engine, lambda current: current.add(event))
        emptied = 0
        while count := _emptied(engine, due):
            emptied += count
        if engine.dialect.name == "sqlite":
            _scrub_log(engine)
    except FAILURES as error:
        raise unavailable(error) from error
    return Pruned(before=before, records=emptied, keys=keys)


def _scrub_log(engine: sa.Engine) -> None:
    """Empty the log beside an SQLite file, which would still hold what was removed from the file.

    Raises:
        RecordUnavailableError: when somebody reads it for longer than we wait.
    """
    with engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        is_busy, *_ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if is_busy:
        raise RecordUnavailableError(
            "the records were emptied, but the database's log still holds them, for somebody "
            "reads it; prune again"
        )


def _emptied(engine: sa.Engine, due: _Due) -> int:
    """Empty some of the old records; return how many."""
    with writing(engine).begin() as connection:
        found = _old(connection, due, _ROWS)
        if found:
            which = sa.tuple_(records.c.writer, records.c.seq).in_(found)
            connection.execute(sa.update(records).where(which).values(content=None))
    return len(found)


def _old(connection: sa.Connection, due: _Due, most: int) -> list[tuple[str, int]]:
    """Return writer and number of records that are due."""
    some = sa.select(records.c.writer, records.c.seq).where(due)
    return [(row.writer, row.seq) for row in connection.execute(some.limit(most))]


def _due(engine: sa.Engine, before_us: int, portfolio: str) -> _Due:
    """Return the condition that a record is old, has content, and is of no other book."""
    decided = records.alias()
    others = sa.exists().where(
        decided.c.decision_id == records.c.decision_id,
        decided.c.kind == "decision",
        decided.c.content.is_not(None),
        _book(engine, decided.c.content) != portfolio,
    )
    old = (records.c.kind.in_(_EMPTIED), records.c.at_us < before_us)
    return sa.and_(*old, records.c.content.is_not(None), ~others)


def _book(engine: sa.Engine, content: Any) -> _Due:
    """Return the book that a decision's content names, each database in its own words."""
    known: Any = sa.cast if engine.dialect.name == "postgresql" else sa.type_coerce
    found: _Due = known(content, sa.JSON)["portfolio"].as_string()
    return found
