"""Every error that a door may answer with, and the one table from errors to both doors' codes.

FinntelligenceError
  BadRequestError             the caller's: the request cannot be read (`serving.wire`)
  InvalidApplicationError     the caller's: change the fields it names (the core)
  UnauthenticatedError        the caller's: no key, or none we know
  ForbiddenError              the caller's: the key may not do this
  UnknownDecisionError        the caller's: no decision has this id (`serving.record`)
  OutcomeConflictError        the caller's: it contradicts what is recorded (`serving.record`)
  IdempotencyConflictError    the caller's: the key is another request's (`serving.record`)
  TooLargeError               the caller's: send less
  OverloadedError             ours: the same request may succeed later
  ModelUnavailableError       ours: the same request may succeed on retry (the core)
  RecordUnavailableError      ours: what cannot be recorded is not answered (`serving.record`)
  NoRecordError               the operator's: this service keeps no record
  ModelMismatchError          the operator's: published models do not fit (the core)
  ClosingError                ours: this process takes no more; another may
  TimedOutError               the request's time is up

The core knows no status code, and no door has codes of its own.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

from finntelligence.errors import (
    FieldProblem,
    FinntelligenceError,
    InvalidApplicationError,
    ModelMismatchError,
    ModelUnavailableError,
)
from serving.record.errors import (
    IdempotencyConflictError,
    OutcomeConflictError,
    RecordUnavailableError,
    UnknownDecisionError,
)
from serving.wire import PROBLEM_TYPE, BadRequestError, FieldError, Problem

__all__ = [
    "PROBLEMS",
    "RETRY_AFTER_S",
    "ClosingError",
    "ForbiddenError",
    "Kind",
    "NoRecordError",
    "OverloadedError",
    "TimedOutError",
    "TooLargeError",
    "UnauthenticatedError",
    "UnexpectedAnswerError",
    "defect",
    "error_of",
    "kind_of",
    "problem_of",
    "retry_after_s",
]

RETRY_AFTER_S = 1.0
"""How long to wait before the same request may succeed, unless the error knows better."""


class UnauthenticatedError(FinntelligenceError):
    """The caller shows no key, or none that is known."""


class ForbiddenError(FinntelligenceError):
    """The caller's key may not do what it asks."""


class TooLargeError(FinntelligenceError):
    """The request is larger than this service reads."""


class OverloadedError(FinntelligenceError):
    """More is asked than this service, or this key's allowance, can answer now."""

    def __init__(self, message: str, retry_after_s: float = RETRY_AFTER_S) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class ClosingError(FinntelligenceError):
    """This process answers what it has begun, and nothing more."""


class NoRecordError(FinntelligenceError):
    """This service keeps no record of decisions."""


class TimedOutError(FinntelligenceError):
    """The request's time, or the service's own limit, is up."""


class UnexpectedAnswerError(FinntelligenceError):
    """A defect of the service, or an answer that is not this service's."""


class Kind(NamedTuple):
    """How both doors say an error: HTTP's status, gRPC's code, our own code and title.

    `again` says that the same request may succeed later.
    """

    status: int
    grpc: str
    code: str
    title: str
    again: bool = False


_INTERNAL = Kind(500, "INTERNAL", "internal", "Something went wrong on our side")
PROBLEMS: Mapping[type[FinntelligenceError], Kind] = {
    BadRequestError: Kind(
        400, "INVALID_ARGUMENT", "bad-request", "The request body cannot be read"
    ),
    UnauthenticatedError: Kind(
        401, "UNAUTHENTICATED", "unauthenticated", "A valid API key is needed"
    ),
    ForbiddenError: Kind(403, "PERMISSION_DENIED", "forbidden", "The API key may not do this"),
    UnknownDecisionError: Kind(404, "NOT_FOUND", "unknown-decision", "There is no such decision"),
    OutcomeConflictError: Kind(
        409, "FAILED_PRECONDITION", "outcome-conflict", "The outcome contradicts the record"
    ),
    TooLargeError: Kind(413, "RESOURCE_EXHAUSTED", "body-too-large", "The request is too large"),
    IdempotencyConflictError: Kind(
        422, "ALREADY_EXISTS", "idempotency-conflict", "The key belongs to another request"
    ),
    InvalidApplicationError: Kind(
        422, "INVALID_ARGUMENT", "invalid-application", "The application cannot be scored"
    ),
    OverloadedError: Kind(
        429, "RESOURCE_EXHAUSTED", "overloaded", "Too much is asked at once; try again", again=True
    ),
    NoRecordError: Kind(501, "UNIMPLEMENTED", "no-record", "Decisions are not kept here"),
    ModelUnavailableError: Kind(
        *(503, "UNAVAILABLE", "model-unavailable", "A model is not available; try again"),
        again=True,
    ),
    ModelMismatchError: Kind(
        503, "UNAVAILABLE", "model-mismatch", "The published models do not fit"
    ),
    RecordUnavailableError: Kind(
        *(503, "UNAVAILABLE", "record-unavailable", "The record is not available; try again"),
        again=True,
    ),
    ClosingError: Kind(503, "UNAVAILABLE", "closing", "The service closes; try again", again=True),
    TimedOutError: Kind(504, "DEADLINE_EXCEEDED", "timeout", "The request took too long"),
}
"""The table. An error that is not in it is a defect."""

_BY_CODE = {kind.code: error for error, kind in PROBLEMS.items()}
_BY_STATUS = {
    401: UnauthenticatedError,
    403: ForbiddenError,
    413: TooLargeError,
    429: OverloadedError,
    504: TimedOutError,
}


def kind_of(error: BaseException) -> Kind:
    """Return how the doors say an error."""
    return next((kind for each, kind in PROBLEMS.items() if isinstance(error, each)), _INTERNAL)


def retry_after_s(error: BaseException) -> float | None:
    """Return after how many seconds the same request may succeed; None: not by waiting."""
    if not kind_of(error).again:
        return None
    return float(getattr(error, "retry_after_s", RETRY_AFTER_S))


def problem_of(error: FinntelligenceError) -> Problem:
    """Return the problem body of an error (RFC 9457)."""
    kind = kind_of(error)
    problems = error.problems if isinstance(error, InvalidApplicationError) else ()
    return Problem(
        type=PROBLEM_TYPE + kind.code,
        title=kind.title,
        status=kind.status,
        detail=str(error),
        errors=[FieldError(field=each.field, problem=each.problem) for each in problems],
    )


def defect() -> Problem:
    """Return the problem body of a defect of ours, which tells nothing of it."""
    return Problem(
        type=PROBLEM_TYPE + _INTERNAL.code,
        title=HTTPStatus(500).phrase,
        status=500,
        detail="Something went wrong on our side; the log has the details",
    )


def error_of(problem: Problem) -> FinntelligenceError:
    """Return the error that a service's problem body tells of: the reverse of `problem_of`."""
    kind = _BY_CODE.get(problem.type.removeprefix(PROBLEM_TYPE), _BY_STATUS.get(problem.status))
    if kind is InvalidApplicationError:
        return InvalidApplicationError([FieldProblem(e.field, e.problem) for e in problem.errors])
    return (kind or UnexpectedAnswerError)(problem.detail)
