"""Regulation Z (12 CFR 1026): the APR of any payments, and the note rate that a cap on it leaves.

J(...) cites Appendix J, the actuarial method. Rates and shares are fractions (0.12 is 12 %),
amounts are currency units, and ValueError answers what a docstring does not allow.
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
_LARGEST_FORCE = 512.0  # a rate of e ** 512 a unit period: no payments earn it
_TICK_DIGITS = 10  # as the ticks of a policy, so that rates compare exactly


class UnitPeriod(Enum):
    """The usual time between payments: (days it counts as, number of them a year); J(b)(5).

    >>> UnitPeriod.QUARTER.periods_per_year
    4
    """

    DAY = (1, 365)
    WEEK = (7, 52)
    TWO_WEEKS = (14, 26)
    FOUR_WEEKS = (28, 13)
    SEMIMONTH = (15, 24)
    MONTH = (30, 12)
    TWO_MONTHS = (60, 6)
    QUARTER = (90, 4)
    HALF_YEAR = (180, 2)

    @property
    def periods_per_year(self) -> int:
        """How many make a year, as `apr_of_flows` asks."""
        return self.value[1]


def unit_period_fraction(unit: UnitPeriod, days: int, months: int = 0) -> tuple[int, float]:
    """Return (30 * months + days) / days in the unit as a whole number and a fraction; J(b)(5).

    Whole months are counted back from the later date; `days` are the odd ones before them, or, of
    a day or weeks, all. From 23 May to 1 October are 9 days and 4 months, 1 + 39/90 quarters:

    >>> unit_period_fraction(UnitPeriod.QUARTER, days=9, months=4) == (1, 39 / 90)
    True
    """
    length = unit.value[0]
    if min(days, months) < 0 or (months and length % 15):
        raise ValueError(f"{months} months and {days} days are not counted in a {unit.name}")
    whole, odd = divmod(30 * months + days, length)
    return whole, odd / length


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """An advance or payment, amount > 0, due after whole unit periods and a fraction below 1.

    >>> Flow(amount=200.0, periods=1, fraction=19 / 30).periods
    1
    """

    amount: float
    periods: int
    fraction: float = 0.0

    def __post_init__(self) -> None:
        due = 0 <= self.periods < math.inf and self.periods % 1 == 0 and 0 <= self.fraction < 1
        if not (due and 0 < self.amount < math.inf):
            raise ValueError(f"not an amount at a time: {self}")


def level_flows(
    payment: float, count: int, first_period: int, first_fraction: float = 0.0
) -> tuple[Flow, ...]:
    """Return `count` equal payments, one each unit period from the first on.

    >>> [flow.periods for flow in level_flows(230, count=3, first_period=1)]
    [1, 2, 3]
    """
    due = range(first_period, first_period + count)
    return tuple(Flow(amount=payment, periods=t, fraction=first_fraction) for t in due)


def apr_of_flows(
    advances: Sequence[Flow], payments: Sequence[Flow], periods_per_year: float
) -> float:
    """Return the annual percentage rate periods_per_year * u, u solving J(b)(8) to 1e-12.

        sum A / ((1 + e u) (1 + u) ** q) = sum P / ((1 + f u) (1 + u) ** t)

    Payments sum to the advances or more, and some rate discounts them to these (none does if they
    come first). Of several, as advances after payments can have, it is one. J(c)(1)(ii), 6,000 on
    10 February and 36 payments of 200 from 1 April, 1 month and 19 days on:

    >>> payments = level_flows(200, count=36, first_period=1, first_fraction=19 / 30)
    >>> round(apr_of_flows([Flow(amount=6_000, periods=0)], payments, periods_per_year=12), 6)
    0.118165
    """
    lent, paid = (math.fsum(flow.amount for flow in flows) for flows in (advances, payments))
    if not (0 < lent * (1 - _ROUNDING) <= paid and 0 < periods_per_year < math.inf):
        raise ValueError(f"{paid} paid for {lent} advanced, {periods_per_year} periods a year")
    return periods_per_year * max(math.expm1(_force(_columns(payments), _columns(advances))), 0.0)


def _columns(flows: Sequence[Flow]) -> Array:
    return np.array([(flow.amount, flow.periods, flow.fraction) for flow in flows], dtype=float).T


def _log_worth(flows: Array, force: float) -> tuple[float, float]:
    """Return the log of what flows are worth at the rate e ** force - 1, and its derivative."""
    amounts, periods, fractions = flows
    growth = 1 + fractions * math.expm1(force)
    logs = -periods * force - np.log(growth)
    worths = amounts * np.exp(logs - logs.max())  # never all underflow
    times = periods + fractions * math.exp(force) / growth
    return float(logs.max() + np.log(worths.sum())), -float(worths @ times / worths.sum())


def _force(payments: Array, advances: Array) -> float:
    """Return ln(1 + u) by Newton's method, bisecting where a step leaves the bracket or lags."""
    low, high, force, step = 0.0, _LARGEST_FORCE, 0.0, math.inf
    while high - low > 0 and abs(step) > 1e-15:
        (paid, paid_slope), (lent, lent_slope) = (
            _log_worth(flows, force) for flows in (payments, advances)
        )
        low, high = (force, high) if paid > lent else (low, force)
        newton = (paid - lent) / (lent_slope - paid_slope or math.nan)
        good = low <= force + newton <= high and abs(newton) <= abs(step) / 2
        step = newton if good else (low + high) / 2 - force
        force += step
    if force > _LARGEST_FORCE - 1:
        raise ValueError("no rate discounts these payments to the advances")
    return force


