"""The best tick of every (principal, term) cell, found exactly without valuing every tick.

Per unit of balance a loan earns, each month, the margin

    m = (1 - h) u - (funding + capital + servicing cost) - h (1 - discounted recovery)

and its value is fee - acquisition - servicing * (months alive) + (balance at risk) * m. Along the
price of one cell p_accept falls, the rate u and the default hazard h rise; balance at risk rises
in u and falls in h, months alive fall in h. On ticks i..j, with t running from 0 to 1, therefore

    h >= h_i + t H    H: the hazard is convex, then concave in its logit, and the payment convex
                      in the tick, so the line of the lesser of tangent and chord lies below
    u <= u_i + t U    U: the rate is linear in the tick, or concave (add-on): its first step counts
    m <= m_i + t M    M = (1 - h_i) U - H (u_i + cost of a default)
    p_accept <= p_i exp(-t F)    F: (1 - p_i) times the least that its logit falls from i to j

and the balance is at most that of (u_j, h_i) where m > 0, at least that of (u_i, h_j) where m < 0.
U and H are at least 0, so the t * t term of the product may go. The chord runs to the hazard at
the logit of i plus its least rise, in which the payment counts 0 where its share reaches the cap by
j. Where m changes sign, max(m most, m least) is convex in t, so its chord is the line.
So the profit is at most exp(-t F) times a line in t, whose maximum is known. Intervals whose bound
is below the best profit found cannot hold the optimum and are not looked at (branch and bound, Land
and Doig 1960). `_search.c` does this, compiled. Without it numpy does with two levels of blocks and
the plainer bound p_i * (value at the rate of j and the hazard of i), with the same answers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finntelligence import cashflow
from finntelligence.grid import TABLE_NODES, Cells, Grid, Optima
from finntelligence.rates import Price
from finntelligence.response import PTI_SHARE_CAP
from finntelligence.value import Economics, loan_value

try:
    from finntelligence._search import best_ticks as compiled
except ImportError:  # no compiler where the package was built
    compiled = None  # type: ignore[assignment]

__all__ = ["COMPILED", "best_ticks", "best_ticks_numpy"]

Array = NDArray[np.float64]

COMPILED = compiled is not None
"""Whether the compiled search is in use."""

RESULTS = 8
BLOCK = 24  # ticks between the points of numpy's first level


def best_ticks(cells: Cells, grid: Grid) -> Optima:
    """Return the most profitable permitted tick of every cell; at equal profit the lowest.

    Profit is after what the grid's shadow prices charge.

    >>> optima = best_ticks(cells, market.grid)
    >>> market.grid.ticks[optima.tick].tolist(), optima.npv.round(2).tolist()
    ([0.1508], [1202.03])
    >>> from finntelligence.shadow_prices import ShadowPrices
    >>> dear = Grid.of(market.portfolio, market.policy, ShadowPrices(principal=0.05))
    >>> optima = best_ticks(cells, dear)
    >>> market.grid.ticks[optima.tick].tolist(), optima.npv.round(2).tolist()
    ([0.1786], [1617.76])

    Raises:
        ValueError: when a cell's ticks or row are outside the grid (the compiled search).
    """
    if compiled is None:
        return best_ticks_numpy(cells, grid)
    table = cells.table()
    result = np.zeros((len(table), RESULTS))
    compiled(
        table,
        result,
        *(grid.ticks, grid.factor, grid.decay, grid.monthly, grid.charges, grid.terms),
        grid.hazards,
        grid.costs,
        grid.logit_low,
        grid.logit_step,
        grid.loss_price * grid.economics.lgd,
    )
    return _optima(result)


def best_ticks_numpy(cells: Cells, grid: Grid) -> Optima:
    """Do what `best_ticks` does with numpy alone.

    Every `BLOCK`th tick is valued first; then all ticks of the blocks whose bound reaches the best
    of those.

    >>> optima = best_ticks_numpy(cells, market.grid)
    >>> bool(optima.tick == best_ticks(cells, market.grid).tick)
    True
    """
    table = cells.table()
    result = np.zeros((len(table), RESULTS))
    last = _last_within_limits(table, grid)
    result[:, 0], result[:, 1] = -1, last
    live = np.flatnonzero(last >= table[:, 0])
    if len(live) == 0:
        return _optima(result)
    low, high = table[live, 0].astype(int), last[live]
    blocks = int(np.max(high - low)) // BLOCK + 1
    edges = np.minimum(low[:, None] + np.arange(blocks + 1) * BLOCK, high[:, None])
    owner = np.repeat(live, edges.shape[1])
    value = _evaluate(table[owner], edges.ravel(), grid)
    coarse = value.profit.reshape(edges.shape)
    bound = _bounds(table[owner], edges, value, grid)
    reach = np.maximum(coarse.max(axis=1), 0)
    cell, block = np.nonzero((bound > 0) & (bound >= reach[:, None]))
    ticks = edges[cell, block][:, None] + np.arange(BLOCK + 1)
    inside = ticks <= edges[cell, block + 1][:, None]
    chosen = np.concatenate([np.repeat(live[cell], BLOCK + 1)[inside.ravel()], owner])
    ticks_all = np.concatenate([ticks[inside], edges.ravel()])
    fine = _evaluate(table[chosen], ticks_all, grid)
    order = np.lexsort((ticks_all, -fine.profit, chosen))
    first = order[np.unique(chosen[order], return_index=True)[1]]
    won = first[fine.profit[first] > 0]
    rows, at = chosen[won], ticks_all[won]
    result[rows, 0] = at
    for column, values in enumerate((fine.p_accept, fine.logit, fine.npv, fine.profit), start=2):
        result[rows, column] = values[won]
    for column, step in ((6, -1), (7, 1)):
        beside = np.clip(at + step, 0, len(grid.ticks) - 1)
        neighbour = _evaluate(table[rows], beside, grid)
        result[rows, column] = neighbour.p_accept * neighbour.charged
    return _optima(result)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Points:
    p_accept: Array
    logit: Array
    hazard: Array
    npv: Array
    charged: Array
    profit: Array
    months_alive: Array


def _evaluate(table: Array, tick: NDArray[np.int64], grid: Grid) -> _Points:
    """Value one tick for each row of stacked cells."""
    _, _, row, principal, benchmark, a0, a_gap, a_hinge, *_ = table.T
    k = row.astype(int)
    gap = (grid.ticks[tick] - benchmark) / Price.UNIT
    accept = a0 + a_gap * gap + a_hinge * np.maximum(gap, 0)
    with np.errstate(over="ignore"):  # exp of a hopeless offer is infinite, p is 0
        p_accept = 1 / (1 + np.exp(-accept))
    logit = _risk_logit(table, tick, grid)
    hazard = _hazard(grid, k, logit)
    value = loan_value(principal, grid.nominal[k, tick], grid.terms[k], hazard, grid.economics)
    charged = value.npv - principal * grid.charges[k, tick] - grid.loss_price * value.expected_loss
    floor = -np.inf if grid.minimum_raroc is None else grid.minimum_raroc
    permitted = (value.npv > 0) & (charged > 0) & (value.raroc >= floor)
    profit = np.where(permitted, p_accept * charged, -1.0)
    return _Points(
        p_accept=p_accept,
        logit=logit,
        hazard=hazard,
        npv=value.npv,
        charged=charged,
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


def _bounds(table: Array, edges: NDArray[np.int64], at: _Points, grid: Grid) -> Array:
    """Upper bound of the profit in every block, shape (cells, blocks)."""
    shape = edges.shape
    k = table[:, 2].astype(int).reshape(shape)[:, :-1]
    lent = table[:, 3].reshape(shape)[:, :-1]
    hazard, e = at.hazard.reshape(shape), grid.economics
    term, nominal = grid.terms[k], grid.nominal[k, edges[:, 1:]]
    high = loan_value(lent, nominal, term, hazard[:, :-1], e)
    on_balance = high.npv - high.fee + high.acquisition + _per_month(high.months_alive, e)
    on_balance = on_balance - grid.loss_price * high.expected_loss  # a default is dearer by it
    npv = (
        high.fee
        - lent * grid.charges[k, edges[:, :-1]]
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
