"""Offers at the list price, for when no acceptance model says which price is best.

The book's list-price rule says what each term costs whom; the offer is at the highest quotable rate
at or below it. All that the policy asks of an offer still holds, and whom the list price breaks a
rule for is declined for that rule. What the customer would answer is not known, so nothing that
follows from it is told, and offers stand in another order: nearest to what was asked for first.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from finntelligence.market import Market
from finntelligence.offers import Application, Offer
from finntelligence.optimiser import Optimum, optimum

__all__ = ["at_list_price", "list_price_optimum", "no_answer"]

Array = NDArray[np.float64]

_ONE_TICK = 0.999  # of a tick below the list price there is always one quotable rate, and never two
_ALL = 10**6  # offers are chosen by what was asked for, not by a profit that nobody knows


def at_list_price(market: Market) -> Market:
    """Return the market in which each term has one price, and no price is drawn at random.

    >>> listed = at_list_price(market)
    >>> listed.policy.trust_above, listed.policy.digest == market.policy.digest
    (0.0, True)
    """
    policy = market.policy
    return replace(
        market,
        policy=replace(
            policy,
            trust_below=_ONE_TICK * policy.tick,
            trust_above=0.0,
            menu_size=_ALL,
            demand_choice=True,
            experiment=None,
        ),
    )


def no_answer(market: Market) -> Array:
    """Return acceptance coefficients, (heads,), that stand where none is known.

    At one price a term they change no decision: whatever they say is above 0 for every offer.

    >>> no_answer(market).any()
    np.False_
    """
    return np.zeros(len(market.acceptance.heads))


def list_price_optimum(
    application: Application, listed: Market, risk: Array, menu_size: int
) -> Optimum:
    """Return the permitted offers at the list price that are nearest to what was asked for.

    `listed` is a market `at_list_price`, `risk` the risk model's coefficients, (heads,). In the
    offers `p_accept` and `expected_profit` are NaN, and `p_choice` and `binding` None: not known.

    >>> found = list_price_optimum(asked, at_list_price(market), risk, menu_size=2)
    >>> [(offer.principal, offer.term_months, offer.quoted_rate) for offer in found.offers]
    [(12000.0, 36, 0.135), (12000.0, 24, 0.1254)]
    """
    found = optimum(application, listed, risk, no_answer(listed))
    nearest = sorted(found.offers, key=lambda offer: _distance(application, offer))
    return replace(found, offers=tuple(_untold(offer) for offer in nearest[:menu_size]))


def _distance(application: Application, offer: Offer) -> tuple[float, float, float]:
    """Return how far an offer is from the request: in amount first, then in term."""
    amount = abs(offer.principal - application.requested_principal)
    return amount, abs(offer.term_months - application.requested_term_months), offer.term_months


def _untold(offer: Offer) -> Offer:
    unknown = math.nan
    return replace(offer, p_accept=unknown, expected_profit=unknown, p_choice=None, binding=None)
