"""The answers to one block of a book: the service's own core and models, many at once."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from batch.book import Block
from batch.errors import ClusterError
from finntelligence import __version__
from finntelligence.decision import Decision, decide
from finntelligence.errors import FieldProblem, InvalidApplicationError
from finntelligence.features import REQUEST_FEATURES, columns_of, design_matrix
from finntelligence.fields import Kind
from finntelligence.market import Market
from finntelligence.offers import Application, application
from finntelligence.optimiser import optima
from finntelligence.portfolio import Portfolio

__all__ = ["COLUMNS", "REJECTS", "Part", "Pricing", "Scored", "part", "scored"]

Array = NDArray[np.float64]
Scorer = Callable[[Array], Array]

COLUMNS = pa.schema(
    [
        ("row", pa.int64()),
        ("decision", pa.string()),
        ("principal", pa.float64()),
        ("term_months", pa.int64()),
        *((name, pa.float64()) for name in ("quoted_rate", "nominal_rate", "apr")),
        *((name, pa.float64()) for name in ("monthly_payment", "total_cost")),
        *((name, pa.float64()) for name in ("p_accept", "pd_lifetime", "expected_profit")),
        ("binding", pa.string()),
        ("propensity", pa.float64()),
        ("arm", pa.string()),
        ("reasons", pa.list_(pa.string())),
        ("pair", pa.string()),
        ("policy", pa.string()),
        ("shadow_prices", pa.string()),
    ]
)
"""What is said of each applicant, beside its key: the first offer, or a decline's reasons."""
REJECTS = ("row", "key", "field", "problem")
"""The columns of what is set aside; a row has a line for each of its problems."""
_OF_OFFERS = COLUMNS.names[2 : COLUMNS.names.index("binding") + 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """What prices a book: both models' scorers, (n, features) to (n, heads), and what they fit.

    `explain_risk` returns the risk model's contributions, (n, heads, features + 1). `versions` are
    the exact ids that the service names in its answers.
    """

    market: Market
    versions: Mapping[str, str]
    score_risk: Scorer
    score_acceptance: Scorer
    explain_risk: Scorer


@dataclass(frozen=True, slots=True)
class Part:
    """The answers to a block, and what is set aside of it: rows of `REJECTS`."""

    offers: pa.Table
    rejects: list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Scored:
    """The applications of a block that can be scored, their places, and both models' heads."""

    applications: list[Application]
    places: list[int]
    risk: Array
    acceptance: Array
    problems: dict[int, tuple[FieldProblem, ...]]


def scored(pricing: Pricing, block: Block) -> Scored:
    """Check every row of a block as the service would, and score those that pass."""
    portfolio = pricing.market.portfolio
    values = _values(block, portfolio)
    names = [f.name for f in portfolio.asked if f.name in values]
    applications, places, problems = [], [], {}
    for place in range(len(block.table)):
        try:
            if place in block.wrong:
                raise InvalidApplicationError([FieldProblem("row", block.wrong[place])])
            one = application(
                portfolio,
                features={name: values[name][place] for name in names},
                **{name: values[name][place] for name in REQUEST_FEATURES},
            )
        except InvalidApplicationError as error:
            problems[place] = error.problems
        else:
            applications.append(one)
            places.append(place)
    if not applications:
        return Scored([], [], np.empty((0, 0)), np.empty((0, 0)), problems)
    rows = design_matrix(portfolio, columns_of(applications))
    risk, acceptance = pricing.score_risk(rows), pricing.score_acceptance(rows)
    return Scored(applications, places, risk, acceptance, problems)


def part(pricing: Pricing, block: Block, key: str | None = None) -> Part:
    """Decide on every applicant of a block; `key` names the column that tells who it is.

    Raises:
        ClusterError: when this process has another engine than what priced is known by.
    """
    engine = pricing.versions["engine"]
    if engine != __version__:  # a worker that came later
        raise ClusterError(f"a Dask worker has engine {__version__}, this command {engine}")
    found = scored(pricing, block)
    keys = None if key is None else block.table[key]
    offers = _table(_decisions(pricing, found), [block.first + p for p in found.places], pricing)
    if keys is not None:
        offers = offers.add_column(1, key, keys.take(pa.array(found.places, pa.int64())))
    rejects = [
        (block.first + place, None if keys is None else keys[place].as_py(), p.field, p.problem)
        for place, problems in found.problems.items()
        for p in problems
    ]
    return Part(offers, rejects)


def _decisions(pricing: Pricing, found: Scored) -> list[Decision]:
    market = pricing.market
    best = optima(found.applications, market, found.risk, found.acceptance)
    declined = [place for place, each in enumerate(best) if not each.offers]
    why: dict[int, Array] = {}
    if declined:
        rows = design_matrix(
            market.portfolio, columns_of([found.applications[place] for place in declined])
        )
        why = dict(zip(declined, pricing.explain_risk(rows), strict=True))
    return [
        decide(one, market, (risk, acceptance), pricing.versions, best[place], why.get(place))
        for place, (one, risk, acceptance) in enumerate(
            zip(found.applications, found.risk, found.acceptance, strict=True)
        )
    ]


def _table(decisions: list[Decision], rows: list[int], pricing: Pricing) -> pa.Table:
    first = [each.offers[0] if each.offers else None for each in decisions]
    count, versions = len(decisions), pricing.versions
    columns: dict[str, list[Any]] = {
        "row": rows,
        "decision": ["offers" if offer else "decline" for offer in first],
        **{name: [offer and getattr(offer, name) for offer in first] for name in _OF_OFFERS},
        "propensity": [each.propensity for each in decisions],
        "arm": [each.arm for each in decisions],
        "reasons": [[reason.code for reason in each.reasons] for each in decisions],
        **{name: [versions.get(name)] * count for name in ("pair", "policy", "shadow_prices")},
    }
    return pa.table(columns, schema=COLUMNS)


def _values(block: Block, portfolio: Portfolio) -> dict[str, list[Any]]:
    """Return a block's values as Python's own; what is absent is None."""
    numbers = {f.name for f in portfolio.asked if f.kind is not Kind.CATEGORY}
    numbers |= set(REQUEST_FEATURES)
    found = {}
    for name in block.table.column_names:
        column = block.table[name]
        if name in numbers and pa.types.is_decimal(column.type):  # money often is
            column = column.cast(pa.float64())
        values = column.to_pylist()
        if name in numbers:
            values = [_number(v) if block.is_text and v is not None else v for v in values]
            values = [None if isinstance(v, float) and math.isnan(v) else v for v in values]
        found[name] = values
    return found


def _number(text: str) -> float | str:
    """Return the number that a text says; a text that says none is what is wrong with it."""
    try:
        return text if "_" in text else float(text)  # 1_000 is a number in Python alone
    except ValueError:
        return text
