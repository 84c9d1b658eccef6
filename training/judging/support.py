"""Which prices a book's experiment tested, on whom: densities, and the weights they give.

Prices were drawn within strata: the class that the list price goes by, in each period. Within a
stratum the offset from the list price is what was drawn.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finntelligence.off_policy import kernel_weights, window_mass
from finntelligence.portfolio import Portfolio
from training.evidence.subject import segments

__all__ = ["Support", "strata"]

Array = NDArray[np.float64]

_QUARTERS = (0.25, 0.5, 0.75)
_LEAST_ROWS = 100  # a stratum's on average: below it periods are taken together
_LEAST_MASS = 0.25  # of a kernel's window: the edge of the tested prices has 1/2, beyond is less
_MOST_ROWS = 400  # of a stratum that its densities are reported by


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """The experiment behind n randomised quotes; rates are fractions, densities per unit of rate.

    `low` and `high` (n,) are the ends of the prices that were tested in each row's stratum, as
    rates for that row, and `bandwidth` (n,) the kernel's. Where a stratum tested one price or none,
    ends are NaN.
    """

    stratum: NDArray[np.int64]
    names: tuple[str, ...]
    quoted: Array
    listed: Array
    density: Array
    low: Array
    high: Array
    bandwidth: Array

    @classmethod
    def of(cls, portfolio: Portfolio, quotes: pd.DataFrame, bandwidth: float) -> "Support":
        """Find the support of canonical quotes, of which only randomised prices count.

        `bandwidth` is a share of the range of prices that a row's stratum tested.
        """
        stratum, names = strata(portfolio, quotes)
        quoted, listed = (quotes[k].to_numpy(dtype=float) for k in ("quoted_rate", "list_rate"))
        drawn = quotes["is_randomised"].to_numpy(dtype=bool)
        density = np.where(drawn, quotes["propensity"].to_numpy(dtype=float), np.nan)
        known = np.isfinite(density)
        lowest, highest = np.full(len(names), np.inf), np.full(len(names), -np.inf)
        np.minimum.at(lowest, stratum[known], (quoted - listed)[known])
        np.maximum.at(highest, stratum[known], (quoted - listed)[known])
        told = highest > lowest
        span = np.where(told, highest - lowest, np.nan)
        ends = np.where(told, lowest, np.nan), np.where(told, highest, np.nan)
        # no price beyond all that were tested, whatever the list price it is an offset from
        least, most = (quoted[known].min(), quoted[known].max()) if known.any() else (np.nan,) * 2
        return cls(
            stratum=stratum,
            names=names,
            quoted=quoted,
            listed=listed,
            density=density,
            low=np.maximum(listed + ends[0][stratum], least),
            high=np.minimum(listed + ends[1][stratum], most),
            bandwidth=bandwidth * span[stratum],
        )

    def mass(self, rates: Array) -> Array:
        """Return the share of each proposed rate's window that was tested, (n,); NaN for none."""
        found = np.full(len(rates), np.nan)
        for code in range(len(self.names)):
            rows = np.flatnonzero(self.stratum == code)
            if np.isfinite(self.bandwidth[rows[0]]):
                found[rows] = window_mass(
                    (self.quoted - self.listed)[rows],
                    self.density[rows],
                    (rates - self.listed)[rows],
                    float(self.bandwidth[rows[0]]),
                )
        return np.where(np.isfinite(rates), np.where(np.isfinite(found), found, 0.0), np.nan)

    def weights(self, rates: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Return each row's weight for a policy's rates, and which proposals were not tested.

        A weight is over the mass tested, so that its mean within a stratum is 1 also where the
        policy's window reaches over the edge of the prices tested.
        """
        mass = self.mass(rates)
        covered = mass >= _LEAST_MASS
        raw = kernel_weights(self.quoted, rates, self.density, self.bandwidth)
        weights = np.where(covered, raw / np.where(covered, mass, 1.0), 0.0)
        return weights, np.isfinite(rates) & ~covered

    def raw_mean(self, rates: Array) -> float | None:
        """Return the mean weight by the densities alone, where windows lie within what was tested.

        1 if the densities are right, whatever they are: nothing is normalised by them. None where
        no window does.
        """
        within = (rates - self.bandwidth >= self.low) & (rates + self.bandwidth <= self.high)
        raw = kernel_weights(self.quoted, rates, self.density, self.bandwidth)
        return float(raw[within].mean()) if within.any() else None

    def found(self) -> list[dict[str, Any]]:
        """Return every stratum's rows, tested rates and density, JSON-ready.

        `density_sum` is the mean of 1 / density over the width of the tested prices: 1 for a
        density that sums to 1, somewhat above where it is a histogram whose outer bins are not
        filled to their ends. `density` holds pairs of offset and density, in price points.
        """
        offset, rows = self.quoted - self.listed, []
        for code, name in enumerate(self.names):
            of = np.flatnonzero((self.stratum == code) & np.isfinite(self.density))
            if len(of) == 0 or not np.isfinite(self.bandwidth[of[0]]):
                rows.append(
                    {"stratum": name, "rows": len(of), "absent": "tested fewer than two prices"}
                )
                continue
            width = float(np.ptp(offset[of]))
            drawn = of[np.argsort(offset[of], kind="stable")]
            shown = drawn[:: -(-len(drawn) // _MOST_ROWS)]
            rows.append(
                {
                    "stratum": name,
                    "rows": len(of),
                    "atoms": int((self.stratum == code).sum() - len(of)),
                    "lowest": float(offset[of].min()),
                    "highest": float(offset[of].max()),
                    "bandwidth": float(self.bandwidth[of[0]]),
                    "density_sum": float(np.mean(1 / self.density[of])) / width,
                    "density": [
                        [round(float(offset[i]), 6), round(float(self.density[i]), 4)]
                        for i in shown
                    ],
                }
            )
        return rows


def strata(portfolio: Portfolio, quotes: pd.DataFrame) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return each quote's stratum, numbered from 0, and their names.

    A stratum is a class of the list price in a period; of the class alone where strata would hold
    too few randomised quotes to tell which prices were tested.
    """
    rule = portfolio.price.list_rate
    drawn = quotes["is_randomised"].to_numpy(dtype=bool)
    cutting = quotes.loc[drawn if drawn.any() else ~drawn, rule.field]
    cuts = rule.cuts or (() if rule.categories else cutting.quantile(list(_QUARTERS)))
    classes = segments(rule, quotes, cuts).astype(str)
    by_period = pd.Series(classes).str.cat(quotes["period"].astype(str).to_numpy(), ", period ")
    filled = by_period[drawn].nunique()
    labels = by_period if drawn.sum() >= _LEAST_ROWS * max(filled, 1) else pd.Series(classes)
    codes, names = pd.factorize(labels, sort=True)
    return codes.astype(np.int64), tuple(map(str, names))
