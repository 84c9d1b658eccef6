"""Regulation Z (12 CFR 1026): the APR of any payments, and the note rate that a cap on it leaves.

J(...) cites Appendix J, the actuarial method. Amounts are currency units, rates and shares are
fractions (0.12 is 12 %), and every function raises ValueError for what its text rules out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finntelligence.cashflow import apr as level_apr
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

_LARGEST_FORCE = 512.0  # a rate of e ** 512 a unit period: no payments earn it
_TICK_DIGITS = 10  # as a policy's ticks, so that rates compare exactly


class UnitPeriod(Enum):
    """The usual time between payments: its days, and how many a year has; J(b)(5).

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

    def __init__(self, days: int, periods_per_year: int) -> None:
        self.days, self.periods_per_year = days, periods_per_year


def unit_period_fraction(unit: UnitPeriod, days: int, months: int = 0) -> tuple[int, float]:
    """Return (30 * months + days) / days of the unit as whole periods and a fraction; J(b)(5).

    `months` are the whole ones counted back from the later date, `days` those left before them; a
    unit of a day or weeks takes days only. 23 May to 1 October is 9 days and 4 months:

    >>> unit_period_fraction(UnitPeriod.QUARTER, days=9, months=4) == (1, 39 / 90)
    True
    """
    if min(days, months) < 0 or (months and unit.days % 15):
        raise ValueError(f"{months} months and {days} days are not counted by the {unit.name}")
    whole, odd = divmod(30 * months + days, unit.days)
    return whole, odd / unit.days


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


def _log_worth(flows: Array, force: float) -> tuple[float, float]:
    """Return the log of what flows are worth at the rate e ** force - 1, and its derivative."""
    amounts, periods, fractions = flows
    growth = 1 + fractions * math.expm1(force)
    logs = -periods * force - np.log(growth)
    top = logs.max()  # taken out, for a worth may underflow
    worths = amounts * np.exp(logs - top)
    times = periods + fractions * math.exp(force) / growth
    return float(top + np.log(worths.sum())), -float(worths @ times / worths.sum())


def apr_of_flows(
    advances: Sequence[Flow], payments: Sequence[Flow], periods_per_year: float
) -> float:
    """Return the annual percentage rate periods_per_year * u, with u to 1e-12 from J(b)(8).

        sum A / ((1 + e u) (1 + u) ** q) = sum P / ((1 + f u) (1 + u) ** t)

    The payments sum to the advances or more, and some rate discounts them to the advances: none
    does if they come first. An advance after a payment may make several do; one is returned.
    6,000 on 10 February and 36 payments of 200 from 1 April, 1 + 19/30 months on, J(c)(1)(ii):

    >>> payments = level_flows(200, count=36, first_period=1, first_fraction=19 / 30)
    >>> round(apr_of_flows([Flow(amount=6_000, periods=0)], payments, periods_per_year=12), 6)
    0.118165
    """
    lent, paid = (
        np.array([(f.amount, f.periods, f.fraction) for f in side], dtype=float).reshape(-1, 3).T
        for side in (advances, payments)
    )
    total = lent[0].sum()  # paid back in full, but for what rounding explains
    if not (0 < total <= paid[0].sum() * (1 + 1e-13) and 0 < periods_per_year < math.inf):
        raise ValueError("no advances, payments below them, or no periods in a year")
    lent[0], paid[0] = lent[0] / total, paid[0] / total
    # Newton's method in ln(1 + u), bisecting where a step leaves the bracket or lags
    low, high, force, step = 0.0, _LARGEST_FORCE, 0.0, math.inf
    while abs(step) > 1e-15 * (1 + force):
        (lent_log, lent_slope), (paid_log, paid_slope) = (
            _log_worth(x, force) for x in (lent, paid)
        )
        low, high = (force, high) if paid_log > lent_log else (low, force)
        newton = (paid_log - lent_log) / (lent_slope - paid_slope or math.nan)
        lags = not low <= force + newton <= high or abs(newton) > 0.9 * abs(step)
        step = (low + high) / 2 - force if lags else newton
        force += step
    if force > _LARGEST_FORCE - 1:
        raise ValueError("no rate discounts these payments to the advances")
    return periods_per_year * math.expm1(force)


