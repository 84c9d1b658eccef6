"""Regulation Z: the annual percentage rate of any payments, and the note rate that a cap leaves.

The actuarial method of 12 CFR 1026, Appendix J. Rates and shares are fractions (0.12 is 12 %).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finntelligence.cashflow import apr as apr_of_level_loan
from finntelligence.cashflow import capped_payment, monthly_payment

__all__ = [
    "Flow",
    "Interval",
    "UnitPeriod",
    "amount_financed",
    "apr_of_flows",
    "disclosed",
    "level_flows",
    "max_nominal_rate",
    "noted_principal",
    "single_payment_apr",
    "unit_period_fraction",
]

Array = NDArray[np.float64]

_ROUNDING = 1e-13  # payments this share below the advances count as equal to them
_STEP_TOLERANCE = 1e-15
_STEPS = 200  # bisection alone needs some 60
_LARGEST_FORCE = 512.0  # a rate of e ** 512 a unit period: no payments earn it
_RATE_DIGITS = 10  # as a policy's ticks, so that rates compare exactly


class Interval(Enum):
    """A standard interval: (number a year, days it counts as, longest multiple); J(b)(3), (5).

    >>> Interval.SEMIMONTH.value
    (24, 15, 1)
    """

    DAY = (365, 1, 1)
    WEEK = (52, 7, 52)
    SEMIMONTH = (24, 15, 1)
    MONTH = (12, 30, 11)  # J(b)(5)(v) counts a unit of 12 months otherwise; none is offered here


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPeriod:
    """The usual time between payments; ValueError for a multiple that Appendix J does not have.

    >>> UnitPeriod(interval=Interval.MONTH, multiple=3).periods_per_year
    4.0
    """

    interval: Interval
    multiple: int = 1

    def __post_init__(self) -> None:
        if self.multiple not in range(1, self.interval.value[2] + 1):
            raise ValueError(f"no unit period is {self.multiple} x {self.interval.name.lower()}")

    @property
    def periods_per_year(self) -> float:
        """365 days, 52 weeks, 24 semimonths or 12 months over `multiple`."""
        return self.interval.value[0] / self.multiple


def unit_period_fraction(unit: UnitPeriod, days: int, months: int = 0) -> tuple[int, float]:
    """Return a time as whole unit periods and the fraction of one left; J(b)(5)(ii)-(iv).

        (30 * months + days) / days in the unit: 1, 7 * weeks, 15 for a semimonth, 30 * months

    `months` are counted back from the later date and `days` are the odd ones before them. Units
    of days and weeks take days only. ValueError for other months and for negative times.

    From 23 May to a first quarterly payment on 1 October are 9 days and 4 months, 1 + 39/90:

    >>> quarter = UnitPeriod(interval=Interval.MONTH, multiple=3)
    >>> unit_period_fraction(quarter, days=9, months=4) == (1, 39 / 90)
    True
    """
    if min(days, months) < 0 or (months and unit.interval in (Interval.DAY, Interval.WEEK)):
        raise ValueError(f"{months} months and {days} days are no time for {unit}")
    length = unit.interval.value[1] * unit.multiple
    whole, odd = divmod(30 * months + days, length)
    return whole, odd / length


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """An advance or payment of currency units, after whole unit periods and a fraction of one.

    ValueError unless amount > 0, periods = 0, 1, 2... and 0 <= fraction < 1, all finite.

    >>> Flow(amount=200.0, periods=1, fraction=19 / 30).periods
    1
    """

    amount: float
    periods: int
    fraction: float = 0.0

    def __post_init__(self) -> None:
        due = 0 <= self.periods < math.inf and self.periods % 1 == 0 and 0 <= self.fraction < 1
        if not (due and 0 < self.amount < math.inf):
            raise ValueError(f"no amount, or no time, for money to change hands: {self}")


def level_flows(
    payment: float, count: int, first_period: int, first_fraction: float = 0.0
) -> tuple[Flow, ...]:
    """Return equal payments, one a unit period; `Flow` says which raise ValueError.

    >>> [flow.periods for flow in level_flows(230, count=3, first_period=1)]
    [1, 2, 3]
    """
    due = range(first_period, first_period + count)
    return tuple(Flow(amount=payment, periods=t, fraction=first_fraction) for t in due)


def _log_worth(flows: Array, force: float) -> tuple[float, float]:
    """Return the log of the flows' worth at the rate e ** force - 1, and its derivative."""
    amounts, periods, fractions = flows
    growth = 1 + fractions * math.expm1(force)
    logs = -periods * force - np.log(growth)
    top = float(logs.max())  # taken out, so that no worth underflows
    worths = amounts * np.exp(logs - top)
    total = float(worths.sum())
    times = periods + fractions * math.exp(force) / growth
    return top + math.log(total), -float(worths @ times) / total


def apr_of_flows(
    advances: Sequence[Flow], payments: Sequence[Flow], periods_per_year: float
) -> float:
    """Return the annual percentage rate, as a fraction, of any advances and payments.

    APR = periods_per_year * u, where u is the rate a unit period that solves J(b)(8):

        sum A / ((1 + e u) (1 + u) ** q) = sum P / ((1 + f u) (1 + u) ** t)

    It is solved to 1e-12 in ln(1 + u), where both sides are nearly exponential: Newton's method,
    or a bisection where a step leaves the bracket or does not halve the one before. If payments
    come between advances there may be several solutions, of which this is one.

    Raises:
        ValueError: if there are no advances, the payments sum to less, no rate discounts them to
            the advances (as when the payments come first), or periods_per_year is not positive.

    6,000 on 10 February, 36 payments of 200 from 1 April, 1 month and 19 days on; J(c)(1)(ii):

    >>> payments = level_flows(200, count=36, first_period=1, first_fraction=19 / 30)
    >>> round(apr_of_flows([Flow(amount=6_000, periods=0)], payments, periods_per_year=12), 6)
    0.118165
    """
    lent, paid = (math.fsum(flow.amount for flow in flows) for flows in (advances, payments))
    if not (0 < lent * (1 - _ROUNDING) <= paid and 0 < periods_per_year < math.inf):
        raise ValueError(f"{paid} paid for {lent} advanced, at {periods_per_year} periods a year")
    sides = [np.array([(f.amount, f.periods, f.fraction) for f in side]).T for side in (payments, advances)]
    return periods_per_year * max(math.expm1(_force(*sides)), 0.0)


def _force(payments: Array, advances: Array) -> float:
    def gap(force: float) -> tuple[float, float]:
        (paid, paid_slope), (lent, lent_slope) = (_log_worth(s, force) for s in (payments, advances))
        return paid - lent, paid_slope - lent_slope

    low, high = 0.0, 1.0
    while gap(high)[0] > 0:
        low, high = high, 2 * high
        if high > _LARGEST_FORCE:
            raise ValueError("no rate discounts the payments to the advances")
    force, step = low, high
    for _ in range(_STEPS):
        height, slope = gap(force)
        low, high = (force, high) if height > 0 else (low, force)
        newton = -height / slope if slope else math.inf
        if abs(newton) <= _STEP_TOLERANCE:
            return force + newton
        quick = low <= force + newton <= high and abs(newton) <= abs(step) / 2
        step = newton if quick else (low + high) / 2 - force
        force += step
    return force
