"""The lending policy: what may be offered, at which rates, and within which limits.

The portfolio declares a default policy; `policy.yaml` changes parts of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finntelligence.cashflow import Convention
from finntelligence.declaration import Section, content_digest, merged
from finntelligence.fields import Kind, Role
from finntelligence.portfolio import Portfolio, read_economics
from finntelligence.value import Economics

__all__ = ["LIST_PRICE", "TICK_SLACK", "Degrade", "Experiment", "Jurisdictions", "Policy"]

Array = NDArray[np.float64]

TICK_DIGITS = 10  # rates are rounded to this many digits, so that ticks compare exactly
TICK_SLACK = 1e-6
"""How far from a tick, in ticks, a rate still is that tick: a bound that is one is permitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jurisdictions:
    """Caps on the fee-inclusive APR, fractions, by the value of an application's `field`.

    A place without a cap has the policy's own.

    >>> from dataclasses import replace
    >>> caps = Jurisdictions(field="state", apr_caps={"NY": 0.16})
    >>> policy = replace(market.policy, jurisdictions=caps)
    >>> policy.apr_caps({"state": np.array(["CA", "NY"])}).tolist()
    [0.36, 0.16]
    """

    field: str
    apr_caps: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Prices drawn at random: for which `share` of applicants, how far from the best one.

    `width` is a fraction of the quoted rate to either side, None for all of the price range. The
    `salt` makes draws another experiment's: with it unchanged an applicant keeps arm and price. See
    `finntelligence.experiment`.

    >>> trial = {"share": 0.1, "width": 0.01, "salt": "spring"}
    >>> Policy.from_mapping(book, {"experiment": trial}).experiment
    Experiment(share=0.1, width=0.01, salt='spring')
    """

    share: float
    width: float | None
    salt: str


LIST_PRICE = "list_price"
"""The one way to offer without the acceptance model: at the list price (`list_price`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Degrade:
    """What to do while a model does not answer: `acceptance` is `LIST_PRICE`.

    There is nothing to say of the risk model: without it nobody is offered anything.

    >>> Policy.from_mapping(book, {"degrade": {"acceptance": "list_price"}}).degrade
    Degrade(acceptance='list_price')
    """

    acceptance: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A validated lending policy; rates are fractions in the book's quoted convention.

    `principal_ratios` rise; `tick` is the distance between quotable rates from `minimum_rate` on;
    `trust_below` and `trust_above` bound the price around the list price, where answers were seen.
    A cap of None does not apply; `jurisdictions` has caps on the APR by the value of a declared
    field. At most `menu_size` offers are shown: the most profitable ones where the policy must
    `demand_choice`, else the menu of highest profit, in which offers of `dissimilarity` mu compete
    (`finntelligence.menu`). Without an `experiment` every price is the best one; without
    `degrade` there is no offer unless both models answer. `digest` is the
    SHA-256 of the effective content.

    >>> policy = Policy.from_mapping(book, {"apr_cap": 0.24, "tick": 0.0025})
    >>> policy.apr_cap, policy.pti_cap, policy.ticks()[:3].tolist()
    (0.24, 0.25, [0.0599, 0.0624, 0.0649])
    >>> policy.principals(12_345).tolist()  # a half, three quarters and all of it, in hundreds
    [6100.0, 9200.0, 12300.0]
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
    experiment: Experiment | None
    degrade: Degrade | None
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
            experiment=_experiment(section),
            degrade=_degrade(section),
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

    def price_range(self, listed: Array, ticks: int) -> tuple[Array, Array]:
        """Return the first and last of `ticks` quotable rates in the trust region around `listed`.

        Whole numbers of the shape of `listed`; the first is above the last where there is none.
        """
        from_list = (listed - self.minimum_rate) / self.tick
        below, above = self.trust_below / self.tick, self.trust_above / self.tick
        low = np.maximum(np.ceil(from_list - below - TICK_SLACK), 0)
        return low, np.minimum(np.floor(from_list + above + TICK_SLACK), ticks - 1)

    def principals(self, requested: ArrayLike) -> Array:
        """Return the amounts that may be offered on requests, shape (..., ratios), rising.

        Amounts that two ratios round to stand once; the place of the other holds NaN.
        """
        asked = np.asarray(requested, dtype=float)[..., None] * np.array(self.principal_ratios)
        # rounded down: never more than the ratio of what was asked for
        whole = np.floor(asked / self.principal_step + 1e-6)
        steps = np.maximum(whole, 1) * self.principal_step
        within = np.minimum(np.maximum(steps, self.minimum_principal), self.maximum_principal)
        bounded: Array = np.round(within, 2)
        # each step above keeps the order of the ratios
        repeated = bounded[..., 1:] == bounded[..., :-1]
        bounded[..., 1:][repeated] = np.nan
        return bounded


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


def _experiment(section: Section) -> Experiment | None:
    if not section.has("experiment"):
        return None
    inner, tick = section.section("experiment"), section.number("tick")
    experiment = Experiment(
        share=inner.number("share", 0, 1),
        width=inner.optional_number("width", tick, 10),
        salt=inner.text("salt"),
    )
    inner.close()
    return experiment


def _degrade(section: Section) -> Degrade | None:
    if not section.has("degrade"):
        return None
    inner = section.section("degrade")
    if (way := inner.text("acceptance")) != LIST_PRICE:
        raise inner.fail("acceptance", f"must be {LIST_PRICE}, is {way!r}")
    inner.close()
    return Degrade(acceptance=way)


def _ratios(section: Section) -> tuple[float, ...]:
    ratios = section.numbers("principal_ratios")
    if min(ratios) <= 0 or max(ratios) > 10:
        raise section.fail("principal_ratios", "must be above 0 and at most 10")
    return tuple(sorted(ratios))


def _terms(section: Section, axis: tuple[int, ...]) -> tuple[int, ...]:
    terms = section.integers("terms", 1, 600)
    unknown = [t for t in terms if t not in axis]
    if unknown:
        raise section.fail("terms", f"{unknown[0]} is not among the portfolio's {list(axis)}")
    return terms
