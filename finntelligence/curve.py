"""What each price would earn: one applicant's curve of every term, and what if the market moved.

Nothing is valued anew here: points are `optimiser.candidates`, optima are `market.solve`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from finntelligence.errors import FieldProblem, InvalidApplicationError
from finntelligence.explain import cell_terms
from finntelligence.features import application_columns
from finntelligence.market import PAYMENT_RULES, Cell, Market, Solution, solve
from finntelligence.offers import Application
from finntelligence.optimiser import PRICE_RANGE, candidates, first_broken
from finntelligence.portfolio import ECONOMICS
from finntelligence.rules import first_forbidding

__all__ = ["MOST_SHADOW_PRICE", "POINTS", "Assumptions", "PriceCurve", "price_curves"]

Array = NDArray[np.float64]

POINTS = 97
"""How many prices a curve has at least, where the policy quotes as many."""
MOST_SHADOW_PRICE = 1.0
"""The highest price of a unit of principal that may be assumed."""

_BESIDE = 0.2  # of the price range, to either side of it: what is forbidden is shown too


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What the market might be instead; None is the policy's own.

    `cost_of_funds` is a yearly fraction, with which list price and benchmark move as the book
    declares; `lgd` a fraction of the exposure; `shadow_price` is charged per unit of principal of a
    booked loan, as where a budget binds (`shadow_prices.ShadowPrices.principal`).

    >>> Assumptions(lgd=0.5).of(market).policy.economics.lgd, market.policy.economics.lgd
    (0.5, 0.9)
    >>> Assumptions(lgd=2)
    Traceback (most recent call last):
        ...
    finntelligence.errors.InvalidApplicationError: assume.lgd: must be a fraction from 0 to 1

    Raises:
        InvalidApplicationError: naming each assumption that no policy could make.
    """

    cost_of_funds: float | None = None
    lgd: float | None = None
    shadow_price: float | None = None

    def __post_init__(self) -> None:
        bounds = {
            **{name: ECONOMICS[name] for name in ("cost_of_funds", "lgd")},
            "shadow_price": (0, MOST_SHADOW_PRICE),
        }
        problems = [
            FieldProblem(f"assume.{name}", f"must be a fraction from {low:g} to {high:g}")
            for name, (low, high) in bounds.items()
            if (value := getattr(self, name)) is not None and not low <= value <= high  # NaN too
        ]
        if problems:
            raise InvalidApplicationError(problems)

    def of(self, market: Market) -> Market:
        """Return the market as it would then be."""
        changes = {"cost_of_funds": self.cost_of_funds, "lgd": self.lgd}
        known = {name: value for name, value in changes.items() if value is not None}
        economics = replace(market.policy.economics, **known)
        prices = market.prices
        if self.shadow_price is not None:
            prices = replace(prices, principal=self.shadow_price)
        if economics == market.policy.economics and prices == market.prices:
            return market
        return replace(market, policy=replace(market.policy, economics=economics), prices=prices)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceCurve:
    """What each price of one amount and term would earn; arrays of one shape, prices rising.

    `quoted_rate`, `list_rate` and `benchmark` are fractions in the book's convention. `objective`
    is what the engine maximises: p_accept times npv less what the market's shadow prices
    charge; `expected_profit` leaves them out. `broken` has the first rule that forbids each price,
    None where it may be quoted. `price_range` are the ends of the quotable prices within the trust
    region, None where there are none; `caps` the highest price that each rule on cost,
    affordability or risk permits, where it is within the curve. `best` is the place of the engine's
    own price, None where `blocked_by` leaves it none.

    >>> curve = price_curves(asked, market, risk, acceptance, 12_000)[1]
    >>> curve.term_months, float(curve.quoted_rate[curve.best]), int(curve.objective.argmax())
    (36, 0.1508, 60)
    >>> curve.best
    60
    """

    term_months: int
    quoted_rate: Array
    p_accept: Array
    pd_lifetime: Array
    npv: Array
    expected_profit: Array
    objective: Array
    broken: tuple[str | None, ...]
    list_rate: float
    benchmark: float
    price_range: tuple[float, float] | None
    caps: Mapping[str, float]
    best: int | None
    blocked_by: str | None


