"""The hash chain of one writer: each record names the one before it.

    hash_n = SHA-256(canonical JSON of {writer, seq n, kind, ..., hash_{n-1}, content_digest_n})

The content is covered by its own digest, so that retention can empty it and every link still holds.
A writer is one incarnation of a process. Its first record, the opening, names the heads of the
other chains, so that a chain that is removed whole is missed by those that began after it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from finntelligence.declaration import canonical_json

__all__ = ["GENESIS", "START", "Event", "Head", "link", "row_hash", "sha256"]

GENESIS = "0" * 64
"""What a chain's first record names as the one before it."""

_COVERED = (
    *("writer", "seq", "kind", "decision_id", "slot", "at_us", "before_us"),
    *("previous", "content_digest"),
)


class Head(NamedTuple):
    """A chain's last record."""

    seq: int
    hash: str


START = Head(0, GENESIS)
"""The head of a chain without records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What is to be chained: `content` is JSON as text, times are microseconds since 1970.

    `kind` is decision, outcome, opening or pruning; `slot` an outcome's; a pruning's `before_us`
    bounds what it removes the content of.
    """

    kind: str
    at_us: int
    content: str
    decision_id: str | None = None
    slot: str | None = None
    before_us: int | None = None


def link(writer: str, head: Head, event: Event) -> dict[str, Any]:
    """Return the row that records an event behind `head`.

    >>> first = link("a" * 32, START, Event(kind="opening", at_us=0, content="{}"))
    >>> first["seq"], first["previous"] == GENESIS, first["hash"] == row_hash(first)
    (1, True, True)
    """
    row = {
        "writer": writer,
        "seq": head.seq + 1,
        "kind": event.kind,
        "decision_id": event.decision_id,
        "slot": event.slot,
        "at_us": event.at_us,
        "before_us": event.before_us,
        "previous": head.hash,
        "content_digest": sha256(event.content),
        "content": event.content,
    }
    return {**row, "hash": row_hash(row)}


def row_hash(row: Mapping[str, Any]) -> str:
    """Return the hash that a row must have."""
    return sha256(canonical_json({name: row[name] for name in _COVERED}))


def sha256(text: str) -> str:
    """Return the SHA-256 of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()
