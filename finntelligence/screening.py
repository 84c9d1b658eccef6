"""What every fair-lending screen is: a figure of one group against another, flagged or not.

Internal screens with thresholds of our choice, never a legal conclusion: the four-fifths ratio
comes from employment law (29 CFR 1607.4(D)) and was never codified for lending, and the other
thresholds are in no rule. Every group is compared with one reference, without correction for the
number of comparisons: approvals with the group of the highest rate, all else with the largest.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finntelligence.groups import Estimate, Groups

__all__ = ["DISCLAIMER", "GroupMean", "Measure", "Screen", "Thresholds"]

DISCLAIMER = "Internal screen, not a legal conclusion."
"""Ends what every screen says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """From where on a screen is flagged.

    `least_ratio`: four fifths, 29 CFR 1607.4(D), borrowed from employment. `most_smd`: 30 % of a
    standard deviation, between the small (20) and the medium (50) effect of Cohen (1988). A gap
    in price needs two things: `least_gap` basis points keep trifles in large books from being
    flagged, `significance` keeps chance in small ones. Groups of fewer than `least_rows`, of
    applicants for approvals and of offers for prices, are shown and not flagged. From `proxy_auc`
    on one column tells a group well enough to be a suspected proxy: 0.7 is the "acceptable
    discrimination" of Hosmer and Lemeshow (2000).

    >>> Thresholds(least_ratio=0.9).least_ratio, Thresholds().most_smd
    (0.9, 30.0)
    """

    least_ratio: float = 0.80
    most_smd: float = 30.0
    least_gap: float = 5.0
    significance: float = 0.05
    least_rows: int = 30
    proxy_auc: float = 0.70


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """One figure of one group against the reference, with its 95 % interval.

    `rows` and `reference_rows` count the applicants behind it. `flag` is None where they are too
    few, or where there is no figure; `says` tells everything in words. All values are plain, so
    that `dataclasses.asdict` is ready for JSON.

    >>> Screen(name="apr_gap", group="b", reference="a", value=12.5, low=4.0, high=21.0,
    ...     standard_error=4.3, p_value=0.004, rows=900, reference_rows=2100, flag=True,
    ...     says="b against a: mean APR apart by 12.5 [4.0, 21.0] basis points").flag
    True
    """

    name: str
    group: str
    reference: str
    value: float | None
    low: float | None
    high: float | None
    standard_error: float | None
    p_value: float | None
    rows: int
    reference_rows: int
    flag: bool | None
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMean:
    """A figure of the `rows` applicants of one group, with its 95 % interval."""

    group: str
    rows: int
    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, group: str, rows: int, found: Estimate) -> "GroupMean":
        """Name an estimate's group.

        >>> GroupMean.of("b", 900, Estimate(value=0.18, low=0.17, high=0.19)).value
        0.18
        """
        return cls(group=group, rows=rows, value=found.value, low=found.low, high=found.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What the screens of one kind share: name, wording, and who counts.

    `reads` says in words what the figure, put at `{}` with `digits` decimals, is; `limit` from
    where on it is flagged. `counted` (groups,) are the applicants of each group that enter.
    """

    name: str
    reads: str
    digits: int
    limit: str
    groups: Groups
    counted: NDArray[np.int64]
    least_rows: int

    def screen(
        self,
        g: int,
        found: Estimate,
        is_adverse: bool,
        standard_error: float | None = None,
        p_value: float | None = None,
    ) -> Screen:
        """Return the screen of the group at position `g`, flagged if adverse and large enough.

        >>> groups = Groups.of(["a"] * 60 + ["b"] * 40)
        >>> measure = Measure(name="apr_gap", reads="APR apart by {} points", digits=1, limit="2",
        ...     groups=groups, counted=np.array([60, 40]), least_rows=30)
        >>> found = Estimate(value=3.0, low=1.0, high=5.0)
        >>> measure.screen(1, found, is_adverse=True).says.removesuffix(DISCLAIMER)
        'b against a: APR apart by 3.0 [1.0, 5.0] points; flagged, limit 2. '
        """
        labels, ref = self.groups.labels, self.groups.reference
        rows, others = int(self.counted[g]), int(self.counted[ref])
        flag = None
        if found.value is None:
            said = "no figure, for want of applicants or because other columns tell the group"
        elif min(rows, others) < self.least_rows:
            said = f"{self._figure(found)}; too few to flag, {rows} against {others} applicants"
        else:
            flag = is_adverse
            said = f"{self._figure(found)}; {'' if flag else 'not '}flagged, limit {self.limit}"
        return Screen(
            name=self.name,
            group=labels[g],
            reference=labels[ref],
            value=found.value,
            low=found.low,
            high=found.high,
            standard_error=standard_error,
            p_value=p_value,
            rows=rows,
            reference_rows=others,
            flag=flag,
            says=f"{labels[g]} against {labels[ref]}: {said}. {DISCLAIMER}",
        )

    def _figure(self, found: Estimate) -> str:
        value, low, high = (
            "?" if each is None else f"{each:.{self.digits}f}"
            for each in (found.value, found.low, found.high)
        )
        return self.reads.format(f"{value} [{low}, {high}]")
