"""The answer to an application: offers, or a decline, always with reasons and exact versions."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finntelligence.adverse_action import Reason, reasons
from finntelligence.counter_offer import CounterOffer
from finntelligence.experiment import tried
from finntelligence.market import Market
from finntelligence.offers import Application, Offer
from finntelligence.optimiser import Optimum
from finntelligence.why_this import Explanation, why_this

__all__ = ["Decision", "decide"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Offers to show, best first; or none, with every reason.

    `versions` holds exact immutable ids: each model's, the policy's and the portfolio's digests.
    A decline may carry a `counter_offer`: the nearest request that would be approved. Offers may
    carry an `explanation` of the first. Under an experiment `arm` says which one was meant, and
    `propensity` is the density that the first price was drawn from (`finntelligence.experiment`).
    `degraded` says that the acceptance model did not answer, so that prices are the list's
    (`finntelligence.list_price`).

    >>> Decision(offers=(), reasons=(), versions={"risk": "risk/7"})
    Traceback (most recent call last):
        ...
    ValueError: a decline needs a reason
    """

    offers: tuple[Offer, ...]
    reasons: tuple[Reason, ...]
    versions: Mapping[str, str]
    counter_offer: CounterOffer | None = None
    explanation: Explanation | None = None
    propensity: float | None = None
    arm: str | None = None
    degraded: bool = False

    def __post_init__(self) -> None:
        if not self.offers and not self.reasons:
            raise ValueError("a decline needs a reason")


def decide(  # noqa: PLR0913 - an applicant, what prices them, and what was found
    application: Application,
    market: Market,
    coefficients: tuple[Array, Array],
    versions: Mapping[str, str],
    found: Optimum,
    contributions: Array | None = None,
    applicant_key: str | None = None,
) -> Decision:
    """Decide on one application, of which the optimum was `found`.

    The policy's experiment, if it has one, draws the first offer's price. `applicant_key` then says
    who asks (`experiment.applicant_key`); without it the applicant's features do.

    `coefficients` are the risk and the acceptance model's for the applicant, each (heads,), and
    `contributions` (heads, features + 1) the risk model's
    (`response.PriceResponse.contributions`). A decline needs them, for it names the applicant's
    factors; with them the first offer is explained.

    >>> from finntelligence.optimiser import optimum
    >>> found = optimum(asked, market, risk, acceptance)
    >>> decision = decide(asked, market, (risk, acceptance), {"risk": "risk/7"}, found)
    >>> [offer.monthly_payment for offer in decision.offers], decision.reasons
    ([286.3, 334.33, 216.1], ())

    Raises:
        ModelMismatchError: when the risk model cannot be explained.
        ValueError: when there is no offer and no contributions tell why.
    """
    if not found.offers:
        if contributions is None:
            raise ValueError("a decline needs the risk model's contributions")
        why = reasons(application, market, coefficients, found, contributions)
        return Decision(offers=(), reasons=why, versions=versions)
    trial = tried(application, market, coefficients, found.offers, applicant_key)
    first = None
    if contributions is not None:
        first = why_this(application, market, trial.offers[0], coefficients, contributions)
    return Decision(
        offers=trial.offers,
        reasons=(),
        versions=versions,
        explanation=first,
        propensity=trial.propensity,
        arm=trial.arm,
    )
