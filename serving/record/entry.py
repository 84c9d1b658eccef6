"""What is recorded: a decision as it was answered, and what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Literal

from finntelligence.declaration import content_digest

__all__ = [
    "Channel",
    "Entry",
    "Outcome",
    "OutcomeKind",
    "key_digest",
    "micros",
    "moment",
    "request_digest",
]

Channel = Literal["http", "grpc", "cli"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One answered decision, whole enough to be replayed.

    `request` and `answer` are the wire's JSON, `heads` each model's coefficients for the applicant,
    by model; a degraded decision has none of acceptance. `versions` has the exact id of all that
    decided; `documents` the digest under which each part's content is kept
    (`serving.record.documents`). `propensity` is the density of the first offer's price if that was
    drawn at random, per unit of rate, `arm` the experiment's arm, `applicant_key` what the
    experiment knows the applicant by (`experiment.applicant_key`).
    `idempotency_key` is a `key_digest`; `caller` the id of an API key.
    """

    decision_id: str
    at: datetime
    portfolio: str
    channel: Channel
    request: Mapping[str, Any]
    heads: Mapping[str, Sequence[float]]
    versions: Mapping[str, str]
    documents: Mapping[str, str]
    answer: Mapping[str, Any]
    latency_ms: float
    propensity: float | None = None
    arm: str | None = None
    applicant_key: str | None = None
    idempotency_key: str | None = None
    caller: str | None = None

    def __post_init__(self) -> None:
        if self.at.utcoffset() is None:
            raise ValueError("at must have a time zone")

    @property
    def request_digest(self) -> str:
        """The digest by which a repeated request is known to be the same."""
        return request_digest(self.request, self.applicant_key)

    def to_content(self) -> dict[str, Any]:
        """Return the JSON that is recorded; the inverse of `from_content`."""
        # not `asdict`, which copies every leaf
        content = {name: getattr(self, name) for name in _NAMES}
        return {**content, "at": self.at.astimezone(UTC).isoformat()}

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> "Entry":
        """Read what was recorded."""
        return cls(**{**content, "at": datetime.fromisoformat(content["at"])})


_NAMES = tuple(each.name for each in fields(Entry))


class OutcomeKind(StrEnum):
    """What may become of a decision."""

    ACCEPTED = "accepted"
    DECLINED_BY_CUSTOMER = "declined_by_customer"
    DEFAULTED = "defaulted"
    PREPAID = "prepaid"

    @property
    def slot(self) -> str:
        """Of the kinds of one slot a decision has one at most."""
        answers = (OutcomeKind.ACCEPTED, OutcomeKind.DECLINED_BY_CUSTOMER)
        return "answer" if self in answers else "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a decision, and when; `offer` is the accepted one's place, the first 0."""

    decision_id: str
    kind: OutcomeKind
    on: date
    offer: int | None = None

    def to_content(self) -> dict[str, Any]:
        """Return the JSON that is recorded; the inverse of `from_content`."""
        return {**asdict(self), "kind": str(self.kind), "on": self.on.isoformat()}

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> "Outcome":
        """Read what was recorded."""
        kind, on = OutcomeKind(content["kind"]), date.fromisoformat(content["on"])
        return cls(**{**content, "kind": kind, "on": on})


def request_digest(request: Mapping[str, Any], applicant_key: str | None) -> str:
    """Return the digest of a request; under an experiment another applicant asks another one."""
    asked = request if applicant_key is None else {**request, "applicant_key": applicant_key}
    return content_digest(asked)


def key_digest(key: str, caller: str | None, operation: str) -> str:
    """Return what is kept of an Idempotency-Key: callers and operations do not share keys."""
    return content_digest({"key": key, "caller": caller, "operation": operation})


def micros(at: datetime) -> int:
    """Return whole microseconds since 1970, UTC."""
    elapsed = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds


def moment(at_us: int) -> datetime:
    """Return the time of day of microseconds since 1970; the inverse of `micros`."""
    seconds, rest = divmod(at_us, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
