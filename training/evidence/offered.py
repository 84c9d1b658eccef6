"""What a policy offers each applicant of a table, valued by both models: what screens look at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finntelligence import cashflow
from finntelligence.break_even import break_even_rate
from finntelligence.features import REQUEST_FEATURES
from finntelligence.market import Market, solve
from finntelligence.offers import terms_of
from finntelligence.portfolio import Portfolio
from finntelligence.value import PD_CEILING, PD_FLOOR, default_hazard, loan_value

__all__ = ["Offered", "best_offers", "list_offers", "offered"]

Array = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]
Coefficients = tuple[Array, Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """One offer to each of n applicants; arrays (n,), NaN where there is none.

    `break_even_apr` is the APR at which the booked loan earns nothing at its own probability of
    default, `list_risk` logit(pd) of the same amount and term at the list price: a risk that no
    individual price has touched. `npv` is the booked loan's, in the book's currency.
    """

    principal: Array
    term_months: Array
    apr: Array
    break_even_apr: Array
    list_risk: Array
    p_accept: Array
    npv: Array

    @property
    def approved(self) -> NDArray[np.bool_]:
        """Whether there is an offer."""
        return np.isfinite(self.apr)


def best_offers(frame: pd.DataFrame, market: Market, coefficients: Coefficients) -> Offered:
    """Return the engine's most profitable offer to each applicant of a canonical table.

    It is what `optimiser.optimum` lists first where the policy demands choice. `coefficients` are
    those of risk and acceptance for the rows, each (n, heads).
    """
    solution = solve(_columns(market.portfolio, frame), market, *coefficients)
    shape, optima = solution.principal.shape, solution.optima
    tick = optima.tick.reshape(shape)
    profit = np.where(tick < 0, -np.inf, optima.profit.reshape(shape))
    row = np.arange(shape[1]) // solution.shape[2]
    nominal = market.grid.nominal[row, np.maximum(tick, 0)]
    # at equal profit the lower rate wins, as on the menu
    best = np.lexsort((nominal, -profit), axis=-1)[:, :1]
    chosen = np.take_along_axis(tick, best, axis=-1)[:, 0]
    return offered(
        frame,
        market,
        coefficients,
        principal=np.take_along_axis(solution.principal, best, axis=-1)[:, 0],
        term_months=np.take_along_axis(solution.term_months, best, axis=-1)[:, 0],
        quoted_rate=np.where(chosen < 0, np.nan, market.grid.ticks[np.maximum(chosen, 0)]),
    )


def list_offers(
    frame: pd.DataFrame, market: Market, coefficients: Coefficients, pd_cutoff: float
) -> Offered:
    """Return what a lender without this engine offers: the list price to all below a cut-off.

    Everybody gets the amount and term asked for, at the quotable rate nearest to the list price,
    unless the probability of default there is above `pd_cutoff`.
    """
    portfolio, policy = market.portfolio, market.policy
    columns = _columns(portfolio, frame)
    principal, term = (columns[name].astype(float) for name in REQUEST_FEATURES)
    listed = portfolio.price.list_rate.rate(columns, term, policy.economics.cost_of_funds)
    ticks = market.grid.ticks
    tick = np.round((listed - policy.minimum_rate) / policy.tick).astype(int)
    quoted = ticks[np.clip(tick, 0, len(ticks) - 1)]
    terms = terms_of(portfolio, columns, principal, term, quoted, policy.economics.cost_of_funds)
    safe = market.risk.probability(coefficients[0], terms) <= pd_cutoff
    quoted = np.where(safe, quoted, np.nan)
    return offered(
        frame, market, coefficients, principal=principal, term_months=term, quoted_rate=quoted
    )


def offered(
    frame: pd.DataFrame,
    market: Market,
    coefficients: Coefficients,
    *,
    principal: Array,
    term_months: Array,
    quoted_rate: Array,
) -> Offered:
    """Value one offer to each applicant, none where the quoted rate is NaN, as the models do."""
    portfolio, economics = market.portfolio, market.policy.economics
    given = np.isfinite(quoted_rate)
    columns = {name: column[given] for name, column in _columns(portfolio, frame).items()}
    risk, acceptance = (each[given] for each in coefficients)
    lent, term, quoted = principal[given], term_months[given], quoted_rate[given]
    terms = terms_of(portfolio, columns, lent, term, quoted, economics.cost_of_funds)
    listed = portfolio.price.list_rate.rate(columns, term, economics.cost_of_funds)
    at_list = terms_of(portfolio, columns, lent, term, listed, economics.cost_of_funds)
    horizon = portfolio.default.horizon_months or term
    pd_lifetime = market.risk.probability(risk, terms)
    hazard = default_hazard(pd_lifetime, horizon, economics.monthly_prepayment)
    free = break_even_rate(lent, term, hazard, economics)
    received = lent * (1 - economics.origination_fee)
    found = {
        "principal": lent,
        "term_months": term,
        "apr": cashflow.apr(received, terms.payment, term),
        "break_even_apr": cashflow.apr(received, cashflow.monthly_payment(lent, free, term), term),
        "list_risk": _logit(market.risk.probability(risk, at_list)),
        "p_accept": market.acceptance.probability(acceptance, terms),
        "npv": loan_value(lent, terms.nominal_rate, term, hazard, economics).npv,
    }
    return Offered(**{name: _spread(values, given) for name, values in found.items()})


def _columns(portfolio: Portfolio, frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Return what an application carries, as columns; jurisdictions may cap the price."""
    names = [each.name for each in portfolio.asked]
    return {name: frame[name].to_numpy() for name in (*names, *REQUEST_FEATURES)}


def _logit(pd_lifetime: Array) -> Array:
    p = np.clip(pd_lifetime, PD_FLOOR, PD_CEILING)  # as the engine's value does
    return np.log(p) - np.log1p(-p)


def _spread(values: Array, given: NDArray[np.bool_]) -> Array:
    result = np.full(len(given), np.nan)
    result[given] = values
    return result
