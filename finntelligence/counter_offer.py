"""What smaller amount or longer term would be approved, asked of the whole engine again.

A declined applicant learns the nearest request that would have offers. Distance is what the
applicant gives up: the share of the principal plus the absolute log ratio of the terms. The
applicant's features stay as they are.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finntelligence import offers
from finntelligence.features import REQUEST_FEATURES, application_columns
from finntelligence.market import Market, solve
from finntelligence.offers import Application, Offer
from finntelligence.optimiser import optimum
from finntelligence.policy import Policy
from finntelligence.portfolio import Portfolio

__all__ = ["Alternatives", "CounterOffer", "alternatives", "approvable", "counter_offer"]

Array = NDArray[np.float64]

_FEWEST_RUNGS = 2  # the amount asked for, and the least


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterOffer:
    """The nearest request that would be approved, and the best offer it would get.

    `requested_principal` (currency units) and `requested_term_months` are what to ask for. The
    offer is on the menu of that request, so its amount and term may differ; `sentence` then says
    so, and it always says that nothing is promised.

    >>> from dataclasses import replace
    >>> poor = replace(asked, features={**asked.features, "annual_income": 6_000})
    >>> requests = alternatives(poor, book, market.policy)
    >>> everybody = (len(requests), 1)  # these models see neither amount nor term
    >>> counter = counter_offer(
    ...     requests, market, np.tile(risk, everybody), np.tile(acceptance, everybody)
    ... )
    >>> counter.requested_principal, counter.requested_term_months, counter.offer.monthly_payment
    (10600.0, 36, 124.98)
    >>> counter.sentence[:26]
    'An estimate, not a promise'
    """

    requested_principal: float
    requested_term_months: int
    offer: Offer
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternatives:
    """Other requests of one applicant, nearest first: the amount and the term of each.

    `application` is the applicant's own, amounts are in currency units, terms in months.

    >>> requests = alternatives(asked, book, market.policy)
    >>> len(requests), requests[0].requested_principal, requests[0].requested_term_months
    (62, 10600.0, 36)
    """

    application: Application
    requests: tuple[tuple[float, int], ...]

    def __len__(self) -> int:
        return len(self.requests)

    def __getitem__(self, place: int) -> Application:
        amount, term = self.requests[place]
        return replace(self.application, requested_principal=amount, requested_term_months=term)

    def at(self, places: Sequence[int]) -> "Alternatives":
        """Return those at these places alone."""
        return replace(self, requests=tuple(self.requests[place] for place in places))

    def columns(self) -> Mapping[str, NDArray[Any]]:
        """Return their columns: amounts and terms, (n,), and what they share, (1,).

        >>> columns = alternatives(asked, book, market.policy).columns()
        >>> columns["fico"].tolist(), columns["requested_principal"][:2].tolist()
        ([705.0], [10600.0, 9400.0])
        """
        amounts, terms = self._amounts_and_terms().T
        same = application_columns(self.application)
        return {**same, "requested_principal": amounts, "requested_term_months": terms}

    def rows(self, row: Array) -> Array:
        """Return their rows of the design matrix, (n, features), given the application's own.

        >>> from finntelligence.features import RowEncoder
        >>> row = RowEncoder(book)(asked)
        >>> alternatives(asked, book, market.policy).rows(row)[:2, -2:].tolist()
        [[10600.0, 36.0], [9400.0, 36.0]]
        """
        rows = np.repeat(row, len(self), axis=0)
        rows[:, -len(REQUEST_FEATURES) :] = self._amounts_and_terms()
        return rows

    def _amounts_and_terms(self) -> Array:
        return np.array(self.requests, dtype=float).reshape(-1, len(REQUEST_FEATURES))


def alternatives(
    application: Application, portfolio: Portfolio, policy: Policy, most: int = 64
) -> Alternatives:
    """Return up to `most` other requests of the same applicant, nearest first.

    Amounts go from the one asked for (or the policy's maximum, if that is less) down to the
    policy's minimum; each gives up the same share of the one before and is a multiple of the
    policy's step or one of those ends. Terms are the policy's that are not shorter than the one
    asked for, or the longest if all are shorter. At equal distance the shorter term comes first.

    >>> alternatives(asked, book, market.policy).requests[:3]
    ((10600.0, 36), (9400.0, 36), (12000.0, 48))

    Raises:
        InvalidApplicationError: when the application is not one of this portfolio.
        ValueError: when `most` is below 1.
    """
    if most < 1:
        raise ValueError(f"most must be at least 1, is {most}")
    principal, term_months = application.requested_principal, application.requested_term_months
    terms = [t for t in policy.terms if t >= min(term_months, max(policy.terms))]
    amounts = _rungs(
        min(principal, policy.maximum_principal),
        policy.minimum_principal,
        policy.principal_step,
        # one more, for the request itself is among the pairs and is left out
        max((most + 1) // len(terms), _FEWEST_RUNGS),
    )

    longer = [(abs(math.log(term / term_months)), term) for term in terms]
    ranked = sorted(
        (1 - amount / principal + distance, term, amount)
        for amount in amounts
        for distance, term in longer
        if (amount, term) != (principal, term_months)
    )
    checked = offers.application(
        portfolio,
        requested_principal=principal,
        requested_term_months=term_months,
        features=application.features,
    )
    nearest = tuple((amount, term) for _, term, amount in ranked[:most])
    return Alternatives(application=checked, requests=nearest)


def _rungs(highest: float, lowest: float, step: float, count: int) -> list[float]:
    """Return up to `count` amounts, falling by equal shares, snapped to the step.

    >>> _rungs(12_000.0, 1_000.0, step=100.0, count=4)
    [12000.0, 5200.0, 2300.0, 1000.0]
    """
    if highest <= lowest:
        return [highest]
    share = (lowest / highest) ** (1 / (count - 1))
    steps = (round(highest * share**rung / step) * step for rung in range(1, count))
    snapped = {round(max(amount, lowest), 2) for amount in steps}
    return [highest, *sorted((amount for amount in snapped if amount < highest), reverse=True)]


def approvable(alternatives: Alternatives, market: Market, risk: Array) -> list[int]:
    """Return the places of the alternatives that have a permitted rate of positive value, rising.

    `risk` are the risk model's coefficients for these very alternatives, (n, heads). No other can
    have an offer, whatever the acceptance model says; so it need not be asked about them.

    >>> from dataclasses import replace
    >>> poor = replace(asked, features={**asked.features, "annual_income": 6_000})
    >>> requests = alternatives(poor, book, market.policy)
    >>> approvable(requests, market, np.tile(risk, (len(requests), 1)))[:3]
    [0, 1, 3]
    """
    anybody = np.zeros((len(alternatives), len(market.acceptance.heads)))  # one in two takes it
    return _with_offers(alternatives, market, risk, anybody)


def counter_offer(
    alternatives: Alternatives, market: Market, risk: Array, acceptance: Array
) -> CounterOffer | None:
    """Return the first of the alternatives that has an offer, with its best; None if none has.

    `risk` and `acceptance` are the models' coefficients for these very alternatives, each of shape
    (n, heads): the requested amount and term are features of the models, so the caller must score
    both models again, on the alternatives' own design matrix. The original request's coefficients
    would answer for a request nobody makes.

    >>> requests = alternatives(asked, book, market.policy)
    >>> counter_offer(requests, market, risk[None], acceptance[None])
    Traceback (most recent call last):
        ...
    ValueError: 62 alternatives need as many rows of coefficients, not 1 of risk and 1 of acceptance

    Raises:
        ValueError: when there is not one row of coefficients for each alternative.
    """
    count = len(alternatives)
    if len(risk) != count or len(acceptance) != count:
        raise ValueError(
            f"{count} alternatives need as many rows of coefficients, "
            f"not {len(risk)} of risk and {len(acceptance)} of acceptance"
        )
    if not count:
        return None
    approved = _with_offers(alternatives, market, risk, acceptance)
    if not approved:
        return None
    nearest = approved[0]
    asked = alternatives[nearest]
    offer = optimum(asked, market, risk[nearest], acceptance[nearest]).offers[0]
    return CounterOffer(
        requested_principal=asked.requested_principal,
        requested_term_months=asked.requested_term_months,
        offer=offer,
        sentence=_sentence(asked, offer, market.portfolio.currency),
    )


def _with_offers(
    alternatives: Alternatives, market: Market, risk: Array, acceptance: Array
) -> list[int]:
    ticks = solve(alternatives.columns(), market, risk, acceptance).optima.tick
    approved = (ticks.reshape(len(alternatives), -1) >= 0).any(axis=1)
    return [int(place) for place in np.flatnonzero(approved)]


def _sentence(asked: Application, offer: Offer, currency: str) -> str:
    request = asked.requested_principal, asked.requested_term_months
    offered = offer.principal, offer.term_months
    wanted, given = (f"{p:,.2f} {currency} over {t} months" for p, t in (request, offered))
    other = "" if offered == request else f", with {given} as the first offer"
    return f"An estimate, not a promise: asking for {wanted} would be approved today{other}"
