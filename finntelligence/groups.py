"""Applicants in groups, and resamples of them: what every fair-lending screen rests on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Estimate", "Groups", "Resamples", "area_under_curve", "percentile_interval", "ratio"]

Array = NDArray[np.float64]

_BLOCK = 1024  # applicants summed at a time, so that their counts as floats stay in cache
_NORMAL_95 = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure and its 95 % interval; None where the data cannot say."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def around(cls, value: float, standard_error: float) -> "Estimate":
        """Return the normal interval of a figure.

        >>> Estimate.around(10.0, 1.0)
        Estimate(value=10.0, low=8.040036015459947, high=11.959963984540053)
        """
        if not np.isfinite(value) or not np.isfinite(standard_error):
            return cls(value=float(value) if np.isfinite(value) else None, low=None, high=None)
        reach = _NORMAL_95 * standard_error
        return cls(value=float(value), low=float(value - reach), high=float(value + reach))


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Which of several groups each applicant belongs to.

    `labels` in alphabetical order; `codes` (n,) are positions in it, -1 where the group is not
    known; `reference` is the position of the group that the others are compared with.
    """

    labels: tuple[str, ...]
    codes: NDArray[np.int64]
    reference: int

    @classmethod
    def of(cls, column: ArrayLike, reference: str | None = None) -> "Groups":
        """Group by the values of a column, (n,); None and NaN are not known.

        The reference is the largest group unless named; of equals the first.

        Raises:
            ValueError: when nobody is in the group named, or nobody's group is known.

        >>> groups = Groups.of(["b", "a", None, "b"])
        >>> groups.labels, groups.codes.tolist(), groups.labels[groups.reference]
        (('a', 'b'), [1, 0, -1, 1], 'b')
        """
        values = np.asarray(column, dtype=object)
        known = np.array([value is not None and value == value for value in values], dtype=bool)
        labels, places = np.unique(values[known].astype(str), return_inverse=True)
        names = tuple(labels.tolist())
        if not names:
            raise ValueError("a group column needs at least one known value")
        if reference is not None and reference not in names:
            raise ValueError(f"reference must be one of {', '.join(names)}, is {reference!r}")
        codes = np.full(len(values), -1)
        codes[known] = places
        largest = int(np.argmax(np.bincount(places)))
        at = largest if reference is None else names.index(reference)
        return cls(labels=names, codes=codes, reference=at)

    @property
    def others(self) -> tuple[int, ...]:
        """The positions of the groups that are compared with the reference."""
        return tuple(g for g in range(len(self.labels)) if g != self.reference)

    def rows(self, among: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return how many of the applicants in the mask `among`, (n,), are in each group."""
        codes = self.codes[among & (self.codes >= 0)]
        return np.bincount(codes, minlength=len(self.labels))


@dataclass(frozen=True, slots=True)
class Resamples:
    """A bootstrap of n applicants: `counts` (n, 1 + draws) of how often each draw holds each.

    Column 0 is the sample itself, so one formula gives a figure and its resampled values. Efron and
    Tibshirani (1993), "An Introduction to the Bootstrap", chapter 13.
    """

    counts: NDArray[np.uint8]

    @property
    def draws(self) -> int:
        """How many resamples there are."""
        return int(self.counts.shape[1]) - 1

    @classmethod
    def draw(cls, rows: int, draws: int, rng: np.random.Generator) -> "Resamples":
        """Draw `rows` applicants with replacement, `draws` times.

        >>> Resamples.draw(5, 2, np.random.default_rng(7)).counts.sum(axis=0).tolist()
        [5, 5, 5]
        """
        counts = np.ones((1 + draws, rows), dtype=np.uint8)
        for held in counts[1:]:
            held[:] = np.bincount(rng.integers(0, rows, rows), minlength=rows)
        return cls(np.ascontiguousarray(counts.T))

    def sums(self, values: Array, chosen: NDArray[np.int64]) -> Array:
        """Return the sums of `values` (m, k) of the m `chosen` applicants, (1 + draws, k).

        >>> once = Resamples(np.ones((3, 1), dtype=np.uint8))
        >>> once.sums(np.array([[1.0], [5.0]]), np.array([0, 2])).tolist()
        [[6.0]]
        """
        total = np.zeros((values.shape[1], 1 + self.draws))
        for start in range(0, len(chosen), _BLOCK):
            block = slice(start, start + _BLOCK)
            total += values[block].T @ self.counts[chosen[block]].astype(float)
        return total.T

    def group_sums(self, values: Array, groups: Groups, among: NDArray[np.bool_]) -> Array:
        """Return the sums by group of `values` (n, k) in the mask, (1 + draws, groups, k)."""
        parts = []
        for g in range(len(groups.labels)):
            chosen = np.flatnonzero(among & (groups.codes == g))
            parts.append(self.sums(values[chosen], chosen))
        return np.stack(parts, axis=1)


def ratio(above: Array, below: Array) -> Array:
    """Return `above` / `below`, broadcast; NaN where `below` is 0.

    >>> ratio(np.array([1.0, 1.0]), np.array([2.0, 0.0])).tolist()
    [0.5, nan]
    """
    return np.asarray(above / np.where(below == 0, np.nan, below))


def percentile_interval(resampled: Array) -> Estimate:
    """Return entry 0 of (1 + draws,) values with the 95 % percentiles of the others.

    Draws that have no value (NaN: a group is missing from them) are left out.

    >>> percentile_interval(np.array([0.5, *np.linspace(0, 1, 101)]))
    Estimate(value=0.5, low=0.025, high=0.975)
    """
    value, draws = resampled[0], resampled[1:][np.isfinite(resampled[1:])]
    if not np.isfinite(value):
        return Estimate(value=None, low=None, high=None)
    if not draws.size:
        return Estimate(value=float(value), low=None, high=None)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(value=float(value), low=float(low), high=float(high))


def area_under_curve(score: Array, positive: NDArray[Any]) -> Estimate:
    """Return the probability that a positive's score, (n,), is above a negative's; ties half.

    The interval is DeLong's: DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44. Without
    both positives and negatives there is no figure.

    >>> area_under_curve(np.array([1.0, 2, 2, 3]), np.array([0, 0, 1, 1])).value
    0.875
    """
    is_positive = np.asarray(positive, dtype=bool)
    above, below = score[is_positive], score[~is_positive]
    m, n = len(above), len(below)
    if not m or not n:
        return Estimate(value=None, low=None, high=None)
    ranks = _ranks(score)
    # a positive's share of negatives below it, a negative's share of positives above it
    placed = (ranks[is_positive] - _ranks(above)) / n
    passed = 1 - (ranks[~is_positive] - _ranks(below)) / m
    value = float(placed.mean())
    if m == 1 or n == 1:
        return Estimate(value=value, low=None, high=None)
    found = Estimate.around(value, float(np.sqrt(placed.var(ddof=1) / m + passed.var(ddof=1) / n)))
    assert found.low is not None, "a finite figure has an interval"
    assert found.high is not None, "a finite figure has an interval"
    return Estimate(value=value, low=max(found.low, 0.0), high=min(found.high, 1.0))


def _ranks(values: Array) -> Array:
    """Return the ranks from 1 on, ties averaged."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[place])
