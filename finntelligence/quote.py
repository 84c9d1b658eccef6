"""What exactly these terms are worth, and to whom: any terms, permitted or not."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finntelligence import cashflow
from finntelligence.errors import FieldProblem, InvalidApplicationError
from finntelligence.market import Market
from finntelligence.offers import Application, Offer
from finntelligence.optimiser import candidates, terms_at
from finntelligence.why_not import Broken, why_not
from finntelligence.why_this import WATERFALL

__all__ = ["Quote", "quote"]

Array = NDArray[np.float64]

# a level payment is up to half a cent off; beyond growth of e ** 20 the last payment of a contract
# would be that half cent grown to millions
_LARGEST_LOG = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """Exact terms, valued for one applicant.

    Fields are those of `offers.Offer`, but that `npv` and its parts in `waterfall`
    (`why_this.WATERFALL`) are the booked loan's, in currency units. `broken` holds every rule the
    terms break; `best` is the engine's own offer of the same amount and term, if it has one, and
    `profit_given_up` its expected profit less that of these terms, both after what shadow prices
    charge (`why_not.WhyNot`).

    >>> asked_for = quote(asked, market, risk, acceptance, 12_000, 36, quoted_rate=0.25)
    >>> asked_for.permitted, [rule.code for rule in asked_for.broken]
    (False, ['PRICE_RANGE'])
    """

    principal: float
    term_months: int
    quoted_rate: float
    nominal_rate: float
    apr: float
    monthly_payment: float
    total_cost: float
    p_accept: float
    pd_lifetime: float
    npv: float
    expected_profit: float
    waterfall: Mapping[str, float]
    broken: tuple[Broken, ...]
    best: Offer | None
    profit_given_up: float | None

    @property
    def permitted(self) -> bool:
        """Whether the terms break no rule, so that the engine could have offered them."""
        return not self.broken


def quote(  # noqa: PLR0913 - a question to one applicant, and the three numbers of the terms
    application: Application,
    market: Market,
    risk: Array,
    acceptance: Array,
    principal: float,
    term_months: int,
    quoted_rate: float,
) -> Quote:
    """Value any terms for one applicant, permitted or not.

    `risk` and `acceptance` are the models' coefficients for this applicant, each (heads,).
    `principal` is in currency units, to the cent, and `quoted_rate` a fraction in the book's
    convention.

    >>> lower = quote(asked, market, risk, acceptance, 12_000, 36, quoted_rate=0.10)
    >>> lower.monthly_payment, round(lower.apr, 4), round(lower.npv, 2), lower.permitted
    (387.21, 0.1211, 454.83, True)

    Raises:
        InvalidApplicationError: as `why_not.why_not`, and at a rate so high that no contract to
            the cent clears the debt over the term.
    """
    judged = why_not(application, market, risk, acceptance, principal, term_months, quoted_rate)
    term = int(term_months)
    cell = np.array([float(principal)]), np.array([float(term)])
    terms = terms_at(application, market, *cell, np.array([float(quoted_rate)]))
    nominal = float(terms.nominal_rate[0])
    if term * math.log1p(nominal / cashflow.MONTHS) > _LARGEST_LOG:
        expected = f"must be a rate at which payments to the cent clear {term} months of debt"
        raise InvalidApplicationError([FieldProblem("quoted_rate", expected)])
    valued = candidates(application, market, risk, acceptance, terms)
    received = principal * (1 - market.policy.economics.origination_fee)
    level, total = cashflow.contract_payments(principal, nominal, term)
    return Quote(
        principal=float(principal),
        term_months=term,
        quoted_rate=float(quoted_rate),
        nominal_rate=nominal,
        apr=float(cashflow.apr(received, float(terms.payment[0]), term)),
        monthly_payment=level,
        total_cost=round(total - received, 2),
        p_accept=judged.p_accept,
        pd_lifetime=judged.pd_lifetime,
        npv=judged.npv,
        expected_profit=judged.expected_profit,
        waterfall={name: float(getattr(valued.value, name)[0]) for name in WATERFALL},
        broken=judged.broken,
        best=judged.best,
        profit_given_up=judged.profit_given_up,
    )
