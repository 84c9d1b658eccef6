"""What is asked for and what may be answered: applications, offers, and arrays of offer terms."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finntelligence import cashflow
from finntelligence.errors import FieldProblem, InvalidApplicationError
from finntelligence.fields import Role, Value
from finntelligence.portfolio import Portfolio

__all__ = [
    "MOST_CHARACTERS",
    "MOST_PROBLEMS",
    "Application",
    "Offer",
    "OfferTerms",
    "application",
    "terms_of",
]

Array = NDArray[np.float64]

MOST_PROBLEMS = 20
"""Unknown names that one error tells of: a large body must not make a large answer."""
MOST_CHARACTERS = 100
"""Characters that an error repeats of an unknown name."""

_NOT_FOR_OFFERS = {
    Role.LEAK: "is known only after the decision and cannot be used; leave it out",
    Role.PROTECTED: "is protected and never used for offers; leave it out",
    Role.GROUP: "is for fairness tests only and never used for offers; leave it out",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One validated request; build it with `application`. Money in the book's currency.

    >>> asked.requested_principal, asked.requested_term_months, asked.features["fico"]
    (12000.0, 36, 705)
    """

    requested_principal: float
    requested_term_months: int
    features: Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One priced offer.

    `quoted_rate` is a fraction in the book's own convention; `nominal_rate` and `apr` are yearly
    fractions. `monthly_payment` and `total_cost` (all payments less the amount received) are
    contractual, to the cent. `expected_profit` is `p_accept` times the value of the booked loan.
    `binding` names the rule that keeps the price from a more profitable neighbour, if one does.
    `p_choice` is the probability that the customer picks this offer from the menu it is shown in.
    `p_accept` and `expected_profit` are NaN where they are not known (`list_price`).

    >>> from finntelligence.optimiser import optimum
    >>> best = optimum(asked, market, risk, acceptance).offers[0]
    >>> best.principal, best.term_months, best.quoted_rate, best.monthly_payment
    (12000.0, 60, 0.1513, 286.3)
    >>> best.total_cost  # 60 payments, the last a little less, and a fee of 3 % withheld
    5537.81
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
    expected_profit: float
    binding: str | None
    p_choice: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferTerms:
    """Terms to value, as arrays of one broadcast shape (offers), for one applicant or many.

    Rates are fractions, money in the book's currency; `quoted_rate` and `benchmark` in the book's
    convention. `monthly_income` is NaN where unknown. `apr_cap` is the applicant's where the policy
    has caps by jurisdiction, else None: the policy's own applies.

    >>> terms.quoted_rate.round(5).tolist(), terms.payment.round(2).tolist()
    ([0.12656, 0.13656], [402.34, 408.13])
    """

    principal: Array
    term_months: Array
    quoted_rate: Array
    nominal_rate: Array
    payment: Array
    benchmark: Array
    requested_principal: Array
    requested_term_months: Array
    monthly_income: Array
    apr_cap: Array | None = None


def terms_of(  # noqa: PLR0913 - a book, its applicants, and the numbers of an offer
    portfolio: Portfolio,
    columns: Mapping[str, NDArray[Any]],
    principal: Array,
    term_months: Array,
    quoted_rate: Array,
    cost_of_funds: ArrayLike,
    apr_cap: Array | None = None,
) -> OfferTerms:
    """Return the full terms of offers to applicants in `columns`, which broadcast with the terms.

    `principal` is in currency units, `quoted_rate` a fraction in the book's convention,
    `cost_of_funds` a yearly fraction: the benchmark may move with it.

    >>> from finntelligence.features import application_columns
    >>> lent, rates = np.full(2, 10_000.0), np.array([0.10, 0.20])
    >>> dear = terms_of(book, application_columns(asked), lent, np.full(2, 36.0), rates, 0.025)
    >>> dear.payment.round(2).tolist()
    [322.67, 371.64]
    """
    nominal = cashflow.nominal_rate(quoted_rate, term_months, portfolio.price.convention)
    return OfferTerms(
        principal=principal,
        term_months=term_months,
        quoted_rate=quoted_rate,
        nominal_rate=nominal,
        payment=cashflow.monthly_payment(principal, nominal, term_months),
        benchmark=portfolio.price.benchmark.rate(columns, term_months, cost_of_funds),
        requested_principal=np.asarray(columns["requested_principal"], dtype=float),
        requested_term_months=np.asarray(columns["requested_term_months"], dtype=float),
        monthly_income=portfolio.affordability.monthly_income(columns),
        apr_cap=apr_cap,
    )


def application(
    portfolio: Portfolio,
    *,
    requested_principal: object,
    requested_term_months: object,
    features: Mapping[str, object],
) -> Application:
    """Check a request against the book's declaration.

    >>> application(book, requested_principal=12_000, requested_term_months=36,
    ...     features={**asked.features, "home": "tent"})
    Traceback (most recent call last):
        ...
    finntelligence.errors.InvalidApplicationError: features.home: must be one of rent, own, mortgage

    Raises:
        InvalidApplicationError: naming every field that is unknown, missing or out of range, and
            what would be right.
    """
    problems = [
        *_principal_problems(portfolio, requested_principal),
        *_term_problems(portfolio, requested_term_months),
        *_unusable(portfolio, features),
    ]
    values: dict[str, Value] = {}
    for field in portfolio.asked:
        value = features.get(field.name)
        problem = field.problem(value)
        if problem:
            problems.append(FieldProblem(f"features.{field.name}", problem))
        values[field.name] = value  # type: ignore[assignment]  # checked by field.problem
    if problems:
        raise InvalidApplicationError(problems)
    return Application(
        # money is to the cent
        requested_principal=round(float(requested_principal), 2),  # type: ignore[arg-type]
        requested_term_months=int(requested_term_months),  # type: ignore[call-overload]
        features=values,
    )


def _principal_problems(portfolio: Portfolio, value: object) -> list[FieldProblem]:
    axes = portfolio.axes
    low, high = axes.minimum_principal, axes.maximum_principal
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and low <= value <= high:  # type: ignore[operator]  # NaN fails too
        return []
    expected = f"must be a number from {low:.15g} to {high:.15g} {portfolio.currency}"
    return [FieldProblem("requested_principal", expected)]


def _term_problems(portfolio: Portfolio, value: object) -> list[FieldProblem]:
    terms = portfolio.axes.terms
    if isinstance(value, int | float) and not isinstance(value, bool) and value in terms:
        return []
    expected = f"must be one of {', '.join(map(str, terms))} months"
    return [FieldProblem("requested_term_months", expected)]


def _unusable(portfolio: Portfolio, features: Mapping[str, object]) -> list[FieldProblem]:
    if features.keys() <= portfolio.asked_names:
        return []
    found = {name: portfolio.field(name) for name in features}
    problems = []
    unknown = [name for name, field in found.items() if field is None]
    for name in unknown[:MOST_PROBLEMS]:
        problems.append(FieldProblem(f"features.{name[:MOST_CHARACTERS]}", "is unknown"))
    if unknown:  # said once, so that a large body cannot make a larger answer
        known = ", ".join(f.name for f in portfolio.asked)
        last = problems.pop()
        problems.append(FieldProblem(last.field, f"{last.problem}; known: {known}"))
    for name, field in found.items():
        if field is not None and field.role in _NOT_FOR_OFFERS:
            problems.append(FieldProblem(f"features.{name}", _NOT_FOR_OFFERS[field.role]))
    return problems
