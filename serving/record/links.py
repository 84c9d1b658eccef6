"""Where one decision stands in the record, and whether its own links hold.

A whole record is verified by `serving.record.verify`; this reads three rows, so it is quick.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from serving.record.chain import GENESIS, row_hash, sha256
from serving.record.database import snapshot
from serving.record.errors import UnknownDecisionError
from serving.record.schema import chains, records

__all__ = ["Links", "links"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """A decision's place in its writer's chain; `problems` says what does not hold, if anything."""

    decision_id: str
    writer: str
    seq: int
    hash: str
    previous: str
    problems: tuple[str, ...]


def links(engine: sa.Engine, decision_id: str) -> Links:
    """Check a decision's own hash, its content's, and its links to the records beside it.

    Raises:
        UnknownDecisionError: when none is recorded under this id.
        RecordUnavailableError: when the database does not answer.
    """
    wanted = sa.select(records).where(records.c.kind == "decision")
    with snapshot(engine) as connection:
        found = connection.execute(wanted.where(records.c.decision_id == decision_id[:100]))
        row = found.mappings().one_or_none()
        if row is None or row["decision_id"] != decision_id:
            raise UnknownDecisionError("no decision is recorded under this id")
        chain = records.c.writer == row["writer"]
        beside = sa.select(records.c.seq, records.c.hash, records.c.previous).where(chain)
        around = {
            each.seq: each
            for each in connection.execute(
                beside.where(records.c.seq.in_([row["seq"] - 1, row["seq"] + 1]))
            )
        }
        at_head = sa.select(chains.c.hash).where(chains.c.writer == row["writer"])
        head = connection.execute(at_head.where(chains.c.seq == row["seq"])).scalar_one_or_none()
    before, after = around.get(row["seq"] - 1), around.get(row["seq"] + 1)
    next_names = after.previous if after is not None else head
    checks = {
        "has another hash than its own values": row_hash({**row}) == row["hash"],
        "its content has another digest than was recorded": row["content"] is None
        or sha256(row["content"]) == row["content_digest"],
        "is not chained to the record before it": row["previous"]
        == (before.hash if before is not None else GENESIS),
        "is not what comes after it in the chain names": next_names == row["hash"],
    }
    return Links(
        decision_id=decision_id,
        writer=row["writer"],
        seq=row["seq"],
        hash=row["hash"],
        previous=row["previous"],
        problems=tuple(problem for problem, holds in checks.items() if not holds),
    )
