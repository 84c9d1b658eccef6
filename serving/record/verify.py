"""Whether the record is whole: every chain walked from opening to head, in bounded memory.

Found are records that were tampered with, deleted, reordered or inserted, by writer and number.
What retention emptied is counted as pruned: its links still hold, and a chained pruning must cover
it. The newest chains' heads are named by no later opening: keep the `heads` of a verified record
elsewhere and give them as `anchors`, and nothing that was there then can vanish unnoticed.
"""

import json
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from serving.record.chain import START, Head, row_hash, sha256
from serving.record.database import snapshot
from serving.record.schema import chains, documents, records

__all__ = ["Finding", "Verified", "verify"]

_MOST_FINDINGS = 1000
_ROWS = 500  # of a stream that are held at once
Row = Mapping[str, Any]
Heads = Mapping[str, Head]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong: tampered, deleted, reordered, inserted or missing."""

    writer: str
    seq: int
    problem: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was walked, and what was found: at most 1000 findings. `heads` may serve as anchors."""

    records: int
    pruned: int
    chains: int
    findings: tuple[Finding, ...]
    heads: Heads

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def rows(self) -> list[tuple[str, ...]]:
        """Return one row for each finding: writer, number, problem, why."""
        return [(f.writer, str(f.seq), f.problem, f.why) for f in self.findings]


@dataclass(slots=True)
class _Walk:
    """What one pass over the record knows."""

    kept: frozenset[str]
    pruned_before: int
    named: dict[str, dict[int, str]]
    records: int = 0
    pruned: int = 0
    findings: list[Finding] = field(default_factory=list)

    def say(self, row: Row, problem: str, why: str) -> None:
        self.findings.append(Finding(row["writer"], row["seq"], problem, why))


def verify(engine: sa.Engine, anchors: Mapping[str, tuple[int, str]] | None = None) -> Verified:
    """Walk the whole record; `anchors` are heads of an earlier verification, by writer.

    Raises:
        RecordUnavailableError: when the database does not answer.
    """
    with snapshot(engine) as connection:
        heads = {
            row.writer: Head(row.seq, row.hash)
            for row in connection.execute(sa.select(chains.c.writer, chains.c.seq, chains.c.hash))
        }
        walk = _Walk(_documents(connection), _pruned_before(connection), _named(connection))
        for writer, head in (anchors or {}).items():
            walk.named.setdefault(writer, {})[head[0]] = head[1]
        seen = set()
        with closing(_rows(connection)) as every:
            for writer, rows in groupby(every, itemgetter("writer")):
                seen.add(writer)
                if len(walk.findings) < _MOST_FINDINGS:
                    _walk_chain(walk, writer, rows, heads.get(writer))
        _missing_chains(walk, heads, seen)
    return Verified(
        records=walk.records,
        pruned=walk.pruned,
        chains=len(heads),
        findings=tuple(walk.findings[:_MOST_FINDINGS]),
        heads=heads,
    )


def _rows(connection: sa.Connection, kind: str | None = None) -> Generator[Row]:
    wanted = sa.select(records).order_by(records.c.writer, records.c.seq)
    if kind is not None:
        wanted = wanted.where(records.c.kind == kind)
    with connection.execute(wanted, execution_options={"yield_per": _ROWS}) as streamed:
        yield from streamed.mappings()  # type: ignore[misc]  # keys are text


def _walk_chain(walk: _Walk, writer: str, rows: Iterable[Row], head: Head | None) -> None:
    """Walk one chain; after whatever is wrong, go on from the record as it stands."""
    last, is_sound = START, True
    foreign: list[Row] = []
    named = walk.named.get(writer, {})
    for row in rows:
        walk.records += 1
        walk.pruned += row["content"] is None
        if head is None or row["seq"] > head.seq:
            why = "belongs to no chain" if head is None else "is behind its chain's head"
            walk.say(row, "inserted", why)
            continue
        before, last = last, Head(row["seq"], row["hash"])
        was_sound, is_sound = is_sound, row_hash(row) == row["hash"]
        if not is_sound:
            foreign.append(row)
        _check_link(walk, row, before, was_sound and is_sound)
        _check_content(walk, row)
        if named.get(row["seq"], row["hash"]) != row["hash"]:
            walk.say(row, "tampered", "is not what a later opening or an anchor names")
    for row in foreign:
        _say_foreign(walk, row, foreign)
    _check_end(walk, writer, last, is_sound, head, named)


