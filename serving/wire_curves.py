"""What travels about price curves: a what-if question to one applicant, and its answer."""

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from finntelligence import cashflow
from finntelligence.curve import Assumptions, PriceCurve
from finntelligence.errors import FieldProblem, InvalidApplicationError
from finntelligence.offers import Application
from finntelligence.policy import Policy
from finntelligence.why_not import LARGEST
from serving.wire import ApplicationRequest, Offer
from serving.wire_quotes import QuoteResponse, number

__all__ = [
    "Assumed",
    "Curve",
    "CurveRequest",
    "CurveResponse",
    "Instalment",
    "amounts",
    "asked_terms",
    "curve_from_core",
    "permitted_amount",
    "schedule_from_core",
]

_LISTS = (*("quoted_rate", "p_accept", "pd_lifetime", "npv", "expected_profit", "objective"),)

Fraction = Annotated[float, Field(strict=True)]
Money = Annotated[Decimal, PlainSerializer(float, return_type=float)]


class Assumed(BaseModel):
    """What the market might be instead; what is left out is the policy's own."""

    model_config = ConfigDict(extra="forbid")

    cost_of_funds: Fraction | None = Field(
        default=None, description="Yearly; list price and benchmark move with it as declared."
    )
    lgd: Fraction | None = Field(default=None, description="Of the exposure at default.")
    shadow_price: Fraction | None = Field(
        default=None, description="Charged per unit of principal of a booked loan."
    )

    def to_core(self) -> Assumptions:
        """Return them checked.

        Raises:
            InvalidApplicationError: naming each that no policy could make.
        """
        return Assumptions(**self.model_dump())


class CurveRequest(ApplicationRequest):
    """One application, what to assume, the amount to draw, and the terms to value besides.

    A term without a rate is valued at the engine's own price.
    """

    assume: Assumed = Assumed()
    principal: Any = None
    term_months: Any = None
    quoted_rate: Any = None


class Curve(BaseModel):
    """What each price of one term would earn; lists of one length, prices rising."""

    term_months: int
    quoted_rate: list[float] = Field(description="In the book's own convention.")
    p_accept: list[float]
    pd_lifetime: list[float]
    npv: list[float]
    expected_profit: list[float] = Field(description="p_accept times npv.")
    objective: list[float] = Field(
        description="What the engine maximises: p_accept times (npv - shadow prices' charge)."
    )
    broken: list[str | None] = Field(
        description="First rule that forbids each price; null where it may be quoted."
    )
    list_rate: float
    benchmark: float
    price_range: list[float] | None = Field(
        description="Lowest and highest quotable price within the trust region."
    )
    caps: dict[str, float] = Field(
        description="Highest price that each rule on cost, affordability or risk permits."
    )
    best: int | None = Field(description="Place of the engine's own price in the lists.")
    blocked_by: str | None = Field(description="The rule that leaves this term without a price.")


class Instalment(BaseModel):
    """One contractual payment and the balance after it."""

    month: int
    payment: Money
    interest: Money
    principal: Money
    balance: Money


class CurveResponse(BaseModel):
    """What prices would earn; nothing is decided, so nothing is recorded."""

    currency: str
    convention: str = Field(description="Of quoted rates: nominal_annual or addon_monthly.")
    assumed: Assumed = Field(description="All assumptions in force, the policy's own included.")
    amounts: list[float] = Field(description="The amounts the policy permits on this request.")
    principal: float = Field(description="The one of them that the curves are of.")
    tick: float = Field(description="Distance between two quotable rates.")
    offers: list[Offer] = Field(description="The menu under these assumptions, best first.")
    curves: list[Curve] = Field(description="One of each term that the policy offers.")
    quote: QuoteResponse | None = Field(
        default=None, description="The value of the terms asked about, under these assumptions."
    )
    schedule: list[Instalment] | None = Field(
        default=None, description="The contract's payments of the terms asked about."
    )
    versions: dict[str, str] = Field(
        description="Exact ids of the pair, its models, policy and portfolio."
    )


def amounts(application: Application, policy: Policy) -> list[float]:
    """Return the amounts that may be offered on a request, rising."""
    found = policy.principals(application.requested_principal)
    return [float(amount) for amount in found if not math.isnan(amount)]


def permitted_amount(request: CurveRequest, application: Application, policy: Policy) -> float:
    """Return the permitted amount nearest to the one asked about, which is by default the largest.

    Raises:
        InvalidApplicationError: when what is asked about is no amount.
    """
    permitted = amounts(application, policy)
    if request.principal is None:
        return permitted[-1]
    wanted = number(request.principal)
    if not 0.01 <= wanted <= LARGEST:
        expected = f"must be a number from 0.01 to {LARGEST:.15g}"
        raise InvalidApplicationError([FieldProblem("principal", expected)])
    return min(permitted, key=lambda amount: abs(amount - wanted))


def asked_terms(request: CurveRequest, curves: Iterable[PriceCurve]) -> tuple[float, float] | None:
    """Return term and rate to value besides; None where none are asked about, or none has a price.

    Raises:
        InvalidApplicationError: when a rate is asked about, and no term.
    """
    if request.term_months is None:
        if request.quoted_rate is not None:
            problem = FieldProblem("term_months", "is required beside quoted_rate")
            raise InvalidApplicationError([problem])
        return None
    term = number(request.term_months)
    if request.quoted_rate is not None:
        return term, number(request.quoted_rate)
    curve = next((curve for curve in curves if curve.term_months == term), None)
    if curve is None or curve.best is None:
        return None
    return term, float(curve.quoted_rate[curve.best])


def curve_from_core(curve: PriceCurve) -> Curve:
    """Return the body of one curve."""
    return Curve(
        **{name: getattr(curve, name).tolist() for name in _LISTS},
        **{name: getattr(curve, name) for name in set(Curve.model_fields) - set(_LISTS)},
    )


def schedule_from_core(rows: tuple[cashflow.Instalment, ...]) -> list[Instalment]:
    """Return the bodies of a contract's payments."""
    return [Instalment.model_validate(row, from_attributes=True) for row in rows]
