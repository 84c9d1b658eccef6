"""What travels about decisions made: the record of one, and what became of its offer."""

from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StrictInt
from pydantic_core import PydanticCustomError

from serving.record.entry import Outcome
from serving.wire import OfferRequest, OfferResponse

if TYPE_CHECKING:  # whoever reads answers needs no database
    from serving.record.links import Links
    from serving.record.reader import Recorded
    from serving.record.replay import Replay

__all__ = [
    "ChainStatus",
    "CustomerOutcome",
    "DecisionRecord",
    "Difference",
    "OutcomeRequest",
    "RecordedOutcome",
    "Replayed",
    "chain_from_core",
    "decision_from_core",
    "outcome_from_core",
    "replay_from_core",
]


def _day(value: Any) -> date:
    """Read a day as one writes it; dates as such are of callers in Python."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        day = date.fromisoformat(value)
    except (TypeError, ValueError):
        day = None
    if day is None or day.isoformat() != value:
        raise PydanticCustomError("day", "must be a day, YYYY-MM-DD")
    return day


def _place(value: Any) -> Any:
    """Read a whole number as JSON has it: 1.0 is 1."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Place = Annotated[StrictInt, Field(ge=0, lt=2**31), BeforeValidator(_place)]
Day = Annotated[date, BeforeValidator(_day), PlainSerializer(date.isoformat, return_type=str)]
_KEPT = ("portfolio", "channel", "request", "answer", "propensity")

CustomerOutcome = Literal["accepted", "declined_by_customer", "defaulted", "prepaid"]


class OutcomeRequest(BaseModel):
    """What became of a decision's offer, and when."""

    model_config = ConfigDict(extra="forbid")

    outcome: CustomerOutcome
    on: Day
    offer: Place | None = Field(
        default=None, description="With an acceptance: the offer's place, the first 0."
    )


class RecordedOutcome(BaseModel):
    """What became of a decision's offer, as it is recorded."""

    decision_id: str
    outcome: CustomerOutcome
    on: Day
    offer: int | None = None


class DecisionRecord(BaseModel):
    """A recorded decision; retention may have removed what was asked and answered."""

    decision_id: str
    at: datetime = Field(description="UTC.")
    portfolio: str | None = None
    channel: str | None = Field(default=None, description="http, grpc or cli.")
    request: OfferRequest | None = None
    answer: OfferResponse | None = None
    propensity: float | None = Field(
        default=None, description="Density of the offered price, if it was randomised."
    )
    outcomes: list[RecordedOutcome] = []


class ChainStatus(BaseModel):
    """Where a decision stands in the hash-chained record, and whether its own links hold."""

    decision_id: str
    writer: str = Field(description="Whose chain it is in: one incarnation of a process.")
    seq: int = Field(description="Its number in that chain.")
    hash: str
    previous: str = Field(description="The hash of the record before it.")
    holds: bool = Field(
        description="Whether its hash, its content and its links to both neighbours agree; the "
        "whole record is verified by `finnt decisions verify`."
    )
    problems: list[str] = Field(description="What does not hold.")


class Difference(BaseModel):
    """One value that came out otherwise."""

    field: str = Field(description="Its path in the answer, or in `heads`.")
    recorded: Any
    recomputed: Any


class Replayed(BaseModel):
    """A recorded decision computed again."""

    decision_id: str
    agrees: bool = Field(description="Whether all that was compared is as it was recorded.")
    compared: list[str] = Field(description="The parts of the answer that were compared.")
    differences: list[Difference]
    notes: list[str] = Field(description="What could not be compared, and why.")


def chain_from_core(found: "Links") -> ChainStatus:
    """Return the body that tells of a decision's place in the record."""
    content = {**asdict(found), "problems": list(found.problems)}
    return ChainStatus(**content, holds=not found.problems)


def outcome_from_core(outcome: Outcome) -> RecordedOutcome:
    """Return the body that says an outcome."""
    return RecordedOutcome(
        decision_id=outcome.decision_id,
        outcome=outcome.kind.value,
        on=outcome.on,
        offer=outcome.offer,
    )


def decision_from_core(recorded: "Recorded") -> DecisionRecord:
    """Return the body that answers with a recorded decision."""
    entry = recorded.entry
    kept = {} if entry is None else {name: getattr(entry, name) for name in _KEPT}
    outcomes = [outcome_from_core(each) for each in recorded.outcomes]
    content = {"decision_id": recorded.decision_id, "at": recorded.at, **kept}
    return DecisionRecord.model_validate({**content, "outcomes": outcomes})


def replay_from_core(replay: "Replay") -> Replayed:
    """Return the body that answers with a replay."""
    found = [
        Difference(field=each.field, recorded=each.recorded, recomputed=each.recomputed)
        for each in replay.differences
    ]
    return Replayed(
        decision_id=replay.decision_id,
        agrees=replay.agrees,
        compared=list(replay.compared),
        differences=found,
        notes=list(replay.notes),
    )
