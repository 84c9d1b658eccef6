"""One criterion of the gate and what became of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Verdict", "mean_interval", "untestable"]

Array = NDArray[np.float64]
Interval = tuple[float, float]

_NOT_TESTABLE = "not testable: "
_Z = 1.959964  # the normal's 97.5 % quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A criterion, its figure with a 95 % interval, and in words what it must be and why so.

    Where nothing can be tested there is no figure, `why` says so, and the pair may pass.
    """

    criterion: str
    passed: bool
    figure: float | None
    interval: Interval | None
    bound: str
    why: str

    @property
    def outcome(self) -> str:
        """In a word or two: a criterion that was not tested is never called passed."""
        if self.why.startswith(_NOT_TESTABLE):
            return "not testable"
        return "passed" if self.passed else "FAILED"

    @property
    def says(self) -> str:
        """Return all of it in one line."""
        if self.figure is None:
            return f"{self.criterion}: {self.why}"
        reach = "" if self.interval is None else " [{:.5g}, {:.5g}]".format(*self.interval)
        return f"{self.criterion}: {self.figure:.5g}{reach}, must be {self.bound}; {self.why}"

    def to_mapping(self) -> Mapping[str, Any]:
        """Return what JSON can hold."""
        return asdict(self) | {"outcome": self.outcome}


def untestable(criterion: str, bound: str, reason: str) -> Verdict:
    """Return the verdict on what the data cannot tell."""
    return Verdict(
        criterion=criterion,
        passed=True,
        figure=None,
        interval=None,
        bound=bound,
        why=f"{_NOT_TESTABLE}{reason}",
    )


def mean_interval(values: Array) -> tuple[float, Interval]:
    """Return the mean of independent values, (n,), and its normal 95 % interval."""
    mean = float(values.mean())
    reach = _Z * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else np.inf
    return mean, (mean - reach, mean + reach)
