"""The limits of a portfolio, and what its expected loans use of them.

Sums run over applicants and their one offer each; a booked loan counts with its `p_accept` A:

    principal       sum A * principal                    at most `budget`, at least `minimum_volume`
    expected loss   sum A * expected_loss                at most `expected_loss_ratio` of principal
    APR             sum A * principal * apr              at most `average_apr` of principal

A limit's excess is what it is exceeded by: linear in the offers, so that each has a price.
"""

from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from finntelligence.errors import InvalidDeclarationError
from finntelligence.shadow_prices import ShadowPrices

__all__ = ["Limits", "Totals"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What is expected of offers, in currency units; `loans` is the expected number booked.

    `profit` is the sum of `expected_profit`, and `apr_sum` that of A * principal * apr.

    >>> totals = Totals(
    ...     profit=50.0, loans=0.4, principal=4000.0, expected_loss=200.0, apr_sum=640.0
    ... )
    >>> totals.expected_loss_ratio, totals.average_apr
    (0.05, 0.16)
    """

    profit: float
    loans: float
    principal: float
    expected_loss: float
    apr_sum: float

    @property
    def expected_loss_ratio(self) -> float:
        """Expected loss over principal, 0 where nothing is lent."""
        return self.expected_loss / self.principal if self.principal else 0.0

    @property
    def average_apr(self) -> float:
        """The mean APR by principal, 0 where nothing is lent."""
        return self.apr_sum / self.principal if self.principal else 0.0

    def times(self, factor: float) -> "Totals":
        """Return the totals of `factor` times as many applicants."""
        return Totals(**{name: factor * value for name, value in asdict(self).items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one campaign; None does not apply. Amounts in currency units, ratios fractions.

    >>> limits = Limits(budget=3000.0, expected_loss_ratio=0.04)
    >>> used = Totals(
    ...     profit=50.0, loans=0.4, principal=4000.0, expected_loss=200.0, apr_sum=640.0
    ... )
    >>> dict(zip(limits.in_force, limits.excess(used).round(2).tolist()))
    {'budget': 1000.0, 'expected_loss_ratio': 40.0}

    Raises:
        InvalidDeclarationError: when a limit is no number above 0, or more must be lent than may.
    """

    budget: float | None = None
    minimum_volume: float | None = None
    expected_loss_ratio: float | None = None
    average_apr: float | None = None

    def __post_init__(self) -> None:
        for name in self.in_force:
            if not 0 < getattr(self, name) < np.inf:  # NaN fails too
                raise InvalidDeclarationError(f"limits.{name}: must be a number above 0")
        if (self.minimum_volume or 0) > (self.budget or np.inf):
            raise InvalidDeclarationError("limits.minimum_volume: must not be above the budget")

    @property
    def in_force(self) -> tuple[str, ...]:
        """The names of the limits that apply, in the order of `excess`."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) is not None)

    def per_applicant(self, applicants: int) -> "Limits":
        """Return the limits of one of so many applicants."""
        amounts = {"budget": self.budget, "minimum_volume": self.minimum_volume}
        shares = {n: None if v is None else v / applicants for n, v in amounts.items()}
        return Limits(**{**asdict(self), **shares})

    def excess(self, used: Totals) -> Array:
        """Return by how much each limit in force is exceeded, below 0 where it is kept."""
        over = {
            "budget": used.principal - (self.budget or 0),
            "minimum_volume": (self.minimum_volume or 0) - used.principal,
            "expected_loss_ratio": used.expected_loss
            - (self.expected_loss_ratio or 0) * used.principal,
            "average_apr": used.apr_sum - (self.average_apr or 0) * used.principal,
        }
        return np.array([over[name] for name in self.in_force])

    def capital(self, duals: Array) -> float:
        """Return the price of a unit lent in itself: the budget's less the minimum volume's."""
        known = dict(zip(self.in_force, np.asarray(duals).tolist(), strict=True))
        return float(known.get("budget", 0.0) - known.get("minimum_volume", 0.0))

    def prices(self, duals: Array) -> ShadowPrices:
        """Return what loans are charged, given the price of each limit in force.

        >>> Limits(budget=1e6, expected_loss_ratio=0.05).prices(np.array([0.03, 0.2]))
        ShadowPrices(principal=0.02, expected_loss=0.2, apr=0.0)
        """
        known = dict(zip(self.in_force, np.asarray(duals).tolist(), strict=True))
        loss, apr = (known.get(name, 0.0) for name in ("expected_loss_ratio", "average_apr"))
        of_ratios = loss * (self.expected_loss_ratio or 0) + apr * (self.average_apr or 0)
        principal = self.capital(duals) - of_ratios
        return ShadowPrices(principal=round(principal, 12), expected_loss=loss, apr=apr)
