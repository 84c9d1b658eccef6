"""The best tick of every (principal, term) cell, found exactly without valuing every tick.

Per unit of balance a loan earns, each month, the margin

    m = (1 - h) u - (funding + capital + servicing cost) - h (1 - discounted recovery)

and its value is fee - acquisition - servicing * (months alive) + (balance at risk) * m. Along the
price of one cell p_accept falls, the rate u and the default hazard `h` rise. Balance at risk and m
rise in u and fall in h, months alive fall in h. Hence on ticks i..j

    profit <= p_accept(i) * (fee - acquisition - servicing * alive(h j)
                             + balance(u j, h i) * max(m(u j, h i), 0))

wherever the bracket is positive.
Intervals whose bound is below the best profit found cannot hold
the optimum and are not looked at. `_search.c` is the same search compiled; without it numpy does it
in two levels, with the same answers.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from finntelligence import cashflow
from finntelligence.policy import Policy
from finntelligence.portfolio import Portfolio, Price
from finntelligence.response import PTI_SHARE_CAP
from finntelligence.value import PD_CEILING, PD_FLOOR, Economics, hazard_table, loan_value

try:
    from finntelligence._search import best_ticks as compiled
except ImportError:  # no compiler where the package was built
    compiled = None  # type: ignore[assignment]

__all__ = ["COMPILED", "Cells", "Grid", "Optima", "best_ticks", "best_ticks_numpy"]

Array = NDArray[np.float64]

COMPILED = compiled is not None
"""Whether the compiled search is in use."""

TABLE_NODES = 1025  # cubic Hermite over logit(pd): hazard within 1e-9 of Newton's
RESULTS = 8
BLOCK = 24  # ticks between the points of numpy's first level


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What is the same for every applicant under one policy.

    `ticks` (T,) are the quotable rates, `terms` (K,) the terms; the others are (K, T): payment per
    unit lent, (1 + u) ** -term, the yearly nominal rate and the monthly rate u. `hazards`
    (K, nodes, 2) holds hazard and its slope over logit(pd), from `logit_low` in steps of
    `logit_step`.
    """

    ticks: Array
    terms: Array
    factor: Array
    decay: Array
    nominal: Array
    monthly: Array
    hazards: Array
    logit_low: float
    logit_step: float
    economics: Economics
    minimum_raroc: float | None

    @classmethod
    def of(cls, portfolio: Portfolio, policy: Policy) -> "Grid":
        """Tabulate a policy."""
        ticks, terms = policy.ticks(), np.array(policy.terms, dtype=float)
        nominal = cashflow.nominal_rate(ticks[None], terms[:, None], portfolio.price.convention)
        nominal = np.ascontiguousarray(np.broadcast_to(nominal, (len(terms), len(ticks))))
        monthly = nominal / cashflow.MONTHS
        horizon = portfolio.default.horizon_months
        logit = np.linspace(_logit(PD_FLOOR), _logit(PD_CEILING), TABLE_NODES)
        smm = policy.economics.monthly_prepayment
        tables = [hazard_table(logit, horizon or term, smm) for term in terms]
        return cls(
            ticks=ticks,
            terms=terms,
            factor=cashflow.monthly_payment(1.0, nominal, terms[:, None]),
            decay=np.exp(-terms[:, None] * np.log1p(monthly)),
            nominal=nominal,
            monthly=monthly,
            hazards=np.ascontiguousarray(np.stack(tables)),
            logit_low=float(logit[0]),
            logit_step=float(logit[1] - logit[0]),
            economics=policy.economics,
            minimum_raroc=policy.minimum_raroc,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Cells to search, one entry each, shape (cells,).

    `low` and `high` are the first and last permitted tick (none if high < low), `row` the position
    of the term in the grid. The logits along the price are, with gap in price units,

        accept: accept_constant + accept_gap * gap + accept_hinge * max(gap, 0)
        risk:   risk_constant + risk_gap * gap + risk_pti * 10 * min(pti_scale * factor, 0.5)

    Ticks whose risk logit is above `risk_limit`, or whose payment per unit lent is above
    `factor_cap`, are not permitted.
    """

    low: Array
    high: Array
    row: NDArray[np.int64]
    principal: Array
    benchmark: Array
    accept_constant: Array
    accept_gap: Array
    accept_hinge: Array
    risk_constant: Array
    risk_gap: Array
    risk_pti: Array
    pti_scale: Array
    risk_limit: Array
    factor_cap: Array

    def stacked(self) -> Array:
        """Return all entries as one array, shape (cells, 14)."""
        return np.stack([getattr(self, f.name) for f in fields(self)], axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Optima:
    """The best tick of every cell, -1 where none is profitable; arrays of shape (cells,).

    `last` is the last tick within both limits, below the cell's first where there is none.
    `npv` is after the shadow price; `profit` is p_accept * npv, and `below` and `above` are that of
    the neighbouring ticks, whether a rule permits them or not.
    """

    tick: NDArray[np.int64]
    last: NDArray[np.int64]
    p_accept: Array
    risk_logit: Array
    npv: Array
    profit: Array
    below: Array
    above: Array


def best_ticks(cells: Cells, grid: Grid, shadow_price: float = 0.0) -> Optima:
    """Return the most profitable permitted tick of every cell; at equal profit the lowest.

    `shadow_price` is charged per unit of principal of a booked loan (Lagrangian of a budget).
    """
    if compiled is None:
        return best_ticks_numpy(cells, grid, shadow_price)
    result = np.zeros((len(cells.low), RESULTS))
    compiled(
        cells.stacked(),
        result,
        *(grid.ticks, grid.factor, grid.decay, grid.monthly, grid.terms, grid.hazards),
        _economics(grid, shadow_price),
        grid.logit_low,
        grid.logit_step,
    )
    return _optima(result)


def best_ticks_numpy(cells: Cells, grid: Grid, shadow_price: float = 0.0) -> Optima:
    """Do what `best_ticks` does with numpy alone.

    Every `BLOCK`th tick is valued first; then all ticks of the blocks whose bound reaches the best
    of those.
    """
    table, result = cells.stacked(), np.zeros((len(cells.low), RESULTS))
    last = _last_within_limits(table, grid)
    result[:, 0], result[:, 1] = -1, last
    live = np.flatnonzero(last >= cells.low)
    if len(live) == 0:
        return _optima(result)
    low, high = cells.low[live].astype(int), last[live]
    blocks = int(np.max(high - low)) // BLOCK + 1
    edges = np.minimum(low[:, None] + np.arange(blocks + 1) * BLOCK, high[:, None])
    owner = np.repeat(live, edges.shape[1])
    value = _evaluate(table[owner], edges.ravel(), grid, shadow_price)
    coarse = value.profit.reshape(edges.shape)
    bound = _bounds(table[owner], edges, value, grid, shadow_price)
    reach = np.maximum(coarse.max(axis=1), 0)
    cell, block = np.nonzero((bound > 0) & (bound >= reach[:, None]))
    ticks = edges[cell, block][:, None] + np.arange(BLOCK + 1)
    inside = ticks <= edges[cell, block + 1][:, None]
    chosen = np.concatenate([np.repeat(live[cell], BLOCK + 1)[inside.ravel()], owner])
    ticks_all = np.concatenate([ticks[inside], edges.ravel()])
    fine = _evaluate(table[chosen], ticks_all, grid, shadow_price)
    order = np.lexsort((ticks_all, -fine.profit, chosen))
    first = order[np.unique(chosen[order], return_index=True)[1]]
    won = first[fine.profit[first] > 0]
    rows, at = chosen[won], ticks_all[won]
    result[rows, 0] = at
    for column, values in enumerate((fine.p_accept, fine.logit, fine.npv, fine.profit), start=2):
        result[rows, column] = values[won]
    for column, step in ((6, -1), (7, 1)):
        beside = np.clip(at + step, 0, len(grid.ticks) - 1)
        neighbour = _evaluate(table[rows], beside, grid, shadow_price)
        result[rows, column] = neighbour.p_accept * neighbour.npv
    return _optima(result)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Points:
    p_accept: Array
    logit: Array
    hazard: Array
    npv: Array
    profit: Array
    months_alive: Array


def _evaluate(table: Array, tick: NDArray[np.int64], grid: Grid, shadow_price: float) -> _Points:
    """Value one tick for each row of stacked cells."""
    _, _, row, principal, benchmark, a0, a_gap, a_hinge, *_ = table.T
    k = row.astype(int)
    gap = (grid.ticks[tick] - benchmark) / Price.UNIT
    p_accept = 1 / (1 + np.exp(-(a0 + a_gap * gap + a_hinge * np.maximum(gap, 0))))
    logit = _risk_logit(table, tick, grid)
    hazard = _hazard(grid, k, logit)
    value = loan_value(principal, grid.nominal[k, tick], grid.terms[k], hazard, grid.economics)
    npv = value.npv - shadow_price * principal
    floor = -np.inf if grid.minimum_raroc is None else grid.minimum_raroc
    profit = np.where((npv > 0) & (value.raroc >= floor), p_accept * npv, -1.0)
    return _Points(
        p_accept=p_accept,
        logit=logit,
        hazard=hazard,
        npv=npv,
        profit=profit,
        months_alive=value.months_alive,
    )


def _risk_logit(table: Array, tick: NDArray[np.int64], grid: Grid) -> Array:
    _, _, row, _, benchmark, _, _, _, constant, slope, pti, scale, *_ = table.T
    gap = (grid.ticks[tick] - benchmark) / Price.UNIT
    share = np.minimum(scale * grid.factor[row.astype(int), tick], PTI_SHARE_CAP)
    return np.asarray(constant + slope * gap + pti * 10 * share)


def _last_within_limits(table: Array, grid: Grid) -> NDArray[np.int64]:
    """Return each cell's last tick within its limits by bisection: both rise in the price."""
    low, high = table[:, 0].astype(int), table[:, 1].astype(int)

    def within(tick: NDArray[np.int64]) -> NDArray[np.bool_]:
        at = np.clip(tick, 0, len(grid.ticks) - 1)
        affordable = grid.factor[table[:, 2].astype(int), at] <= table[:, 13]
        return np.asarray(affordable & (_risk_logit(table, at, grid) <= table[:, 12]))

    done = (high < low) | within(high)
    inside, outside = np.where(done, high, low - 1), high.copy()
    while np.any(open_ := ~done & (outside - inside > 1)):
        middle = (inside + outside) // 2
        fits = within(middle)
        inside = np.where(open_ & fits, middle, inside)
        outside = np.where(open_ & ~fits, middle, outside)
    return inside


def _bounds(
    table: Array, edges: NDArray[np.int64], at: _Points, grid: Grid, shadow_price: float
) -> Array:
    """Upper bound of the profit in every block, shape (cells, blocks)."""
    shape = edges.shape
    k = table[:, 2].astype(int).reshape(shape)[:, :-1]
    lent = table[:, 3].reshape(shape)[:, :-1]
    hazard, e = at.hazard.reshape(shape), grid.economics
    term, nominal = grid.terms[k], grid.nominal[k, edges[:, 1:]]
    high = loan_value(lent, nominal, term, hazard[:, :-1], e)
    on_balance = high.npv - high.fee + high.acquisition + _per_month(high.months_alive, e)
    npv = (
        high.fee
        - shadow_price * lent
        - high.acquisition
        - _per_month(at.months_alive.reshape(shape)[:, 1:], e)
        + np.maximum(on_balance, 0)
    )
    return np.asarray(at.p_accept.reshape(shape)[:, :-1] * npv)


def _per_month(months_alive: Array, economics: Economics) -> Array:
    """Present value of the fixed monthly servicing cost."""
    discount = 1 / (1 + economics.cost_of_funds / cashflow.MONTHS)
    return discount * economics.servicing_cost * months_alive


def _hazard(grid: Grid, row: NDArray[np.int64], logit: Array) -> Array:
    """Interpolate the hazard at logit(pd): cubic Hermite in the row's table."""
    place = np.clip((logit - grid.logit_low) / grid.logit_step, 0, TABLE_NODES - 1)
    k = np.minimum(place.astype(int), TABLE_NODES - 2)
    t = place - k
    start, end = grid.hazards[row, k], grid.hazards[row, k + 1]
    d0, d1 = start[..., 1] * grid.logit_step, end[..., 1] * grid.logit_step
    rise = end[..., 0] - start[..., 0]
    c = d0 + d1 - 2 * rise
    return np.asarray(start[..., 0] + t * (d0 + t * (rise - d0 - c + t * c)))


def _economics(grid: Grid, shadow_price: float) -> Array:
    e = grid.economics
    d = 1 / (1 + e.cost_of_funds / 12)
    capital_cost = e.capital_ratio * (e.hurdle_rate - e.cost_of_funds) / 12
    return np.array(
        [
            d,
            e.monthly_prepayment,
            e.origination_fee,
            e.acquisition_cost,
            d * e.servicing_cost,
            e.cost_of_funds / 12 + e.servicing_rate / 12 + capital_cost,
            1 - d**e.recovery_lag_months * (1 - e.lgd),
            shadow_price,
            e.cost_of_funds,
            -np.inf if grid.minimum_raroc is None else grid.minimum_raroc,
            e.capital_ratio,
            capital_cost,
        ]
    )


def _optima(result: Array) -> Optima:
    tick, last, p_accept, logit, npv, profit, below, above = result.T
    return Optima(
        tick=tick.astype(np.int64),
        last=last.astype(np.int64),
        p_accept=p_accept,
        risk_logit=logit,
        npv=npv,
        profit=profit,
        below=below,
        above=above,
    )


def _logit(p: float) -> float:
    return float(np.log(p / (1 - p)))