def single_payment_apr(amount: float, payment: float, days: int) -> float:
    """Return (payment / amount - 1) * 365 / days, the APR of a term up to a year; J(b)(5)(vii).

    The payment is no less than the amount. 3 January to 15 September is 255 days, J(c)(5)(i):

    >>> round(single_payment_apr(1_000, 1_080, days=255), 6)
    0.11451
    """
    if not (0 < days <= 365 and 0 < amount <= payment < math.inf):
        raise ValueError(f"{payment} for {amount} after {days} days")
    return (payment - amount) / amount * 365 / days


def amount_financed(principal: ArrayLike, fee_share: ArrayLike, withheld: bool = True) -> Array:
    """Return principal * (1 - fee_share), the credit a customer has the use of; 1026.18(b).

    Of a fee that is not withheld but added to the note (`noted_principal`), all of `principal`.
    A fee is a share of the note, 0 <= fee_share < 1.

    >>> float(amount_financed(10_000, 0.05))
    9500.0
    """
    share = np.asarray(fee_share, dtype=float)
    if not np.all((share >= 0) & (share < 1)):
        raise ValueError("a fee is a share of the note from 0 to below 1")
    return np.asarray(np.asarray(principal, dtype=float) * (1 - share * withheld))


def noted_principal(requested: ArrayLike, fee_share: ArrayLike) -> Array:
    """Return requested / (1 - fee_share), the note that leaves `requested` after its fee.

    >>> float(noted_principal(9_500, 0.05))
    10000.0
    """
    return np.asarray(np.asarray(requested, dtype=float) / amount_financed(1.0, fee_share))


def max_nominal_rate(
    amount_financed: ArrayLike,
    principal: ArrayLike,
    apr_cap: ArrayLike,
    term_months: ArrayLike,
    tick: float | None = None,
) -> Array:
    """Return the largest yearly nominal rate of a level monthly loan whose APR is within a cap.

    It is the rate at which `principal` costs the payment that `amount_financed` would at the cap,
    or the last multiple of `tick` below. NaN where the fee alone breaks the cap, at a rate of 0.
    Terms are 1 month or more, 0 < amount_financed <= principal and apr_cap >= 0.

    >>> float(max_nominal_rate(9_500, 10_000, apr_cap=0.36, term_months=36, tick=1e-4))
    0.3192
    """
    financed, lent, cap, n = np.broadcast_arrays(amount_financed, principal, apr_cap, term_months)
    ordered = (financed > 0) & (financed <= lent) & (cap >= 0) & (n >= 1)
    if not np.all(ordered & np.isfinite(lent + cap + n)) or (tick is not None and tick <= 0):
        raise ValueError("an amount financed, principal, cap, term or tick is out of range")
    payment, free = capped_payment(financed, cap, n), monthly_payment(lent, 0.0, n)
    rate = np.maximum(level_apr(lent, payment, n), 0.0)
    if tick is not None:
        near = np.round(rate / tick)  # the last tick within the cap, or the one above it
        above = monthly_payment(lent, np.round(near * tick, _TICK_DIGITS), n) > payment
        rate = np.round((near - above) * tick, _TICK_DIGITS)
    return np.where(payment >= free, rate, np.nan)


def disclosed(apr: float) -> Decimal:
    """Return an APR as the percentage points a customer reads, two decimals, halves up; 1026.22.

    >>> disclosed(0.118165)
    Decimal('11.82')
    """
    if not math.isfinite(apr):
        raise ValueError(f"an APR of {apr} cannot be disclosed")
    return (100 * Decimal(repr(float(apr)))).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
