"""Cash flows of a level-payment loan: instalment, schedule, APR, and quoted-rate conventions.

Every function works on numbers or broadcastable arrays; rates are fractions (0.12 is 12 %).
"""

import math
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

try:
    from finntelligence._search import contract_total as compiled_total
    from finntelligence._search import monthly_rate as compiled_rate
except ImportError:  # no compiler where the package was built
    compiled_total = compiled_rate = None  # type: ignore[assignment]

__all__ = [
    "MONTHS",
    "Convention",
    "Instalment",
    "addon_from_nominal",
    "apr",
    "capped_payment",
    "contract_payments",
    "monthly_payment",
    "nominal_from_addon",
    "nominal_rate",
    "one_apr",
    "quoted_rate",
    "schedule",
]

Array = NDArray[np.float64]

MONTHS = 12
"""Months a year: a yearly nominal rate over these is the monthly one."""
_NEWTON_STEPS = 60
_STEP_TOLERANCE = 1e-14
_FLAT = 1e-15  # interest below this share of the loan is rounding
_RATE_SCALE = 10**12
_SERIES_BELOW = 1e-7  # below this the closed derivative cancels; its series is exact to 1e-12


class Convention(StrEnum):
    """How a book quotes its price.

    `nominal_annual`: yearly contract rate, compounds monthly.
    `addon_monthly`: flat interest a month on the original principal.

    >>> float(nominal_rate(0.02, 12, Convention.ADDON_MONTHLY).round(4))  # 24 % flat a year
    0.417
    """

    NOMINAL_ANNUAL = "nominal_annual"
    ADDON_MONTHLY = "addon_monthly"


def _payment_factor(u: Array, n: Array) -> Array:
    """Payment per unit lent at rate `u` a month: u / (1 - (1 + u) ** -n), and 1/n at u = 0."""
    if u.ndim == 0:  # one rate for all terms, as under a cap
        return 1.0 / n if u == 0 else u / -np.expm1(-n * np.log1p(u))
    zero = u == 0
    safe = np.where(zero, 1.0, u)
    return np.where(zero, 1.0 / n, safe / -np.expm1(-n * np.log1p(safe)))


def _one_payment_factor(u: float, n: float) -> float:
    """Do what `_payment_factor` does for one loan, without arrays of one."""
    return 1 / n if u == 0 else u / -math.expm1(-n * math.log1p(u))


def _payment_factor_slope(u: Array, n: Array) -> Array:
    """Derivative of `_payment_factor` in `u`; (n + 1) / 2n at u = 0."""
    small = np.abs(u) < _SERIES_BELOW
    safe = np.where(small, 1.0, u)
    growth = np.exp(-n * np.log1p(safe))
    slope = (1 - growth - safe * n * growth / (1 + safe)) / (1 - growth) ** 2
    return np.where(small, (n + 1) / (2 * n), slope)


def _monthly_rate(payment: Array, amount: Array, n: Array) -> Array:
    """Solve amount * u / (1 - (1 + u) ** -n) = payment for the monthly rate `u`.

    The left side is increasing and convex in `u`, so Newton's second iterate lies above the root
    and the rest fall onto it: no bracket is needed. A solved loan is left alone, so that its last
    bits do not depend on the loans beside it.
    """
    target = payment / amount
    u = 2 * (n * target - 1) / (n + 1)
    u = np.where(np.abs(n * target - 1) < _FLAT, 0.0, u)
    open_ = u != 0
    for _ in range(_NEWTON_STEPS):
        step = (_payment_factor(u, n) - target) / _payment_factor_slope(u, n)
        u = np.where(open_, u - step, u)
        open_ &= np.abs(step) >= _STEP_TOLERANCE
        if not np.any(open_):
            break
    return u


