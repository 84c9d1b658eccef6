"""Retention: what is older than we must keep is emptied, and the chains stay verifiable.

Creditors keep applications for 25 months (12 CFR 1002.12(b)(1)). Removed is all content: request,
coefficients, answer, outcome. What stays of a record is its place, its times and its digests.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from finntelligence.declaration import canonical_json
from finntelligence.errors import InvalidDeclarationError
from serving.record.chain import Event
from serving.record.database import FAILURES, unavailable, writing
from serving.record.entry import micros
from serving.record.idempotency import forget
from serving.record.schema import records
from serving.record.writer import now_us, transaction

__all__ = ["Pruned", "months_before", "prune"]

_ROWS = 500  # of one transaction: decisions are recorded meanwhile
_EMPTIED = ("decision", "outcome")


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


def prune(engine: sa.Engine, before: datetime) -> Pruned:
    """Empty the decisions and outcomes recorded before a moment; do it again and nothing changes.

    A record of the pruning is chained first. SQLite overwrites what it removes (`secure_delete`);
    PostgreSQL gives the space back at the next VACUUM.

    Raises:
        InvalidDeclarationError: when `before` is in the future.
        RecordUnavailableError: when the database does not answer.
    """
    before_us, at_us = micros(before), now_us()
    if before_us > at_us:
        raise InvalidDeclarationError(f"before: must not be in the future, is {before.date()}")
    content = canonical_json({"before": before.astimezone(UTC).isoformat()})
    event = Event(kind="pruning", at_us=at_us, content=content, before_us=before_us)

    try:
        with writing(engine).begin() as connection:
            keys = forget(connection)
            is_due = bool(_old(connection, before_us, 1))
        if is_due:
            transaction(engine, lambda current: current.add(event))
        emptied = 0
        while count := _emptied(engine, before_us):
            emptied += count
        if engine.dialect.name == "sqlite":  # or the log beside the file would still hold it
            with engine.connect() as connection:
                raw = connection.connection.driver_connection
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()  # type: ignore[union-attr]
    except FAILURES as error:
        raise unavailable(error) from error
    return Pruned(before=before, records=emptied, keys=keys)


def _emptied(engine: sa.Engine, before_us: int) -> int:
    """Empty some of the old records; return how many."""
    with writing(engine).begin() as connection:
        found = _old(connection, before_us, _ROWS)
        if found:
            which = sa.tuple_(records.c.writer, records.c.seq).in_(found)
            connection.execute(sa.update(records).where(which).values(content=None))
    return len(found)


def _old(connection: sa.Connection, before_us: int, most: int) -> list[tuple[str, int]]:
    """Return writer and number of old records that still have content."""
    old = (records.c.kind.in_(_EMPTIED), records.c.at_us < before_us)
    some = sa.select(records.c.writer, records.c.seq).where(*old, records.c.content.is_not(None))
    return [(row.writer, row.seq) for row in connection.execute(some.limit(most))]
