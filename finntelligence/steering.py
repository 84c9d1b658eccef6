"""Keeping a campaign on its course: the price of capital, moved by what was really lent.

A plan expects so much principal per applicant at each price of capital: its `curve`. After some
applicants, with S seen and N in all,

    response = (lent at the campaign's prices + W * r) / (what the curve says of these + W * r)
    ahead(c) = (N - S) * response * curve(c)      what is still to come at the price c

where r is the plan's own per applicant, the budget over N, and W applicants of it stand for what is
known before anybody came. N - S is 1 at least: whoever asks after the last that was planned does
not find a budget that is used up any cheaper. The new price c is 0 if lent + ahead(0) is within the
budget and the minimum volume; else it is where lent + ahead(c) meets the one that is not. What was
lent at prices that are not the campaign's is lent too, but says nothing of the response. The price
moves by `MOST_STEP` at most, stays on the curve, and stays as it is until somebody has asked. The
other limits' prices stay as they were planned.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["MOST_STEP", "Course", "Usage", "steered"]

MOST_STEP = 0.02
"""The most that one steering moves the price of capital, per unit lent."""
_WEIGHT = 200  # applicants that the plan's own expectation counts as


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What was lent to `applicants` at one price of capital, in currency units.

    `capital` is None where the prices were not the campaign's. A loan that was taken counts whole,
    an offer not yet answered by the probability that it is.

    >>> Usage(capital=0.02, applicants=100, principal=400_000.0).principal
    400000.0
    """

    capital: float | None
    applicants: int
    principal: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a campaign is to lend to how many applicants, and its plan's curve.

    `curve` has pairs of a price of capital, rising, and the principal per applicant, falling.

    >>> course = Course(applicants=1000, budget=3e6, curve=((0.0, 5000.0), (0.1, 1000.0)))
    >>> course.expected(0.05)
    3000.0

    Raises:
        ValueError: when the course has nothing to keep to, or its curve is none.
    """

    applicants: int
    curve: tuple[tuple[float, float], ...]
    budget: float | None = None
    minimum_volume: float | None = None

    def __post_init__(self) -> None:
        if self.budget is None and self.minimum_volume is None:
            raise ValueError("only a budget or a minimum volume can be steered to")
        prices, principals = np.array(self.curve).T
        if self.applicants < 1 or len(self.curve) < 2 or (np.diff(prices) <= 0).any():
            raise ValueError("a course needs applicants, and a curve of rising prices")
        if (np.diff(principals) > 1e-9 * principals.max()).any():
            raise ValueError("a dearer price never lends more")

    def expected(self, capital: float) -> float:
        """Return the principal per applicant at a price of capital."""
        prices, principals = zip(*self.curve, strict=True)
        return float(np.interp(capital, prices, principals))

    def planned(self, used: Sequence[Usage]) -> float:
        """Return what should have been lent by what was asked at the campaign's own prices."""
        return sum(
            each.applicants * self.expected(each.capital)
            for each in used
            if each.capital is not None
        )

    def price_of(self, principal: float) -> float:
        """Return the price of capital at which so much is lent per applicant."""
        prices, principals = zip(*self.curve, strict=True)
        return float(np.interp(principal, principals[::-1], prices[::-1]))


def steered(course: Course, capital: float, used: Sequence[Usage]) -> float:
    """Return the price of capital for the applicants to come; `capital` is the one in force.

    >>> course = Course(applicants=1000, budget=3e6, curve=((0.0, 5000.0), (0.1, 1000.0)))
    >>> round(steered(course, 0.05, [Usage(capital=0.05, applicants=500, principal=1.5e6)]), 4)
    0.05
    >>> round(steered(course, 0.05, [Usage(capital=0.05, applicants=500, principal=1.7e6)]), 4)
    0.0657
    """
    seen = sum(each.applicants for each in used)
    if not seen:
        return capital
    lent = sum(each.principal for each in used)
    to_come = max(course.applicants - seen, 1)
    goals = [goal for goal in (course.minimum_volume, course.budget) if goal is not None]
    before = _WEIGHT * goals[-1] / course.applicants
    own = sum(each.principal for each in used if each.capital is not None)
    response = (own + before) / (course.planned(used) + before)
    free = lent + to_come * response * course.expected(0.0)
    goal = min(max(free, course.minimum_volume or 0.0), course.budget or np.inf)
    wanted = 0.0
    if goal != free:
        wanted = course.price_of(max(goal - lent, 0.0) / response / to_come)
    return float(np.clip(wanted, capital - MOST_STEP, capital + MOST_STEP))
