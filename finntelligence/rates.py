"""How a book quotes: its convention, and declared rules of list price and benchmark."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finntelligence.cashflow import Convention
from finntelligence.declaration import Section
from finntelligence.fields import Field, Kind, Role

__all__ = ["Price", "RateRule"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRule:
    """A quoted rate by one segment field, moved by the cost of funds and the term.

        rate = clip(segment(x) + c * (cost_of_funds - reference))
               + k * ln(term / from) / ln(to / from)

    `segment` is a table over cuts of a number, a table over a category's values, or a polynomial
    of a centred and scaled number. Only the segment and funding part is clipped.

    >>> table = {"field": "fico", "cuts": [700], "rates": [0.20, 0.10]}
    >>> content = {"table": table, "cost_of_funds": {"coefficient": 1, "reference": 0.04}}
    >>> rule = RateRule.read(Section(content, "list_rate"), {"fico": book.field("fico")})
    >>> columns = {"fico": np.array([699, 700])}
    >>> rule.rate(columns, term_months=36, cost_of_funds=0.05).round(9).tolist()
    [0.21, 0.11]
    """

    field: str
    cuts: tuple[float, ...]
    categories: tuple[str, ...]
    values: tuple[float, ...]
    centre: float
    scale: float
    funds_coefficient: float
    funds_reference: float
    clip: tuple[float, float]
    term_coefficient: float
    term_from: float
    term_to: float

    @classmethod
    def read(cls, section: Section, fields: Mapping[str, Field]) -> "RateRule":
        """Read `table` or `polynomial`, then optional `cost_of_funds`, `clip`, `log_term`.

        Raises:
            InvalidDeclarationError: naming the path of the first key that is wrong.
        """
        parts: dict[str, Any] = {"cuts": (), "categories": (), "centre": 0.0, "scale": 1.0}
        parts |= _table(section, fields) if section.has("table") else _polynomial(section, fields)
        parts |= {"funds_coefficient": 0.0, "funds_reference": 0.0}
        if section.has("cost_of_funds"):
            funds = section.section("cost_of_funds")
            parts["funds_coefficient"] = funds.number("coefficient")
            parts["funds_reference"] = funds.number("reference")
            funds.close()
        parts["clip"] = (-np.inf, np.inf)
        if section.has("clip"):
            parts["clip"] = section.numbers("clip")
            if len(parts["clip"]) != 2 or parts["clip"][0] >= parts["clip"][1]:
                raise section.fail("clip", "must be a low and a high bound")
        parts |= {"term_coefficient": 0.0, "term_from": 1.0, "term_to": np.e}
        if section.has("log_term"):
            term = section.section("log_term")
            parts["term_coefficient"] = term.number("coefficient")
            parts["term_from"] = term.number("from", 1)
            parts["term_to"] = term.number("to", parts["term_from"] + 1)
            term.close()
        section.close()
        return cls(**parts)

    def rate(
        self, columns: Mapping[str, NDArray[Any]], term_months: ArrayLike, cost_of_funds: ArrayLike
    ) -> Array:
        """Return the quoted rate for rows of `columns`, broadcast with term and cost of funds."""
        funds = np.asarray(cost_of_funds, dtype=float) - self.funds_reference
        base = self._segment(columns[self.field]) + self.funds_coefficient * funds
        share = np.log(np.asarray(term_months, dtype=float) / self.term_from)
        term_part = self.term_coefficient * share / math.log(self.term_to / self.term_from)
        low, high = self.clip
        return np.asarray(np.minimum(np.maximum(base, low), high) + term_part)

    def _segment(self, column: NDArray[Any]) -> Array:
        if self.categories:
            position = dict(zip(self.categories, self.values, strict=True))
            return np.array([position[str(c)] for c in np.ravel(column)]).reshape(np.shape(column))
        number = np.asarray(column, dtype=float)
        if self.cuts:
            place = np.searchsorted(_array(self.cuts), number, side="right")
            return _array(self.values)[place]
        z = (number - self.centre) / self.scale
        result = np.zeros_like(z)
        for coefficient in reversed(self.values):  # Horner's scheme
            result = result * z + coefficient
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """How the book quotes: rates are fractions in its `convention`.

    One *price unit* is a percentage point of the quoted rate. `slope_floor` is the least response
    the acceptance model may quote with, `risk_slope_mean` and `risk_slope_sd` the Gaussian prior
    on how default moves with the price, all in logit per price unit.

    >>> book.price.convention.value, round((0.15 - 0.13) / book.price.UNIT, 9)
    ('nominal_annual', 2.0)
    """

    convention: Convention
    list_rate: RateRule
    benchmark: RateRule
    slope_floor: float
    risk_slope_mean: float
    risk_slope_sd: float

    UNIT = 0.01

    @classmethod
    def read(cls, section: Section, fields: Mapping[str, Field]) -> "Price":
        """Read a declaration's `price`.

        Raises:
            InvalidDeclarationError: naming the path of the first key that is wrong.
        """
        prior = section.section("risk_slope_prior")
        price = cls(
            convention=Convention(section.choice("convention", tuple(Convention))),
            list_rate=RateRule.read(section.section("list_rate"), fields),
            benchmark=RateRule.read(section.section("benchmark"), fields),
            slope_floor=section.number("slope_floor", 1e-6, 10),
            risk_slope_mean=prior.number("mean", 0, 10),
            risk_slope_sd=prior.number("sd", 1e-6, 10),
        )
        prior.close()
        section.close()
        return price


@cache  # a book has two rules
def _array(values: tuple[float, ...]) -> Array:
    return np.array(values)


def _table(section: Section, fields: Mapping[str, Field]) -> dict[str, Any]:
    table = section.section("table")
    field = _field(table, fields)
    if field.kind is Kind.CATEGORY:
        rates = table.section("rates")
        entries = {name: rates.number(name) for name in field.values}
        rates.close()
        parts = {"categories": tuple(entries), "values": tuple(entries.values())}
    else:
        cuts, values = table.numbers("cuts"), table.numbers("rates")
        if len(values) != len(cuts) + 1 or list(cuts) != sorted(set(cuts)):
            raise table.fail("rates", "must have one rate more than there are rising cuts")
        parts = {"cuts": cuts, "values": values}
    table.close()
    return {"field": field.name, **parts}


def _polynomial(section: Section, fields: Mapping[str, Field]) -> dict[str, Any]:
    polynomial = section.section("polynomial")
    field = _field(polynomial, fields)
    if field.kind is Kind.CATEGORY:
        raise polynomial.fail("field", "must name a number")
    parts = {
        "field": field.name,
        "values": polynomial.numbers("coefficients"),
        "centre": polynomial.number("centre"),
        "scale": polynomial.number("scale", 1e-9),
    }
    polynomial.close()
    return parts


def _field(section: Section, fields: Mapping[str, Field]) -> Field:
    name = section.text("field")
    field = fields.get(name)
    if field is None or not field.required or field.role is not Role.FEATURE:
        raise section.fail("field", f"must name a required feature, is {name!r}")
    return field
