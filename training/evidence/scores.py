"""How good probabilities are, on rows that the model never saw, each figure with its interval.

Intervals are 95 % bootstrap percentiles over applicants: each row is another applicant, so a row
is what is resampled. All resamples are computed together, as weights of the rows.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Resampling", "gain", "row_losses", "scores"]

Array = NDArray[np.float64]
Measure = Callable[[Array], Array]

_ECE_BINS = 15
_QUANTILES = (0.025, 0.975)
_LEAST = 1e-12  # a probability nearer to 0 or 1 scores as this, so that no loss is infinite
_TOGETHER = 20  # resamples in memory at once
_NEWTON_STEPS = 25
_CONVERGED = 1e-9
_STEEPEST = 30.0  # logit
# a prior on the calibration slope, N(1, 10^2): a few separable rows must not send it to infinity
_SLOPE_PRECISION = 0.01


class Resampling(Protocol):
    """How many resamples stand behind an interval, and the seed they are drawn with."""

    @property
    def bootstrap(self) -> int:
        """The number of resamples."""

    @property
    def seed(self) -> int:
        """The seed."""


def scores(outcome: Array, predicted: Array, constant: float, params: Resampling) -> dict[str, Any]:
    """Return AUC, log-loss, Brier score, calibration and the gain over a constant.

    `gain` is the constant's log-loss less the model's, on the same resample: above zero is better.
    `ece` is the expected calibration error in 15 bins of equal mass, and `ece_if_calibrated` the
    95th percentile of what as many rows would show were every prediction true.
    `calibration_slope` and `calibration_intercept` are those of a logit of the outcome on the
    prediction's logit; the intercept is at slope 1, so that it says how far the mean is off
    (Van Calster et al. 2019). True predictions have 1 and 0. Rows of one outcome only have no AUC.
    """
    order = np.argsort(predicted, kind="stable")
    y, p = outcome[order], np.clip(predicted[order], _LEAST, 1 - _LEAST)
    loss, constant_loss = row_losses(y, p), row_losses(y, np.full_like(p, constant))
    measures: dict[str, Measure] = {
        "log_loss": _mean_of(loss),
        "brier": _mean_of((y - p) ** 2),
        "gain": _mean_of(constant_loss - loss),
        "ece": _error_in_bins(y, p),
        **_calibration(y, p),
    }
    if 0 < y.sum() < len(y):  # else nothing can be ranked
        measures["auc"] = _ranking(y, p)
    rng = np.random.default_rng(params.seed)
    found = _intervals(measures, len(y), params.bootstrap, rng)
    return {
        "rows": len(y),
        "events": int(y.sum()),
        "constant_log_loss": float(constant_loss.mean()),
        "ece_if_calibrated": _error_of_the_true(p, params.bootstrap, rng),
        **found,
    }


def gain(outcome: Array, predicted: Array, rival: Array, params: Resampling) -> dict[str, float]:
    """Return the rival's log-loss less the model's on the same applicants; above 0 is better."""
    difference = _mean_of(row_losses(outcome, rival) - row_losses(outcome, predicted))
    rng = np.random.default_rng(params.seed)
    return _intervals({"gain": difference}, len(outcome), params.bootstrap, rng)["gain"]


def row_losses(outcome: Array, predicted: Array) -> Array:
    """Return each row's log-loss."""
    p = np.clip(predicted, _LEAST, 1 - _LEAST)
    return -np.where(outcome > 0, np.log(p), np.log1p(-p))


def _intervals(
    measures: dict[str, Measure], rows: int, bootstrap: int, rng: np.random.Generator
) -> dict[str, dict[str, float]]:
    drawn: dict[str, list[Array]] = {name: [] for name in measures}
    for weights in _resamples(rows, bootstrap, rng):
        for name, measure in measures.items():
            drawn[name].append(measure(weights))
    found = {}
    for name, measure in measures.items():
        value, resampled = float(measure(np.ones((1, rows)))[0]), np.concatenate(drawn[name])
        if name == "ece":  # resampling adds to it, as it cannot fall below 0: keep the spread only
            resampled = np.maximum(resampled + value - resampled.mean(), 0.0)
        found[name] = _interval(value, resampled)
    return found


def _resamples(rows: int, bootstrap: int, rng: np.random.Generator) -> Iterator[Array]:
    """Yield how often each row is in each resample, shape (resamples, rows)."""
    for start in range(0, bootstrap, _TOGETHER):
        count = min(_TOGETHER, bootstrap - start)
        drawn = rng.integers(0, rows, (count, rows))
        yield np.stack([np.bincount(each, minlength=rows) for each in drawn]).astype(float)


