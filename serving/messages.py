"""Protobuf messages and plain content, as JSON would hold it: a pair of converters.

What is to be done with each field of a kind of message is found out once: to ask a descriptor takes
longer than to convert. Descriptors are `Any` here: the stubs have two kinds of them, of which
either may come.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, NamedTuple, TypeVar

from google.protobuf.message import Message

__all__ = ["from_message", "to_message"]

AnyMessage = TypeVar("AnyMessage", bound=Message)
Convert = Callable[[Any], Any]

_VALUE = "finntelligence.v1.Value"
_TIMESTAMP = "google.protobuf.Timestamp"
_UNSPECIFIED = "UNSPECIFIED"


class _Way(NamedTuple):
    """How one field is converted; `may_lack` says that a message knows whether it is there."""

    name: str
    may_lack: bool
    convert: Convert


def from_message(message: Message, *, whole: bool = False) -> dict[str, Any]:
    """Return the content of a message; what is absent has no key, or is None if it is to be whole.

    A request must tell what its caller left out; an answer's model may want every key.
    """
    content = {}
    for name, may_lack, convert in _ways_from(message.DESCRIPTOR, whole):
        absent = may_lack and not message.HasField(name)
        plain = None if absent else convert(getattr(message, name))
        if whole or plain is not None:
            content[name] = plain
    return content


def to_message(kind: type[AnyMessage], content: Mapping[str, Any]) -> AnyMessage:
    """Return a message of content; None and keys that the message lacks are left out."""
    return kind(**_filled(kind.DESCRIPTOR, content))


def _filled(kind: Any, content: Mapping[str, Any]) -> dict[str, Any]:
    filled = {}
    for name, _, convert in _ways_to(kind):
        value = content.get(name)
        if value is not None:
            filled[name] = convert(value)
    return filled


@cache
def _ways_from(kind: Any, whole: bool) -> tuple[_Way, ...]:
    def plain(field: Any) -> Convert:
        if field.enum_type is not None:
            return partial(_word, field.enum_type)
        if field.message_type is None:
            return _same
        named = {_VALUE: _of_value, _TIMESTAMP: _of_timestamp}
        return named.get(field.message_type.full_name) or partial(from_message, whole=whole)

    return tuple(_Way(each.name, each.has_presence, _each(each, plain)) for each in kind.fields)


@cache
def _ways_to(kind: Any) -> tuple[_Way, ...]:
    def typed(field: Any) -> Convert:
        if field.enum_type is not None:
            prefix = _prefix(field.enum_type)
            return lambda value: prefix + value.upper()
        if field.message_type is None or field.message_type.full_name == _TIMESTAMP:
            return _same
        if field.message_type.full_name == _VALUE:
            return _to_value
        return partial(_filled, field.message_type)

    return tuple(_Way(each.name, each.has_presence, _each(each, typed)) for each in kind.fields)


def _each(field: Any, of: Callable[[Any], Convert]) -> Convert:
    """Return what converts a value, each of a list, or each value of a map."""
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        convert = of(kind.fields_by_name["value"])
        return lambda value: {key: convert(value[key]) for key in value}
    convert = of(field)
    return (lambda value: [convert(each) for each in value]) if field.is_repeated else convert


def _same(value: Any) -> Any:
    return value


def _of_timestamp(value: Any) -> str:
    return str(value.ToJsonString())


def _of_value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    return kind and getattr(value, kind)


def _to_value(value: Any) -> dict[str, Any]:
    return {} if value is None else {"text" if isinstance(value, str) else "number": value}


def _prefix(kind: Any) -> str:
    """Return what the names of an enumeration begin with, by its zero."""
    return str(kind.values_by_number[0].name).removesuffix(_UNSPECIFIED)


def _word(kind: Any, number: int) -> str | None:
    """Return a value's word as JSON has it; None where unset, the number where unknown."""
    if number == 0:
        return None
    known = kind.values_by_number.get(number)
    return known.name.removeprefix(_prefix(kind)).lower() if known else str(number)