def _one_monthly_rate(payment: float, amount: float, n: float) -> float:
    """Do what `_monthly_rate` does for one loan, as `_search.c` does where it compiled."""
    target = payment / amount
    if abs(n * target - 1) < _FLAT:
        return 0.0
    u = 2 * (n * target - 1) / (n + 1)
    for _ in range(_NEWTON_STEPS):
        if abs(u) < _SERIES_BELOW:
            factor = 1 / n + u * (n + 1) / (2 * n) + u * u * (n * n - 1) / (12 * n)
            slope = (n + 1) / (2 * n)
        else:
            paid_off = -math.expm1(-n * math.log1p(u))
            factor = u / paid_off
            slope = (paid_off - u * n * (1 - paid_off) / (1 + u)) / paid_off**2
        step = (factor - target) / slope
        u -= step
        if abs(step) < _STEP_TOLERANCE:
            break
    return u


def monthly_payment(principal: ArrayLike, nominal_rate: ArrayLike, term_months: ArrayLike) -> Array:
    """Return the level payment that clears `principal` in `term_months`.

    `nominal_rate` is yearly and compounds monthly, so 0.12 means 1% a month:

        payment = principal * u / (1 - (1 + u) ** -term_months),  u = nominal_rate / 12

    >>> float(monthly_payment(10_000, nominal_rate=0.12, term_months=24).round(2))
    470.73
    """
    u = np.asarray(nominal_rate, dtype=float) / MONTHS
    n = np.asarray(term_months, dtype=float)
    return np.asarray(principal, dtype=float) * _payment_factor(u, n)


def apr(amount_financed: ArrayLike, payment: ArrayLike, term_months: ArrayLike) -> Array:
    """Return the annual percentage rate of level monthly payments, as a fraction.

    The actuarial method of Regulation Z (12 CFR 1026, Appendix J) for equal monthly unit periods:
    twelve times the monthly rate that makes the payments worth the amount financed, which is the
    principal less any fee withheld from it.

    >>> payment = monthly_payment(10_000, nominal_rate=0.10, term_months=36)
    >>> float(apr(9_500, payment, 36).round(6))
    0.135624
    """
    paid, amount, n = payment, amount_financed, term_months
    if np.ndim(paid) == np.ndim(amount) == np.ndim(n) == 0:
        return np.asarray(one_apr(float(amount), float(paid), float(n)))  # type: ignore[arg-type]
    return MONTHS * _monthly_rate(*(np.asarray(v, dtype=float) for v in (paid, amount, n)))


def one_apr(amount_financed: float, payment: float, term_months: float) -> float:
    """Return `apr` of one loan, without arrays of one.

    >>> round(one_apr(9_500, 322.671872, 36), 6)
    0.135624
    """
    solved = _one_monthly_rate if compiled_rate is None else compiled_rate
    return MONTHS * solved(payment, amount_financed, term_months)


def capped_payment(amount_financed: ArrayLike, apr_cap: ArrayLike, term_months: ArrayLike) -> Array:
    """Return the largest level payment whose APR stays within `apr_cap`.

    APR rises with the payment, so comparing payments enforces a cap without solving any APR.

    >>> float(capped_payment(9_500, 0.36, 36).round(2))
    435.14
    """
    return monthly_payment(amount_financed, apr_cap, term_months)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instalment:
    """One contractual payment and the balance after it, in currency units to the cent.

    >>> first = schedule(1_200, nominal_rate=0.12, term_months=12)[0]
    >>> str(first.payment), str(first.interest), str(first.balance)
    ('106.62', '12.00', '1105.38')
    """

    month: int
    payment: Decimal
    interest: Decimal
    principal: Decimal
    balance: Decimal


