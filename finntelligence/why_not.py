"""Why not these terms: every rule they break, and the profit they give up.

"Why not a lower price", "a higher price", "more" and "exactly this" are one question: ask for the
terms in mind. Terms that break nothing were merely less profitable than the engine's own for the
same amount and term, by `profit_given_up`. That is after what shadow prices charge, if there are
any: the engine ranks by nothing else (`shadow_prices`).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from finntelligence import cashflow
from finntelligence.errors import FieldProblem, InvalidApplicationError
from finntelligence.features import application_columns
from finntelligence.market import Market, solve
from finntelligence.offers import Application, Offer
from finntelligence.optimiser import PRICE_RANGE, candidates, optimum, terms_at
from finntelligence.policy import TICK_SLACK, Policy
from finntelligence.rules import RULES, Candidates, Rule

__all__ = [
    "DEAREST",
    "LARGEST",
    "LONGEST",
    "PRINCIPAL_MENU",
    "TERM_MENU",
    "TICK",
    "Broken",
    "WhyNot",
    "why_not",
]

Array = NDArray[np.float64]
Figures = tuple[Array | float, Array | float | None]

PRINCIPAL_MENU = "PRINCIPAL_MENU"
"""The pseudo-rule of the amounts that the policy offers on a request."""
TERM_MENU = "TERM_MENU"
"""The pseudo-rule of the policy's terms."""
TICK = "TICK"
"""The pseudo-rule of the quotable rates: the policy's lowest, and steps of a tick from there."""

_REASONS = {
    PRINCIPAL_MENU: "This amount is not among those offered on this request",
    TERM_MENU: "This term is not among those offered",
    TICK: "Rates are quoted in steps, and this one falls between two",
    PRICE_RANGE: "This price is outside the range permitted for this term",
}
LARGEST = 1e9
"""The largest amount that any book may declare, in its currency."""
LONGEST = 600
"""The longest term that any book may declare, in months."""
DEAREST = 10
"""The highest rate that any book may declare, a fraction."""

_LARGEST_LOG = 600.0  # growth of e ** 600 over the term leaves floats room
_HALF_CENT = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """One rule that terms break: its code, a plain reason, and the figure against its limit.

    Where a rule has no figure, or this applicant none (a share of no income), both or the figure
    are None. Fractions: the APR against its cap (`APR_CAP`), payment over income (`PTI`), all debt
    payments over income (`DTI`), probability of default over the term (`PD_CUTOFF`), return on
    capital against its floor (`RAROC`). Currency units: the NPV against 0 (`EXPECTED_LOSS`) and
    against what the shadow prices charge (`PORTFOLIO_LIMIT`).
    `PRICE_RANGE`, `TICK`, `PRINCIPAL_MENU` and `TERM_MENU` hold what was asked for against the
    nearest that is permitted, if any is: a quoted rate, an amount, months.

    >>> answer = why_not(asked, market, risk, acceptance, 12_000, 36, quoted_rate=0.25)
    >>> [(broken.code, broken.figure, broken.limit) for broken in answer.broken]
    [('PRICE_RANGE', 0.25, 0.185)]
    """

    code: str
    reason: str
    figure: float | None
    limit: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyNot:
    """What the engine thinks of exactly these terms.

    `broken` holds every broken rule: menu and price first, then in the order of `rules.RULES`.
    `p_accept` and `pd_lifetime` are probabilities, `npv` the value of the booked loan and
    `expected_profit` p_accept * npv, in currency units. `best` is the engine's own offer of the
    same amount and term, None where it has none. `profit_given_up` is the expected profit of
    `best` less that of these terms, both after what the shadow prices charge: below 0 where a rule
    forbids more profitable ones.

    >>> answer = why_not(asked, market, risk, acceptance, 12_000, 36, quoted_rate=0.10)
    >>> round(answer.p_accept, 4), round(answer.npv, 2), round(answer.expected_profit, 2)
    (0.6298, 454.83, 286.44)
    """

    broken: tuple[Broken, ...]
    p_accept: float
    pd_lifetime: float
    npv: float
    expected_profit: float
    best: Offer | None
    profit_given_up: float | None

    @property
    def permitted(self) -> bool:
        """Whether the terms break no rule, so that the engine could have offered them."""
        return not self.broken


