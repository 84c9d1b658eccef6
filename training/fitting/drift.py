"""How far a population has moved: the population stability index (PSI).

Under 0.1 a feature is steady by convention; from 0.25 on it has shifted (Siddiqi 2006, chapter 6).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["drift", "stability"]

Array = NDArray[np.float64]

_SMALLEST_SHARE = 1e-4  # an empty bin's logarithm stays finite
_STEADY_ROWS = 500  # of which chance alone gives a steady feature an index of about 0.04


def drift(
    matrix: Array, period: NDArray[Any], names: tuple[str, ...], scoring: Array | None = None
) -> dict[str, float]:
    """Return every feature's PSI between the book's start and end, or to `scoring` if larger.

    Start and end are the first and the last period; small ones are joined by their neighbours until
    they hold 500 rows each or meet in the middle. `matrix` has shape (n, features), `period` (n,),
    `scoring`, the population that the model will meet, (m, features).
    """
    first, last = matrix[_start(period)], matrix[_start(-period)]
    pairs = [(first, last)] + ([(matrix, scoring)] if scoring is not None else [])
    return {
        name: max(stability(before[:, j], after[:, j]) for before, after in pairs)
        for j, name in enumerate(names)
    }


def stability(expected: Array, actual: Array, bins: int = 10) -> float:
    """Return the PSI, sum (a - e) ln(a / e) over quantile bins of `expected`; absent is a bin.

    A feature of few values has a bin for each: quantiles would put a flag that nearly all hold and
    those without it into one.
    """
    known = expected[~np.isnan(expected)]
    distinct = np.unique(known)
    if len(distinct) <= bins:
        edges = (distinct[1:] + distinct[:-1]) / 2
    else:
        edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1]))
    shares = []
    for sample in (expected, actual):
        place = np.where(np.isnan(sample), len(edges) + 1, np.searchsorted(edges, sample))
        count = np.bincount(place, minlength=len(edges) + 2)
        shares.append(np.maximum(count / len(sample), _SMALLEST_SHARE))
    e, a = shares
    return float(np.sum((a - e) * np.log(a / e)))


def _start(period: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the rows of the fewest first periods that hold enough, at most half of the periods."""
    distinct, counts = np.unique(period, return_counts=True)
    enough = int(np.searchsorted(np.cumsum(counts), _STEADY_ROWS))
    most = max(len(distinct) // 2, 1)
    return np.asarray(period <= distinct[min(enough, most - 1)])
