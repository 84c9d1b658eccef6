"""What decisions have lent since a day, at each of the shadow prices they were made at.

Who asks several times is one applicant, known by the experiment's key or, without one, by the
features of the request, as an experiment knows them. Each loan that was taken counts whole. Of
offers that nobody has answered, those of an applicant's last decision alone are open, until they
expire, and none once the applicant took a loan: they count by the probability that they are picked.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from finntelligence.declaration import content_digest
from finntelligence.shadow_prices import NO_PRICES
from serving.record.database import snapshot
from serving.record.entry import Entry, Outcome, OutcomeKind, micros
from serving.record.errors import UnknownDecisionError
from serving.record.reader import decisions, whole
from serving.record.schema import records

__all__ = ["lent"]


@dataclass(slots=True)
class _Asker:
    """An applicant's last decision: the prices it was made at, and the principal still open."""

    prices: str
    open: float = 0.0
    has_taken: bool = False


def lent(
    engine: sa.Engine, portfolio: str, since: datetime, open_since: datetime
) -> Mapping[str, tuple[int, float]]:
    """Return applicants and principal by the digest of the shadow prices.

    Offers made before `open_since` that nobody has answered have expired. Applicants count at the
    prices of their last decision, declines too. Times must have a zone.

    Raises:
        UnknownDecisionError: when retention may have removed decisions made since.
        RecordUnavailableError: when the record does not answer.
    """
    askers: dict[str, _Asker] = {}
    taken: dict[str, float] = {}
    with snapshot(engine) as connection:
        _refuse_pruned(connection, portfolio, since)
        for recorded in decisions(connection, portfolio, since):
            entry = whole(recorded)
            digest = entry.versions.get("shadow_prices", NO_PRICES.digest)
            asker = askers.setdefault(_who(entry), _Asker(digest))
            asker.prices, asker.open = digest, 0.0
            answer = next((o for o in recorded.outcomes if o.kind.slot == "answer"), None)
            if answer is None:
                asker.open = _open(entry) if recorded.at >= open_since else 0.0
            elif answer.kind is OutcomeKind.ACCEPTED:
                asker.has_taken = True
                taken[digest] = taken.get(digest, 0.0) + _taken(entry, answer)
    found = {digest: (0, principal) for digest, principal in taken.items()}
    for asker in askers.values():
        applicants, principal = found.get(asker.prices, (0, 0.0))
        found[asker.prices] = applicants + 1, principal + (0 if asker.has_taken else asker.open)
    return found


def _refuse_pruned(connection: sa.Connection, portfolio: str, since: datetime) -> None:
    wanted = sa.select(records.c.content).where(
        records.c.kind == "pruning", records.c.before_us > micros(since)
    )
    books = {json.loads(said)["portfolio"] for said in connection.execute(wanted).scalars()}
    if portfolio in books:
        raise UnknownDecisionError(
            f"decisions made since {since:%Y-%m-%d} were removed after their retention, so what "
            "they lent is not known"
        )


def _who(entry: Entry) -> str:
    return entry.applicant_key or content_digest(entry.request["features"])


def _open(entry: Entry) -> float:
    # without the acceptance model there is no probability: such offers count once taken
    offers = entry.answer["offers"]
    return float(sum((each["p_choice"] or 0.0) * each["principal"] for each in offers))


def _taken(entry: Entry, answer: Outcome) -> float:
    return float(entry.answer["offers"][answer.offer or 0]["principal"])