def why_not(  # noqa: PLR0913 - a question to one applicant, and the three numbers of the terms
    application: Application,
    market: Market,
    risk: Array,
    acceptance: Array,
    principal: float,
    term_months: int,
    quoted_rate: float,
) -> WhyNot:
    """Judge and value any terms for one applicant, permitted or not.

    `risk` and `acceptance` are the models' coefficients for this applicant, each (heads,).
    `principal` is in currency units and `quoted_rate` a fraction in the book's convention.

    >>> lower = why_not(asked, market, risk, acceptance, 12_000, 36, quoted_rate=0.10)
    >>> lower.permitted, lower.best.quoted_rate, round(lower.profit_given_up, 2)
    (True, 0.1508, 171.68)

    Raises:
        InvalidApplicationError: when no book may declare such terms: an amount not from a cent to
            1e9, a term not of 1 to 600 whole months, or a rate not from 0 to 10, or so high that a
            debt over the term would outgrow floating point.
    """
    _refuse_impossible(market, principal, term_months, quoted_rate)
    policy = market.policy
    ratio, amount = _nearest_amount(policy, application.requested_principal, principal)
    term = min(policy.terms, key=lambda t: (abs(t - term_months), t))

    def valued(rate: float) -> Candidates:
        cell = np.array([float(principal)]), np.array([float(term_months)])
        terms = terms_at(application, market, *cell, np.array([float(rate)]))
        return candidates(application, market, risk, acceptance, terms)

    # the engine again, on a menu of this one cell
    menu = replace(policy, principal_ratios=(ratio,), terms=(int(term_months),), menu_size=1)
    only = replace(market, policy=menu)
    solution = solve(application_columns(application), only, risk[None], acceptance[None])
    price_range = solution.cell(0, 0)
    asked = valued(quoted_rate)
    broken = (
        *_off_menu(PRINCIPAL_MENU, principal, amount, _HALF_CENT),
        *_off_menu(TERM_MENU, term_months, term, 0.5),
        *_unquotable(policy, quoted_rate, price_range.first, price_range.final),
        *(_broken_rule(r, asked, policy) for r in RULES if not r.permits(asked, policy).all()),
    )
    on_menu = not {PRINCIPAL_MENU, TERM_MENU} & {rule.code for rule in broken}
    found = optimum(application, only, risk, acceptance).offers if on_menu else ()
    return WhyNot(
        broken=broken,
        p_accept=float(asked.p_accept[0]),
        pd_lifetime=float(asked.pd_lifetime[0]),
        npv=float(asked.value.npv[0]),
        expected_profit=float(asked.expected_profit[0]),
        best=found[0] if found else None,
        # valued the same way, so that the best against itself gives up exactly nothing
        profit_given_up=float((valued(found[0].quoted_rate).objective - asked.objective)[0])
        if found
        else None,
    )


def _refuse_impossible(
    market: Market, principal: float, term_months: float, quoted_rate: float
) -> None:
    problems = []
    if not 0.01 <= principal <= LARGEST:
        expected = f"must be a number from 0.01 to {LARGEST:.15g} {market.portfolio.currency}"
        problems.append(FieldProblem("principal", expected))
    possible = 1 <= term_months <= LONGEST and float(term_months).is_integer()
    if not possible:
        problems.append(FieldProblem("term_months", f"must be 1 to {LONGEST} whole months"))
    if not 0 <= quoted_rate <= DEAREST:
        expected = f"must be a fraction from 0 to {DEAREST}"
        problems.append(FieldProblem("quoted_rate", expected))
    elif possible:
        convention = market.portfolio.price.convention
        monthly = cashflow.nominal_rate(quoted_rate, term_months, convention) / cashflow.MONTHS
        if not term_months * math.log1p(float(monthly)) < _LARGEST_LOG:
            expected = f"must be a rate at which a debt can grow for {term_months} months"
            problems.append(FieldProblem("quoted_rate", expected))
    if problems:
        raise InvalidApplicationError(problems)


