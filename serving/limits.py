"""Bounds on what a request may be made of, before anything looks at what it says.

The body's bytes are bounded where they are read. These bound its shape, and the bytes of headers,
which uvicorn takes without end.
"""

from collections.abc import Mapping
from typing import Any

from finntelligence.errors import FieldProblem, InvalidApplicationError

__all__ = [
    "DEEPEST",
    "LONGEST_LIST",
    "LONGEST_TEXT",
    "MOST_HEADER_BYTES",
    "MOST_MEMBERS",
    "bound_headers",
    "bounded",
    "header_bytes",
]

DEEPEST = 8
"""Objects and lists within one another; ours have 2."""
LONGEST_TEXT = 1000
"""Characters of a string, or of a name."""
LONGEST_LIST = 100
"""Members of a list."""
MOST_MEMBERS = 500
"""Members of an object: more than any book declares fields."""
MOST_HEADER_BYTES = 16384
"""Bytes of a request's line and headers."""


def bounded(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return content, of dicts and lists as JSON is read, unless its shape is out of bounds.

    Raises:
        InvalidApplicationError: naming the first place that is.
    """
    waiting: list[tuple[str, Any, int]] = [("", dict(content), 1)]
    while waiting:
        place, value, depth = waiting.pop()
        if depth > DEEPEST:
            _refuse(place, f"must have at most {DEEPEST} levels")
        for name, member in _members(place, value):
            if isinstance(member, str):
                if len(member) > LONGEST_TEXT:
                    _refuse(_joined(place, name), f"must have at most {LONGEST_TEXT} characters")
            elif isinstance(member, dict | list):
                waiting.append((_joined(place, name), member, depth + 1))
    return content


def _members(place: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        if len(value) > MOST_MEMBERS:
            _refuse(place, f"must have at most {MOST_MEMBERS} members")
        longest = max(map(len, value), default=0)
        if longest > LONGEST_TEXT:
            name = next(name for name in value if len(name) > LONGEST_TEXT)
            _refuse(_joined(place, name[:40]), f"must have at most {LONGEST_TEXT} characters")
        return list(value.items())
    if len(value) > LONGEST_LIST:
        _refuse(place, f"must have at most {LONGEST_LIST} members")
    return [(str(at), member) for at, member in enumerate(value)]


def _joined(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _refuse(place: str, problem: str) -> None:
    raise InvalidApplicationError([FieldProblem(place[:100] or "body", problem)])


def header_bytes(headers: list[tuple[bytes, bytes]]) -> int:
    """Return how large a request's headers are."""
    return sum(len(name) + len(value) + 4 for name, value in headers)


def bound_headers() -> None:
    """Have uvicorn, in this process, give up a connection whose headers do not end.

    Its fast parser collects headers without a bound; its slow one has a bound of its own.
    """
    from uvicorn.protocols.http import auto

    bounded_kind = _bounded_protocol(auto.AutoHTTPProtocol)
    if bounded_kind is not None:
        auto.AutoHTTPProtocol = bounded_kind


def _bounded_protocol(kind: Any) -> Any:
    if kind.__name__ != "HttpToolsProtocol":
        return None

    class BoundedHttpTools(kind):  # type: ignore[misc]
        _head = 0  # bytes since something other than a header was read: trailers are headers too

        def on_headers_complete(self) -> None:
            self._head = 0
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            self._head = 0
            super().on_body(body)

        def on_message_complete(self) -> None:
            self._head = 0
            super().on_message_complete()

        def data_received(self, data: bytes) -> None:
            self._head += len(data)
            super().data_received(data)
            # whole ones that are only somewhat too large get an answer: `gate`
            if self._head > 2 * MOST_HEADER_BYTES and not self.transport.is_closing():
                self.send_400_response("The headers are too large.")

    return BoundedHttpTools
