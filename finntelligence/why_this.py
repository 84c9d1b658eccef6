"""Why this offer: what moved its probability of default, what it earns, and what is beside it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finntelligence.explain import (
    Effect,
    attribution,
    cell_terms,
    effects,
    nearest_cell,
    reference,
)
from finntelligence.market import Cell, Market
from finntelligence.offers import Application, Offer, OfferTerms
from finntelligence.optimiser import candidates
from finntelligence.policy import TICK_SLACK
from finntelligence.response import PriceResponse
from finntelligence.rules import first_forbidding

__all__ = ["NEIGHBOURS", "WATERFALL", "Explanation", "Neighbour", "why_this"]

Array = NDArray[np.float64]

WATERFALL = (
    *("interest", "fee", "funding", "credit_loss", "servicing"),
    *("acquisition", "capital_charge", "npv"),
)
"""The parts of a booked loan's value, as in `value.LoanValue`."""
NEIGHBOURS = (-100, -50, -25, 25, 50, 100)
"""How far from the offer's rate its neighbours are, in basis points of the quoted rate."""

_BASIS_POINT = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """The same offer at another rate of its price range; `expected_profit` is p_accept * npv.

    `broken` is the code of the first rule that forbids it, None where it may be quoted.

    >>> beside = Neighbour(
    ...     quoted_rate=0.12, p_accept=0.5, npv=900.0, expected_profit=450.0, broken="APR_CAP"
    ... )
    >>> beside.quoted_rate, beside.broken
    (0.12, 'APR_CAP')
    """

    quoted_rate: float
    p_accept: float
    npv: float
    expected_profit: float
    broken: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why one offer is as it is.

    `pd_logit` is `approved_logit`, the mean approved applicant's before clipping, plus all
    `effects`, largest first, plus `floor`. `price_slope` is what one price unit (a point of the
    quoted rate) more adds to the logit of acceptance. `waterfall` values the booked loan, in
    currency units; `neighbours` are up to 100 basis points to either side, where the price
    range has such a rate. `binding` names the rule that keeps the price from a more profitable
    neighbour.

    >>> why = Explanation(pd_logit=-2.0, approved_logit=-2.4, floor=0.1, effects=(),
    ...     price_slope=-0.2, waterfall={"npv": 900.0}, neighbours=(), binding=None)
    >>> round(why.pd_logit - why.approved_logit - why.floor, 2)  # left to the effects
    0.3
    """

    pd_logit: float
    approved_logit: float
    floor: float
    effects: tuple[Effect, ...]
    price_slope: float
    waterfall: Mapping[str, float]
    neighbours: tuple[Neighbour, ...]
    binding: str | None


def why_this(
    application: Application,
    market: Market,
    offer: Offer,
    coefficients: tuple[Array, Array],
    contributions: Array,
) -> Explanation:
    """Explain an offer to an applicant.

    `coefficients` are the risk and the acceptance model's for the applicant, each (heads,), and
    `contributions` (heads, features + 1) the risk model's.

    >>> from dataclasses import replace
    >>> from finntelligence.explain import reference_of
    >>> from finntelligence.optimiser import optimum
    >>> contributions = market.risk.contributions(np.zeros((2, 20)))  # it sees no column
    >>> approved = reference_of(market.risk, contributions, terms)
    >>> known = replace(market, risk=replace(market.risk, evidence={"reference": approved}))
    >>> best = optimum(asked, known, risk, acceptance).offers[0]
    >>> why = why_this(asked, known, best, (risk, acceptance), contributions[0])
    >>> why.price_slope, [round(each.expected_profit) for each in why.neighbours]
    (-0.2, [873, 880, 882, 882, 881, 874])
    >>> round(why.waterfall["npv"] * best.p_accept, 2) == round(best.expected_profit, 2)
    True

    Raises:
        ModelMismatchError: when the risk model cannot be explained.
    """
    cell = nearest_cell(application, market, coefficients, offer.principal, offer.term_months)
    tick = round((offer.quoted_rate - market.policy.minimum_rate) / market.policy.tick)
    ticks = np.array([tick, *_neighbours(market, cell, tick)])
    valued = candidates(
        application, market, *coefficients, cell_terms(application, market, cell, ticks)
    )
    at_offer = cell_terms(application, market, cell, ticks[:1])
    parts = attribution(market.risk, contributions, coefficients[0], at_offer)
    return Explanation(
        pd_logit=parts.logit,
        approved_logit=sum(reference(market.risk).values()),
        floor=parts.floor,
        effects=effects(parts, market.risk),
        price_slope=_price_slope(market.acceptance, coefficients[1], at_offer),
        waterfall={name: float(getattr(valued.value, name)[0]) for name in WATERFALL},
        neighbours=tuple(
            Neighbour(
                quoted_rate=float(valued.terms.quoted_rate[i]),
                p_accept=float(valued.p_accept[i]),
                npv=float(valued.value.npv[i]),
                expected_profit=float(valued.expected_profit[i]),
                broken=broken,
            )
            for i, broken in enumerate(first_forbidding(valued, market.policy)[1:], start=1)
        ),
        binding=offer.binding,
    )


def _neighbours(market: Market, cell: Cell, tick: int) -> list[int]:
    """Return the neighbouring rates of the price range, as positions; between two is none."""
    steps = [points * _BASIS_POINT / market.policy.tick for points in NEIGHBOURS]
    places = [tick + round(step) for step in steps if abs(step - round(step)) < TICK_SLACK]
    return [place for place in places if cell.first <= place <= cell.final]


def _price_slope(acceptance: PriceResponse, coefficients: Array, terms: OfferTerms) -> float:
    """Return d logit(p_accept) / d price unit, to the right of the offer where it has a kink."""
    above = bool(terms.quoted_rate[0] >= terms.benchmark[0])
    moving = ("gap", "gap_hinge") if above else ("gap",)
    heads = zip(acceptance.heads, coefficients, strict=True)
    return float(sum(slope for head, slope in heads if head.phi in moving))
