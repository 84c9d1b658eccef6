"""What travels: request and response bodies; `problems` has the errors' table."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool
from pydantic_core import PydanticCustomError

from finntelligence import offers
from finntelligence.decision import Decision
from finntelligence.errors import FinntelligenceError
from finntelligence.portfolio import Portfolio

__all__ = [
    "LONGEST_ID",
    "ApplicationRequest",
    "BadRequestError",
    "OfferRequest",
    "OfferResponse",
    "Problem",
    "from_core",
    "offer_from_core",
    "problem_of_status",
    "to_core",
]

PROBLEM_TYPE = "urn:finntelligence:problem:"
LONGEST_ID = 200
"""Characters of an applicant's id."""


class BadRequestError(FinntelligenceError):
    """The body is not a JSON object."""


class ApplicationRequest(BaseModel):
    """What every request says of an application; the portfolio's declaration checks the values."""

    model_config = ConfigDict(extra="forbid")

    requested_principal: Any
    requested_term_months: Any
    features: dict[str, Any]


def _applicant_id(value: Any) -> Any:
    if value is None or (isinstance(value, str) and 1 <= len(value) <= LONGEST_ID):
        return value
    raise PydanticCustomError("applicant_id", f"must be text of 1 to {LONGEST_ID} characters")


class OfferRequest(ApplicationRequest):
    """One application; the portfolio's declaration checks every value."""

    explain: StrictBool = False
    applicant_id: Annotated[str | None, BeforeValidator(_applicant_id)] = Field(
        default=None,
        description="Who asks, in the caller's own words: under a price experiment the same "
        "applicant meets the same draw. It is neither kept nor logged, only its keyed digest is.",
    )


def _known(value: Any) -> Any:
    return None if value != value else value  # NaN is not itself


Known = Annotated[float | None, BeforeValidator(_known)]
"""A number; null where it is not known, for JSON has no NaN."""


class Offer(BaseModel):
    """One offer; rates are fractions, money is in the book's currency."""

    principal: float
    term_months: int
    quoted_rate: float = Field(description="In the book's own convention.")
    nominal_rate: float = Field(description="Yearly, compounding monthly.")
    apr: float = Field(description="Yearly cost of credit with fees, actuarial method.")
    monthly_payment: float
    total_cost: float = Field(description="All payments less the amount received.")
    p_accept: Known = Field(
        description="Probability that the customer takes this offer; null in a degraded answer."
    )
    pd_lifetime: float = Field(description="Probability of default within the term, if taken.")
    expected_profit: Known = Field(
        description="p_accept times the value of the booked loan; null in a degraded answer."
    )
    binding: str | None = Field(
        default=None, description="Rule that keeps the price from a more profitable neighbour."
    )
    p_choice: float | None = Field(
        default=None, description="Probability that the customer picks it from this menu."
    )


class Reason(BaseModel):
    """One of at most four reasons why nothing is offered, the principal one first."""

    code: str = Field(
        description="Stable: a rule that failed (APR_CAP, PTI, DTI, NO_EVIDENCE) or a limit on "
        "all loans together (PORTFOLIO_LIMIT); a factor that raises the risk above the mean "
        "approved applicant's, as FIELD:name of a declared field, REQUESTED_PRINCIPAL, "
        "REQUESTED_TERM, PAYMENT or PRICE; or, where no factor stands out, SMALL_AMOUNT or "
        "REQUESTED_TERMS."
    )
    text: str = Field(description="A plain sentence that a notice of adverse action may give.")
    remedy: str = Field(description="What would help, if the applicant can do anything about it.")
    source: str = Field(description="The regulation under which the reason is given.")


class Effect(BaseModel):
    """What one group of the risk model's inputs adds to the logit of default."""

    group: str = Field(description="A field, or what is offered: offer=price, offer=payment, ...")
    label: str
    effect: float = Field(description="Against the mean approved applicant.")


class Neighbour(BaseModel):
    """The same offer at another rate of its price range."""

    quoted_rate: float
    p_accept: float
    npv: float
    expected_profit: float = Field(description="p_accept times npv.")
    broken: str | None = Field(
        description="First rule that forbids this rate; null where it may be quoted."
    )


class Explanation(BaseModel):
    """Why the first offer is as it is."""

    pd_logit: float = Field(
        description="Logit of pd_lifetime: approved_logit plus all effects plus floor."
    )
    approved_logit: float = Field(description="That of the mean approved applicant.")
    floor: float = Field(description="What keeping each response to its sign changed.")
    effects: list[Effect] = Field(description="Largest first.")
    price_slope: float = Field(
        description="What one point more of the quoted rate adds to the logit of p_accept."
    )
    waterfall: dict[str, float] = Field(
        description="Value of the booked loan: npv is interest + fee - funding - credit_loss "
        "- servicing - acquisition - capital_charge."
    )
    neighbours: list[Neighbour] = Field(
        description="25, 50 and 100 basis points to either side, within the price range."
    )
    binding: str | None = Field(
        description="Rule that keeps the price from a more profitable neighbour."
    )


class CounterOffer(BaseModel):
    """The nearest request that would be approved today; an estimate, not a promise."""

    requested_principal: float
    requested_term_months: int
    offer: Offer = Field(description="The best offer that request would get.")
    sentence: str


class OfferResponse(BaseModel):
    """Offers, best first; or a decline with its reasons."""

    decision_id: str = Field(description="The pair that decided, and 32 hex digits of its own.")
    outcome: Literal["offers", "decline"]
    currency: str
    offers: list[Offer]
    reasons: list[Reason]
    counter_offer: CounterOffer | None = Field(
        default=None, description="On a decline: what to ask for instead, if anything."
    )
    explanation: Explanation | None = Field(
        default=None, description="Of the first offer, where the request says `explain`."
    )
    degraded: bool = Field(
        default=False,
        description="The acceptance model did not answer, so offers are at the list price.",
    )
    versions: dict[str, str] = Field(
        description="Exact ids of the pair, its models, policy and portfolio."
    )


class FieldError(BaseModel):
    """One field that is wrong, and what would be right."""

    field: str
    problem: str


class Problem(BaseModel):
    """An error in the form of RFC 9457 (application/problem+json)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []


def to_core(request: ApplicationRequest, portfolio: Portfolio) -> offers.Application:
    """Check a request against the book's declaration; see `finntelligence.offers.application`."""
    return offers.application(
        portfolio,
        requested_principal=request.requested_principal,
        requested_term_months=request.requested_term_months,
        features=request.features,
    )


def offer_from_core(offer: offers.Offer) -> Offer:
    """Return the body of one offer."""
    return Offer.model_validate(offer, from_attributes=True)


def from_core(decision: Decision, decision_id: str, portfolio: Portfolio) -> OfferResponse:
    """Return the body that answers with a decision."""
    return OfferResponse.model_validate(
        {
            "decision_id": decision_id,
            "outcome": "offers" if decision.offers else "decline",
            "currency": portfolio.currency,
            "offers": decision.offers,
            "reasons": decision.reasons,
            "counter_offer": decision.counter_offer,
            "explanation": decision.explanation,
            "degraded": decision.degraded,
            "versions": decision.versions,
        },
        from_attributes=True,  # copies nothing, where `asdict` copies every leaf
    )


_STATUS_CODE = {
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    415: "unsupported-media-type",
    500: "internal",
}


def problem_of_status(status: int, detail: str) -> Problem:
    """Return the problem body of what HTTP itself refuses, or of a defect of ours."""
    return Problem(
        type=PROBLEM_TYPE + _STATUS_CODE.get(status, "bad-request"),
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
    )
