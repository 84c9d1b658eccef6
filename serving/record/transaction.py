"""One transaction of the record: what is added becomes the next of its writer's chain."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from finntelligence.declaration import canonical_json
from serving.record.chain import START, Event, Head, link
from serving.record.schema import chains, records

__all__ = ["Transaction", "Work", "now_us", "prepare"]

_MOST_HEADS = 32  # that an opening names: the newest
_SIZES = (16, 8, 4, 2, 1)  # of the statements that insert records: few, to be found once each


def now_us() -> int:
    """Return microseconds since 1970."""
    return time.time_ns() // 1000


class Transaction:
    """One transaction of one writer: what is added becomes the next records of its chain."""

    def __init__(self, connection: sa.Connection, writer: str, head: Head | None) -> None:
        self.connection = connection
        self._writer = writer
        self._rows: list[dict[str, Any]] = []
        self.head = head if head is not None else self._found()
        if self.head == START:
            self._open()

    def add(self, event: Event) -> None:
        """Chain an event."""
        row = link(self._writer, self.head, event)
        self._rows.append(row)
        self.head = Head(row["seq"], row["hash"])

    def flush(self) -> None:
        """Write what was added, so that this transaction can read it."""
        for size in _SIZES:
            while len(self._rows) >= size:
                rows, self._rows = self._rows[:size], self._rows[size:]
                given = {f"{name}_{k}": row[name] for k, row in enumerate(rows) for name in row}
                _inserting(self.connection.dialect, size).run(self.connection, given)

    def finish(self) -> None:
        """Write what was added, and the chain's new head."""
        self.flush()
        given = {"own": self._writer, "to": self.head.seq, "at": self.head.hash}
        _moving(self.connection.dialect).run(self.connection, given)

    def _found(self) -> Head:
        own = sa.select(chains.c.seq, chains.c.hash).where(chains.c.writer == self._writer)
        row = self.connection.execute(own).one_or_none()
        return Head(*row) if row else START

    def _open(self) -> None:
        """Begin the chain by naming the heads of the others."""
        at_us = now_us()
        newest = sa.select(chains.c.writer, chains.c.seq, chains.c.hash)
        newest = newest.order_by(chains.c.started_us.desc(), chains.c.writer).limit(_MOST_HEADS)
        heads = [list(row) for row in self.connection.execute(newest)]
        start = {"writer": self._writer, "started_us": at_us, **START._asdict()}
        self.connection.execute(sa.insert(chains), start)
        content = canonical_json({"heads": heads})
        self.add(Event(kind="opening", at_us=at_us, content=content))


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A statement in the database's own words, found once: that takes longer than to run it.

    Columns whose types convert what is written are not for it; the record has none.
    """

    text: str
    places: Sequence[str] | None  # the parameters in their order; None where they are named

    @classmethod
    def of(cls, statement: sa.Insert | sa.Update, dialect: sa.Dialect) -> "_Compiled":
        compiled = statement.compile(dialect=dialect)
        return cls(str(compiled), compiled.positiontup)

    def run(self, connection: sa.Connection, given: dict[str, Any]) -> None:
        if self.places is None:
            connection.exec_driver_sql(self.text, given)
        else:
            connection.exec_driver_sql(self.text, tuple(given[name] for name in self.places))


def prepare(dialect: sa.Dialect) -> None:
    """Find the statements before a transaction needs them, for it would do so under its lock."""
    for size in _SIZES:
        _inserting(dialect, size)
    _moving(dialect)


@lru_cache(maxsize=2 * len(_SIZES))
def _inserting(dialect: sa.Dialect, rows: int) -> _Compiled:
    """Return what inserts so many records.

    At once: between rows the thread that writes would wait for its turn behind a busy event loop,
    the database's write lock in its hands.
    """
    values = [
        {each.name: sa.bindparam(f"{each.name}_{k}", type_=each.type) for each in records.columns}
        for k in range(rows)
    ]
    return _Compiled.of(sa.insert(records).values(values), dialect)


@lru_cache(maxsize=2)
def _moving(dialect: sa.Dialect) -> _Compiled:
    """Return what moves a chain's head."""
    to: sa.BindParameter[int] = sa.bindparam("to")
    own = chains.c.writer == sa.bindparam("own")
    moved = sa.update(chains).where(own, chains.c.seq < to).values(seq=to, hash=sa.bindparam("at"))
    return _Compiled.of(moved, dialect)


Work = Callable[[Transaction], Any]
"""What one entry does in a transaction, and nowhere else, for it may have to be done again.

It may raise a typed error before it has written.
"""
