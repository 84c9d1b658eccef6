"""Calibration by group: whether a predicted probability means the same for everybody."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finntelligence.groups import (
    Estimate,
    Groups,
    Resamples,
    area_under_curve,
    percentile_interval,
    ratio,
)

__all__ = ["BINS", "GroupCalibration", "group_calibration"]

Array = NDArray[np.float64]

BINS = 15
"""Bins of equal mass behind the expected calibration error."""

_NEWTON_STEPS = 50
_STEP_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCalibration:
    """How well probabilities fit what came of one group's `rows`, each with a 95 % interval.

    `error` is mean prediction less share observed. `ece` is the expected calibration error: the
    mean over bins of the distance between the two; its interval is shifted by the bootstrap's bias,
    because resampling adds to it. `intercept` is what must be added to every predicted logit to fit
    the group, 0 if calibrated, above 0 where more happened than predicted; None where all outcomes
    are alike. `intercept_gap` is that less the reference's, None for the reference itself. `auc` is
    the ranking within the group.

    >>> groups, outcome = Groups.of(["a"] * 4), np.array([0.0, 1, 0, 1])
    >>> draws = Resamples.draw(4, 50, np.random.default_rng(7))
    >>> a, = group_calibration(np.array([0.1, 0.9, 0.2, 0.8]), outcome, groups, draws)
    >>> a.events, a.observed.value, a.intercept_gap, a.auc.value
    (2, 0.5, None, 1.0)
    """

    group: str
    rows: int
    events: int
    predicted: Estimate
    observed: Estimate
    error: Estimate
    ece: Estimate
    intercept: Estimate
    intercept_gap: Estimate | None
    auc: Estimate


def group_calibration(
    predicted: Array, outcome: Array, groups: Groups, resamples: Resamples
) -> tuple[GroupCalibration, ...]:
    """Compare predicted probabilities, (n,) in (0, 1), with outcomes, (n,) of 0 or 1, by group.

    Intervals are bootstraps over rows; the intercept's takes one Newton step from the sample's for
    each resample, which is as good to the order of the interval itself.

    Raises:
        ValueError: when a prediction is not strictly between 0 and 1.

    >>> groups = Groups.of(["a"] * 4 + ["b"] * 4)
    >>> outcome = np.array([0.0, 1, 0, 1, 0, 0, 0, 1])
    >>> draws = Resamples.draw(8, 50, np.random.default_rng(7))
    >>> a, b = group_calibration(np.full(8, 0.5), outcome, groups, draws)
    >>> a.error.value, b.error.value, round(b.intercept.value, 6)  # logit(1/4) - logit(1/2)
    (0.0, 0.25, -1.098612)
    """
    if not ((predicted > 0) & (predicted < 1)).all():
        raise ValueError("predicted must lie strictly between 0 and 1")
    parts = [
        _Part.of(predicted[rows], outcome[rows], rows, resamples)
        for rows in (np.flatnonzero(groups.codes == g) for g in range(len(groups.labels)))
    ]
    at_reference = parts[groups.reference].intercepts
    return tuple(
        GroupCalibration(
            group=label,
            rows=part.rows,
            events=part.events,
            predicted=percentile_interval(part.predicted),
            observed=percentile_interval(part.observed),
            error=percentile_interval(part.predicted - part.observed),
            ece=percentile_interval(part.errors),
            intercept=percentile_interval(part.intercepts),
            intercept_gap=(
                None
                if g == groups.reference
                else percentile_interval(part.intercepts - at_reference)
            ),
            auc=part.auc,
        )
        for g, (label, part) in enumerate(zip(groups.labels, parts, strict=True))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One group's figures on the sample (entry 0) and on every resample, each (1 + draws,)."""

    rows: int
    events: int
    predicted: Array
    observed: Array
    errors: Array
    intercepts: Array
    auc: Estimate

    @classmethod
    def of(cls, p: Array, y: Array, rows: NDArray[np.int64], resamples: Resamples) -> "_Part":
        intercept = _intercept(p, y)
        fitted = _shifted(p, intercept)
        order = np.argsort(p, kind="stable")
        place = np.empty(len(p), dtype=np.int64)
        place[order] = np.arange(len(p)) * BINS // len(p)
        in_bin = (place[:, None] == np.arange(BINS)) * (p - y)[:, None]
        columns = [np.ones_like(p), p, y, y - fitted, fitted * (1 - fitted), in_bin]
        count, sum_p, sum_y, score, information, *bins = resamples.sums(
            np.column_stack(columns), rows
        ).T
        errors = ratio(np.abs(bins).sum(axis=0), count)
        bias = np.nanmean(errors[1:]) - errors[0] if resamples.draws else 0.0
        return cls(
            rows=len(p),
            events=int(y.sum()),
            predicted=ratio(sum_p, count),
            observed=ratio(sum_y, count),
            errors=np.concatenate([errors[:1], np.maximum(errors[1:] - bias, 0.0)]),
            intercepts=intercept + ratio(score, information),
            auc=area_under_curve(p, y),
        )


def _intercept(p: Array, y: Array) -> float:
    """Return what added to every logit makes predictions sum to outcomes; NaN if all are alike."""
    if y.min() == y.max():
        return np.nan
    intercept = 0.0
    for _ in range(_NEWTON_STEPS):
        fitted = _shifted(p, intercept)
        step = float((y - fitted).sum() / (fitted * (1 - fitted)).sum())
        intercept += min(max(step, -1.0), 1.0)  # a full step from far off is wild
        if abs(step) < _STEP_TOLERANCE:
            break
    return intercept


def _shifted(p: Array, intercept: float) -> Array:
    return np.asarray(1 / (1 + (1 - p) / p * np.exp(-intercept)))
