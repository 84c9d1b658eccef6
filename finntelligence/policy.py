"""The lending policy: what may be offered, and the rules every offer must pass.

The portfolio declares a default policy; `policy.yaml` changes parts of it. Rules are objects with
a code and a plain reason; the optimiser asks them in the order below.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finntelligence.cashflow import Convention, capped_payment
from finntelligence.declaration import Section, content_digest, merged
from finntelligence.fields import Kind, Role
from finntelligence.offers import OfferTerms
from finntelligence.portfolio import Portfolio, read_economics
from finntelligence.value import Economics, LoanValue

__all__ = ["RULES", "Candidates", "Jurisdictions", "Policy", "Rule"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

TICK_DIGITS = 10  # rates are rounded to this many digits, so that ticks compare exactly


@dataclass(frozen=True, slots=True, kw_only=True)
class Jurisdictions:
    """Caps on the fee-inclusive APR by the value of an application's `field`."""

    field: str
    apr_caps: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A validated lending policy; rates are fractions in the book's quoted convention.

    `tick` is the distance between quotable rates from `minimum_rate` on. `trust_below` and
    `trust_above` bound the price around the list price, where customers' answers were observed.
    A cap of None does not apply; `jurisdictions` has caps on the APR by the value of a declared
    field. At most `menu_size` offers are shown: the most profitable ones where the policy must
    `demand_choice`, else the menu of highest profit, in which offers of `dissimilarity` mu compete
    (`finntelligence.menu`). `digest` is the SHA-256 of the effective content.
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
    jurisdictions: Jurisdictions | None
    pti_cap: float | None
    dti_cap: float | None
    pd_cutoff: float | None
    minimum_raroc: float | None
    menu_size: int
    demand_choice: bool
    dissimilarity: float
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
            economics |= read_economics(section.section("economics"))
        trust = section.section("trust_region")
        axes = portfolio.axes
        low_rate = section.number("minimum_rate", 0, 10)
        lowest, highest = axes.minimum_principal, axes.maximum_principal
        low_principal = section.number("minimum_principal", lowest, highest, default=lowest)
        policy = cls(
            principal_ratios=_ratios(section),
            principal_step=section.number("principal_step", 0.01, 1e6),
            minimum_principal=low_principal,
            maximum_principal=section.number(
                "maximum_principal", low_principal, highest, default=highest
            ),
            terms=_terms(section, axes.terms),
            minimum_rate=low_rate,
            maximum_rate=section.number("maximum_rate", low_rate, _highest_rate(portfolio)),
            tick=section.number("tick", 0.0001, 0.01),
            trust_below=trust.number("below", 0, 10),
            trust_above=trust.number("above", 0, 10),
            apr_cap=section.optional_number("apr_cap", 0.0001, 100),
            jurisdictions=_jurisdictions(section, portfolio),
            pti_cap=section.optional_number("pti_cap", 0.0001, 1),
            dti_cap=section.optional_number("dti_cap", 0.0001, 2),
            pd_cutoff=section.optional_number("pd_cutoff", 0.0001, 1),
            minimum_raroc=section.optional_number("minimum_raroc", -1, 10),
            menu_size=section.integer("menu_size", 1, 12),
            demand_choice=section.flag("demand_choice"),
            dissimilarity=section.number("dissimilarity", 0.01, 1),
            if_missing=portfolio.if_missing,
            economics=Economics(**economics),
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

    def apr_caps(self, columns: Mapping[str, NDArray[Any]]) -> Array | None:
        """Return each applicant's cap on the APR, (n,), inf for none; or None: no such rule."""
        if self.jurisdictions is None:
            return None
        other = np.inf if self.apr_cap is None else self.apr_cap
        places = np.ravel(columns[self.jurisdictions.field])
        return np.array([self.jurisdictions.apr_caps.get(str(place), other) for place in places])

    def ticks(self) -> Array:
        """Return every quotable rate, lowest first."""
        count = int(np.floor((self.maximum_rate - self.minimum_rate) / self.tick + 1e-9)) + 1
        return np.round(self.minimum_rate + np.arange(count) * self.tick, TICK_DIGITS)

    def principals(self, requested: ArrayLike) -> Array:
        """Return the amounts that may be offered on requests, shape (..., ratios), rising.

        Amounts that two ratios round to stand once; the place of the other holds NaN.
        """
        asked = np.asarray(requested, dtype=float)[..., None] * np.array(self.principal_ratios)
        # rounded down: never more than the ratio of what was asked for
        whole = np.floor(asked / self.principal_step + 1e-6)
        steps = np.maximum(whole, 1) * self.principal_step
        bounded = np.round(np.clip(steps, self.minimum_principal, self.maximum_principal), 2)
        rising = np.sort(bounded, axis=-1)
        rising[..., 1:][np.diff(rising, axis=-1) == 0] = np.nan
        return rising


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One requirement on an offer: a stable code, a plain reason, and what would satisfy it.

    A rule about affordability or cost has a `payment_cap`: the largest monthly payment it permits,
    so that the optimiser can turn it into a last tick. The others judge valued candidates.
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
    cap = policy.apr_cap if terms.apr_cap is None else terms.apr_cap
    if cap is None:
        return np.full(np.shape(financed), np.inf)
    limited = np.isfinite(cap)
    payment = capped_payment(financed, np.where(limited, cap, 0.0), terms.term_months)
    return np.where(limited, payment, np.inf)


def _income_share(terms: OfferTerms, share: Array, missing: str) -> Array:
    """Return the payment that takes `share` of income; without a known income none, or any."""
    payment = np.where(terms.monthly_income > 0, share * terms.monthly_income, 0.0)
    unknown = np.inf if missing == "skip" else 0.0
    return np.where(np.isnan(terms.monthly_income), unknown, payment)


def _pti_cap(terms: OfferTerms, _: Array, policy: Policy) -> Array:
    if policy.pti_cap is None:
        return np.full(np.shape(terms.principal), np.inf)
    share = np.full(np.shape(terms.principal), policy.pti_cap)
    return _income_share(terms, share, policy.if_missing.get("pti", "decline"))


def _dti_cap(terms: OfferTerms, debt_share: Array, policy: Policy) -> Array:
    if policy.dti_cap is None:
        return np.full(np.shape(terms.principal), np.inf)
    share = np.maximum(policy.dti_cap - debt_share, 0) + np.zeros(np.shape(terms.principal))
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
        reason="The cost of credit would exceed the lawful or policy maximum",
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
)


