"""What decisions have lent since a day, at each of the shadow prices they were made at."""

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from finntelligence.shadow_prices import NO_PRICES
from serving.record.database import snapshot
from serving.record.entry import OutcomeKind
from serving.record.reader import Recorded, decisions, whole

__all__ = ["lent"]


def lent(engine: sa.Engine, portfolio: str, since: datetime) -> Mapping[str, tuple[int, float]]:
    """Return applicants and principal by the digest of the shadow prices, oldest prices first.

    A loan that was taken counts whole; offers without an answer yet count by the probability that
    the customer picks them. Declines count as applicants. Times must have a zone.

    Raises:
        RecordUnavailableError: when the record does not answer.
    """
    found: dict[str, tuple[int, float]] = {}
    with snapshot(engine) as connection:
        for recorded in decisions(connection, portfolio, since):
            digest = whole(recorded).versions.get("shadow_prices", NO_PRICES.digest)
            applicants, principal = found.get(digest, (0, 0.0))
            found[digest] = applicants + 1, principal + _principal(recorded)
    return found


def _principal(recorded: Recorded) -> float:
    offers = whole(recorded).answer["offers"]
    answer = next((o for o in recorded.outcomes if o.kind.slot == "answer"), None)
    if answer is None:
        # without the acceptance model there is no probability: such offers count once taken
        return float(sum((each["p_choice"] or 0.0) * each["principal"] for each in offers))
    taken = answer.kind is OutcomeKind.ACCEPTED
    return float(offers[answer.offer or 0]["principal"]) if taken else 0.0