def schedule(principal: float, nominal_rate: float, term_months: int) -> tuple[Instalment, ...]:
    """Return the contract's payments, rounded to cents half up; the last clears the balance.

    Months are equal (30/360). Where rounding up overpays a tiny loan, it ends early.

    >>> rows = schedule(10_000, nominal_rate=0.10, term_months=36)
    >>> rows[0].interest, rows[-1].payment, sum(row.payment for row in rows)
    (Decimal('83.33'), Decimal('322.75'), Decimal('11616.20'))
    """
    rate = Decimal(repr(float(nominal_rate)))
    level = Decimal(_level_cents(principal, nominal_rate, term_months)) / 100
    balance = _cents(Decimal(repr(float(principal))))
    rows = []
    for month in range(1, term_months + 1):
        if balance == 0:
            break
        interest = _cents(balance * rate / MONTHS)  # divided last: a true half cent stays one
        owed = balance + interest
        payment = owed if month == term_months else min(level, owed)
        balance = owed - payment
        rows.append(
            Instalment(
                month=month,
                payment=payment,
                interest=interest,
                principal=payment - interest,
                balance=balance,
            )
        )
    return tuple(rows)


def contract_payments(
    principal: float, nominal_rate: float, term_months: int
) -> tuple[float, float]:
    """Return the level payment and the sum of all payments of `schedule`, without its rows.

    >>> contract_payments(10_000, nominal_rate=0.10, term_months=36)
    (322.67, 11616.2)
    """
    level = _level_cents(principal, nominal_rate, term_months)
    rate = round(nominal_rate * _RATE_SCALE)  # exact for rates of up to 12 digits
    total = _contract_total if compiled_total is None else compiled_total
    return level / 100, total(round(principal * 100), level, rate, term_months) / 100


def _contract_total(balance: int, level: int, rate: int, term_months: int) -> int:
    """Return the sum of a contract's payments in cents, as `_search.c` does where it compiled."""
    year, month = MONTHS * _RATE_SCALE, 0
    while True:
        month += 1
        owed = balance + (2 * balance * rate + year) // (2 * year)
        if level >= owed or month == term_months:
            return level * (month - 1) + owed
        balance = owed - level


def _level_cents(principal: float, nominal_rate: float, term_months: int) -> int:
    """Return the level payment in cents, half up; a tie survives the float's binary tail."""
    exact = principal * _one_payment_factor(nominal_rate / MONTHS, term_months) * 100
    return math.floor(round(exact, 6) + 0.5)


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def nominal_from_addon(addon_rate: ArrayLike, term_months: ArrayLike) -> Array:
    """Return the yearly nominal rate with the same payments as flat add-on interest.

    An add-on loan pays (principal + principal * addon_rate * term_months) / term_months a month.

    >>> float(nominal_from_addon(0.0775, term_months=4).round(4))
    1.41
    """
    rate, n = np.broadcast_arrays(
        np.asarray(addon_rate, dtype=float), np.asarray(term_months, dtype=float)
    )
    return MONTHS * _monthly_rate(1 / n + rate, np.ones_like(rate), n)


def addon_from_nominal(nominal_rate: ArrayLike, term_months: ArrayLike) -> Array:
    """Return the monthly add-on rate with the same payments as a yearly nominal rate.

    >>> float(addon_from_nominal(nominal_from_addon(0.0775, 4), 4).round(12))
    0.0775
    """
    n = np.asarray(term_months, dtype=float)
    return monthly_payment(1.0, nominal_rate, n) - 1 / n


def nominal_rate(quoted: ArrayLike, term_months: ArrayLike, convention: Convention) -> Array:
    """Convert a book's quoted rate to the yearly nominal rate.

    >>> float(nominal_rate(0.1299, 36, Convention.NOMINAL_ANNUAL))
    0.1299
    """
    if convention is Convention.ADDON_MONTHLY:
        return nominal_from_addon(quoted, term_months)
    return np.broadcast_arrays(np.asarray(quoted, dtype=float), np.asarray(term_months))[0]


def quoted_rate(nominal: ArrayLike, term_months: ArrayLike, convention: Convention) -> Array:
    """Convert a yearly nominal rate to a book's quoted rate; the inverse of `nominal_rate`.

    >>> float(quoted_rate(0.1299, 36, Convention.NOMINAL_ANNUAL))
    0.1299
    """
    if convention is Convention.ADDON_MONTHLY:
        return addon_from_nominal(nominal, term_months)
    return np.broadcast_arrays(np.asarray(nominal, dtype=float), np.asarray(term_months))[0]
