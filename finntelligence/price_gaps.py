"""Gaps in price between groups: as they are, at equal risk and terms, and above cost.

A gap is the coefficient of a group's dummy in a least-squares regression of the price, in basis
points (bp), on the groups and perhaps other columns. Its standard error is robust to unequal
variances (HC1: MacKinnon and White 1985, Journal of Econometrics 29) and gives a two-sided normal
p-value; its interval is a bootstrap over applicants. A gap is flagged, either way, where p is below
`significance` and its size at least `least_gap` of `screening.Thresholds`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finntelligence.groups import Groups, Resamples, percentile_interval, ratio
from finntelligence.screening import GroupMean, Measure, Screen, Thresholds

__all__ = ["apr_gap", "markup_gap", "price_dispersion", "residual_apr_gap"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_BASIS_POINTS = 1e4
_SAME = 1e-9  # of the largest eigenvalue: below it, controls repeat one another
_UNEXPLAINED = 1e-6  # standard deviations of a control that no control within the groups moves


def apr_gap(
    apr: Array, groups: Groups, resamples: Resamples, thresholds: Thresholds | None = None
) -> tuple[Screen, ...]:
    """Return each group's mean APR less the reference's, bp; `apr` (n,) is a fraction or NaN.

    >>> groups = Groups.of(["a"] * 40 + ["b"] * 40)
    >>> apr = np.array([0.10, 0.12] * 20 + [0.11, 0.13] * 20)
    >>> screen, = apr_gap(apr, groups, Resamples.draw(80, 200, np.random.default_rng(7)))
    >>> round(screen.value, 6), round(screen.standard_error, 2), screen.flag
    (100.0, 22.65, True)
    """
    reads = "mean APR apart by {} basis points"
    return _screens("apr_gap", reads, _Sample.of(apr, {}, groups), resamples, thresholds)


def residual_apr_gap(
    apr: Array,
    controls: Mapping[str, Array],
    groups: Groups,
    resamples: Resamples,
    thresholds: Thresholds | None = None,
) -> tuple[Screen, ...]:
    """Return each group's gap in APR at equal `controls`, bp: risk, term, amount, cost of funds.

    The controls enter linearly, so what they cannot say in a straight line stays in the gap.
    Constant and repeated ones change nothing. There is no figure for a group that they tell apart
    from the reference completely.

    Raises:
        ValueError: when a control has no value where there is a price.

    >>> groups = Groups.of(["a"] * 40 + ["b"] * 40)
    >>> risk = np.array([0.0, 1.0] * 20 + [1.0, 2.0] * 20)
    >>> draws = Resamples.draw(80, 200, np.random.default_rng(7))
    >>> screen, = residual_apr_gap(0.1 + 0.02 * risk, {"risk": risk}, groups, draws)
    >>> abs(screen.value) < 1e-6, screen.flag
    (True, False)
    """
    reads = f"APR at equal {', '.join(controls)} apart by {{}} basis points"
    sample = _Sample.of(apr, controls, groups)
    return _screens("residual_apr_gap", reads, sample, resamples, thresholds)


def markup_gap(
    apr: Array,
    break_even_apr: Array,
    groups: Groups,
    resamples: Resamples,
    thresholds: Thresholds | None = None,
) -> tuple[Screen, ...]:
    """Return each group's gap in APR less break-even APR, bp.

    The break-even APR pays for risk, funding and costs (`break_even.break_even_rate`), so a gap in
    what is above it comes from pricing to demand.

    >>> groups = Groups.of(["a"] * 40 + ["b"] * 40)
    >>> apr = np.array([0.10, 0.12] * 20 + [0.11, 0.13] * 20)
    >>> draws = Resamples.draw(80, 200, np.random.default_rng(7))
    >>> screen, = markup_gap(apr, apr - 0.02, groups, draws)
    >>> abs(screen.value) < 1e-6, screen.flag
    (True, False)
    """
    sample = _Sample.of(apr - break_even_apr, {}, groups)
    reads = "APR above break-even apart by {} basis points"
    return _screens("markup_gap", reads, sample, resamples, thresholds)


def price_dispersion(
    apr: Array, controls: Mapping[str, Array], groups: Groups, resamples: Resamples
) -> tuple[GroupMean, ...]:
    """Return the standard deviation of APR at equal `controls` within each group, bp.

    What a person pays beyond what the controls say: individual pricing widens it.

    >>> groups = Groups.of(["a"] * 40 + ["b"] * 40)
    >>> apr = np.array([0.10, 0.12] * 20 + [0.11, 0.11] * 20)
    >>> draws = Resamples.draw(80, 200, np.random.default_rng(7))
    >>> [round(each.value, 6) for each in price_dispersion(apr, {}, groups, draws)]
    [100.0, 0.0]
    """
    sample = _Sample.of(apr, controls, groups)
    spread = np.sqrt(np.maximum(_Fit.of(sample, resamples).variances, 0.0))
    rows = groups.rows(sample.priced)
    return tuple(
        GroupMean.of(label, int(rows[g]), percentile_interval(spread[:, g]))
        for g, label in enumerate(groups.labels)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """A regression's rows: `price` (n,) in bp around its mean, standardised `controls` (n, c)."""

    price: Array
    controls: Array
    priced: Mask
    groups: Groups

    @classmethod
    def of(cls, price: Array, controls: Mapping[str, Array], groups: Groups) -> "_Sample":
        priced = np.isfinite(price) & (groups.codes >= 0)
        columns = [_standardised(name, each, priced) for name, each in controls.items()]
        middle = float(np.mean(price[priced])) if priced.any() else 0.0
        return cls(
            price=np.where(priced, _BASIS_POINTS * (price - middle), 0.0),
            controls=np.column_stack(columns) if columns else np.empty((len(price), 0)),
            priced=priced,
            groups=groups,
        )


