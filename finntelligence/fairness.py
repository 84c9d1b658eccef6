"""Do groups of applicants get approved alike, and at alike prices? Screens of `screening`'s kind.

Columns have one entry per applicant, shape (n,); prices are NaN where nothing was offered.
Intervals are 95 % bootstraps over applicants.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from finntelligence.groups import Groups, Resamples, percentile_interval, ratio
from finntelligence.screening import GroupMean, Measure, Screen, Thresholds

__all__ = [
    "adverse_impact_ratio",
    "fisher_exact",
    "group_means",
    "standardised_mean_difference",
]

Array = NDArray[np.float64]

_TIE = 1 + 1e-7  # tables as likely as the one seen, but for rounding
_LEAST_VARIANCE = 1e-18  # of a price: below it all prices are one, but for rounding


def adverse_impact_ratio(
    approved: NDArray[np.bool_],
    groups: Groups,
    resamples: Resamples,
    thresholds: Thresholds | None = None,
) -> tuple[Screen, ...]:
    """Return each group's approval rate over the highest group's; flagged below `least_ratio`.

    As 29 CFR 1607.4(D) has it, the reference is the group of the highest rate, whatever that of
    `groups` is: among the groups of `least_rows` or more, for chance makes the highest rates of
    tiny ones; of equals that of `groups`, then the first. `p_value` is Fisher's exact test.
    Applicants count, not approvals: a group that is hardly ever approved must not be too small to
    be flagged.

    >>> groups = Groups.of(["a"] * 60 + ["b"] * 40)
    >>> approved = np.array([True] * 45 + [False] * 15 + [True] * 18 + [False] * 22)
    >>> draws = Resamples.draw(100, 200, np.random.default_rng(7))
    >>> screen, = adverse_impact_ratio(approved, groups, draws)
    >>> round(screen.value, 3), round(screen.p_value, 4), screen.flag
    (0.6, 0.0031, True)
    """
    limits = thresholds or Thresholds()
    everybody = np.ones(len(groups.codes), dtype=bool)
    values = np.column_stack([everybody, approved]).astype(float)
    asked, given = np.moveaxis(resamples.group_sums(values, groups, everybody), 2, 0)
    rates = ratio(given, asked)
    groups = replace(groups, reference=_highest(rates[0], asked[0], groups, limits))
    measure = Measure(
        name="adverse_impact_ratio",
        reads="approval rates in the ratio {}",
        digits=3,
        limit=f"{limits.least_ratio:g}",
        groups=groups,
        counted=groups.rows(everybody),
        least_rows=limits.least_rows,
    )
    ref, screens = groups.reference, []
    for g in groups.others:
        found = percentile_interval(ratio(rates[:, g], rates[:, ref]))
        counts = (given[0, g], asked[0, g], given[0, ref], asked[0, ref])
        p_value = fisher_exact(*(int(each) for each in counts))
        is_adverse = found.value is not None and found.value < limits.least_ratio
        screens.append(measure.screen(g, found, is_adverse, p_value=p_value))
    return tuple(screens)


def _highest(rates: Array, asked: Array, groups: Groups, limits: Thresholds) -> int:
    """Return the group of the highest rate among those large enough; the own reference if none."""
    known = np.where(asked >= limits.least_rows, rates, -1.0)
    if known[groups.reference] == known.max():
        return groups.reference
    return int(np.argmax(known))


def fisher_exact(approved: int, asked: int, others_approved: int, others_asked: int) -> float:
    """Return the two-sided p of two groups' approvals, if approval does not depend on the group.

    Given the totals, n of N asked and K approved, the number k approved in the first group is
    hypergeometric; p sums the tables that are no likelier than the one seen. Weights follow from
    each other:

        w(k + 1) / w(k) = (n - k) (K - k) / ((k + 1) (N - K - n + k + 1))

    >>> round(fisher_exact(1, 10, 9, 10), 6)
    0.001093
    """
    n, given = asked, approved + others_approved
    declined = asked + others_asked - given
    first, last = max(0, n - declined), min(n, given)
    k = np.arange(first, last, dtype=float)
    steps = np.log((n - k) * (given - k)) - np.log((k + 1) * (declined - n + k + 1))
    log_weight = np.concatenate([[0.0], np.cumsum(steps)])
    weight = np.exp(log_weight - log_weight.max())
    no_likelier = weight <= weight[approved - first] * _TIE
    return float(weight[no_likelier].sum() / weight.sum())


def standardised_mean_difference(
    apr: Array, groups: Groups, resamples: Resamples, thresholds: Thresholds | None = None
) -> tuple[Screen, ...]:
    """Return each group's mean APR less the reference's, in per cent of their pooled sd.

        100 * (mean - mean_ref) / sqrt(((n - 1) var + (n_ref - 1) var_ref) / (n + n_ref - 2))

    Higher is adverse: flagged above `most_smd`. It is a hundred times the d of Cohen (1988).

    >>> groups = Groups.of(["a"] * 40 + ["b"] * 40)
    >>> apr = np.array([0.10, 0.12] * 20 + [0.11, 0.13] * 20)
    >>> draws = Resamples.draw(80, 200, np.random.default_rng(7))
    >>> screen, = standardised_mean_difference(apr, groups, draws)
    >>> round(screen.value, 1), screen.flag
    (98.7, True)
    """
    limits = thresholds or Thresholds()
    priced = np.isfinite(apr)
    centred = np.where(priced, apr - np.mean(apr[priced]) if priced.any() else 0.0, 0.0)
    values = np.column_stack([priced.astype(float), centred, centred**2])
    count, total, squares = np.moveaxis(resamples.group_sums(values, groups, priced), 2, 0)
    mean = ratio(total, count)
    around = squares - total * mean  # (n - 1) times the variance
    measure = Measure(
        name="standardised_mean_difference",
        reads="mean APR apart by {} per cent of a standard deviation",
        digits=1,
        limit=f"{limits.most_smd:g}",
        groups=groups,
        counted=groups.rows(priced),
        least_rows=limits.least_rows,
    )
    ref, screens = groups.reference, []
    for g in groups.others:
        variance = ratio(around[:, g] + around[:, ref], count[:, g] + count[:, ref] - 2)
        variance = np.where(variance > _LEAST_VARIANCE, variance, np.nan)
        found = percentile_interval(100 * (mean[:, g] - mean[:, ref]) / np.sqrt(variance))
        is_adverse = found.value is not None and found.value > limits.most_smd
        screens.append(measure.screen(g, found, is_adverse))
    return tuple(screens)


def group_means(
    columns: Mapping[str, Array], groups: Groups, resamples: Resamples
) -> dict[str, tuple[GroupMean, ...]]:
    """Return each column's mean within every group, over the applicants that have a value.

    >>> groups = Groups.of(["a", "a", "b"])
    >>> draws = Resamples.draw(3, 50, np.random.default_rng(7))
    >>> found = group_means({"apr": np.array([0.1, 0.3, np.nan])}, groups, draws)
    >>> [mean.value for mean in found["apr"]]
    [0.2, None]
    """
    there = [np.isfinite(column) for column in columns.values()]
    present = [np.where(m, c, 0.0) for m, c in zip(there, columns.values(), strict=True)]
    values = np.column_stack([*there, *present]).astype(float)
    everybody = np.ones(len(groups.codes), dtype=bool)
    counts, totals = np.split(resamples.group_sums(values, groups, everybody), 2, axis=-1)
    means = ratio(totals, counts)
    return {
        name: tuple(
            GroupMean.of(label, int(counts[0, g, c]), percentile_interval(means[:, g, c]))
            for g, label in enumerate(groups.labels)
        )
        for c, name in enumerate(columns)
    }
