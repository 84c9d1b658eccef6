"""The answer to an application: offers, or a decline, always with reasons and exact versions."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finntelligence.counter_offer import CounterOffer
from finntelligence.offers import Application, Offer
from finntelligence.optimiser import PRICE_RANGE, Market, optimum
from finntelligence.policy import RULES

__all__ = ["Decision", "Reason", "decide"]

Array = NDArray[np.float64]

MOST_REASONS = 4  # the commentary on 12 CFR 1002.9(b)(2): more than four are not likely helpful

_NO_PRICE = ("No permitted price exists for this amount and term", "Ask for another term")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why nothing was offered: a stable code, a plain sentence, and what would satisfy the rule."""

    code: str
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Offers to show, best first; or none, with every reason.

    `versions` holds exact immutable ids: each model's, the policy's and the portfolio's digests.
    A decline may carry a `counter_offer`: the nearest request that would be approved.
    """

    offers: tuple[Offer, ...]
    reasons: tuple[Reason, ...]
    versions: Mapping[str, str]
    counter_offer: CounterOffer | None = None

    def __post_init__(self) -> None:
        if not self.offers and not self.reasons:
            raise ValueError("a decline needs a reason")


def decide(
    application: Application,
    market: Market,
    risk: Array,
    acceptance: Array,
    versions: Mapping[str, str],
) -> Decision:
    """Decide on one application from the models' coefficients, each of shape (heads,).

    A decline gives the rules that left no offer, the one that stopped most terms first.
    """
    found = optimum(application, market, risk, acceptance)
    return Decision(
        offers=found.offers,
        reasons=() if found.offers else _reasons(found.broken),
        versions=versions,
    )


def _reasons(broken: Mapping[str, int]) -> tuple[Reason, ...]:
    texts = {rule.code: (rule.reason, rule.remedy) for rule in RULES} | {PRICE_RANGE: _NO_PRICE}
    ranked = sorted(broken, key=lambda code: -broken[code])
    return tuple(Reason(code, *texts[code]) for code in ranked[:MOST_REASONS])
