"""What travels about exact terms: the question and its answer."""

import math
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, Field

from finntelligence.quote import Quote
from serving.wire import ApplicationRequest, Offer

__all__ = ["BrokenRule", "QuoteRequest", "QuoteResponse", "from_core", "number", "terms"]


class QuoteRequest(ApplicationRequest):
    """One application and the terms to value; permitted or not, they are."""

    principal: Any
    term_months: Any
    quoted_rate: Any


class BrokenRule(BaseModel):
    """One rule that the terms break, and the figure against its limit, where there is one."""

    code: str
    reason: str
    figure: float | None
    limit: float | None


class QuoteResponse(BaseModel):
    """What exactly these terms are worth; rates are fractions, money is in the book's currency."""

    currency: str
    principal: float
    term_months: int
    quoted_rate: float = Field(description="In the book's own convention.")
    nominal_rate: float = Field(description="Yearly, compounding monthly.")
    apr: float = Field(description="Yearly cost of credit with fees, actuarial method.")
    monthly_payment: float
    total_cost: float = Field(description="All payments less the amount received.")
    p_accept: float = Field(description="Probability that the customer takes these terms.")
    pd_lifetime: float = Field(description="Probability of default within the term, if taken.")
    npv: float = Field(description="Value of the booked loan.")
    expected_profit: float = Field(description="p_accept times npv.")
    waterfall: dict[str, float] = Field(
        description="npv is interest + fee - funding - credit_loss - servicing - acquisition - "
        "capital_charge."
    )
    permitted: bool = Field(description="Whether no rule is broken.")
    broken: list[BrokenRule]
    best: Offer | None = Field(
        default=None, description="The engine's own offer of this amount and term, if any."
    )
    profit_given_up: float | None = Field(
        default=None,
        description="Expected profit of `best` less that of these terms, both after what shadow "
        "prices charge.",
    )
    versions: dict[str, str] = Field(
        description="Exact ids of the pair, its models, policy and portfolio."
    )


def terms(request: QuoteRequest) -> tuple[float, float, float]:
    """Return principal, term and rate; see `number`."""
    principal = round(number(request.principal), 2)  # money is to the cent
    return principal, number(request.term_months), number(request.quoted_rate)


def number(value: object) -> float:
    """Return a number as the core wants it; what is none is NaN, which the core refuses by name."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return math.inf


def from_core(quote: Quote, currency: str, versions: dict[str, str]) -> QuoteResponse:
    """Return the body that answers with a quote."""
    content = asdict(quote)
    return QuoteResponse(**content, permitted=quote.permitted, currency=currency, versions=versions)
