"""The rules every offer must pass: objects with a code, a plain reason and what would satisfy them.

The optimiser asks them in the order of `RULES`; the first that leaves no price is the one that an
applicant hears of.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finntelligence.cashflow import capped_payment
from finntelligence.offers import OfferTerms
from finntelligence.policy import Policy
from finntelligence.value import LoanValue

__all__ = ["RULES", "Candidates", "Rule", "first_forbidding"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_NO_CAP = np.array(np.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Valued candidate offers that rules judge; arrays that broadcast to one shape.

    `list_rate` is quoted, `debt_share` existing debt payments over income, `pd_lifetime` the PD
    over the book's horizon; `guessed` says that the acceptance model never saw such an offer.
    `charge` is what the market's shadow prices charge the booked loan, in currency units.

    >>> from finntelligence.optimiser import candidates
    >>> valued = candidates(asked, market, risk, acceptance, terms)
    >>> valued.p_accept.round(4).tolist(), valued.value.npv.round(2).tolist()
    ([0.5, 0.4502], [843.36, 990.87])
    >>> valued.expected_profit.round(2).tolist()
    [421.68, 446.06]
    """

    terms: OfferTerms
    list_rate: Array
    debt_share: Array
    p_accept: Array
    pd_lifetime: Array
    value: LoanValue
    guessed: Mask
    charge: Array

    @property
    def expected_profit(self) -> Array:
        """Acceptance times the value of the booked loan, in currency units."""
        return self.p_accept * self.value.npv

    @property
    def objective(self) -> Array:
        """What the engine maximises, in currency units: expected profit after the charge."""
        return self.p_accept * (self.value.npv - self.charge)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One requirement on an offer: a stable code, a plain reason, and what would satisfy it.

    A rule about affordability or cost has a `payment_cap`: the largest monthly payment it permits,
    so that the optimiser can turn it into a last tick. The others judge valued candidates.

    >>> pti = next(rule for rule in RULES if rule.code == "PTI")
    >>> pti.payment_cap(terms, np.array(0.0), market.policy).round(2)  # 25 % of 68,000 / 12
    array([1416.67])
    """

    code: str
    reason: str
    remedy: str
    payment_cap: Callable[[OfferTerms, Array, Policy], Array] | None = None
    judge: Callable[[Candidates, Policy], Mask] | None = None

    def permits(self, candidates: Candidates, policy: Policy) -> Mask:
        """Whether each candidate meets the requirement."""
        if self.payment_cap is not None:
            cap = self.payment_cap(candidates.terms, candidates.debt_share, policy)
            return np.asarray(candidates.terms.payment <= cap)
        assert self.judge is not None, "a rule caps the payment or judges"
        return self.judge(candidates, policy)


def _apr_cap(terms: OfferTerms, _: Array, policy: Policy) -> Array:
    financed = terms.principal * (1 - policy.economics.origination_fee)
    if terms.apr_cap is not None:
        limited = np.isfinite(terms.apr_cap)
        payment = capped_payment(financed, np.where(limited, terms.apr_cap, 0), terms.term_months)
        return np.where(limited, payment, np.inf)
    if policy.apr_cap is None:
        return _NO_CAP
    return capped_payment(financed, policy.apr_cap, terms.term_months)


def _income_share(terms: OfferTerms, share: Array | float, missing: str) -> Array:
    """Return the payment that takes `share` of income; without a known income none, or any."""
    payment = np.where(terms.monthly_income > 0, share * terms.monthly_income, 0.0)
    unknown = np.inf if missing == "skip" else 0.0
    return np.where(np.isnan(terms.monthly_income), unknown, payment)


def _pti_cap(terms: OfferTerms, _: Array, policy: Policy) -> Array:
    if policy.pti_cap is None:
        return _NO_CAP
    return _income_share(terms, policy.pti_cap, policy.if_missing.get("pti", "decline"))


def _dti_cap(terms: OfferTerms, debt_share: Array, policy: Policy) -> Array:
    if policy.dti_cap is None:
        return _NO_CAP
    share = np.maximum(policy.dti_cap - debt_share, 0)
    return _income_share(terms, share, policy.if_missing.get("dti", "decline"))


def _within_pd_cutoff(c: Candidates, policy: Policy) -> Mask:
    return np.asarray(c.pd_lifetime <= (1.0 if policy.pd_cutoff is None else policy.pd_cutoff))


def _reaches_raroc(c: Candidates, policy: Policy) -> Mask:
    floor = -np.inf if policy.minimum_raroc is None else policy.minimum_raroc
    return np.asarray(c.value.raroc >= floor)


RULES: tuple[Rule, ...] = (
    Rule(
        code="NO_EVIDENCE",
        reason="Customers' answers to this amount or term were never observed",
        remedy="Ask for an amount and a term that this lender has offered before",
        judge=lambda c, _: ~c.guessed,
    ),
    Rule(
        code="APR_CAP",
        reason="The cost of credit for this amount and term would be above the permitted maximum",
        remedy="A larger amount or a longer term spreads the fee and lowers the cost of credit",
        payment_cap=_apr_cap,
    ),
    Rule(
        code="PTI",
        reason="Income is too low for the monthly payment",
        remedy="A smaller amount or a longer term lowers the monthly payment",
        payment_cap=_pti_cap,
    ),
    Rule(
        code="DTI",
        reason="Income is too low for the resulting debt payments",
        remedy="A smaller amount, a longer term or less existing debt lowers the debt payments",
        payment_cap=_dti_cap,
    ),
    Rule(
        code="PD_CUTOFF",
        reason="The estimated probability of default is above the lender's limit",
        remedy="A smaller amount or a shorter term lowers the estimate",
        judge=_within_pd_cutoff,
    ),
    Rule(
        code="RAROC",
        reason="The expected credit loss is too high for the capital the loan needs",
        remedy="A smaller amount or a shorter term lowers the expected loss",
        judge=_reaches_raroc,
    ),
    Rule(
        code="EXPECTED_LOSS",
        reason="The expected credit loss and cost of the loan exceed what its price may bring in",
        remedy="Another amount or term may carry the fixed cost, or lower the expected loss",
        judge=lambda c, _: np.asarray(c.value.npv > 0),
    ),
    Rule(
        code="PORTFOLIO_LIMIT",
        reason="This lender limits its loans as a whole, and others now come before this one",
        remedy="Ask again later; the counter-offer says whether another amount or term would do",
        judge=lambda c, _: np.asarray((c.charge <= 0) | (c.value.npv > c.charge)),
    ),
)
"""Every rule, in the order in which they are asked: evidence, law, affordability, risk, value,
and what the limits on all loans together leave.

A payment cap here is kept by the optimiser. What judges is kept by the search itself, which must
learn of a new one.
"""


def first_forbidding(candidates: Candidates, policy: Policy) -> list[str | None]:
    """Return the code of the first of `RULES` that forbids each of n offers, None where none does.

    >>> from finntelligence.optimiser import candidates
    >>> valued = candidates(asked, market, risk, acceptance, terms)
    >>> from dataclasses import replace
    >>> first_forbidding(valued, replace(market.policy, pd_cutoff=0.101))
    [None, 'PD_CUTOFF']
    """
    first: list[str | None] = [None] * len(candidates.terms.quoted_rate)
    for rule in reversed(RULES):
        permitted = np.broadcast_to(rule.permits(candidates, policy), len(first))
        first = [code if ok else rule.code for code, ok in zip(first, permitted, strict=True)]
    return first
