"""Campaigns of a book: a sample of it priced together, and the file of prices that services load.

The file holds the shadow prices in force, and under `campaign` what steering needs to know: limits,
the plan's curve, and every price of capital since the campaign began.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from batch.book import Book
from batch.offers import Pricing, scored
from batch.output import replacing
from finntelligence.campaign import Plan, Under, frontier, totals
from finntelligence.errors import InvalidDataError, InvalidDeclarationError
from finntelligence.features import columns_of
from finntelligence.limits import Totals
from finntelligence.offers import Application
from finntelligence.shadow_prices import FORMAT, ShadowPrices
from finntelligence.steering import Course, Usage, steered

__all__ = [
    "Campaign",
    "Sample",
    "Steering",
    "campaign_of",
    "of_plan",
    "read",
    "sample",
    "steer",
    "written",
]

_BLOCK_ROWS = 10_000
_BELOW, _ABOVE, _POINTS = 0.05, 0.15, 21  # of the curve, around the prices 0 and planned


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What is expected of a book under shadow prices, from so many `applicants` of it.

    `people` is how many in the whole book can be scored, by the sample's share of them.
    """

    under: Under
    applicants: int
    people: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A campaign in force: since when, what it is to keep to, and its price of `capital` now.

    `capitals` has all it ever had, by the digest of the shadow prices.
    """

    began: datetime
    course: Course
    capital: float
    capitals: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """What was found on a campaign's way, and the price of capital from now on.

    `lent` is in currency units: so much of it `elsewhere`, at prices that are not the campaign's;
    of the rest the plan says `planned`.
    """

    applicants: int
    lent: float
    elsewhere: float
    planned: float
    before: float
    capital: float
    content: Mapping[str, Any]


def sample(book: Book, pricing: Pricing, most: int) -> Sample:
    """Return a sample of a book: rows evenly spaced in it, `most` at most.

    Rows that cannot be scored do not count, for nobody decides on them.

    Raises:
        InvalidDataError: when no row can be scored.
    """
    stride = max(-(-book.rows // most), 1)
    applications: list[Application] = []
    heads: tuple[list[Any], list[Any]] = [], []
    for block in book.blocks(_BLOCK_ROWS):
        kept = np.arange(-block.first % stride, len(block.table), stride)
        wrong = {i: block.wrong[p] for i, p in enumerate(kept.tolist()) if p in block.wrong}
        some = replace(block, table=block.table.take(kept), wrong=wrong)
        found = scored(pricing, some)
        applications += found.applications
        heads[0].extend(found.risk)
        heads[1].extend(found.acceptance)
    if not applications:
        raise InvalidDataError(f"{book.path}: has no row that can be scored")
    columns, risk, acceptance = columns_of(applications), np.array(heads[0]), np.array(heads[1])

    def under(prices: ShadowPrices) -> Totals:
        return totals(columns, replace(pricing.market, prices=prices), risk, acceptance)

    taken = -(-book.rows // stride)
    people = max(round(book.rows * len(applications) / taken), 1)
    return Sample(under=under, applicants=len(applications), people=people)


def of_plan(
    planned: Plan, under: Under, applicants: int, sampled: int, versions: Mapping[str, str]
) -> dict[str, Any]:
    """Return the content of the file that puts a plan into force for so many applicants."""
    curve: list[tuple[float, float]] = []
    if planned.limits.budget or planned.limits.minimum_volume:
        low, high = sorted((0.0, planned.capital))
        around = np.linspace(low - _BELOW, high + _ABOVE, _POINTS)
        capitals = sorted({*around.round(6).tolist(), 0.0, planned.capital})
        curve = [(c, t.principal) for c, t in frontier(under, capitals, planned)]
    limits = {n: v for n, v in asdict(planned.limits).items() if v is not None}
    for name in {"budget", "minimum_volume"} & set(limits):
        limits[name] *= applicants
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    return {
        "format": FORMAT,
        "prices": asdict(planned.prices),
        "campaign": {
            "began": now,
            "applicants": applicants,
            "sampled": sampled,
            "limits": limits,
            "duals": dict(planned.duals),
            "expected": asdict(planned.expected.times(applicants)),
            "made_of": {name: versions.get(name) for name in ("pair", "policy", "portfolio")},
            "curve": curve,
            "history": [_entry(now, planned.capital, planned.prices)],
        },
    }


def campaign_of(content: Mapping[str, Any]) -> Campaign:
    """Return the campaign that a file of shadow prices holds.

    Raises:
        InvalidDeclarationError: when it holds none that can be steered.
    """
    try:
        found = content["campaign"]
        limits, history = found["limits"], found["history"]
        return Campaign(
            began=datetime.fromisoformat(found["began"]),
            course=Course(
                applicants=int(found["applicants"]),
                curve=tuple((float(c), float(p)) for c, p in found["curve"]),
                budget=limits.get("budget"),
                minimum_volume=limits.get("minimum_volume"),
            ),
            capital=float(history[-1]["capital"]),
            capitals={entry["digest"]: float(entry["capital"]) for entry in history},
        )
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise InvalidDeclarationError(
            f"shadow-prices: holds no campaign that can be steered: {error}"
        ) from error


def steer(content: Mapping[str, Any], lent: Mapping[str, tuple[int, float]]) -> Steering:
    """Move a campaign's price of capital by what was lent at each price, known by its digest.

    Where nobody has asked nothing changes. Raises as `campaign_of`.
    """
    campaign = campaign_of(content)
    used = [
        Usage(capital=campaign.capitals.get(digest), applicants=applicants, principal=principal)
        for digest, (applicants, principal) in lent.items()
    ]
    before = campaign.capital
    moved = round(steered(campaign.course, before, used) - before, 9)
    return Steering(
        applicants=sum(each.applicants for each in used),
        lent=sum(each.principal for each in used),
        elsewhere=sum(each.principal for each in used if each.capital is None),
        planned=campaign.course.planned(used),
        before=before,
        capital=before + moved,
        content=_moved(content, before, moved) if moved else content,
    )


def read(path: Path) -> dict[str, Any]:
    """Return the content of a file of shadow prices.

    Raises:
        InvalidDeclarationError: when there is none.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise InvalidDeclarationError("no campaign is in force; `finnt campaign plan`") from error
    except (OSError, ValueError) as error:
        raise InvalidDeclarationError(f"{path.name} cannot be read: {error}") from error
    ShadowPrices.from_mapping(content)
    return content


def written(
    path: Path, content: Mapping[str, Any], instead_of: Mapping[str, Any] | None = None
) -> None:
    """Put a content into force, `instead_of` one that was read: services that watch it follow.

    Raises:
        InvalidDeclarationError: when what was read is no longer in force.
        InvalidDataError: when it cannot be written.
    """
    if instead_of is not None and read(path) != instead_of:
        raise InvalidDeclarationError(f"{path.name} has changed meanwhile; nothing was written")
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _moved(content: Mapping[str, Any], capital: float, by: float) -> dict[str, Any]:
    prices, campaign = ShadowPrices.from_mapping(content).dearer(by), content["campaign"]
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    history = [*campaign["history"], _entry(now, capital + by, prices)]
    return {**content, "prices": asdict(prices), "campaign": {**campaign, "history": history}}


def _entry(at: str, capital: float, prices: ShadowPrices) -> dict[str, Any]:
    return {"at": at, "capital": capital, "digest": prices.digest}