def _check_link(walk: _Walk, row: Row, before: Head, both_sound: bool) -> None:
    if row["seq"] > before.seq + 1:
        _say_deleted(walk, row["writer"], before.seq + 1, row["seq"] - 1)
    elif both_sound and row["previous"] != before.hash:
        replaced = {"writer": row["writer"], "seq": before.seq}
        walk.say(replaced, "tampered", "is not the record that the next one was chained to")


def _check_content(walk: _Walk, row: Row) -> None:
    if row["content"] is None:
        if row["at_us"] >= walk.pruned_before:
            walk.say(row, "deleted", "its content was removed, and no pruning says so")
    elif sha256(row["content"]) != row["content_digest"]:
        walk.say(row, "tampered", "its content has another digest than was recorded")
    elif row["kind"] == "decision":
        lost = set(_object(_object(row["content"]).get("documents")).values()) - walk.kept
        if lost:
            walk.say(row, "missing", f"document {min(lost)[:12]} is gone or was tampered with")


def _say_foreign(walk: _Walk, row: Row, foreign: list[Row]) -> None:
    """Tell a record that was moved from one that was changed."""
    for other in foreign[:_ROWS]:
        if row_hash({**row, "seq": other["seq"]}) == row["hash"]:
            walk.say(row, "reordered", f"was recorded as number {other['seq']}")
            return
    walk.say(row, "tampered", "has another hash than its own values")


def _check_end(
    walk: _Walk, writer: str, last: Head, is_sound: bool, head: Head | None, named: dict[int, str]
) -> None:
    """Check that a chain ends at its head, and that all that others saw of it is there."""
    if head is None:
        return
    end = max(head.seq, *named) if named else head.seq
    if last.seq < end:
        _say_deleted(walk, writer, last.seq + 1, end)
    elif is_sound and last.seq == head.seq and last.hash != head.hash:
        replaced = {"writer": writer, "seq": last.seq}
        walk.say(replaced, "tampered", "is not the record that the chain's head names")


def _say_deleted(walk: _Walk, writer: str, first: int, last: int) -> None:
    which = "is gone" if first == last else f"is gone, with all up to number {last}"
    walk.say({"writer": writer, "seq": first}, "deleted", which)


def _missing_chains(walk: _Walk, heads: Heads, seen: set[str]) -> None:
    for writer in sorted({*heads, *walk.named} - seen):
        walk.say({"writer": writer, "seq": 1}, "deleted", "the whole chain is gone")


def _pruned_before(connection: sa.Connection) -> int:
    """Return the time before which chained prunings removed content."""
    sound = (row for row in _rows(connection, "pruning") if row_hash(row) == row["hash"])
    return max((row["before_us"] for row in sound), default=0)


def _named(connection: sa.Connection) -> dict[str, dict[int, str]]:
    """Return what openings say of other chains: the hash of a number of a writer."""
    found: dict[str, dict[int, str]] = {}
    for row in _rows(connection, "opening"):
        content = row["content"] or ""
        if row_hash(row) == row["hash"] and sha256(content) == row["content_digest"]:
            for writer, seq, digest in _object(content).get("heads", ()):
                found.setdefault(writer, {})[seq] = digest
    return found


def _object(content: Any) -> dict[str, Any]:
    """Return a JSON object, or an empty one of what is none: anything may stand in a forgery."""
    try:
        found = json.loads(content) if isinstance(content, str) else content
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def _documents(connection: sa.Connection) -> frozenset[str]:
    """Return the digests of the documents that are what their digest says."""
    kept = connection.execute(sa.select(documents))
    return frozenset(row.digest for row in kept if sha256(row.content) == row.digest)