def price_curves(
    application: Application,
    market: Market,
    risk: Array,
    acceptance: Array,
    principal: float,
) -> tuple[PriceCurve, ...]:
    """Return one curve for each of the policy's terms, of the permitted amount nearest to this one.

    `risk` and `acceptance` are the models' coefficients for this applicant, each (heads,).
    `principal` is in currency units.

    >>> dearer = Assumptions(shadow_price=0.05).of(market)
    >>> free, charged = (
    ...     price_curves(asked, each, risk, acceptance, 12_000)[1] for each in (market, dearer)
    ... )
    >>> [float(curve.quoted_rate[curve.best]) for curve in (free, charged)]
    [0.1508, 0.1786]
    """
    columns = application_columns(application)
    solution = solve(columns, market, risk[None], acceptance[None])
    column = int(np.nanargmin(np.abs(solution.amounts[0, 0] - principal)))
    places = [row * solution.shape[2] + column for row in range(solution.shape[1])]
    return tuple(
        _curve(application, market, (risk, acceptance), solution, place) for place in places
    )


def _curve(
    application: Application,
    market: Market,
    coefficients: tuple[Array, Array],
    solution: Solution,
    place: int,
) -> PriceCurve:
    cell, grid = solution.cell(0, place), market.grid
    optimal = int(solution.optima.tick[place])
    caps = _caps(cell, market)
    ticks = _ticks(cell, len(grid.ticks), [optimal, *caps.values()])
    valued = candidates(
        application, market, *coefficients, cell_terms(application, market, cell, ticks)
    )
    broken = first_forbidding(valued, market.policy)
    has_range = cell.first <= cell.final
    shape = ticks.shape
    p_accept, npv = (np.broadcast_to(a, shape) for a in (valued.p_accept, valued.value.npv))
    return PriceCurve(
        term_months=cell.term_months,
        quoted_rate=valued.terms.quoted_rate,
        p_accept=p_accept,
        pd_lifetime=np.broadcast_to(valued.pd_lifetime, shape),
        npv=npv,
        expected_profit=np.broadcast_to(valued.expected_profit, shape),
        objective=np.broadcast_to(valued.objective, shape),
        broken=tuple(
            code if cell.first <= tick <= cell.final else PRICE_RANGE
            for code, tick in zip(broken, ticks.tolist(), strict=True)
        ),
        list_rate=float(np.ravel(valued.list_rate)[0]),
        benchmark=float(np.ravel(valued.terms.benchmark)[0]),
        price_range=(float(grid.ticks[cell.first]), float(grid.ticks[cell.final]))
        if has_range
        else None,
        caps={
            code: float(grid.ticks[tick])
            for code, tick in caps.items()
            if ticks[0] <= tick < ticks[-1]
        },
        best=int(np.searchsorted(ticks, optimal)) if optimal >= 0 else None,
        blocked_by=None if optimal >= 0 else first_broken(application, market, coefficients, cell),
    )


def _caps(cell: Cell, market: Market) -> dict[str, int]:
    """Return the last tick that each rule on cost, affordability or risk permits, -1 for none."""
    factor = market.grid.factor[cell.row]
    found = {
        rule.code: int(np.searchsorted(factor, cap, side="right")) - 1
        for rule, cap in zip(PAYMENT_RULES, cell.caps, strict=True)
    }
    if cell.first <= cell.last < min([cell.final, *found.values()]):
        found["PD_CUTOFF"] = cell.last  # what else ends a cell's prices before its range does
    return found


def _ticks(cell: Cell, count: int, marked: list[int]) -> NDArray[np.int64]:
    """Return the ticks of a curve, rising: even ones about the price range, and marked ones."""
    first, final = (cell.first, cell.final) if cell.first <= cell.final else (0, count - 1)
    beside = round(_BESIDE * (final - first)) + 1
    low, high = max(first - beside, 0), min(final + beside, count - 1)
    even = np.rint(np.linspace(low, high, POINTS)).astype(np.int64)
    kept = [tick for tick in (first, final, *marked) if low <= tick <= high]
    return np.unique(np.concatenate([even, np.array(kept, dtype=np.int64)]))
