"""What a booked loan is worth: the one definition of value.

Constant monthly default hazard and prepayment compete; the closed form below equals the
month-by-month sum (tests/finntelligence/test_value.py holds the sum). Values are at disbursement,
in the book's currency.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finntelligence.cashflow import MONTHS, monthly_payment

__all__ = [
    "PD_CEILING",
    "PD_FLOOR",
    "Economics",
    "LoanValue",
    "default_hazard",
    "hazard_table",
    "loan_value",
]

Array = NDArray[np.float64]

PD_FLOOR = 1e-5
"""The least PD over a horizon that a hazard is asked for; lower ones count as this."""
PD_CEILING = 0.95
"""The greatest PD over a horizon that a hazard is asked for; higher ones count as this."""
_NEWTON_STEPS = 40
_NO_RATE = 1e-9  # a month; nearer to 0 the closed form of a balance cancels, or overflows
_STEP_TOLERANCE = 1e-15


@dataclass(frozen=True, slots=True, kw_only=True)
class Economics:
    """What lending costs and recovers; rates are yearly fractions, costs in the book's currency.

    `origination_fee` is a fraction of the principal, withheld from the proceeds.
    `recovery_lag_months` is the delay between default and the recovery of 1 - `lgd`.
    `servicing_rate` is a yearly fraction of the balance; `servicing_cost` is paid each month.
    `capital_ratio` of the balance must earn `hurdle_rate` before tax.
    `prepayment_rate` is the yearly conditional prepayment rate (CPR).
    """

    cost_of_funds: float
    origination_fee: float
    lgd: float
    recovery_lag_months: float
    acquisition_cost: float
    servicing_cost: float
    servicing_rate: float
    capital_ratio: float
    hurdle_rate: float
    prepayment_rate: float

    @property
    def monthly_prepayment(self) -> float:
        """Single monthly mortality: 1 - (1 - CPR) ** (1/12).

        >>> round(market.policy.economics.monthly_prepayment, 6)  # of 15 % a year
        0.013452
        """
        return float(-np.expm1(np.log1p(-self.prepayment_rate) / MONTHS))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoanValue:
    """Present values of one booked loan; arrays of one broadcast shape, in currency units.

    `npv` is economic profit, and the waterfall sums to it:

        npv = interest + fee - funding - credit_loss - servicing - acquisition - capital_charge

    `payments`, `prepayments` and `recoveries` are the cash that comes back. `credit_loss` is what
    defaults cost after recoveries; `expected_loss` (exposure times LGD, at default) leaves out that
    recoveries come late. `months_alive` is the discounted, expected number of months the loan is
    active at their start. `raroc` reaches the hurdle exactly where `npv` reaches zero.

    >>> value = loan_value(12_000, 0.15, 36, hazard=0.003, economics=market.policy.economics)
    >>> spent = value.funding + value.credit_loss + value.servicing + value.acquisition
    >>> left = value.interest + value.fee - spent - value.capital_charge
    >>> float(left.round(2)), float(value.npv.round(2))
    (1350.91, 1350.91)
    """

    payments: Array
    prepayments: Array
    recoveries: Array
    interest: Array
    fee: Array
    funding: Array
    credit_loss: Array
    servicing: Array
    acquisition: Array
    capital_charge: Array
    expected_loss: Array
    months_alive: Array
    npv: Array
    raroc: Array


def _geometric_sum(z: Array, n: Array) -> Array:
    """Sum of z ** (t - 1) for t = 1..n, exact near z = 1."""
    gap = z - 1
    one = gap == 0
    safe = np.where(one, 1.0, gap)
    return np.where(one, n, np.expm1(n * np.log1p(safe)) / safe)


def default_hazard(pd: ArrayLike, horizon_months: ArrayLike, monthly_prepayment: float) -> Array:
    """Return the monthly default hazard `h` behind "ever default within the horizon".

    Prepayment competes, so with q = (1 - h)(1 - s):

        pd = h * (1 - q ** horizon) / (1 - q)

    `pd` is clipped to [1e-5, 0.95]. Newton from the hazard without prepayment: the right side is
    increasing and concave in `h`, so iterates rise to the root from below.

    >>> float(default_hazard(0.12, 36, monthly_prepayment=1 - 0.85 ** (1 / 12)).round(9))
    0.004491804
    """
    target = np.clip(np.asarray(pd, dtype=float), PD_FLOOR, PD_CEILING)
    n = np.asarray(horizon_months, dtype=float)
    survive = 1 - monthly_prepayment
    h = -np.expm1(np.log1p(-target) / n)
    open_ = np.ones(np.broadcast_shapes(h.shape, n.shape), dtype=bool)
    for _ in range(_NEWTON_STEPS):
        pd_now, pd_slope = _pd_of_hazard(h, n, survive)
        step = (pd_now - target) / pd_slope
        h = np.where(open_, h - step, h)  # a solved loan keeps its bits whatever is beside it
        open_ = open_ & (np.abs(step) >= _STEP_TOLERANCE)
        if not open_.any():
            break
    return np.asarray(h)


def hazard_table(logit: Array, horizon_months: float, monthly_prepayment: float) -> Array:
    """Return hazard and d hazard / d logit at rising values of logit(pd), shape (nodes, 2).

    >>> import math
    >>> node = np.array([math.log(0.12 / 0.88)])
    >>> hazard_table(node, 36, monthly_prepayment=1 - 0.85 ** (1 / 12)).round(6).tolist()
    [[0.004492, 0.004251]]
    """
    pd = 1 / (1 + np.exp(-logit))
    h = default_hazard(pd, horizon_months, monthly_prepayment)
    _, slope = _pd_of_hazard(h, np.full_like(h, horizon_months), 1 - monthly_prepayment)
    return np.stack([h, pd * (1 - pd) / slope], axis=-1)


def _pd_of_hazard(h: Array, n: Array, survive: float) -> tuple[Array, Array]:
    """Return pd = h * (1 - q ** n) / (1 - q), q = (1 - h) * survive, and its slope in `h`."""
    q = (1 - h) * survive
    factor = _geometric_sum(q, n)
    # d factor / dq, with 1 - q > 0 as soon as h > 0
    slope = (factor - n * q ** (n - 1)) / (1 - q)
    return h * factor, factor - h * survive * slope


def loan_value(
    principal: ArrayLike,
    nominal_rate: ArrayLike,
    term_months: ArrayLike,
    hazard: ArrayLike,
    economics: Economics,
    cost_of_funds: ArrayLike | None = None,
) -> LoanValue:
    """Return the present values of a booked loan, broadcast over the arguments.

    In month t, a loan active at t - 1 defaults with probability `hazard` (exposure: the balance
    before the payment), else pays, then prepays its balance with the monthly prepayment rate.
    `cost_of_funds` overrides the economics' own, for books whose funding moves in time. Nominal
    rates strictly between 0 and one basis point lose digits and are not quotable.

    >>> economics = Economics(cost_of_funds=0.05, origination_fee=0.03, lgd=0.9,
    ...     recovery_lag_months=12, acquisition_cost=250, servicing_cost=6, servicing_rate=0,
    ...     capital_ratio=0.1, hurdle_rate=0.2, prepayment_rate=0.15)
    >>> h = default_hazard(0.12, 36, economics.monthly_prepayment)
    >>> float(loan_value(15_000, 0.1299, 36, h, economics).npv.round(2))
    346.58
    """
    lent, rate, n, h, funds = np.broadcast_arrays(
        np.asarray(principal, dtype=float),
        np.asarray(nominal_rate, dtype=float),
        np.asarray(term_months, dtype=float),
        np.asarray(hazard, dtype=float),
        np.asarray(economics.cost_of_funds if cost_of_funds is None else cost_of_funds, float),
    )
    s, i = economics.monthly_prepayment, rate / MONTHS
    d = 1 / (1 + funds / MONTHS)
    payment = monthly_payment(lent, rate, n)
    x = (1 - h) * (1 - s) * d
    alive = _geometric_sum(x, n)
    before, after = _balance_sums(lent, payment, i, n, x, alive)
    payments = d * (1 - h) * payment * alive
    prepayments = d * (1 - h) * s * after
    # Balances telescope: principal = sum over t of x ** (t - 1) * (B[t-1] - x * B[t]). Writing the
    # principal lent that way turns cash in less cash out into earnings on the balance, exactly.
    exposure = d * h * before
    recoveries = d**economics.recovery_lag_months * (1 - economics.lgd) * exposure
    interest = d * (1 - h) * i * before
    funding = d * funds / MONTHS * before
    fee = economics.origination_fee * lent
    servicing = d * (economics.servicing_cost * alive + economics.servicing_rate / MONTHS * before)
    acquisition = np.full_like(lent, economics.acquisition_cost)
    earned = interest + fee - funding - (exposure - recoveries) - servicing - acquisition
    capital = economics.capital_ratio * d * before
    charge = capital * (economics.hurdle_rate - funds) / MONTHS
    return LoanValue(
        payments=payments,
        prepayments=prepayments,
        recoveries=recoveries,
        interest=interest,
        fee=fee,
        funding=funding,
        credit_loss=exposure - recoveries,
        servicing=servicing,
        acquisition=acquisition,
        capital_charge=charge,
        expected_loss=economics.lgd * exposure,
        months_alive=alive,
        npv=earned - charge,
        raroc=_return_on_capital(funds, earned, capital),
    )


def _return_on_capital(funds: Array, earned: Array, capital: Array) -> Array:
    """Return funds + 12 * earned / capital; without capital a gain is +inf and a loss -inf."""
    free = capital == 0
    yearly = MONTHS * earned / np.where(free, 1.0, capital)
    return np.where(free, np.where(earned >= 0, np.inf, -np.inf), funds + yearly)


def _balance_sums(
    lent: Array, payment: Array, i: Array, n: Array, x: Array, alive: Array
) -> tuple[Array, Array]:
    """Discounted, survival-weighted sums of the balance before and after each payment."""
    zero = i < _NO_RATE
    g = 1 + i
    growing = _geometric_sum(x * g, n)
    per = payment / np.where(zero, 1.0, i)
    decay = np.exp(-n * np.log1p(i))
    before = per * (alive - decay * growing)
    after = per * (alive - decay * g * growing)
    if not np.any(zero):
        return before, after
    # sum of (t - 1) x ** (t - 1), term by term: its closed form cancels as x nears 1
    months = np.arange(1, int(np.max(n)))
    terms = months * x[..., None] ** months * (months < n[..., None])
    ramp = terms.sum(axis=-1)
    return (
        np.where(zero, lent * (alive - ramp / n), before),
        np.where(zero, lent * (alive - (ramp + alive) / n), after),
    )
