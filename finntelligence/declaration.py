"""Read a declaration (a nested mapping, usually from YAML) strictly, with the path in every error.

A key nobody read is an error: a misspelt setting must never be silently ignored.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from finntelligence.errors import InvalidDeclarationError

__all__ = ["Section", "canonical_json", "content_digest", "merged"]


class Section:
    """One mapping of a declaration; each getter takes a key, and `close` refuses the rest.

    >>> section = Section({"minimum": 0.05, "maximun": 0.36}, "rates")
    >>> section.number("minimum")
    0.05
    >>> section.close()
    Traceback (most recent call last):
        ...
    finntelligence.errors.InvalidDeclarationError: rates.maximun: unknown key; known: minimum
    """

    def __init__(self, content: object, path: str) -> None:
        if not isinstance(content, Mapping):
            raise InvalidDeclarationError(f"{path}: must be a mapping, is {_kind(content)}")
        self._content: Mapping[str, Any] = content
        self._read: set[str] = set()
        self.path = path

    def at(self, key: str) -> str:
        """Return the full path of `key`."""
        return f"{self.path}.{key}"

    def fail(self, key: str, problem: str) -> InvalidDeclarationError:
        """Return the error that says what is wrong with `key`."""
        return InvalidDeclarationError(f"{self.at(key)}: {problem}")

    def has(self, key: str) -> bool:
        """Whether `key` is there and not null; either way it counts as known."""
        self._read.add(key)
        return self._content.get(key) is not None

    def raw(self, key: str) -> Any:
        """Return the value of a key that must be there."""
        if not self.has(key):
            raise self.fail(key, "is missing")
        return self._content[key]

    def text(self, key: str, default: str | None = None) -> str:
        """Return a non-empty string."""
        if default is not None and not self.has(key):
            return default
        value = self.raw(key)
        if not isinstance(value, str) or not value.strip():
            raise self.fail(key, f"must be text, is {_kind(value)}")
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """Return one of `choices`."""
        value = self.text(key, default)
        if value not in choices:
            raise self.fail(key, f"must be one of {', '.join(choices)}, is {value!r}")
        return value

    def number(
        self,
        key: str,
        minimum: float = -math.inf,
        maximum: float = math.inf,
        default: float | None = None,
    ) -> float:
        """Return a finite number within the inclusive bounds."""
        if default is not None and not self.has(key):
            return default
        value = self.raw(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.fail(key, f"must be a number, is {_kind(value)}")
        if not minimum <= value <= maximum or not abs(value) < math.inf:  # NaN fails too
            raise self.fail(key, f"must be from {minimum:g} to {maximum:g}, is {value}")
        try:
            return float(value)
        except OverflowError as error:
            raise self.fail(key, "is too large") from error

    def optional_number(self, key: str, minimum: float, maximum: float) -> float | None:
        """Return a number within the bounds, or None where the key is absent or null."""
        return self.number(key, minimum, maximum) if self.has(key) else None

    def integer(self, key: str, minimum: int, maximum: int) -> int:
        """Return a whole number within the inclusive bounds."""
        value = self.number(key, minimum, maximum)
        if value != int(value):
            raise self.fail(key, f"must be a whole number, is {value:g}")
        return int(value)

    def flag(self, key: str, default: bool | None = None) -> bool:
        """Return true or false."""
        if default is not None and not self.has(key):
            return default
        value = self.raw(key)
        if not isinstance(value, bool):
            raise self.fail(key, f"must be true or false, is {_kind(value)}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a non-empty list of distinct strings."""
        values = self.raw(key)
        if (
            not isinstance(values, list)
            or not values
            or not all(isinstance(v, str) for v in values)
        ):
            raise self.fail(key, "must be a list of texts")
        if len(set(values)) != len(values):
            raise self.fail(key, "must not repeat a value")
        return tuple(values)

    def numbers(self, key: str) -> tuple[float, ...]:
        """Return a non-empty list of finite numbers."""
        values = self.raw(key)
        if not isinstance(values, list) or not values:
            raise self.fail(key, "must be a list of numbers")
        inner = Section({str(i): v for i, v in enumerate(values)}, self.at(key))
        return tuple(inner.number(str(i)) for i in range(len(values)))

    def integers(self, key: str, minimum: int, maximum: int) -> tuple[int, ...]:
        """Return a list of distinct whole numbers within the bounds, rising."""
        values = self.numbers(key)
        if any(v != int(v) or not minimum <= v <= maximum for v in values):
            raise self.fail(key, f"must hold whole numbers from {minimum} to {maximum}")
        if list(values) != sorted(set(values)):
            raise self.fail(key, "must rise, without repeating a value")
        return tuple(int(v) for v in values)

    def section(self, key: str) -> "Section":
        """Return the mapping under `key`."""
        return Section(self.raw(key), self.at(key))

    def sections(self) -> Iterator[tuple[str, "Section"]]:
        """Yield every key with its mapping."""
        for key in self._content:
            yield str(key), self.section(key)

    def items(self) -> Iterator[tuple[str, object]]:
        """Yield every key with its value."""
        for key in self._content:
            self._read.add(key)
            yield str(key), self._content[key]

    def close(self) -> None:
        """Refuse keys that nothing asked for.

        Raises:
            InvalidDeclarationError: naming the first unknown key and the known ones.
        """
        unknown = [key for key in self._content if key not in self._read]
        if unknown:
            known = ", ".join(sorted(self._read))
            raise self.fail(str(unknown[0]), f"unknown key; known: {known}")


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes` laid over it, mapping by mapping; lists are replaced whole.

    >>> merged({"menu": {"size": 3}, "terms": [24, 36]}, {"menu": {"size": 1}})
    {'menu': {'size': 1}, 'terms': [24, 36]}
    """
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = merged(old, value)
        result[key] = value
    return result


def canonical_json(content: object) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no NaN.

    >>> canonical_json({"b": 1, "a": [0.5]})
    '{"a":[0.5],"b":1}'
    """
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_digest(content: object) -> str:
    """Return the SHA-256 of the canonical JSON, in hex.

    >>> content_digest({"a": 1})[:12]
    '015abd7f5cc5'
    """
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__
