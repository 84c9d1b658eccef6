"""What travels about decisions made: the record of one, and what became of its offer."""

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StrictInt
from pydantic_core import PydanticCustomError

from serving.record.entry import Outcome
from serving.wire import OfferRequest, OfferResponse

if TYPE_CHECKING:  # whoever reads answers needs no database
    from serving.record.reader import Recorded

__all__ = [
    "CustomerOutcome",
    "DecisionRecord",
    "OutcomeRequest",
    "RecordedOutcome",
    "decision_from_core",
    "outcome_from_core",
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


Day = Annotated[date, BeforeValidator(_day), PlainSerializer(date.isoformat, return_type=str)]
_KEPT = ("portfolio", "channel", "request", "answer", "propensity")

CustomerOutcome = Literal["accepted", "declined_by_customer", "defaulted", "prepaid"]


class OutcomeRequest(BaseModel):
    """What became of a decision's offer, and when."""

    model_config = ConfigDict(extra="forbid")

    outcome: CustomerOutcome
    on: Day
    offer: StrictInt | None = Field(
        default=None,
        ge=0,
        lt=2**31,
        description="With an acceptance: the offer's place, the first 0.",
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
