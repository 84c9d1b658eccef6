"""A lender's book, declared: its fields, price convention, axes, economics and capabilities.

`portfolios/<name>.yaml` holds the declaration; `Portfolio.from_mapping` reads it. Formulas that
differ from book to book (list price, benchmark) are small declared rules, never code.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finntelligence.declaration import Section, canonical_json, content_digest
from finntelligence.errors import InvalidDeclarationError
from finntelligence.fields import Field, Kind, Role
from finntelligence.rates import Price

__all__ = [
    "ECONOMICS",
    "RULES_THAT_NEED_INCOME",
    "Affordability",
    "Axes",
    "Capability",
    "DefaultDefinition",
    "Portfolio",
    "read_economics",
]

Array = NDArray[np.float64]

ECONOMICS = {
    "cost_of_funds": (0.0, 2.0),
    "origination_fee": (0.0, 0.5),
    "lgd": (0.0, 1.0),
    "recovery_lag_months": (0.0, 240.0),
    "acquisition_cost": (0.0, 1e6),
    "servicing_cost": (0.0, 1e5),
    "servicing_rate": (0.0, 1.0),
    "capital_ratio": (0.0, 1.0),
    "hurdle_rate": (0.0, 10.0),
    "prepayment_rate": (0.0, 0.99),
}
"""Every value of `value.Economics` with its lowest and highest."""

RULES_THAT_NEED_INCOME = ("pti", "dti")
"""The rules for which a book declares, in `if_missing`, what to do where income is unknown."""


class Capability(StrEnum):
    """What a book's history can teach.

    >>> sorted(map(str, book.capabilities))
    ['acceptance', 'risk']
    """

    RISK = "risk"
    ACCEPTANCE = "acceptance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """What may be asked for, currency units and months, and where the models' terms are 0.

    >>> book.axes.maximum_principal, book.axes.terms
    (40000.0, (24, 36, 48, 60))
    """

    minimum_principal: float
    maximum_principal: float
    terms: tuple[int, ...]
    reference_principal: float
    reference_term: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultDefinition:
    """What counts as default; `horizon_months` None means within the contract's own term.

    >>> print(book.default.definition, book.default.horizon_months)
    Ever in default within the contract's term, prepayment competing None
    """

    definition: str
    horizon_months: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Affordability:
    """Which fields say what the applicant earns and, in per cent of it, already pays on debts.

    >>> columns = {"annual_income": np.array([68_000, np.nan]), "dti": np.array([17.5, 0])}
    >>> book.affordability.monthly_income(columns).round(2).tolist()
    [5666.67, nan]
    """

    income_field: str
    income_periods: int
    existing_debt_field: str | None

    def monthly_income(self, columns: Mapping[str, Array]) -> Array:
        """Return monthly income, shape (n,), NaN where unknown."""
        return np.asarray(columns[self.income_field], dtype=float) * self.income_periods / 12

    def debt_share(self, columns: Mapping[str, Array]) -> Array:
        """Return existing debt payments over income, shape (n,), 0 where the book has none."""
        if self.existing_debt_field is None:
            return np.zeros_like(np.asarray(columns[self.income_field], dtype=float))
        return np.asarray(columns[self.existing_debt_field], dtype=float) / 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Portfolio:
    """One declared book; immutable, and identified by the SHA-256 of its declaration.

    Models are judged on the newest part of its history, or where `random_holdout` on a random part.
    `features` are the fields a model may see; `asked` those an application carries: features, and
    what says which law applies; `asked_names` are those fields' names, `explained` those of the
    features that have a reason to give.

    >>> book.name, book.field("fico").maximum, len(book.fields), len(book.asked)
    ('simulated', 850.0, 11, 10)
    """

    name: str
    title: str
    currency: str
    fields: tuple[Field, ...]
    price: Price
    axes: Axes
    default: DefaultDefinition
    affordability: Affordability
    economics: Mapping[str, float]
    if_missing: Mapping[str, str]
    capabilities: frozenset[Capability]
    random_holdout: bool
    policy: Mapping[str, Any]
    example: Mapping[str, Any]
    declaration: Mapping[str, Any]
    digest: str
    features: tuple[Field, ...] = field(init=False, repr=False)
    asked: tuple[Field, ...] = field(init=False, repr=False)
    asked_names: frozenset[str] = field(init=False, repr=False)
    explained: frozenset[str] = field(init=False, repr=False)
    _by_name: Mapping[str, Field] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        asked = (Role.FEATURE, Role.JURISDICTION)
        found = {
            "features": tuple(f for f in self.fields if f.role is Role.FEATURE),
            "asked": tuple(f for f in self.fields if f.role in asked),
            "asked_names": frozenset(f.name for f in self.fields if f.role in asked),
            "explained": frozenset(
                f.name for f in self.fields if f.role is Role.FEATURE and f.reason
            ),
            "_by_name": {f.name: f for f in self.fields},
        }
        for name, value in found.items():  # once, not for every application
            object.__setattr__(self, name, value)

    def field(self, name: str) -> Field | None:
        """Return the field called `name`, or None."""
        return self._by_name.get(name)

    @classmethod
    def from_mapping(cls, declaration: Mapping[str, Any]) -> "Portfolio":
        """Read a declaration.

        Raises:
            InvalidDeclarationError: naming the path of the first key that is wrong.
        """
        root = Section(declaration, "portfolio")
        read = (Field.read(name, s) for name, s in root.section("fields").sections())
        # by name, so that the same declaration read from sorted JSON encodes the same columns
        fields = tuple(sorted(read, key=lambda field: field.name))
        by_name = {f.name: f for f in fields}
        portfolio = cls(
            name=root.text("name"),
            title=root.text("title"),
            currency=root.text("currency"),
            fields=fields,
            price=Price.read(root.section("price"), by_name),
            axes=_axes(root.section("axes")),
            default=_default(root.section("default")),
            affordability=_affordability(root.section("affordability"), by_name),
            economics=_economics(root.section("economics")),
            if_missing=_if_missing(root.section("if_missing")),
            capabilities=_capabilities(root),
            random_holdout=root.choice("holdout", ("latest", "random"), "latest") == "random",
            policy=dict(root.section("policy").items()),
            example=dict(root.section("example").items()),
            declaration=declaration,
            digest=_digest(declaration),
        )
        root.close()
        return portfolio


def _digest(declaration: Mapping[str, Any]) -> str:
    for key, value in declaration.items():
        try:
            canonical_json(value)
        except (TypeError, ValueError) as error:
            raise InvalidDeclarationError(
                f"portfolio.{key}: JSON cannot say it: {error}"
            ) from error
    return content_digest(declaration)


def _axes(section: Section) -> Axes:
    low = section.number("minimum_principal", 0.01, 1e9)
    terms = section.integers("terms", 1, 600)
    axes = Axes(
        minimum_principal=low,
        maximum_principal=section.number("maximum_principal", low, 1e9),
        terms=terms,
        reference_principal=section.number("reference_principal", 0.01, 1e9),
        reference_term=section.integer("reference_term", 1, 600),
    )
    section.close()
    return axes


def _default(section: Section) -> DefaultDefinition:
    horizon = section.raw("horizon")
    months = None if horizon == "term" else section.integer("horizon", 1, 600)
    default = DefaultDefinition(definition=section.text("definition"), horizon_months=months)
    section.close()
    return default


def _affordability(section: Section, fields: Mapping[str, Field]) -> Affordability:
    debt = section.text("existing_debt") if section.has("existing_debt") else None
    affordability = Affordability(
        income_field=section.text("income"),
        income_periods={"year": 1, "month": 12}[section.choice("per", ("year", "month"))],
        existing_debt_field=debt,
    )
    for key, name in (("income", affordability.income_field), ("existing_debt", debt)):
        if name is not None and not _is_known_number(fields.get(name)):
            raise section.fail(key, f"must name a feature that is a number, is {name!r}")
    section.close()
    return affordability


def read_economics(section: Section) -> dict[str, float]:
    """Read plain values of `value.Economics`, each within what it can be.

    >>> read_economics(Section({"lgd": 0.9}, "policy.economics"))
    {'lgd': 0.9}

    Raises:
        InvalidDeclarationError: naming the path of an unknown or impossible value.
    """
    values = {n: section.number(n, *ECONOMICS[n]) for n in ECONOMICS if section.has(n)}
    section.close()
    return values


def _is_known_number(field: Field | None) -> bool:
    usable = field is not None and field.role is Role.FEATURE
    return usable and field is not None and field.kind is not Kind.CATEGORY


def _economics(section: Section) -> dict[str, float]:
    values = {}
    for name, bounds in ECONOMICS.items():
        entry = section.section(name)
        values[name] = entry.number("value", *bounds)
        entry.choice("basis", ("measured", "assumed"))
        entry.text("source")
        entry.close()
    section.close()
    return values


def _if_missing(section: Section) -> dict[str, str]:
    choices = {
        rule: section.choice(rule, ("decline", "skip"))
        for rule in RULES_THAT_NEED_INCOME
        if section.has(rule)
    }
    section.close()
    return choices


def _capabilities(root: Section) -> frozenset[Capability]:
    try:
        return frozenset(Capability(c) for c in root.texts("capabilities"))
    except ValueError as error:
        raise InvalidDeclarationError(f"portfolio.capabilities: {error}") from error
