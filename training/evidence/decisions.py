"""What the engine would decide on held-out applicants, and where its prices come to lie."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finntelligence.features import application_columns
from finntelligence.market import Market
from finntelligence.offers import Application, Offer, application
from finntelligence.optimiser import optimum, terms_at
from finntelligence.portfolio import Portfolio
from finntelligence.rates import Price

__all__ = ["applications", "decisions"]

Array = NDArray[np.float64]


def applications(portfolio: Portfolio, frame: pd.DataFrame) -> list[Application]:
    """Return held-out rows as the applications a service would receive."""
    names = [field.name for field in portfolio.asked]
    rows = []
    for row in frame.to_dict("records"):
        values = {name: None if pd.isna(row[name]) else row[name] for name in names}
        rows.append(
            application(
                portfolio,
                requested_principal=row["requested_principal"],
                requested_term_months=row["requested_term_months"],
                features=values,
            )
        )
    return rows


def decisions(
    market: Market, frame: pd.DataFrame, risk: Array, acceptance: Array
) -> dict[str, Any]:
    """Run the engine on rows, given the models' coefficients for them, each (n, heads).

    Of every best offer: `bound_share` has a rule that keeps its price from a more profitable
    neighbour, `bound_by` says which; `mean_move` is the mean price less the list price, in price
    units; `median_elasticity` that of p_accept to the rate. The profit is the models' own
    expectation, not an outcome.
    """
    best: list[Offer] = []
    moves, elasticities = [], []
    for i, applicant in enumerate(applications(market.portfolio, frame)):
        offers = optimum(applicant, market, risk[i], acceptance[i]).offers
        if offers:
            offer = offers[0]
            best.append(offer)
            moves.append(offer.quoted_rate - _list_rate(market, applicant, offer))
            elasticities.append(_elasticity(market, applicant, acceptance[i], offer))
    bound = Counter(offer.binding for offer in best if offer.binding is not None)
    shown = max(len(best), 1)
    return {
        "applicants": len(frame),
        "offered_share": len(best) / len(frame),
        "bound_share": sum(bound.values()) / shown,
        "bound_by": {code: bound[code] / shown for code in sorted(bound)},
        "mean_move": float(np.mean(moves)) / Price.UNIT if best else 0.0,
        "median_elasticity": float(np.median(elasticities)) if best else 0.0,
        "expected_profit_per_applicant": sum(o.expected_profit for o in best) / len(frame),
    }


def _list_rate(market: Market, applicant: Application, offer: Offer) -> float:
    columns, funds = application_columns(applicant), market.policy.economics.cost_of_funds
    return float(market.portfolio.price.list_rate.rate(columns, offer.term_months, funds)[0])


def _elasticity(market: Market, applicant: Application, acceptance: Array, offer: Offer) -> float:
    """Return d ln p_accept / d ln rate over a tick to either side of an offer."""
    rates = offer.quoted_rate + np.array([-1.0, 1.0]) * market.policy.tick
    terms = terms_at(
        applicant,
        market,
        np.full(2, offer.principal),
        np.full(2, float(offer.term_months)),
        rates,
    )
    p = market.acceptance.probability(acceptance, terms)
    return float(np.diff(np.log(p))[0] / np.diff(np.log(rates))[0])
