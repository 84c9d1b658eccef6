"""What was promoted, refused and rolled back, in order: one line of JSON each, never rewritten.

The file belongs to a machine, as its registry does: it is no output of the pipeline.
"""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.stages import Paths

__all__ = [
    "PRODUCTION",
    "PROMOTED",
    "REFUSED",
    "ROLLED_BACK",
    "STAGED",
    "STAGING",
    "before",
    "entries",
    "record",
    "standing",
]

PRODUCTION = "production"
STAGING = "staging"
PROMOTED = "promoted"
REFUSED = "refused"
ROLLED_BACK = "rolled back"
STAGED = "staged"


def record(paths: Paths, entry: Mapping[str, Any]) -> None:
    """Append an entry with the time of day, in one write that is on disk when this returns."""
    path = _path(paths)
    path.parent.mkdir(parents=True, exist_ok=True)
    earlier = path.read_bytes() if path.exists() else b""
    start = "\n" if earlier and not earlier.endswith(b"\n") else ""  # after a line torn by a crash
    text = json.dumps({"at": datetime.now(UTC).isoformat(), **entry}, allow_nan=False)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{start}{text}\n")
        file.flush()
        os.fsync(file.fileno())


def entries(paths: Paths) -> list[dict[str, Any]]:
    """Return all entries, oldest first; a line torn by a crash never happened."""
    path = _path(paths)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def standing(paths: Paths) -> list[dict[str, Any]]:
    """Return the pairs that came to production and were not rolled back: the last is in force.

    Each has `pair` and `versions`. A rollback takes the last away, so that the next goes further
    back.
    """
    stack: list[dict[str, Any]] = []
    for entry in entries(paths):
        if entry["alias"] != PRODUCTION or entry["action"] not in (PROMOTED, ROLLED_BACK):
            continue
        if entry["action"] == ROLLED_BACK:
            stack = before(stack, entry["former_pair"])
        elif entry["former_pair"] and not _ends_with(stack, entry["former_pair"]):
            stack.append({"pair": entry["former_pair"], "versions": entry["former_versions"]})
        if not _ends_with(stack, entry["pair"]):
            stack.append({name: entry[name] for name in ("pair", "versions")})
    return stack


def before(stack: list[dict[str, Any]], pair: str) -> list[dict[str, Any]]:
    """Return what stood before a pair last came; all of it, where the pair is not there."""
    places = [place for place, each in enumerate(stack) if each["pair"] == pair]
    return stack[: places[-1]] if places else stack


def _ends_with(stack: list[dict[str, Any]], pair: str) -> bool:
    return bool(stack) and stack[-1]["pair"] == pair


def _path(paths: Paths) -> Path:
    return paths.build / "history.jsonl"
