"""Why nothing is offered, in reasons that an adverse-action notice may give.

12 CFR 1002.9(b)(2) asks for the specific principal reasons and calls a creditor's internal
standards or a score missed insufficient; the numbers below are those of its official comments.

- A rule about the payment or the cost of credit speaks for itself (8) and comes first.
- A rule about risk or value never stands as a reason. It is told by the applicant's factors that
  raise the probability of default most above the mean approved applicant's (4, 5), each by the
  name that the portfolio declares (3); where none does, by the amount and term requested.
- A limit on all loans together is told as what it is (2): without it this applicant had an offer.
  What raises the risk follows, for it too keeps the loan from being worth its share of the limit.
- Factors are told only where such a rule or limit stopped some terms: reasons come from the part of
  the decision that failed (7).
- More than four are not likely to help (1).

The offer explained is the menu's nearest to the amount and term requested, at the lowest rate its
price range permits: the most favourable to the applicant.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finntelligence.cashflow import MONTHS
from finntelligence.explain import attribution, cell_terms, effects
from finntelligence.market import PAYMENT_RULES, Cell, Market
from finntelligence.offers import Application
from finntelligence.optimiser import Optimum, candidates, first_broken
from finntelligence.rules import RULES

__all__ = ["LEAST_EFFECT", "MOST_REASONS", "Reason", "reasons"]

Array = NDArray[np.float64]

LEAST_EFFECT = 0.02
"""What a factor must add to the logit of default to be a reason."""
MOST_REASONS = 4
"""More are not likely to help the applicant: comment 1."""

_RULE_SOURCE = "12 CFR 1002.9(b)(2), comment 8"
_FACTOR_SOURCE = "12 CFR 1002.9(b)(2), comment 5"
_REQUEST_SOURCE = "12 CFR 1002.9(b)(2)"
_LIMIT = next(rule for rule in RULES if rule.code == "PORTFOLIO_LIMIT")
_NOT_LENT = "This lender does not lend the amount requested over the term requested"
_SPEAKING: Mapping[str, tuple[str, str, str]] = {
    **{rule.code: (rule.reason, rule.remedy, _RULE_SOURCE) for rule in PAYMENT_RULES},
    "NO_EVIDENCE": (
        _NOT_LENT,
        "Ask for an amount and a term that this lender has offered before",
        _RULE_SOURCE,
    ),
    _LIMIT.code: (_LIMIT.reason, _LIMIT.remedy, "12 CFR 1002.9(b)(2), comment 2"),
}
_OTHER_REQUEST = "Ask for another amount or term; the counter-offer says which, if one would do"
_PRINCIPAL = ("REQUESTED_PRINCIPAL", "Amount requested")
_TERM = ("REQUESTED_TERM", "Length of the term requested")
_OFFERED: Mapping[str, tuple[str, str]] = {
    "requested_principal": _PRINCIPAL,
    "offer=principal": _PRINCIPAL,
    "requested_term_months": _TERM,
    "offer=term": _TERM,
    "offer=payment": ("PAYMENT", "Monthly payment is high for the income"),
    "offer=price": ("PRICE", "Cost of credit for the amount and term requested"),
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why nothing was offered: a stable code, a plain sentence, what would help, and its source.

    `code` is that of the rule or limit that failed, `FIELD:name` of a declared field,
    `REQUESTED_PRINCIPAL`, `REQUESTED_TERM`, `PAYMENT` or `PRICE` of a factor in what was asked for,
    and `SMALL_AMOUNT` or `REQUESTED_TERMS` where no factor stands out. `source` is the regulation
    under which it is told.

    >>> Reason("FIELD:inquiries", "Number of recent credit inquiries").source
    '12 CFR 1002.9(b)(2)'
    """

    code: str
    text: str
    remedy: str = ""
    source: str = _REQUEST_SOURCE

    @property
    def is_factor(self) -> bool:
        """Whether it tells of the applicant, by what raises the risk: no log may hold it."""
        return self.source == _FACTOR_SOURCE


