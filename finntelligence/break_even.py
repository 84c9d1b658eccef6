"""The rate at which a booked loan earns nothing: what is above it is markup."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finntelligence.value import Economics, loan_value

__all__ = ["HIGHEST_RATE", "break_even_rate"]

Array = NDArray[np.float64]

HIGHEST_RATE = 10.0
"""The highest yearly nominal rate looked at: 1,000 %."""

_HALVINGS = 44  # the bracket is then below 1e-12


def break_even_rate(
    principal: ArrayLike,
    term_months: ArrayLike,
    hazard: ArrayLike,
    economics: Economics,
    cost_of_funds: ArrayLike | None = None,
) -> Array:
    """Return the yearly nominal rate at which the loan's NPV is 0, broadcast over the arguments.

    `hazard` is the monthly default hazard at the rate that was offered, and it is held: this is the
    cost of the loan as booked, so the rate less this rate is its markup. Letting default follow the
    rate down would call the risk that a price brings a markup, and where NPV peaks below 0 along
    that path there would be no answer. At a fixed hazard NPV rises with the rate (a test looks), so
    bisection finds its only root.

    0 where the loan earns even free of interest, by its fee; NaN where it loses at every rate up to
    `HIGHEST_RATE`.

    >>> from finntelligence.value import default_hazard
    >>> economics = Economics(cost_of_funds=0.05, origination_fee=0.03, lgd=0.9,
    ...     recovery_lag_months=12, acquisition_cost=250, servicing_cost=6, servicing_rate=0,
    ...     capital_ratio=0.1, hurdle_rate=0.2, prepayment_rate=0.15)
    >>> h = default_hazard(0.12, 36, economics.monthly_prepayment)
    >>> rate = break_even_rate(15_000, 36, h, economics)
    >>> round(float(rate), 6), abs(float(loan_value(15_000, rate, 36, h, economics).npv)) < 1e-6
    (0.111621, True)
    """
    funds = economics.cost_of_funds if cost_of_funds is None else cost_of_funds
    lent, n, h, f = np.broadcast_arrays(
        *(np.asarray(value, dtype=float) for value in (principal, term_months, hazard, funds))
    )

    def loses(rate: Array) -> NDArray[np.bool_]:
        return np.asarray(loan_value(lent, rate, n, h, economics, f).npv < 0)

    low, high = np.zeros(lent.shape), np.full(lent.shape, HIGHEST_RATE)
    free, hopeless = ~loses(low), loses(high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        below = loses(middle)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.where(free, 0.0, np.where(hopeless, np.nan, (low + high) / 2))
