"""The best offers for one applicant: value every permitted (principal, term, rate), keep the best.

Exact by construction: every tick of every cell is valued.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finntelligence import cashflow
from finntelligence.features import application_columns
from finntelligence.offers import Application, Offer, OfferTerms
from finntelligence.policy import RULES, Candidates, Policy
from finntelligence.portfolio import Portfolio
from finntelligence.response import PriceResponse, unsupported
from finntelligence.value import default_hazard, loan_value

__all__ = ["Market", "Optimum", "candidates", "optimum", "terms_at"]

Array = NDArray[np.float64]

PRICE_OUT_OF_RANGE = "PRICE_RANGE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The two fitted models and the policy under which they price."""

    portfolio: Portfolio
    policy: Policy
    risk: PriceResponse
    acceptance: PriceResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """The best permitted offers, best first, and the rules that bound: code to number of cells."""

    offers: tuple[Offer, ...]
    broken: dict[str, int]


def terms_at(
    application: Application,
    portfolio: Portfolio,
    principal: Array,
    term_months: Array,
    quoted_rate: Array,
    cost_of_funds: float,
) -> OfferTerms:
    """Return the full terms of offers to one applicant, from arrays of one shape."""
    columns = application_columns(application)
    nominal = cashflow.nominal_rate(quoted_rate, term_months, portfolio.price.convention)
    return OfferTerms(
        principal=principal,
        term_months=term_months,
        quoted_rate=quoted_rate,
        nominal_rate=nominal,
        payment=cashflow.monthly_payment(principal, nominal, term_months),
        benchmark=portfolio.price.benchmark.rate(columns, term_months, cost_of_funds),
        requested_principal=columns["requested_principal"],
        requested_term_months=columns["requested_term_months"],
        monthly_income=portfolio.affordability.monthly_income(columns),
    )


def candidates(
    application: Application, market: Market, risk: Array, acceptance: Array, terms: OfferTerms
) -> Candidates:
    """Value offers to one applicant, given the models' coefficients, each of shape (heads,)."""
    portfolio, economics = market.portfolio, market.policy.economics
    columns = application_columns(application)
    pd_lifetime = market.risk.probability(risk, terms)
    horizon = portfolio.default.horizon_months or terms.term_months
    hazard = default_hazard(pd_lifetime, horizon, economics.monthly_prepayment)
    return Candidates(
        terms=terms,
        list_rate=portfolio.price.list_rate.rate(
            columns, terms.term_months, economics.cost_of_funds
        ),
        debt_share=portfolio.affordability.debt_share(columns),
        p_accept=market.acceptance.probability(acceptance, terms),
        pd_lifetime=pd_lifetime,
        value=loan_value(terms.principal, terms.nominal_rate, terms.term_months, hazard, economics),
        guessed=unsupported(market.acceptance, terms),
    )


def optimum(application: Application, market: Market, risk: Array, acceptance: Array) -> Optimum:
    """Return the most profitable permitted offers, one per (principal, term), best first.

    `risk` and `acceptance` are the models' coefficients for this applicant, each (heads,). At
    equal profit the lower rate wins.
    """
    policy = market.policy
    best: list[Offer] = []
    broken: dict[str, int] = {}
    for term in policy.terms:
        rates = _permitted_rates(application, market, term)
        for principal in policy.principals(application.requested_principal):
            if not len(rates):
                broken[PRICE_OUT_OF_RANGE] = broken.get(PRICE_OUT_OF_RANGE, 0) + 1
                continue
            offer, rule = _best_in_cell(
                application, market, risk, acceptance, (principal, term, rates)
            )
            if offer is not None:
                best.append(offer)
            elif rule is not None:
                broken[rule] = broken.get(rule, 0) + 1
    best.sort(key=lambda offer: (-offer.expected_profit, offer.apr))
    return Optimum(offers=tuple(best[: policy.menu_size]), broken=broken)


def _permitted_rates(application: Application, market: Market, term: int) -> Array:
    """Quotable rates within the trust region around the list price."""
    policy, columns = market.policy, application_columns(application)
    funds = policy.economics.cost_of_funds
    list_rate = float(market.portfolio.price.list_rate.rate(columns, float(term), funds)[0])
    ticks = policy.ticks()
    slack = policy.tick * 1e-6  # a bound that is itself a tick is permitted
    inside = (ticks >= list_rate - policy.trust_below - slack) & (
        ticks <= list_rate + policy.trust_above + slack
    )
    return ticks[inside]


def _best_in_cell(
    application: Application,
    market: Market,
    risk: Array,
    acceptance: Array,
    cell: tuple[float, int, Array],
) -> tuple[Offer | None, str | None]:
    """Return the cell's best offer, or the first rule that leaves none."""
    principal, term, rates = cell
    terms = terms_at(
        application,
        market.portfolio,
        np.full(rates.shape, principal),
        np.full(rates.shape, float(term)),
        rates,
        market.policy.economics.cost_of_funds,
    )
    valued = candidates(application, market, risk, acceptance, terms)
    permitted = np.ones(rates.shape, dtype=bool)
    verdicts = {}
    for rule in RULES:
        verdicts[rule.code] = rule.permits(valued, market.policy)
        permitted &= verdicts[rule.code]
        if not permitted.any():
            return None, rule.code
    profit = np.where(permitted, valued.expected_profit, -np.inf)
    at = int(np.argmax(profit))
    return _offer(valued, market, at, _binding(valued, verdicts, at)), None


def _binding(valued: Candidates, verdicts: dict[str, NDArray[np.bool_]], at: int) -> str | None:
    """Name the rule that forbids a more profitable neighbouring rate, or the price range's end."""
    profit = valued.expected_profit
    rising_below = at + 1 < len(profit) and profit[at + 1] > profit[at]
    falling_above = at > 0 and profit[at - 1] > profit[at]
    for neighbour, better in ((at + 1, rising_below), (at - 1, falling_above)):
        if better:
            return next((code for code, ok in verdicts.items() if not ok[neighbour]), None)
    if len(profit) > 1 and (
        (at == len(profit) - 1 and profit[at] > profit[at - 1])
        or (at == 0 and profit[0] > profit[1])
    ):
        return PRICE_OUT_OF_RANGE
    return None


def _offer(valued: Candidates, market: Market, at: int, binding: str | None) -> Offer:
    terms, fee = valued.terms, market.policy.economics.origination_fee
    principal, term = float(terms.principal[at]), int(terms.term_months[at])
    nominal = float(terms.nominal_rate[at])
    rows = cashflow.schedule(principal, nominal, term)
    received = principal * (1 - fee)
    return Offer(
        principal=principal,
        term_months=term,
        quoted_rate=float(terms.quoted_rate[at]),
        nominal_rate=nominal,
        apr=float(cashflow.apr(received, terms.payment[at], term)),
        monthly_payment=float(rows[0].payment),
        total_cost=round(float(sum(row.payment for row in rows)) - received, 2),
        p_accept=float(valued.p_accept[at]),
        pd_lifetime=float(valued.pd_lifetime[at]),
        expected_profit=float(valued.expected_profit[at]),
        binding=binding,
    )
