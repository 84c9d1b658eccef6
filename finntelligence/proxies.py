"""Columns that give a group away."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finntelligence.groups import area_under_curve
from finntelligence.screening import Thresholds

__all__ = ["ProxyStrength", "proxy_strength"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyStrength:
    """How well one column alone tells a group, over the `rows` where it has a value.

    `auc` is above 0.5 where the group's values are the higher ones, below where they are lower;
    None without members or others. `suspected` reports and refuses nothing; it is None where
    members or others are too few to tell.

    >>> member = np.arange(100) < 40
    >>> strength, = proxy_strength({"commute": 5.0 + member}, member)
    >>> strength.auc, strength.suspected
    (1.0, True)
    """

    column: str
    rows: int
    auc: float | None
    low: float | None
    high: float | None
    suspected: bool | None


def proxy_strength(
    columns: Mapping[str, NDArray[Any]],
    member: NDArray[np.bool_],
    thresholds: Thresholds | None = None,
) -> tuple[ProxyStrength, ...]:
    """Return how well each column alone tells who is a member of a group, strongest first.

    `columns` are numbers or 0/1 flags, each (n,), NaN where absent; `member` is (n,). The figure is
    the area under the ROC curve, ties averaged, with DeLong's interval; suspected is a column whose
    AUC is `proxy_auc` or further from 0.5 on either side.

    >>> member = np.array([False] * 50 + [True] * 50)
    >>> columns = {"commute": np.arange(100.0), "score": np.arange(100.0) % 10}
    >>> [(each.column, each.auc, each.suspected) for each in proxy_strength(columns, member)]
    [('commute', 1.0, True), ('score', 0.5, False)]
    """
    limits = thresholds or Thresholds()
    found = []
    for name, column in columns.items():
        values = np.asarray(column, dtype=float)
        known = ~np.isnan(values)
        auc = area_under_curve(values[known], member[known])
        fewest = min(np.count_nonzero(known & member), np.count_nonzero(known & ~member))
        tells = _distance(auc.value) >= limits.proxy_auc - 0.5
        found.append(
            ProxyStrength(
                column=name,
                rows=int(known.sum()),
                auc=auc.value,
                low=auc.low,
                high=auc.high,
                suspected=None if fewest < limits.least_rows else tells,
            )
        )
    return tuple(sorted(found, key=lambda each: -_distance(each.auc)))


def _distance(auc: float | None) -> float:
    return 0.0 if auc is None else abs(auc - 0.5)
