"""The rates that policies propose for logged quotes, each at the quote's principal and term."""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finntelligence.grid import Cells
from finntelligence.market import PAYMENT_RULES, Market
from finntelligence.offers import OfferTerms
from finntelligence.portfolio import Portfolio
from finntelligence.response import unsupported
from finntelligence.search import best_ticks
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
    """Return the rates, NaN where the policy's caps on payment, cost or default forbid them.

    A price list is to be held against the engine under the rules that bind the engine. `both` are
    the coefficients of risk and acceptance for the quotes.
    """
    terms = repriced(market.portfolio, _terms(market, quotes), rates)
    payment_cap = _payment_cap(market, quotes, replace(terms, apr_cap=_apr_caps(market, quotes)))
    safe = market.risk.probability(both[0], terms) <= (market.policy.pd_cutoff or 1.0)
    return np.where((terms.payment <= payment_cap) & safe, rates, np.nan)


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
    policy, grid = market.policy, market.grid
    terms = _terms(market, quotes)
    listed = quotes["list_rate"].to_numpy(dtype=float)
    first, final = policy.price_range(listed, len(grid.ticks))
    tested = [np.nan_to_num((end - policy.minimum_rate) / policy.tick, nan=-1) for end in ends]
    place = np.searchsorted(grid.terms, terms.term_months)
    place = np.minimum(place, len(grid.terms) - 1)
    within = (grid.terms[place] == terms.term_months) & ~unsupported(market.acceptance, terms)
    within &= (policy.minimum_principal <= terms.principal) & np.isfinite(ends[0])
    within &= terms.principal <= policy.maximum_principal
    default = market.risk.along_price(both[0], terms)
    accept = market.acceptance.along_price(both[1], terms)
    income = terms.monthly_income
    income = np.where(np.isnan(income), market.risk.income_fill, income)
    cells = Cells(
        shape=(len(quotes),),
        low=np.maximum(first, np.ceil(tested[0] - 1e-6)),
        high=np.where(within, np.minimum(final, np.floor(tested[1] + 1e-6)), -1.0),
        row=place,
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
        factor_cap=_payment_cap(market, quotes, terms) / terms.principal,
    )
    tick = best_ticks(cells, grid).tick
    return np.where(tick < 0, np.nan, grid.ticks[np.maximum(tick, 0)])


def _terms(market: Market, quotes: pd.DataFrame) -> OfferTerms:
    return replace(quoted_terms(market.portfolio, quotes), apr_cap=_apr_caps(market, quotes))


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
