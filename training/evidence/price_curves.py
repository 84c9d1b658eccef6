"""Probability along the price: every applicant's must be monotone, every segment's believable."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finntelligence.offers import OfferTerms
from finntelligence.policy import Policy
from finntelligence.portfolio import Capability
from finntelligence.rates import Price
from training.evidence.reliability import reliability
from training.evidence.subject import Subject, repriced
from training.fitting.price_response import columns_of, quoted_terms

__all__ = [
    "Columns",
    "Predict",
    "Prices",
    "observed_prices",
    "price_curves",
    "slopes",
    "violations",
]

Array = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]
Predict = Callable[[Columns, OfferTerms], Array]

_BAND = (0.1, 0.5, 0.9)
_POINTS = 21
_OBSERVED_BINS = 6
_BLOCK = 100  # applicants whose every tick is priced at once
_ROUNDING = 1e-12
_SEEN = (0.01, 0.99)
_TICK = 0.0001  # where no policy says what may be quoted


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Which prices are looked at: all `ticks`, and from `below` to `above` the list price."""

    ticks: Array
    below: float
    above: float

    @classmethod
    def quotable(cls, policy: Policy) -> "Prices":
        """Return what a policy may quote, and its trust region."""
        return cls(ticks=policy.ticks(), below=policy.trust_below, above=policy.trust_above)

    @classmethod
    def seen(cls, frame: pd.DataFrame) -> "Prices":
        """Return the prices between the 1st and the 99th percentile of a table's."""
        low, high = np.quantile(frame["quoted_rate"], _SEEN)
        below, above = np.quantile(frame["quoted_rate"] - frame["list_rate"], _SEEN)
        ticks = np.arange(round(low / _TICK), round(high / _TICK) + 1) * _TICK
        return cls(ticks=ticks, below=max(-float(below), 0.0), above=max(float(above), 0.0))


def violations(
    predict: Predict, subject: Subject, rows: pd.DataFrame, prices: Prices
) -> dict[str, int]:
    """Count the steps between neighbouring ticks where a probability moves the wrong way.

    At every tick, for each row's own principal and term. Acceptance may never rise with the price,
    default never fall. `flat_steps` move it by nothing at all.
    """
    portfolio, ticks = subject.portfolio, prices.ticks
    sign = -1 if subject.model is Capability.ACCEPTANCE else 1
    wrong = flat = applicants = 0
    for start in range(0, len(rows), _BLOCK):
        some = rows[start : start + _BLOCK]
        rates = np.broadcast_to(ticks, (len(some), len(ticks)))
        terms = repriced(portfolio, quoted_terms(portfolio, some), rates)
        step = sign * np.diff(predict(columns_of(portfolio, some), terms), axis=1)
        wrong += int((step < -_ROUNDING).sum())
        flat += int((np.abs(step) <= _ROUNDING).sum())
        applicants += int((step < -_ROUNDING).any(axis=1).sum())
    return {
        "applicants": len(rows),
        "ticks": len(ticks),
        "violations": wrong,
        "violating_applicants": applicants,
        "flat_steps": flat,
    }


def price_curves(subject: Subject, prices: Prices, sample: int, seed: int) -> dict[str, Any]:
    """Return each segment's probability by price, in price units above the list price.

    `low` and `high` bound the middle 80 % of the segment's applicants, `median` is the one in the
    middle: they show how people differ, not how sure the model is.
    """
    curves = {}
    for segment, every in subject.holdout.groupby("segment", observed=True):
        rows = every.sample(min(sample, len(every)), random_state=seed)
        listed = rows["list_rate"].to_numpy()[:, None]
        lowest = max(-prices.below, float(prices.ticks[0] - listed.max()))
        offsets = np.linspace(lowest, prices.above, _POINTS)
        rates = np.maximum(listed + offsets, 0.0)
        terms = repriced(subject.portfolio, quoted_terms(subject.portfolio, rows), rates)
        found = subject.probability(columns_of(subject.portfolio, rows), terms)
        low, median, high = np.quantile(found, _BAND, axis=0)
        curves[str(segment)] = {
            "offset": (offsets / Price.UNIT).tolist(),
            "mean": found.mean(axis=0).tolist(),
            "low": low.tolist(),
            "median": median.tolist(),
            "high": high.tolist(),
        }
    return curves


def observed_prices(subject: Subject) -> dict[str, Any]:
    """Return what happened at randomised prices, by segment, beside what was predicted there."""
    drawn = subject.holdout[subject.holdout["is_randomised"]]
    if drawn.empty:
        return {"absent": "no held-out price was randomised"}
    if drawn["offset"].nunique() == 1:
        return {"absent": "the randomised price never varied"}
    return {
        str(segment): reliability(rows, "offset", _OBSERVED_BINS)
        for segment, rows in drawn.groupby("segment", observed=True)
    }


def slopes(subject: Subject, sample: int, seed: int) -> dict[str, Any]:
    """Return how the price slopes of held-out applicants spread: logit per price unit at list."""
    rows = subject.holdout.sample(min(sample, len(subject.holdout)), random_state=seed)
    terms = quoted_terms(subject.portfolio, rows)
    listed = rows["list_rate"].to_numpy()[:, None]
    around = np.maximum(listed + np.array([-0.5, 0.5]) * Price.UNIT, 0.0)
    found = subject.probability(
        columns_of(subject.portfolio, rows), repriced(subject.portfolio, terms, around)
    )
    found = np.clip(found, _ROUNDING, 1 - _ROUNDING)
    logit = np.log(found) - np.log1p(-found)
    slope = (logit[:, 1] - logit[:, 0]) / ((around[:, 1] - around[:, 0]) / Price.UNIT)
    low, median, high = np.quantile(slope, _BAND)
    return {
        "applicants": len(rows),
        "mean": float(slope.mean()),
        "low": float(low),
        "median": float(median),
        "high": float(high),
    }