def _highest_rate(portfolio: Portfolio) -> float:
    """Beyond these the value of a long loan no longer fits a float."""
    return 1.0 if portfolio.price.convention is Convention.ADDON_MONTHLY else 10.0


def _jurisdictions(section: Section, portfolio: Portfolio) -> Jurisdictions | None:
    if not section.has("jurisdictions"):
        return None
    inner = section.section("jurisdictions")
    name = inner.text("field")
    field = portfolio.field(name)
    if field is None or field.role is not Role.JURISDICTION or field.kind is not Kind.CATEGORY:
        raise inner.fail("field", f"must name a category of role jurisdiction, is {name!r}")
    if not field.required:
        raise inner.fail("field", f"{name!r} must be required: the law must be known")
    caps = inner.section("apr_caps")
    found = {place: caps.number(place, 0.0001, 100) for place in field.values if caps.has(place)}
    caps.close()
    inner.close()
    return Jurisdictions(field=name, apr_caps=found)


def _ratios(section: Section) -> tuple[float, ...]:
    ratios = section.numbers("principal_ratios")
    if min(ratios) <= 0 or max(ratios) > 10:
        raise section.fail("principal_ratios", "must be above 0 and at most 10")
    return ratios


def _terms(section: Section, axis: tuple[int, ...]) -> tuple[int, ...]:
    terms = section.integers("terms", 1, 600)
    unknown = [t for t in terms if t not in axis]
    if unknown:
        raise section.fail("terms", f"{unknown[0]} is not among the portfolio's {list(axis)}")
    return terms
