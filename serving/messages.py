"""Protobuf messages and plain content, as JSON would hold it: a pair of converters.

Descriptors are `Any` here: the stubs have two kinds of them, of which either may come.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from google.protobuf.message import Message

__all__ = ["from_message", "to_message"]

AnyMessage = TypeVar("AnyMessage", bound=Message)

_VALUE = "finntelligence.v1.Value"
_TIMESTAMP = "google.protobuf.Timestamp"
_UNSPECIFIED = "UNSPECIFIED"


def from_message(message: Message, *, whole: bool = False) -> dict[str, Any]:
    """Return the content of a message; what is absent has no key, or is None if it is to be whole.

    A request must tell what its caller left out; an answer's model may want every key.
    """
    convert = partial(_plain, whole=whole)
    content = {}
    for field in message.DESCRIPTOR.fields:
        absent = field.has_presence and not message.HasField(field.name)
        plain = None if absent else _each(field, getattr(message, field.name), convert)
        if whole or plain is not None:
            content[field.name] = plain
    return content


def to_message(kind: type[AnyMessage], content: Mapping[str, Any]) -> AnyMessage:
    """Return a message of content; None and keys that the message lacks are left out."""
    return kind(**_filled(kind.DESCRIPTOR, content))


def _filled(kind: Any, content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        field.name: _each(field, content[field.name], _typed)
        for field in kind.fields
        if content.get(field.name) is not None
    }


def _each(field: Any, value: Any, convert: Callable[[Any, Any], Any]) -> Any:
    """Convert a value, each of a list, or each value of a map."""
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        inner = kind.fields_by_name["value"]
        return {key: convert(inner, value[key]) for key in value}
    if field.is_repeated:
        return [convert(field, each) for each in value]
    return convert(field, value)


def _plain(field: Any, value: Any, *, whole: bool) -> Any:
    if field.enum_type is not None:
        return _word(field.enum_type, value)
    if field.message_type is None:
        return value
    if field.message_type.full_name == _VALUE:
        kind = value.WhichOneof("kind")
        return kind and getattr(value, kind)
    if field.message_type.full_name == _TIMESTAMP:
        return value.ToJsonString()
    return from_message(value, whole=whole)


def _typed(field: Any, value: Any) -> Any:
    if field.enum_type is not None:
        return _prefix(field.enum_type) + value.upper()
    if field.message_type is None or field.message_type.full_name == _TIMESTAMP:
        return value
    if field.message_type.full_name == _VALUE:
        kind = "text" if isinstance(value, str) else "number"
        return {} if value is None else {kind: value}
    return _filled(field.message_type, value)


def _prefix(kind: Any) -> str:
    """Return what the names of an enumeration begin with, by its zero."""
    return str(kind.values_by_number[0].name).removesuffix(_UNSPECIFIED)


def _word(kind: Any, number: int) -> str | None:
    """Return a value's word as JSON has it; None where unset, the number where unknown."""
    if number == 0:
        return None
    known = kind.values_by_number.get(number)
    return known.name.removeprefix(_prefix(kind)).lower() if known else str(number)