def _nearest_amount(policy: Policy, requested: float, principal: float) -> tuple[float, float]:
    """Return the ratio whose amount on the request is nearest to `principal`, and that amount."""
    amounts = {
        ratio: float(replace(policy, principal_ratios=(ratio,)).principals(requested)[0])
        for ratio in policy.principal_ratios
    }
    return min(amounts.items(), key=lambda entry: (abs(entry[1] - principal), entry[1]))


def _off_menu(code: str, asked: float, nearest: float, slack: float) -> tuple[Broken, ...]:
    if abs(asked - nearest) < slack:
        return ()
    limit = float(nearest)
    return (Broken(code=code, reason=_REASONS[code], figure=float(asked), limit=limit),)


def _unquotable(policy: Policy, rate: float, low: int, high: int) -> tuple[Broken, ...]:
    """Say whether a rate is between two ticks, or outside those from `low` to `high`."""
    place = (rate - policy.minimum_rate) / policy.tick
    broken = []
    if abs(place - round(place)) > TICK_SLACK:
        broken.append(TICK)
    if not low - TICK_SLACK <= place <= high + TICK_SLACK:
        broken.append(PRICE_RANGE)
    nearest = None
    if low <= high:
        nearest = float(policy.ticks()[min(max(round(place), low), high)])
    return tuple(
        Broken(code=code, reason=_REASONS[code], figure=float(rate), limit=nearest)
        for code in broken
    )


def _broken_rule(rule: Rule, asked: Candidates, policy: Policy) -> Broken:
    figures = _FIGURES.get(rule.code)
    figure, limit = figures(rule, asked, policy) if figures else (math.nan, None)
    return Broken(code=rule.code, reason=rule.reason, figure=_number(figure), limit=_number(limit))


def _number(value: Array | float | None) -> float | None:
    number = math.nan if value is None else float(np.ravel(value)[0])
    return number if math.isfinite(number) else None


def _apr(rule: Rule, asked: Candidates, policy: Policy) -> Figures:
    """Return the APR and its cap, which is that of the largest permitted payment."""
    assert rule.payment_cap is not None, "the rule about cost caps the payment"
    terms = asked.terms
    received = terms.principal * (1 - policy.economics.origination_fee)
    cap = rule.payment_cap(terms, asked.debt_share, policy)
    return (
        cashflow.apr(received, terms.payment, terms.term_months),
        cashflow.apr(received, cap, terms.term_months),
    )


def _share(asked: Candidates) -> Array:
    """Return the payment over monthly income, NaN where there is none."""
    income = asked.terms.monthly_income
    return asked.terms.payment / np.where(income > 0, income, np.nan)


_FIGURES: Mapping[str, Callable[[Rule, Candidates, Policy], Figures]] = {
    "APR_CAP": _apr,
    "PTI": lambda _, asked, policy: (_share(asked), policy.pti_cap),
    "DTI": lambda _, asked, policy: (_share(asked) + asked.debt_share, policy.dti_cap),
    "PD_CUTOFF": lambda _, asked, policy: (asked.pd_lifetime, policy.pd_cutoff),
    "RAROC": lambda _, asked, policy: (asked.value.raroc, policy.minimum_raroc),
    "EXPECTED_LOSS": lambda _, asked, __: (asked.value.npv, 0.0),
    "PORTFOLIO_LIMIT": lambda _, asked, __: (asked.value.npv, asked.charge),
}