def reasons(
    application: Application,
    market: Market,
    coefficients: tuple[Array, Array],
    found: Optimum,
    contributions: Array,
) -> tuple[Reason, ...]:
    """Return one to four reasons for a decline: failed rules first, then factors, strongest first.

    `coefficients` are the risk and the acceptance model's for the applicant, each (heads,);
    `found` is the optimum that has no offer, and `contributions` (heads, features + 1) are the risk
    model's.

    >>> from dataclasses import replace
    >>> from finntelligence.explain import nearest_cell, reference_of
    >>> contributions = market.risk.contributions(np.zeros((2, 20)))  # it sees no column
    >>> approved = reference_of(market.risk, contributions, terms)
    >>> known = replace(market, risk=replace(market.risk, evidence={"reference": approved}))
    >>> pair, broken = (risk, acceptance), {"EXPECTED_LOSS": 11, "PTI": 1}
    >>> cell = nearest_cell(asked, known, pair, 12_000, 36)
    >>> found = Optimum(offers=(), count_broken=lambda: broken, nearest=cell)
    >>> for reason in reasons(asked, known, pair, found, contributions[0]):
    ...     print(reason.code, reason.text, sep=": ")
    PTI: Income is too low for the monthly payment
    REQUESTED_TERMS: This lender does not lend the amount requested over the term requested

    Raises:
        ModelMismatchError: when the risk model cannot be explained.
        ValueError: when something was found that can be offered.
    """
    cell, broken = found.nearest, found.broken
    if cell is None:
        raise ValueError("what has an offer was not declined")
    ranked = sorted(broken, key=lambda code: -broken[code])
    told = tuple(Reason(code, *_SPEAKING[code]) for code in ranked if code in _SPEAKING)
    is_silent = len(told) < len(ranked)
    if is_silent or _LIMIT.code in broken:
        factors = _factors(application, market, coefficients[0], contributions, cell)
        if "PTI" in broken:  # which says the same
            factors = tuple(factor for factor in factors if factor.code != "PAYMENT")
        if is_silent and not factors:
            factors = (_request(application, market, coefficients, cell),)
        told += factors
    return told[:MOST_REASONS]


def _factors(
    application: Application,
    market: Market,
    risk: Array,
    contributions: Array,
    cell: Cell,
) -> tuple[Reason, ...]:
    """Return what raises the probability of default above the mean approved applicant's."""
    lowest = np.array([min(cell.first, len(market.grid.ticks) - 1)])
    terms = cell_terms(application, market, cell, lowest)
    parts = attribution(market.risk, contributions, risk, terms)
    names = dict(_OFFERED)
    names |= {f.name: (f"FIELD:{f.name}", f.reason) for f in market.portfolio.features}
    pushed: dict[tuple[str, str], float] = {}
    for found in effects(parts, market.risk):
        pushed[names[found.group]] = pushed.get(names[found.group], 0.0) + found.effect
    strongest = sorted(pushed, key=lambda name: -pushed[name])
    return tuple(
        Reason(*name, _OTHER_REQUEST if name in _OFFERED.values() else "", _FACTOR_SOURCE)
        for name in strongest
        if pushed[name] > LEAST_EFFECT
    )


def _request(
    application: Application,
    market: Market,
    coefficients: tuple[Array, Array],
    cell: Cell,
) -> Reason:
    """Return the reason in what was asked for, where no factor raises the risk."""
    if first_broken(application, market, coefficients, cell) == "EXPECTED_LOSS":
        ticks = np.arange(cell.first, cell.last + 1)
        terms = cell_terms(application, market, cell, ticks)
        value = candidates(application, market, *coefficients, terms).value
        costs = market.policy.economics
        servicing = costs.servicing_cost * value.months_alive / (1 + costs.cost_of_funds / MONTHS)
        # at equal risk npv is linear in the principal: it is 0 at principal * fixed / earned
        fixed = value.acquisition + servicing
        earned, most = value.npv + fixed, market.policy.maximum_principal
        if np.any((value.npv <= 0) & (cell.principal * fixed < most * earned)):
            text = "Amount requested is too small to carry the fixed cost of a loan"
            return Reason("SMALL_AMOUNT", text, "Ask for a larger amount", _REQUEST_SOURCE)
    return Reason("REQUESTED_TERMS", _NOT_LENT, _OTHER_REQUEST, _REQUEST_SOURCE)
