"""Campaigns of a book: a sample of it priced together, and the file of prices that services load.

The file holds the shadow prices in force, and under `campaign` what steering needs to know: limits,
the plan's curve, and every price of capital since the campaign began.
"""

import json
from collections.abc import Mapping, Sequence
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

__all__ = ["Sample", "Steering", "course", "of_plan", "read", "sample", "steer", "written"]

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
class Steering:
    """What was found on a campaign's way, and the price of capital from now on."""

    applicants: int
    lent: float
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


def course(content: Mapping[str, Any]) -> Course:
    """Return what a campaign is to keep to.

    Raises:
        InvalidDeclarationError: when the file holds no campaign that can be steered.
    """
    try:
        campaign = content["campaign"]
        limits = campaign["limits"]
        return Course(
            applicants=int(campaign["applicants"]),
            curve=tuple((float(c), float(p)) for c, p in campaign["curve"]),
            budget=limits.get("budget"),
            minimum_volume=limits.get("minimum_volume"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidDeclarationError(
            f"shadow-prices: holds no campaign that can be steered: {error}"
        ) from error


def steer(content: Mapping[str, Any], lent: Mapping[str, tuple[int, float]]) -> Steering:
    """Move a campaign's price of capital by what was lent at each of its prices, by their digest.

    Decisions at prices that are not the campaign's do not count. Raises as `course`.
    """
    to_keep, campaign = course(content), content["campaign"]
    history = campaign["history"]
    capitals = {entry["digest"]: float(entry["capital"]) for entry in history}
    used: Sequence[Usage] = [
        Usage(capital=capitals[digest], applicants=applicants, principal=principal)
        for digest, (applicants, principal) in lent.items()
        if digest in capitals
    ]
    before = float(history[-1]["capital"])
    capital = round(steered(to_keep, before, used), 9)
    prices = ShadowPrices.from_mapping(content)
    prices = replace(prices, principal=round(prices.principal - before + capital, 12))
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    added = [*history, _entry(now, capital, prices)] if capital != before else history
    return Steering(
        applicants=sum(each.applicants for each in used),
        lent=sum(each.principal for each in used),
        planned=sum(each.applicants * to_keep.expected(each.capital) for each in used),
        before=before,
        capital=capital,
        content={
            **content,
            "prices": asdict(prices),
            "campaign": {**campaign, "history": added},
        },
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


def _entry(at: str, capital: float, prices: ShadowPrices) -> dict[str, Any]:
    return {"at": at, "capital": capital, "digest": prices.digest}
