"""Errors as gRPC carries them: google.rpc.Status in the trailing metadata, and back."""

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from finntelligence.errors import FinntelligenceError
from serving.problems import error_of
from serving.wire import PROBLEM_TYPE, FieldError, Problem

__all__ = ["DETAILS", "from_status", "short", "to_status"]

DETAILS = "grpc-status-details-bin"
"""The trailing metadata's key of the whole problem."""

_DOMAIN = "finntelligence"
# a peer may refuse more than 8 KiB of metadata, where text travels percent-encoded and the
# details, at worst, as base64
_MOST_TEXT = 1500
_MOST_DETAILS = 4000


def short(text: str) -> str:
    """Return text, cut so that it fits into a status line."""
    room = _MOST_TEXT
    for place, character in enumerate(text):
        as_it_is = " " <= character <= "~" and character != "%"
        room -= 1 if as_it_is else 3 * len(character.encode())
        if room < 0:
            return text[:place]
    return text


def to_status(code: grpc.StatusCode, problem: Problem, retry_after_s: float | None) -> bytes:
    """Return a problem as google.rpc.Status, the last of its fields left out if it is too long."""
    reason = problem.type.removeprefix(PROBLEM_TYPE).upper().replace("-", "_")
    status = Status(code=code.value[0], message=short(problem.detail))
    status.details.add().Pack(ErrorInfo(reason=reason, domain=_DOMAIN))
    if retry_after_s is not None:
        delay = Duration()
        delay.FromNanoseconds(round(retry_after_s * 1e9))
        status.details.add().Pack(RetryInfo(retry_delay=delay))
    violations = [
        BadRequest.FieldViolation(field=each.field, description=each.problem)
        for each in problem.errors
    ]
    room = _MOST_DETAILS - status.ByteSize()
    while violations and BadRequest(field_violations=violations).ByteSize() > room:
        violations.pop()
    if violations:
        status.details.add().Pack(BadRequest(field_violations=violations))
    return bytes(status.SerializeToString())


def from_status(details: bytes) -> tuple[FinntelligenceError, float | None] | None:
    """Return the error, and after how many seconds to ask again; None: this is not ours."""
    info, wrong, retry = ErrorInfo(), BadRequest(), RetryInfo()
    retry_after_s = None
    try:
        status = Status.FromString(details)
        for each in status.details:
            each.Unpack(info)
            each.Unpack(wrong)
            if each.Unpack(retry):
                retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
    except DecodeError:
        return None
    if info.domain != _DOMAIN:
        return None
    problem = Problem(
        type=PROBLEM_TYPE + info.reason.lower().replace("_", "-"),
        title="",
        status=0,
        detail=status.message,
        errors=[FieldError(field=v.field, problem=v.description) for v in wrong.field_violations],
    )
    return error_of(problem), retry_after_s
