"""What becomes of a decision, attached to it: never twice, never in contradiction."""

from datetime import timedelta

from finntelligence.declaration import canonical_json
from serving.record.chain import Event
from serving.record.entry import Entry, Outcome, OutcomeKind, moment
from serving.record.errors import OutcomeConflictError
from serving.record.reader import decision, whole
from serving.record.transaction import Transaction, now_us

__all__ = ["attached"]

_A_DAY = timedelta(days=1)  # the customer's calendar may be ahead of UTC, or behind


def attached(transaction: Transaction, outcome: Outcome) -> Outcome:
    """Attach an outcome; return it as recorded, which is the earlier one where it is repeated.

    Raises:
        UnknownDecisionError: when there is no such decision, or its content was removed.
        OutcomeConflictError: saying what it contradicts.
    """
    transaction.flush()  # the decision may be in this very transaction
    recorded = decision(transaction.connection, outcome.decision_id)
    outcome = _checked(whole(recorded), outcome)
    earlier = {each.kind.slot: each for each in recorded.outcomes}
    same = earlier.get(outcome.kind.slot)
    if same == outcome:
        return same
    if same is not None:
        raise OutcomeConflictError(f"the decision's outcome is already {_told(same)}")
    if outcome.kind.slot == "end" and _kind(earlier.get("answer")) is not OutcomeKind.ACCEPTED:
        raise OutcomeConflictError(f"{outcome.kind} needs an accepted offer; none is recorded")
    if outcome.kind.slot == "end" and outcome.on < earlier["answer"].on:
        raise OutcomeConflictError(f"on: must not be before {earlier['answer'].on}, the acceptance")
    event = Event(
        kind="outcome",
        at_us=now_us(),
        content=canonical_json(outcome.to_content()),
        decision_id=outcome.decision_id,
        slot=outcome.kind.slot,
    )
    transaction.add(event)
    return outcome


def _checked(entry: Entry, outcome: Outcome) -> Outcome:
    """Return the outcome with the accepted offer's place, checked against the decision."""
    offers = len(entry.answer.get("offers", ()))
    if not offers:
        raise OutcomeConflictError("the decision was a decline: there is nothing to accept")
    first, last = entry.at.date() - _A_DAY, moment(now_us()).date() + _A_DAY
    if not first <= outcome.on <= last:
        raise OutcomeConflictError(f"on: must be from {first} to {last}, is {outcome.on}")
    if outcome.kind is not OutcomeKind.ACCEPTED:
        if outcome.offer is not None:
            raise OutcomeConflictError("offer: only an acceptance names one")
        return outcome
    place = 0 if outcome.offer is None and offers == 1 else outcome.offer
    if place is None or not 0 <= place < offers:
        raise OutcomeConflictError(f"offer: must be from 0 to {offers - 1}: which was accepted")
    return Outcome(decision_id=outcome.decision_id, kind=outcome.kind, on=outcome.on, offer=place)


def _kind(outcome: Outcome | None) -> OutcomeKind | None:
    return outcome.kind if outcome else None


def _told(outcome: Outcome) -> str:
    offer = "" if outcome.offer is None else f" (offer {outcome.offer})"
    return f"{outcome.kind} on {outcome.on}{offer}"
