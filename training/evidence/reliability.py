"""Predicted beside observed shares along a column: where a model is right on average.

Along its own prediction the curve shows calibration; along the price, whether it knows what a
price does. Intervals of the observed share are Wilson's at 95 %, which hold for a few rows too.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

__all__ = ["reliability", "share_interval", "write_series"]

Row = dict[str, float]

_Z = 1.959964


def share_interval(events: float, rows: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share (Wilson 1927).

    >>> low, high = share_interval(0, 20)
    >>> low, round(high, 3)
    (0.0, 0.161)
    """
    share, slack = events / rows, _Z**2 / rows
    centre = (share + slack / 2) / (1 + slack)
    reach = _Z * np.sqrt(share * (1 - share) / rows + slack / (4 * rows)) / (1 + slack)
    return max(float(centre - reach), 0.0), min(float(centre + reach), 1.0)


def reliability(frame: pd.DataFrame, by: str, bins: int) -> list[Row]:
    """Return mean `predicted` and `outcome` in bins of equal mass of the column `by`.

    Rows of one value share a bin, so there may be fewer bins than asked for.
    """
    edges = np.unique(np.quantile(frame[by], np.linspace(0, 1, bins + 1)))
    place = np.searchsorted(edges[1:-1], frame[by], side="left")
    rows = []
    for _, part in frame.groupby(place):
        low, high = share_interval(float(part["outcome"].sum()), len(part))
        rows.append(
            {
                "value": float(part[by].mean()),
                "predicted": float(part["predicted"].mean()),
                "observed": float(part["outcome"].mean()),
                "low": low,
                "high": high,
                "rows": len(part),
            }
        )
    return rows


def write_series(rows: Sequence[Row], path: Path) -> None:
    """Write rows of the same keys as CSV, for `dvc plots`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
