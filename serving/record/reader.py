"""What is recorded, read back."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from serving.record.database import snapshot
from serving.record.entry import Entry, Outcome, micros, moment
from serving.record.errors import UnknownDecisionError
from serving.record.schema import documents, records

__all__ = ["Recorded", "decision", "decisions", "document", "outcomes", "shown", "whole"]

_ROWS = 500  # of a stream that are held at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One decision, its place in a chain, and what became of it.

    `entry` is None once retention has removed the content; outcomes then are removed too.
    """

    decision_id: str
    at: datetime
    entry: Entry | None
    outcomes: tuple[Outcome, ...]
    writer: str
    seq: int
    hash: str

    def to_json(self) -> dict[str, Any]:
        """Return it as one JSON object."""
        content = self.entry.to_content() if self.entry else {"pruned": True}
        return {
            "decision_id": self.decision_id,
            "at": self.at.isoformat(),
            **content,
            "outcomes": [outcome.to_content() for outcome in self.outcomes],
            "chain": {"writer": self.writer, "seq": self.seq, "hash": self.hash},
        }


def shown(engine: sa.Engine, decision_id: str) -> Recorded:
    """Return one decision, for a command.

    Raises:
        UnknownDecisionError: when none is recorded under this id.
        RecordUnavailableError: when the database does not answer.
    """
    with snapshot(engine) as connection:
        return decision(connection, decision_id)


def decision(connection: sa.Connection, decision_id: str) -> Recorded:
    """Return one decision.

    Raises:
        UnknownDecisionError: when none is recorded under this id.
    """
    wanted = sa.select(records).where(records.c.kind == "decision")
    row = connection.execute(wanted.where(records.c.decision_id == decision_id[:100])).one_or_none()
    if row is None or row.decision_id != decision_id:
        raise UnknownDecisionError("no decision is recorded under this id")
    return _recorded(row._mapping, outcomes(connection, [decision_id]).get(decision_id, ()))


def whole(recorded: Recorded) -> Entry:
    """Return what was recorded of a decision.

    Raises:
        UnknownDecisionError: when retention has removed it.
    """
    if recorded.entry is None:
        raise UnknownDecisionError("the decision's content was removed after its retention")
    return recorded.entry


def decisions(
    connection: sa.Connection, portfolio: str | None = None, since: datetime | None = None
) -> Iterator[Recorded]:
    """Yield every decision that was not pruned, oldest first, in bounded memory."""
    last = (-1 if since is None else micros(since) - 1, "")
    ours = sa.tuple_(records.c.at_us, records.c.decision_id)
    wanted = sa.select(records).where(records.c.kind == "decision", records.c.content.is_not(None))
    wanted = wanted.order_by(records.c.at_us, records.c.decision_id).limit(_ROWS)
    while page := connection.execute(wanted.where(ours > last)).mappings().all():
        last = (page[-1]["at_us"], page[-1]["decision_id"])
        became = outcomes(connection, [row["decision_id"] for row in page])
        for row in page:
            found = _recorded(row, became.get(row["decision_id"], ()))
            if portfolio is None or whole(found).portfolio == portfolio:
                yield found


def outcomes(connection: sa.Connection, ids: list[str]) -> dict[str, tuple[Outcome, ...]]:
    """Return what became of decisions, by id, in the order it was recorded."""
    known = (records.c.kind == "outcome", records.c.content.is_not(None))
    wanted = sa.select(records.c.decision_id, records.c.content).where(*known)
    wanted = wanted.where(records.c.decision_id.in_(ids)).order_by(records.c.at_us)
    found: dict[str, tuple[Outcome, ...]] = {}
    for decision_id, content in connection.execute(wanted):
        earlier = found.get(decision_id, ())
        found[decision_id] = (*earlier, Outcome.from_content(json.loads(content)))
    return found


def document(connection: sa.Connection, digest: str) -> Any:
    """Return a kept document's content.

    Raises:
        UnknownDecisionError: when none is kept under this digest.
    """
    wanted = sa.select(documents.c.content).where(documents.c.digest == digest)
    content = connection.execute(wanted).scalar_one_or_none()
    if content is None:
        raise UnknownDecisionError(f"no document is kept under {digest[:12]}")
    return json.loads(content)


def _recorded(row: Mapping[Any, Any], became: tuple[Outcome, ...]) -> Recorded:
    content = row["content"]
    return Recorded(
        decision_id=row["decision_id"],
        at=moment(row["at_us"]),
        entry=None if content is None else Entry.from_content(json.loads(content)),
        outcomes=became,
        writer=row["writer"],
        seq=row["seq"],
        hash=row["hash"],
    )
