"""From what a door read to a typed body: one set of words for every door and every body."""

from collections.abc import Mapping
from typing import Any, TypeVar

import pydantic_core
from pydantic import BaseModel, ValidationError

from finntelligence import offers
from finntelligence.errors import FieldProblem, InvalidApplicationError
from serving.limits import bounded
from serving.wire import BadRequestError

__all__ = ["json_object", "validated"]

Body = TypeVar("Body", bound=BaseModel)


def json_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        BadRequestError: when it is none.
    """
    try:
        content = pydantic_core.from_json(body)
    except ValueError as error:
        raise BadRequestError(f"the body must be JSON: {error}") from error
    if not isinstance(content, dict):
        raise BadRequestError("the body must be a JSON object")
    return content


def validated(kind: type[Body], content: Mapping[str, Any]) -> Body:
    """Return a body of this kind.

    Raises:
        InvalidApplicationError: when a top-level field is missing, unknown or of the wrong type,
            or something is too deep, long or large.
    """
    try:
        return kind.model_validate(bounded(content))
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[: offers.MOST_PROBLEMS]
        raise InvalidApplicationError([_field_problem(kind, each) for each in wrong]) from error


def _field_problem(kind: type[BaseModel], error: Mapping[str, Any]) -> FieldProblem:
    field = ".".join(str(part) for part in error["loc"])[: offers.MOST_CHARACTERS]
    words = {
        "missing": "is required",
        "extra_forbidden": f"is unknown; known: {', '.join(kind.model_fields)}",
        "dict_type": "must be an object of field names and values",
        "bool_type": "must be true or false",
        "literal_error": f"must be one of {error.get('ctx', {}).get('expected', '')}",
    }
    return FieldProblem(field, words.get(error["type"], error["msg"]))
