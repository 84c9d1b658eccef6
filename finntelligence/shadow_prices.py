"""What a portfolio's limits cost a single loan: shadow prices, charged when its offer is chosen.

A limit on all loans together (a budget, a loss ratio) is kept by many decisions on one applicant
each, if what a loan uses of it has a price. A booked loan then earns npv - charge with

    charge = principal * (price of principal + price of APR * apr) + price of loss * expected_loss

Each limit's own price is the Lagrange multiplier of its row (`finntelligence.limits`); written out,
the rows of all limits need no more than these three numbers. What is charged ranks offers; what an
offer is worth, and is said to be worth, stays `value.loan_value`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finntelligence.declaration import Section, content_digest
from finntelligence.errors import InvalidDeclarationError

__all__ = ["FORMAT", "MOST", "NO_PRICES", "ShadowPrices"]

Array = NDArray[np.float64]

FORMAT = "finntelligence.shadow-prices/1"
"""The files of shadow prices that this engine reads and writes."""
MOST = 1000.0
"""The highest price per unit; the lowest price of principal is as far below 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowPrices:
    """Charged on a booked loan: per unit of principal, expected loss, and principal times APR.

    The price of principal may be below 0: a minimum volume pays for lending. Nothing is charged by
    default. `digest` is the SHA-256 of the three.

    >>> prices = ShadowPrices(principal=0.02, expected_loss=0.3)
    >>> round(float(prices.charge(principal=10_000, apr=0.15, expected_loss=800)), 2)
    440.0

    Raises:
        InvalidDeclarationError: when a price is not a number within `MOST`, or one of loss or APR
            is below 0: the search's bound rests on a charge that rises with price and risk.
    """

    principal: float = 0.0
    expected_loss: float = 0.0
    apr: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            low = -MOST if name == "principal" else 0.0
            if not low <= value <= MOST:  # NaN fails too
                raise InvalidDeclarationError(
                    f"prices.{name}: must be from {low:g} to {MOST:g}, is {value}"
                )

    def charge(self, principal: Any, apr: Any, expected_loss: Any) -> Array:
        """Return what loans are charged, in currency units; arguments broadcast.

        `principal` and `expected_loss` are in currency units, `apr` a yearly fraction.
        """
        per_unit = self.principal + self.apr * np.asarray(apr, dtype=float)
        return np.asarray(principal * per_unit + self.expected_loss * np.asarray(expected_loss))

    def dearer(self, by: float) -> "ShadowPrices":
        """Return these prices with each unit lent dearer `by` so much.

        >>> ShadowPrices(principal=0.02, apr=0.1).dearer(0.01)
        ShadowPrices(principal=0.03, expected_loss=0.0, apr=0.1)
        """
        return replace(self, principal=round(self.principal + by, 12))

    @property
    def digest(self) -> str:
        """What names these prices in a decision."""
        return content_digest(asdict(self))

    @classmethod
    def from_mapping(cls, content: object) -> "ShadowPrices":
        """Read the content of a file of shadow prices; `FORMAT` names its format.

        >>> ShadowPrices.from_mapping({"format": FORMAT, "prices": {"principal": 0.02}})
        ShadowPrices(principal=0.02, expected_loss=0.0, apr=0.0)

        Raises:
            InvalidDeclarationError: naming the path of the first key that is wrong.
        """
        whole = Section(content, "shadow-prices")
        whole.choice("format", (FORMAT,))
        return cls.from_prices(whole.raw("prices"))

    @classmethod
    def from_prices(cls, content: Mapping[str, Any]) -> "ShadowPrices":
        """Read the three prices; those that are absent are 0. Raises as `from_mapping`."""
        section = Section(content, "prices")
        names = ("principal", "expected_loss", "apr")
        found = {name: section.number(name, -MOST, MOST, default=0.0) for name in names}
        section.close()
        return cls(**found)


NO_PRICES = ShadowPrices()
"""No limit costs anything."""
