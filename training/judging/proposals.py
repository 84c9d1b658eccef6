"""The rates that policies propose for logged quotes, each at the quote's principal and term."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finntelligence.grid import Cells
from finntelligence.market import PAYMENT_RULES, Market
from finntelligence.offers import OfferTerms
from finntelligence.policy import TICK_SLACK
from finntelligence.portfolio import Portfolio
from finntelligence.response import unsupported
from finntelligence.search import best_ticks
from finntelligence.value import default_hazard, loan_value
from training.evidence.subject import repriced
from training.fitting.price_response import columns_of, quoted_terms
from training.judging.support import Support

__all__ = ["engine_prices", "list_prices", "lowest_prices", "within_rules"]

Array = NDArray[np.float64]

_ANY_BANDWIDTH = 1.0  # only the ends of the tested prices are asked for


def list_prices(quotes: pd.DataFrame) -> Array:
    """Return the list price of every quote, (n,)."""
    return quotes["list_rate"].to_numpy(dtype=float)


def lowest_prices(portfolio: Portfolio, quotes: pd.DataFrame) -> Array:
    """Return the lowest rate tested in each quote's stratum, (n,); NaN where none was."""
    return Support.of(portfolio, quotes, _ANY_BANDWIDTH).low


def within_rules(
    market: Market, quotes: pd.DataFrame, both: tuple[Array, Array], rates: Array
) -> Array:
    """Return the rates, NaN where the policy forbids them.

    A price list is to be held against the engine under the rules that bind the engine: all of them
    but that each offer earns something, which is the engine's own choice. `both` are the
    coefficients of risk and acceptance for the quotes.
    """
    policy, permitted = market.policy, _permitted(market, quotes)
    terms = repriced(market.portfolio, permitted.terms, rates)
    tick = (rates - policy.minimum_rate) / policy.tick
    within = (permitted.first - TICK_SLACK <= tick) & (tick <= permitted.final + TICK_SLACK)
    within &= terms.payment <= permitted.payment_cap
    pd_lifetime = market.risk.probability(both[0], terms)
    within &= pd_lifetime <= (1.0 if policy.pd_cutoff is None else policy.pd_cutoff)
    if policy.minimum_raroc is not None:
        horizon = market.portfolio.default.horizon_months or terms.term_months
        hazard = default_hazard(pd_lifetime, horizon, policy.economics.monthly_prepayment)
        lent = terms.principal, terms.nominal_rate, terms.term_months
        funds = quotes["cost_of_funds"].to_numpy(dtype=float)
        raroc = loan_value(*lent, hazard, policy.economics, funds).raroc
        within &= raroc >= policy.minimum_raroc
    return np.where(within, rates, np.nan)


def engine_prices(market: Market, quotes: pd.DataFrame, both: tuple[Array, Array]) -> Array:
    """Return the rate of the highest expected profit for every quote, (n,); NaN for no offer.

    `both` are the coefficients of risk and acceptance for the quotes, each (n, heads). The rate is
    a quotable one within the policy and within the prices tested; funds cost what they cost when it
    was quoted.
    """
    support = Support.of(market.portfolio, quotes, _ANY_BANDWIDTH)
    funds, rates = quotes["cost_of_funds"].to_numpy(dtype=float), np.full(len(quotes), np.nan)
    for each in np.unique(funds):
        economics = replace(market.policy.economics, cost_of_funds=float(each))
        then = replace(market, policy=replace(market.policy, economics=economics))
        rows = np.flatnonzero(funds == each)
        ends = support.low[rows], support.high[rows]
        part = tuple(coefficients[rows] for coefficients in both)
        rates[rows] = _best(then, quotes.iloc[rows], part, ends)
    return rates


def _best(
    market: Market, quotes: pd.DataFrame, both: tuple[Array, ...], ends: tuple[Array, Array]
) -> Array:
    """Search the best tick of one cell for each quote, as `market.solve` does of all its cells."""
    policy, grid, permitted = market.policy, market.grid, _permitted(market, quotes)
    terms = permitted.terms
    tested = [np.nan_to_num((end - policy.minimum_rate) / policy.tick, nan=-1) for end in ends]
    default = market.risk.along_price(both[0], terms)
    accept = market.acceptance.along_price(both[1], terms)
    income = terms.monthly_income
    income = np.where(np.isnan(income), market.risk.income_fill, income)
    cells = Cells(
        shape=(len(quotes),),
        low=np.maximum(permitted.first, np.ceil(tested[0] - TICK_SLACK)),
        high=np.minimum(permitted.final, np.floor(tested[1] + TICK_SLACK)),
        row=permitted.row,
        principal=terms.principal,
        benchmark=terms.benchmark,
        accept_constant=accept.constant,
        accept_gap=accept.gap,
        accept_hinge=accept.gap_hinge,
        risk_constant=default.constant,
        risk_gap=default.gap,
        risk_pti=default.pti,
        pti_scale=terms.principal / np.maximum(income, 1e-9),
        risk_limit=_logit(policy.pd_cutoff),
        factor_cap=permitted.payment_cap / terms.principal,
    )
    tick = best_ticks(cells, grid).tick
    return np.where(tick < 0, np.nan, grid.ticks[np.maximum(tick, 0)])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Permitted:
    """What the policy permits each of n quotes before risk and return: arrays (n,).

    `first` and `final` are ends of its price range in ticks, the final one -1 where its term or its
    principal may not be offered. `row` is its term's place in the grid.
    """

    terms: OfferTerms
    row: NDArray[np.int64]
    first: Array
    final: Array
    payment_cap: Array


def _permitted(market: Market, quotes: pd.DataFrame) -> _Permitted:
    policy, grid = market.policy, market.grid
    terms = replace(quoted_terms(market.portfolio, quotes), apr_cap=_apr_caps(market, quotes))
    listed = quotes["list_rate"].to_numpy(dtype=float)
    first, final = policy.price_range(listed, len(grid.ticks))
    row = np.minimum(np.searchsorted(grid.terms, terms.term_months), len(grid.terms) - 1)
    within = (grid.terms[row] == terms.term_months) & ~unsupported(market.acceptance, terms)
    within &= policy.minimum_principal <= terms.principal
    within &= terms.principal <= policy.maximum_principal
    return _Permitted(
        terms=terms,
        row=row,
        first=first,
        final=np.where(within, final, -1.0),
        payment_cap=_payment_cap(market, quotes, terms),
    )


def _apr_caps(market: Market, quotes: pd.DataFrame) -> Array | None:
    names = [field.name for field in market.portfolio.asked]
    return market.policy.apr_caps({name: quotes[name].to_numpy() for name in names})


def _payment_cap(market: Market, quotes: pd.DataFrame, terms: OfferTerms) -> Array:
    """Return the largest payment that every rule permits, (n,)."""
    portfolio = market.portfolio
    debt = portfolio.affordability.debt_share(columns_of(portfolio, quotes))
    caps = [
        rule.payment_cap(terms, debt, market.policy) for rule in PAYMENT_RULES if rule.payment_cap
    ]
    return np.asarray(np.min(np.broadcast_arrays(*caps), axis=0))


def _logit(cutoff: float | None) -> float:
    return np.inf if cutoff is None or cutoff >= 1 else float(np.log(cutoff / (1 - cutoff)))
