"""Log lines: plain ones for a terminal, or one JSON object a line for what collects them.

A JSON line has `time` (UTC), `level`, `logger`, `message`, `trace_id` where there is a trace, and
of what a line is about only the fields named here. Of an error either kind of line has types and
places, and not the message, which might repeat what an applicant said.
"""

import json
import logging
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal

from opentelemetry import trace
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from finntelligence.decision import Decision

__all__ = ["FIELDS", "JsonLines", "LogSettings", "said_of", "start_log"]

FIELDS = (
    *("decision_id", "channel", "outcome", "offers", "reasons", "factors", "arm", "latency_ms"),
    *("pair", "policy", "versions", "door", "code", "method", "caller"),
)
"""What a line may say beside its message: nothing of these tells of an applicant."""

_PLAIN = "%(asctime)s [%(levelname)s] %(message)s"
_OTHERS = ("", "bentoml", "circus", "uvicorn.error")  # "" is the root


class LogSettings(BaseSettings):
    """How log lines look, from the environment (FINNT_LOG_...)."""

    model_config = SettingsConfigDict(env_prefix="FINNT_LOG_")

    format: Literal["plain", "json"] = Field(
        "plain", description="Log lines as text, or as one JSON object each."
    )


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object.

    >>> record = logging.LogRecord("serving", logging.INFO, "", 0, "decision %s", ("ab-cd",), None)
    >>> record.created, record.decision_id = 0, "ab-cd"
    >>> JsonLines().format(record)[:75]
    '{"time":"1970-01-01T00:00:00.000+00:00","level":"INFO","logger":"serving","'
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        said = {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        line |= {name: value for name, value in said.items() if value is not None}
        trace_id = trace.get_current_span().get_span_context().trace_id
        if trace_id:
            line["trace_id"] = f"{trace_id:032x}"
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["at"] = list(_frames(record.exc_info[1]))
        return json.dumps(line, separators=(",", ":"), default=str)


def said_of(decision_id: str, decision: Decision) -> dict[str, Any]:
    """Return what a log line says of a decision, for `extra`; it holds nothing of the applicant."""
    rules = [reason.code for reason in decision.reasons if not reason.is_factor]
    return {
        "decision_id": decision_id,
        "outcome": "offers" if decision.offers else "decline",
        "offers": len(decision.offers),
        "reasons": rules,
        "factors": len(decision.reasons) - len(rules),
        "arm": decision.arm,
        "versions": dict(decision.versions),
    }


def start_log(settings: LogSettings | None = None) -> None:
    """Print our log lines to the terminal; as JSON, every other line of the process too."""
    asked = (settings or LogSettings()).format
    _speak_of_no_error()
    # uvicorn puts a line together for each answer unless nobody could print it
    logging.getLogger("uvicorn.access").propagate = False
    ours = logging.getLogger("serving")
    if not ours.handlers:
        ours.addHandler(logging.StreamHandler())
        ours.setLevel(logging.INFO)
        ours.propagate = False
    for handler in ours.handlers:
        handler.setFormatter(JsonLines() if asked == "json" else logging.Formatter(_PLAIN))
    if asked == "json":
        for name in _OTHERS:
            for handler in logging.getLogger(name).handlers:
                handler.setFormatter(JsonLines())


def _speak_of_no_error() -> None:
    """Have every line of this process, whoever writes it, keep to itself what an error says."""
    made = logging.getLogRecordFactory()
    if not isinstance(made, _Silent):
        logging.setLogRecordFactory(_Silent(made))


class _Silent:
    """Makes log records that tell of an error where it was, its type and what caused it."""

    def __init__(self, made: Callable[..., logging.LogRecord]) -> None:
        self._made = made

    def __call__(self, *parts: Any, **words: Any) -> logging.LogRecord:
        record = self._made(*parts, **words)
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = _told(record.exc_info[1])  # which no formatter then makes itself
            if record.name == "asyncio":  # it writes the error into the message too
                record.msg, record.args = record.getMessage().partition("\n")[0], ()
        return record


def _told(error: BaseException) -> str:
    """Return what a log may say of an error and of those behind it, the first of them first."""
    lines = [f"{type(error).__name__} at", *(f"  {frame}" for frame in _frames(error))]
    behind = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join([*([_told(behind)] if behind else []), *lines])


def _frames(error: BaseException | None) -> Iterator[str]:
    for frame in traceback.extract_tb(error.__traceback__ if error else None):
        yield f"{frame.filename}:{frame.lineno} {frame.name}"
