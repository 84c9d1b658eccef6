"""A campaign: the best offers to a book of applicants together, within the portfolio's limits.

Everybody gets at most the one offer that is worth most after its charge, over every permitted
(principal, term, tick): the search of a single offer (`market.solve`), so that a service under the
same prices makes the same offers. `dual` finds the prices. All sums are per applicant, so that a
sample can plan for a book.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finntelligence import cashflow
from finntelligence.dual import UnmetLimitError, UnsettledPricesError, dual
from finntelligence.errors import InvalidDeclarationError
from finntelligence.limits import Limits, Totals
from finntelligence.market import Market, solve
from finntelligence.shadow_prices import NO_PRICES, ShadowPrices
from finntelligence.value import default_hazard, loan_value

__all__ = ["Plan", "Under", "frontier", "plan", "totals"]

Array = NDArray[np.float64]
Under = Callable[[ShadowPrices], Totals]
"""What is expected per applicant of a book under shadow prices; see `totals`."""

_ACCURACY = 1e-7  # of the bound, as a share of the unlimited profit


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The prices of a campaign's limits, and what is expected per applicant under them.

    `duals` has each limit's own price by name, `capital` the price of a unit lent in itself
    (`limits.Limits.capital`). `free` is what would be expected without limits; no offers within
    them earn more than `bound`.

    >>> def under(prices):  # a book that lends less as capital gets dearer
    ...     lent = 1000.0 * (1 - prices.principal)
    ...     return Totals(profit=lent - lent**2 / 2000, loans=0.1, principal=lent,
    ...         expected_loss=0.05 * lent, apr_sum=0.15 * lent)
    >>> round(plan(under, Limits(budget=800.0)).capital, 2)
    0.2
    """

    limits: Limits
    duals: Mapping[str, float]
    capital: float
    prices: ShadowPrices
    expected: Totals
    free: Totals
    bound: float


def totals(
    columns: Mapping[str, NDArray[Any]], market: Market, risk: Array, acceptance: Array
) -> Totals:
    """Return what is expected per applicant of the best offers, at the market's shadow prices.

    `columns` are n applicants' features, `risk` and `acceptance` the models' coefficients,
    (n, heads).

    >>> from finntelligence.features import application_columns
    >>> columns = application_columns(asked)
    >>> found = totals(columns, market, risk[None], acceptance[None])
    >>> round(found.profit, 2), round(found.principal, 2), round(found.expected_loss_ratio, 4)
    (882.9, 5121.95, 0.0576)
    """
    solution = solve(columns, market, risk, acceptance)
    optima, (count, terms, amounts) = solution.optima, solution.shape
    profit = np.where(optima.tick >= 0, optima.profit, -np.inf).reshape(count, -1)
    best = profit.argmax(axis=1)
    offered = np.flatnonzero(np.isfinite(profit[np.arange(count), best]))
    place, row = offered * terms * amounts + best[offered], best[offered] // amounts
    principal = solution.principal[offered, best[offered]]
    term, tick = solution.terms[row], optima.tick[place]
    economics, horizon = market.policy.economics, market.portfolio.default.horizon_months
    pd_lifetime = 1 / (1 + np.exp(-optima.risk_logit[place]))
    hazard = default_hazard(pd_lifetime, horizon or term, economics.monthly_prepayment)
    rate, p_accept = market.grid.nominal[row, tick], optima.p_accept[place]
    value = loan_value(principal, rate, term, hazard, economics)
    received = principal * (1 - economics.origination_fee)
    apr = cashflow.apr(received, principal * market.grid.factor[row, tick], term)
    return Totals(
        profit=float(p_accept @ optima.npv[place]) / count,
        loans=float(p_accept.sum()) / count,
        principal=float(p_accept @ principal) / count,
        expected_loss=float(p_accept @ value.expected_loss) / count,
        apr_sum=float(p_accept @ (principal * apr)) / count,
    )


def plan(under: Under, limits: Limits) -> Plan:
    """Find the shadow prices at which a book keeps its limits, given per applicant.

    >>> from dataclasses import replace
    >>> from finntelligence.features import application_columns
    >>> columns = application_columns(asked)
    >>> def under(prices):
    ...     return totals(columns, replace(market, prices=prices), risk[None], acceptance[None])
    >>> found = plan(under, Limits(budget=2000.0))
    >>> round(found.free.principal), found.capital > 0, found.expected.profit < found.free.profit
    (5122, True, True)

    Raises:
        InvalidDeclarationError: when no offers keep one of the limits, or their prices do not
            settle.
    """
    free = under(NO_PRICES)
    if not limits.in_force:
        raise InvalidDeclarationError("limits: must have one at least")

    def oracle(duals: Array) -> tuple[float, Array]:
        used = under(limits.prices(duals)) if duals.any() else free
        return used.profit, limits.excess(used)

    try:
        found = dual(oracle, len(limits.in_force), accuracy=_ACCURACY)
    except UnmetLimitError as error:
        name = limits.in_force[error.limit]
        raise InvalidDeclarationError(f"limits.{name}: no permitted offers keep it") from error
    except UnsettledPricesError as error:
        raise InvalidDeclarationError(f"limits: {error}; try another sample") from error
    prices = limits.prices(found.prices)
    return Plan(
        limits=limits,
        duals=dict(zip(limits.in_force, found.prices.tolist(), strict=True)),
        capital=limits.capital(found.prices),
        prices=prices,
        expected=under(prices),
        free=free,
        bound=found.bound,
    )


def frontier(
    under: Under, capitals: Sequence[float], planned: Plan | None = None
) -> list[tuple[float, Totals]]:
    """Return what is expected per applicant at each price of capital: the efficient frontier.

    No other offers earn more at the same volume. Other limits keep the prices of the plan, if any.

    >>> points = frontier(lambda prices: Totals(profit=1 - prices.principal, loans=0.1,
    ...     principal=1000.0, expected_loss=80.0, apr_sum=150.0), [0.0, 0.05])
    >>> [(capital, point.profit) for capital, point in points]
    [(0.0, 1.0), (0.05, 0.95)]
    """
    prices, now = (NO_PRICES, 0.0) if planned is None else (planned.prices, planned.capital)
    return [(capital, under(prices.dearer(capital - now))) for capital in capitals]
