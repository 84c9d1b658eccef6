"""Questions to a service with the answers they must get, and how an answer is judged."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["Judge", "Question", "differences", "read", "write"]

_ITS_OWN = {"decision_id", "versions"}  # of an answer; the pair in them is compared


@dataclass(frozen=True, slots=True)
class Question:
    """The body of a request for offers, and the answer that the engine gives in one process."""

    body: Mapping[str, Any]
    answer: Mapping[str, Any]


def differences(answer: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Return the parts of an answer that are not the expected ones, to the last bit.

    An answer's id is its own, but begins with the pair that decided.

    >>> expected = {"decision_id": "p-1", "offers": [], "versions": {"pair": "p"}}
    >>> differences(expected | {"decision_id": "p-2"}, expected)
    []
    >>> differences(expected | {"decision_id": "q-2", "offers": None}, expected)
    ['decision_id', 'offers']
    """
    pair = expected["versions"]["pair"]
    names = (answer.keys() | expected.keys()) - _ITS_OWN
    found = {name for name in names if answer.get(name) != expected.get(name)}
    if answer.get("versions", {}).get("pair") != pair:
        found.add("versions")
    if not str(answer.get("decision_id")).startswith(f"{pair}-"):
        found.add("decision_id")
    return sorted(found)


class Judge:
    """Judges answer after answer: each is the expected one, and no two are one decision."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def wrong(self, answer: Mapping[str, Any], question: Question) -> str | None:
        """Return what is wrong with an answer in words, if anything is."""
        parts = differences(answer, question.answer)
        decision_id = str(answer.get("decision_id"))
        if decision_id in self._seen:
            parts.append("the id of an earlier decision")
        self._seen.add(decision_id)
        return f"wrong answer: {', '.join(parts)}" if parts else None


def write(questions: Iterable[Question], path: Path) -> None:
    """Write questions, one a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(asdict(question)) + "\n" for question in questions)
    path.write_text("".join(lines), encoding="utf-8")


def read(path: Path) -> list[Question]:
    """Read what `write` wrote."""
    with path.open(encoding="utf-8") as lines:
        return [Question(**json.loads(line)) for line in lines]
