"""Are a model's logits as steep as the held-out outcomes: in all, and along the price alone?

A logit of the outcome on the model's own logit has slope 1 if the model is right, below 1 if it is
too sure of itself and above 1 if it is too timid (Cox 1958).
"""

import numpy as np
from numpy.typing import NDArray

from finntelligence.portfolio import Capability
from training.evidence.subject import repriced
from training.fitting.base_logit import ridge_logit
from training.fitting.price_response import quoted_terms
from training.gate.heldout import Heldout
from training.gate.pair import Pair
from training.gate.verdict import Verdict, untestable

__all__ = ["calibration_slope", "price_slope", "price_told"]

Array = NDArray[np.float64]

_Z = 1.959964  # the normal's 97.5 % quantile
_TINY = 1e-6  # ridge that keeps the curvature invertible where outcomes are separable
_LEAST = 1e-12  # a probability nearer to 0 or 1 has this one's logit
_LEAST_SPREAD = 1e-9  # of logits: below it they are one, but for rounding


def price_slope(pair: Pair, heldout: Heldout, low: float, high: float) -> Verdict:
    """Judge the acceptance model's response to the price, by quotes of randomised price.

        logit P(y) = a + b * logit(p at the list price) + c * (logit(p) - logit(p at list price))

    What moves the price from the list price is chance, so c is causal: slopes of half the true
    size show c = 2.
    """
    model = Capability.ACCEPTANCE
    criterion = f"{model}: price slope, recalibrated"
    bound = f"from {low:g} to {high:g}, or 1 within the interval"
    frame = heldout.parts(model).get("randomised")
    if frame is None:
        return untestable(criterion, bound, "no randomised quotes")
    listed = repriced(
        pair.portfolio,
        quoted_terms(pair.portfolio, frame),
        frame["list_rate"].to_numpy(dtype=float),
    )
    at_list = _logit(pair.probability(model, frame, listed))
    moved = _logit(pair.probability(model, frame)) - at_list
    if np.ptp(moved) < _LEAST_SPREAD:
        return untestable(criterion, bound, "randomised quotes at the list price alone")
    columns = [at_list] if np.ptp(at_list) > _LEAST_SPREAD else []
    return _judged(criterion, heldout.outcome(model, frame), [*columns, moved], (low, high))


def price_told(pair: Pair) -> Verdict:
    """Judge whether what the acceptance model learned from could tell a price slope at all.

    Where staff alone moved prices, and never from anything but the benchmark, the price and what
    staff knew are one column: the fit then shares the slope between them with no limit to its
    error, and no held-out quote shows it.
    """
    evidence = pair.models[Capability.ACCEPTANCE].response.evidence
    slope, error = evidence["estimates"]["gap"], evidence["standard_errors"]["gap"]
    low, high = slope - _Z * error, slope + _Z * error
    told = high < 0
    return Verdict(
        criterion=f"{Capability.ACCEPTANCE}: price slope told apart from none",
        passed=told,
        figure=slope,
        interval=(low, high),
        bound="below 0 with its whole interval",
        why="logits of acceptance a unit of price, as fitted"
        if told
        else "the quotes learned from do not tell what a price does; draw some prices at random",
    )


def calibration_slope(
    pair: Pair, model: Capability, heldout: Heldout, low: float, high: float
) -> Verdict:
    """Judge how steep a model's whole logit is."""
    rows, frame = heldout.judging(model)
    criterion = f"{model}: calibration slope, {rows}"
    logit = _logit(pair.probability(model, frame))
    if np.ptp(logit) < _LEAST_SPREAD:
        bound = f"from {low:g} to {high:g}, or 1 within the interval"
        return untestable(criterion, bound, "the model says the same of everybody")
    return _judged(criterion, heldout.outcome(model, frame), [logit], (low, high))


def _judged(
    criterion: str, outcome: Array, columns: list[Array], limits: tuple[float, float]
) -> Verdict:
    """Judge the last column's slope in a logit of the outcome on all of them."""
    design = np.stack([np.ones_like(outcome), *columns], axis=1)
    prior = np.array([0.0, *(1.0 for _ in columns)])
    weights, covariance = ridge_logit(design, outcome, np.full(len(prior), _TINY), prior)
    slope, reach = float(weights[-1]), _Z * float(np.sqrt(covariance[-1, -1]))
    (low, high), interval = limits, (slope - reach, slope + reach)
    shape = "too flat" if slope > 1 else "too steep"
    passed = interval[0] <= 1 <= interval[1] or low <= slope <= high
    return Verdict(
        criterion=criterion,
        passed=passed,
        figure=slope,
        interval=interval,
        bound=f"from {low:g} to {high:g}, or 1 within the interval",
        why=f"{'as steep as the outcomes' if passed else f'the model is {shape}'}, "
        f"by {len(outcome):,} rows",
    )


def _logit(p: Array) -> Array:
    inside = np.clip(p, _LEAST, 1 - _LEAST)
    return np.log(inside) - np.log1p(-inside)