def single_payment_apr(amount: float, payment: float, days: int) -> float:
    """Return the APR (payment / amount - 1) * 365 / days of a term up to a year; J(b)(5)(vii).

    1,000 on 3 January, 1,080 on 15 September, 255 days on, is J(c)(5)(i):

    >>> round(single_payment_apr(1_000, 1_080, days=255), 6)
    0.11451
    """
    if not 1 <= days <= 365:
        raise ValueError(f"a term of 1 to 365 days, not {days}")
    return apr_of_flows(
        level_flows(amount, 1, first_period=0), level_flows(payment, 1, 1), 365 / days
    )


def amount_financed(principal: ArrayLike, fee_share: ArrayLike, withheld: bool = True) -> Array:
    """Return what the customer has of `principal`: principal * (1 - fee_share); 1026.18(b).

    All of it if the fee, 0 <= fee_share < 1 of the note, is not withheld but added to the note.

    >>> float(amount_financed(10_000, 0.05))
    9500.0
    """
    kept = 1 - _share(fee_share)
    return np.asarray(principal, dtype=float) * (kept if withheld else np.ones_like(kept))


def noted_principal(requested: ArrayLike, fee_share: ArrayLike) -> Array:
    """Return the note that leaves `requested` after its fee: requested / (1 - fee_share).

    >>> float(noted_principal(9_500, 0.05))
    10000.0
    """
    return np.asarray(requested, dtype=float) / (1 - _share(fee_share))


def _share(fee_share: ArrayLike) -> Array:
    share = np.asarray(fee_share, dtype=float)
    if not np.all((share >= 0) & (share < 1)):
        raise ValueError("a fee is a share of the note from 0 to below 1")
    return share


def max_nominal_rate(
    amount_financed: ArrayLike,
    principal: ArrayLike,
    apr_cap: ArrayLike,
    term_months: ArrayLike,
    tick: float | None = None,
) -> Array:
    """Return the largest yearly nominal rate of the note whose APR is within `apr_cap`.

    The r with payment(principal, r) = payment(amount_financed, apr_cap), level and monthly; with
    a `tick`, the last multiple of it up to r. NaN where the fee alone breaks the cap, at any rate.

    >>> float(max_nominal_rate(9_500, 10_000, apr_cap=0.36, term_months=36, tick=1e-4))
    0.3192
    """