def _standardised(name: str, column: Array, priced: Mask) -> Array:
    values = np.asarray(column, dtype=float)
    if not np.isfinite(values[priced]).all():
        raise ValueError(f"control {name!r} has no value where there is a price")
    result = np.zeros(len(values))
    if priced.any() and np.ptp(values[priced]) > 0:
        result[priced] = (values[priced] - values[priced].mean()) / values[priced].std()
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """Least squares with a mean for each group, on the sample (entry 0) and every resample.

    `means` (1 + draws, groups) and `centres` (1 + draws, groups, c) are the means of price and
    controls, `variances` (1 + draws, groups) those of the residuals, `slopes` (1 + draws, c) the
    controls' coefficients. `inverse` (c, c) is the pseudo-inverse of the sample's moments within
    groups, `projector` its product with them.
    """

    means: Array
    centres: Array
    variances: Array
    slopes: Array
    inverse: Array
    projector: Array

    @classmethod
    def of(cls, sample: _Sample, resamples: Resamples) -> "_Fit":
        y, z = sample.price[:, None], sample.controls
        c = z.shape[1]
        products = (z[:, :, None] * z[:, None, :]).reshape(len(z), c * c)
        values = np.hstack([np.ones_like(y), y, y * y, z, y * z, products])
        sums = resamples.group_sums(values, sample.groups, sample.priced)
        count, total, squares = np.moveaxis(sums[..., :3], 2, 0)
        sum_z, sum_yz, sum_zz = np.split(sums[..., 3:], [c, 2 * c], axis=-1)
        centres = ratio(sum_z, count[..., None])
        known = np.nan_to_num(centres)  # of a group without applicants: adds nothing
        # moments around the groups' means
        moments = sum_zz.reshape(*count.shape, c, c) - known[..., :, None] * sum_z[..., None, :]
        crossed = sum_yz - known * total[..., None]
        pooled = moments.sum(axis=1)
        inverse = np.linalg.pinv(pooled, rcond=_SAME, hermitian=True)
        slopes = np.einsum("rij,rgj->ri", inverse, crossed)
        explained = np.einsum("ri,rgij,rj->rg", slopes, moments, slopes)
        explained = explained - 2 * np.einsum("ri,rgi->rg", slopes, crossed)
        means = ratio(total, count)
        return cls(
            means=means,
            centres=centres,
            variances=ratio(squares + explained, count) - means**2,
            slopes=slopes,
            inverse=inverse[0],
            projector=inverse[0] @ pooled[0],
        )

    def gaps(self, g: int, ref: int) -> Array:
        """Return the gap of group `g`, (1 + draws,); NaN where the controls are the group."""
        apart = self.centres[:, g] - self.centres[:, ref]
        gaps = self.means[:, g] - self.means[:, ref] - (apart * self.slopes).sum(axis=1)
        beyond = np.abs(apart[0] - apart[0] @ self.projector)
        return np.where((beyond > _UNEXPLAINED).any(), np.nan, gaps)

    def standard_error(self, g: int, sample: _Sample) -> float | None:
        """Return the HC1 standard error of the gap of group `g`, if any row is left to say.

        The gap is linear in the prices, sum of w * price, so its variance is the sum of
        (w * residual) ** 2, times n / (n - p).
        """
        groups, rows = sample.groups, np.flatnonzero(sample.priced)
        codes, counts = groups.codes[rows], groups.rows(sample.priced)
        z = sample.controls[rows] - self.centres[0, codes]
        residual = sample.price[rows] - self.means[0, codes] - z @ self.slopes[0]
        ref = groups.reference
        apart = self.centres[0, g] - self.centres[0, ref]
        weight = (codes == g) / counts[g] - (codes == ref) / counts[ref] - z @ self.inverse @ apart
        free = len(rows) - np.count_nonzero(counts) - round(float(np.trace(self.projector)))
        if free <= 0:
            return None
        return math.sqrt(float(((weight * residual) ** 2).sum()) * len(rows) / free)


def _screens(
    name: str, reads: str, sample: _Sample, resamples: Resamples, thresholds: Thresholds | None
) -> tuple[Screen, ...]:
    limits, groups = thresholds or Thresholds(), sample.groups
    fit = _Fit.of(sample, resamples)
    measure = Measure(
        name=name,
        reads=reads,
        digits=1,
        limit=f"{limits.least_gap:g} either way with p below {limits.significance:g}",
        groups=groups,
        counted=groups.rows(sample.priced),
        least_rows=limits.least_rows,
    )
    screens = []
    for g in groups.others:
        found = percentile_interval(fit.gaps(g, groups.reference))
        if found.value is None:
            screens.append(measure.screen(g, found, is_adverse=False))
            continue
        error = fit.standard_error(g, sample)
        p_value = None if error is None else _two_sided(found.value, error)
        is_certain = p_value is not None and p_value < limits.significance
        is_adverse = is_certain and abs(found.value) >= limits.least_gap
        screens.append(measure.screen(g, found, is_adverse, error, p_value))
    return tuple(screens)


def _two_sided(gap: float, error: float) -> float:
    """Return the p of a gap under the normal law; without any spread a gap is certain."""
    if error == 0:
        return float(gap == 0)
    return math.erfc(abs(gap) / error / math.sqrt(2))
