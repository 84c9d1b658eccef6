"""The lending policy: what may be offered, and the rules every offer must pass.

The portfolio declares a default policy; `policy.yaml` changes parts of it. Rules are objects with
a code and a plain reason; the optimiser asks them in the order below.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finntelligence.cashflow import capped_payment
from finntelligence.declaration import Section, content_digest, merged
from finntelligence.errors import InvalidDeclarationError
from finntelligence.offers import OfferTerms
from finntelligence.portfolio import Portfolio
from finntelligence.value import Economics, LoanValue

__all__ = ["RULES", "Candidates", "Policy", "Rule"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

TICK_DIGITS = 10  # rates are rounded to this many digits, so that ticks compare exactly


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A validated lending policy; rates are fractions in the book's quoted convention.

    `tick` is the distance between quotable rates from `minimum_rate` on. `trust_below` and
    `trust_above` bound the price around the list price, where customers' answers were observed.
    A cap of None does not apply. `digest` is the SHA-256 of the effective content.
    """

    principal_ratios: tuple[float, ...]
    principal_step: float
    minimum_principal: float
    maximum_principal: float
    terms: tuple[int, ...]
    minimum_rate: float
    maximum_rate: float
    tick: float
    trust_below: float
    trust_above: float
    apr_cap: float | None
    pti_cap: float | None
    dti_cap: float | None
    pd_cutoff: float | None
    minimum_raroc: float | None
    menu_size: int
    if_missing: Mapping[str, str]
    economics: Economics
    digest: str

    @classmethod
    def from_mapping(
        cls, portfolio: Portfolio, changes: Mapping[str, Any] | None = None
    ) -> "Policy":
        """Read the portfolio's default policy with `changes` laid over it.

        Raises:
            InvalidDeclarationError: naming the path of the first key that is wrong.
        """
        content = merged(portfolio.policy, changes or {})
        section = Section(content, "policy")
        economics = dict(portfolio.economics)
        if section.has("economics"):
            changed = section.section("economics")
            economics |= {name: changed.number(str(name)) for name, _ in changed.items()}
        trust = section.section("trust_region")
        axes = portfolio.axes
        low_rate = section.number("minimum_rate", 0, 10)
        low_principal = _bounded(section, "minimum_principal", axes.minimum_principal)
        policy = cls(
            principal_ratios=_ratios(section),
            principal_step=section.number("principal_step", 0.01, 1e6),
            minimum_principal=low_principal,
            maximum_principal=_bounded(section, "maximum_principal", axes.maximum_principal),
            terms=_terms(section, axes.terms),
            minimum_rate=low_rate,
            maximum_rate=section.number("maximum_rate", low_rate, 10),
            tick=section.number("tick", 0.0001, 0.01),
            trust_below=trust.number("below", 0, 10),
            trust_above=trust.number("above", 0, 10),
            apr_cap=section.optional_number("apr_cap", 0.0001, 100),
            pti_cap=section.optional_number("pti_cap", 0.0001, 1),
            dti_cap=section.optional_number("dti_cap", 0.0001, 2),
            pd_cutoff=section.optional_number("pd_cutoff", 0.0001, 1),
            minimum_raroc=section.optional_number("minimum_raroc", -1, 10),
            menu_size=section.integer("menu_size", 1, 12),
            if_missing=portfolio.if_missing,
            economics=_economics(economics),
            digest=content_digest({"policy": content, "economics": economics}),
        )
        trust.close()
        section.close()
        return policy

    @classmethod
    def in_force(cls, portfolio: Portfolio, content: object) -> "Policy":
        """Read the policy of one portfolio from the content of `policy.yaml`.

        Raises:
            InvalidDeclarationError: naming the path of the first key that is wrong.
        """
        section = Section(content if content is not None else {}, "policy.yaml")
        name = portfolio.name
        return cls.from_mapping(
            portfolio, dict(section.section(name).items()) if section.has(name) else None
        )

    def ticks(self) -> Array:
        """Return every quotable rate, lowest first."""
        count = int(np.floor((self.maximum_rate - self.minimum_rate) / self.tick + 1e-9)) + 1
        return np.round(self.minimum_rate + np.arange(count) * self.tick, TICK_DIGITS)

    def principals(self, requested: float) -> tuple[float, ...]:
        """Return the amounts that may be offered on a request, smallest first."""
        steps = (
            max(1, round(requested * ratio / self.principal_step)) * self.principal_step
            for ratio in self.principal_ratios
        )
        bounded = {
            round(min(max(p, self.minimum_principal), self.maximum_principal), 2) for p in steps
        }
        return tuple(sorted(bounded))


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Valued candidate offers that rules judge; all arrays of one shape."""

    terms: OfferTerms
    list_rate: Array
    debt_share: Array
    p_accept: Array
    pd_lifetime: Array
    value: LoanValue
    guessed: Mask

    @property
    def expected_profit(self) -> Array:
        """Acceptance times the value of the booked loan, in currency units."""
        return self.p_accept * self.value.npv


@dataclass(frozen=True, slots=True)
class Rule:
    """One requirement: `permits` tells for each candidate whether it is met."""

    code: str
    reason: str
    permits: Callable[[Candidates, Policy], Mask]


def _within_cap(share: Array, cap: float | None, missing: str) -> Mask:
    if cap is None:
        return np.ones(share.shape, dtype=bool)
    if missing == "skip":
        return (share <= cap) | np.isnan(share)
    return share <= cap


def _payment_share(c: Candidates) -> Array:
    income = np.where(c.terms.monthly_income > 0, c.terms.monthly_income, 1e-300)
    return np.where(np.isnan(c.terms.monthly_income), np.nan, c.terms.payment / income)


def _apr(c: Candidates, policy: Policy) -> Mask:
    if policy.apr_cap is None:
        return np.ones(c.p_accept.shape, dtype=bool)
    financed = c.terms.principal * (1 - policy.economics.origination_fee)
    limit = capped_payment(financed, policy.apr_cap, c.terms.term_months)
    return np.asarray(c.terms.payment <= limit)


def _pti(c: Candidates, policy: Policy) -> Mask:
    return _within_cap(_payment_share(c), policy.pti_cap, policy.if_missing.get("pti", "decline"))


def _dti(c: Candidates, policy: Policy) -> Mask:
    total = _payment_share(c) + c.debt_share
    return _within_cap(total, policy.dti_cap, policy.if_missing.get("dti", "decline"))


def _pd(c: Candidates, policy: Policy) -> Mask:
    return np.asarray(c.pd_lifetime <= (1.0 if policy.pd_cutoff is None else policy.pd_cutoff))


def _raroc(c: Candidates, policy: Policy) -> Mask:
    floor = -np.inf if policy.minimum_raroc is None else policy.minimum_raroc
    return np.asarray(c.value.raroc >= floor)


RULES: tuple[Rule, ...] = (
    Rule(
        "NO_EVIDENCE",
        "Customers' answers to this amount or term were never observed",
        lambda c, _: ~c.guessed,
    ),
    Rule("APR_CAP", "The cost of credit would exceed the lawful or policy maximum", _apr),
    Rule("PTI", "Income is too low for the monthly payment", _pti),
    Rule("DTI", "Income is too low for the resulting debt payments", _dti),
    Rule("PD_CUTOFF", "The estimated probability of default is above the lender's limit", _pd),
    Rule("RAROC", "The expected credit loss is too high for the capital the loan needs", _raroc),
    Rule(
        "EXPECTED_LOSS",
        "The expected credit loss and cost of the loan exceed what its price may bring in",
        lambda c, _: np.asarray(c.value.npv > 0),
    ),
)


def _bounded(section: Section, key: str, axis: float) -> float:
    return section.number(key, 0.01, 1e9, default=axis)


def _ratios(section: Section) -> tuple[float, ...]:
    ratios = section.numbers("principal_ratios")
    if min(ratios) <= 0 or max(ratios) > 10:
        raise section.fail("principal_ratios", "must be above 0 and at most 10")
    return ratios


def _terms(section: Section, axis: tuple[int, ...]) -> tuple[int, ...]:
    terms = tuple(int(t) for t in section.numbers("terms"))
    unknown = [t for t in terms if t not in axis]
    if unknown:
        raise section.fail("terms", f"{unknown[0]} is not among the portfolio's {list(axis)}")
    return terms


def _economics(values: Mapping[str, float]) -> Economics:
    names = {f.name for f in fields(Economics)}
    for name in names ^ set(values):
        state = "is missing" if name in names else "is unknown"
        raise InvalidDeclarationError(f"portfolio.economics.{name}: {state}")
    return Economics(**values)
