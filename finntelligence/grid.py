"""What the search of best ticks is given, and what it gives: grid, cells and their optima."""

from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finntelligence import cashflow
from finntelligence.policy import Policy
from finntelligence.portfolio import Portfolio
from finntelligence.shadow_prices import NO_PRICES, ShadowPrices
from finntelligence.value import PD_CEILING, PD_FLOOR, Economics, hazard_table

__all__ = ["TABLE_NODES", "Cells", "Grid", "Optima", "Peak"]

Array = NDArray[np.float64]

TABLE_NODES = 1025
"""Nodes of the hazard tables: their cubic Hermite is within 1e-9 of Newton's solution."""

_LOW, _HIGH = (float(np.log(pd / (1 - pd))) for pd in (PD_FLOOR, PD_CEILING))
_NODES = np.linspace(_LOW, _HIGH, TABLE_NODES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What is the same for every applicant under one policy.

    `ticks` (T,) are the quotable rates, `terms` (K,) the terms; the others are (K, T): payment per
    unit lent, (1 + u) ** -term, the yearly nominal rate, the monthly rate u, and the shadow prices'
    charge per unit lent, which never falls along the ticks; `loss_price` is that per unit of
    expected loss. `hazards` (K, nodes, 2) holds hazard and its slope over logit(pd), from
    `logit_low` in steps of `logit_step`. `costs` (11,) is what the compiled search wants of
    economics and return hurdle.

    >>> grid = Grid.of(book, market.policy)
    >>> grid.factor.shape, grid.terms.tolist(), grid.ticks[:2].tolist()
    ((4, 3001), [24.0, 36.0, 48.0, 60.0], [0.0599, 0.06])
    """

    ticks: Array
    terms: Array
    factor: Array
    decay: Array
    nominal: Array
    monthly: Array
    charges: Array
    loss_price: float
    hazards: Array
    logit_low: float
    logit_step: float
    economics: Economics
    minimum_raroc: float | None
    costs: Array

    @classmethod
    def of(cls, portfolio: Portfolio, policy: Policy, prices: ShadowPrices = NO_PRICES) -> "Grid":
        """Tabulate a policy, under shadow prices if there are any."""
        ticks, terms = policy.ticks(), np.array(policy.terms, dtype=float)
        nominal = cashflow.nominal_rate(ticks[None], terms[:, None], portfolio.price.convention)
        nominal = np.ascontiguousarray(np.broadcast_to(nominal, (len(terms), len(ticks))))
        monthly = nominal / cashflow.MONTHS
        horizon = portfolio.default.horizon_months
        smm = policy.economics.monthly_prepayment
        tables = [_hazards(horizon or term, smm) for term in policy.terms]
        factor = cashflow.monthly_payment(1.0, nominal, terms[:, None])
        return cls(
            ticks=ticks,
            terms=terms,
            factor=factor,
            decay=np.exp(-terms[:, None] * np.log1p(monthly)),
            nominal=nominal,
            monthly=monthly,
            charges=_charges(prices, factor, terms, policy.economics),
            loss_price=prices.expected_loss,
            hazards=np.ascontiguousarray(np.stack(tables)),
            logit_low=_LOW,
            logit_step=float(_NODES[1] - _NODES[0]),
            economics=policy.economics,
            minimum_raroc=policy.minimum_raroc,
            costs=_costs(policy),
        )

    def uncharged(self) -> "Grid":
        """Return the grid as it is without shadow prices."""
        return replace(self, charges=np.zeros_like(self.charges), loss_price=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Cells to search; every entry broadcasts to `shape`.

    `low` and `high` are the first and last permitted tick (none if high < low), `row` the position
    of the term in the grid. The logits along the price are, with gap in price units,

        accept: accept_constant + accept_gap * gap + accept_hinge * max(gap, 0)
        risk:   risk_constant + risk_gap * gap + risk_pti * 10 * min(pti_scale * factor, 0.5)

    Ticks whose risk logit is above `risk_limit`, or whose payment per unit lent is above
    `factor_cap`, are not permitted. `principal` is in currency units, `benchmark` a quoted rate and
    `pti_scale` the principal over monthly income.

    >>> cells = Cells(shape=(2, 3), low=0, high=3000, row=[[0], [1]], principal=[6e3, 9e3, 12e3],
    ...     benchmark=0.13, accept_constant=0, accept_gap=-0.2, accept_hinge=0, risk_constant=-2.2,
    ...     risk_gap=0.02, risk_pti=0, pti_scale=0, risk_limit=np.inf, factor_cap=np.inf)
    >>> cells.table()[:, 2:4].tolist()  # terms before principals
    [[0.0, 6000.0], [0.0, 9000.0], [0.0, 12000.0], [1.0, 6000.0], [1.0, 9000.0], [1.0, 12000.0]]
    """

    shape: tuple[int, ...]
    low: ArrayLike
    high: ArrayLike
    row: ArrayLike
    principal: ArrayLike
    benchmark: ArrayLike
    accept_constant: ArrayLike
    accept_gap: ArrayLike
    accept_hinge: ArrayLike
    risk_constant: ArrayLike
    risk_gap: ArrayLike
    risk_pti: ArrayLike
    pti_scale: ArrayLike
    risk_limit: ArrayLike
    factor_cap: ArrayLike

    def table(self) -> Array:
        """Return all entries side by side, a row for each cell: shape (cells, 14)."""
        table = np.empty((*self.shape, len(_ENTRIES)))
        for place, name in enumerate(_ENTRIES):
            table[..., place] = getattr(self, name)
        return table.reshape(-1, len(_ENTRIES))

    def at(self, places: NDArray[np.int64]) -> "Cells":
        """Return the cells at these places of the flattened `shape`."""
        columns = dict(zip(_ENTRIES, self.table()[places].T, strict=True))
        return Cells(shape=(len(places),), **columns)


_ENTRIES = tuple(f.name for f in fields(Cells) if f.name != "shape")


class Peak(NamedTuple):
    """The best tick of one cell: what `Optima` has of it, as plain numbers.

    >>> from finntelligence.search import best_ticks
    >>> best_ticks(cells, market.grid).peak(0).tick
    909
    """

    tick: int
    last: int
    p_accept: float
    risk_logit: float
    npv: float
    profit: float
    below: float
    above: float


@dataclass(frozen=True, kw_only=True)
class Optima:
    """The best tick of every cell, -1 where none is profitable; arrays of shape (cells,).

    `last` is the last tick within both limits, below the cell's first where there is none.
    `npv` is the loan's own; `profit` is p_accept times what the shadow prices leave of it, and
    `below` and `above` are that of the neighbouring ticks, whether a rule permits them or not.

    >>> from finntelligence.search import best_ticks
    >>> optima = best_ticks(cells, market.grid)
    >>> market.grid.ticks[optima.tick].tolist(), optima.profit.round(2).tolist()
    ([0.1508], [458.12])
    >>> bool(optima.below[0] < optima.profit[0] > optima.above[0])
    True
    """

    tick: NDArray[np.int64]
    last: NDArray[np.int64]
    p_accept: Array
    risk_logit: Array
    npv: Array
    profit: Array
    below: Array
    above: Array

    @cached_property
    def lists(self) -> dict[str, list[Any]]:
        """The same as lists by name: their elements are read ten times faster."""
        return {f.name: getattr(self, f.name).tolist() for f in fields(self)}

    def peak(self, place: int) -> Peak:
        """Return what was found for the cell at one place of the arrays."""
        lists = self.lists
        return Peak._make([lists[name][place] for name in Peak._fields])


@lru_cache(maxsize=64)  # the same under most of the economics that anyone asks "what if" of
def _hazards(months: float, monthly_prepayment: float) -> Array:
    """Return the hazard table of one horizon or term, shape (nodes, 2)."""
    return hazard_table(_NODES, months, monthly_prepayment)


def _charges(prices: ShadowPrices, factor: Array, terms: Array, economics: Economics) -> Array:
    """Return what the shadow prices charge per unit lent, but for expected losses: (K, T)."""
    apr = np.zeros_like(factor)
    if prices.apr:
        apr = cashflow.apr(np.array(1 - economics.origination_fee), factor, terms[:, None])
        apr = np.maximum.accumulate(apr, axis=1)  # it rises but for the last bits of its root
    return np.ascontiguousarray(prices.charge(np.ones_like(factor), apr, 0.0))


def _costs(policy: Policy) -> Array:
    """Return the economics as `_search.c` orders them; monthly rates, discounted costs."""
    e = policy.economics
    d = 1 / (1 + e.cost_of_funds / cashflow.MONTHS)
    capital_cost = e.capital_ratio * (e.hurdle_rate - e.cost_of_funds) / cashflow.MONTHS
    return np.array(
        [
            d,
            e.monthly_prepayment,
            e.origination_fee,
            e.acquisition_cost,
            d * e.servicing_cost,
            (e.cost_of_funds + e.servicing_rate) / cashflow.MONTHS + capital_cost,
            1 - d**e.recovery_lag_months * (1 - e.lgd),
            e.cost_of_funds,
            -np.inf if policy.minimum_raroc is None else policy.minimum_raroc,
            e.capital_ratio,
            capital_cost,
        ]
    )