def _interval(value: float, resampled: Array) -> dict[str, float]:
    known = resampled[np.isfinite(resampled)]
    low, high = np.quantile(known if len(known) else [value], _QUANTILES)
    return {"value": value, "low": float(low), "high": float(high)}


# Each measure takes the weights of rows sorted by prediction, shape (resamples, rows)


def _mean_of(values: Array) -> Measure:
    return lambda weights: weights @ values / weights.sum(axis=1)


def _ranking(outcome: Array, predicted: Array) -> Measure:
    """AUC: the share of pairs of an event and none that are in order, ties half."""
    event = np.flatnonzero(outcome)
    first = np.searchsorted(predicted, predicted[event], side="left")
    after = np.searchsorted(predicted, predicted[event], side="right")

    def measure(weights: Array) -> Array:
        others = np.pad(np.cumsum(weights * (1 - outcome), axis=1), ((0, 0), (1, 0)))
        below = (np.take(others, first, axis=1) + np.take(others, after, axis=1)) / 2
        events = np.take(weights, event, axis=1)
        pairs = events.sum(axis=1) * others[:, -1]
        # a resample of one outcome only has no ranking
        return np.divide(
            (events * below).sum(axis=1), pairs, out=np.full(len(pairs), np.nan), where=pairs > 0
        )

    return measure


def _bins(predicted: Array) -> NDArray[np.int64]:
    """Positions in sorted predictions where a bin of equal mass starts; ties share a bin."""
    edges = np.quantile(predicted, np.linspace(0, 1, _ECE_BINS + 1)[1:-1])
    starts = np.searchsorted(predicted, edges, side="right")
    return np.unique(np.concatenate([[0], starts[starts < len(predicted)]]))


def _error_in_bins(outcome: Array, predicted: Array) -> Measure:
    starts, gap = _bins(predicted), outcome - predicted

    def measure(weights: Array) -> Array:
        off = np.abs(np.add.reduceat(weights * gap, starts, axis=1))
        return off.sum(axis=1) / weights.sum(axis=1)

    return measure


def _error_of_the_true(predicted: Array, draws: int, rng: np.random.Generator) -> float:
    starts = _bins(predicted)
    errors = []
    for _ in range(draws):
        outcome = rng.random(len(predicted)) < predicted
        errors.append(np.abs(np.add.reduceat(outcome - predicted, starts)).sum() / len(predicted))
    return float(np.quantile(errors, 0.95))


def _calibration(outcome: Array, predicted: Array) -> dict[str, Measure]:
    """One Newton step from the full sample's fit gives each resample's (Andrews 2002)."""
    logit = np.log(predicted) - np.log1p(-predicted)
    measures = {"calibration_intercept": _line(outcome, logit, slope=False)}
    if np.ptp(logit) > 0:
        measures["calibration_slope"] = _line(outcome, logit, slope=True)
    return measures


def _line(outcome: Array, logit: Array, slope: bool) -> Measure:
    """Fit outcome ~ intercept + slope * logit, the slope being 1 unless asked for."""
    columns = np.stack([np.ones_like(logit), logit] if slope else [np.ones_like(logit)], axis=1)
    size = columns.shape[1]
    offset = np.zeros_like(logit) if slope else logit
    prior = np.array([0.0, 1.0])[:size]
    precision = np.diag(np.array([_SLOPE_PRECISION, _SLOPE_PRECISION])[:size])
    products = (columns[:, :, None] * columns[:, None, :]).reshape(len(logit), -1)

    def step(at: Array) -> Measure:
        p = 1 / (1 + np.exp(-np.clip(columns @ at + offset, -_STEEPEST, _STEEPEST)))
        scored, curved = columns * (outcome - p)[:, None], products * (p * (1 - p))[:, None]

        def taken(weights: Array) -> Array:
            gradient = weights @ scored - precision @ (at - prior)
            curvature = (weights @ curved).reshape(-1, size, size) + precision
            return np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]

        return taken

    fitted, everyone = prior, np.ones((1, len(logit)))
    for _ in range(_NEWTON_STEPS):
        move = step(fitted)(everyone)[0]
        length = float(np.max(np.abs(move)))
        fitted = fitted + move * min(1.0, 2.0 / max(length, _LEAST))
        if length < _CONVERGED:
            break
    last = step(fitted)
    return lambda weights: (fitted + last(weights))[:, -1]
