"""The fixed basis of the models' linear parts: columns computed from the design matrix."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finntelligence.errors import ModelMismatchError

__all__ = ["Basis", "BasisColumn"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class BasisColumn:
    """One column of the linear parts' basis, computed from one design-matrix column.

    `kind`: `z` (winsorised z-score), `square` ((z * z - 1) / 2), `flag` (the value itself),
    `missing` (1 where absent). An absent number scores as the mean. `low` and `high` bound the
    value, `mean` and `sd` are of it, or where `log` of its logarithm.

    >>> score = BasisColumn(feature="fico", kind="z", low=580, high=840, mean=700, sd=50)
    >>> score.values(np.array([725, 900, np.nan])).tolist()
    [0.5, 2.8, 0.0]

    Raises:
        ModelMismatchError: when the kind is unknown, sd not above 0, or a logarithm's low is not.
    """

    feature: str
    kind: str
    log: bool = False
    low: float = 0.0
    high: float = 1.0
    mean: float = 0.0
    sd: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in ("z", "square", "flag", "missing"):
            raise ModelMismatchError(f"basis of {self.feature}: unknown kind {self.kind!r}")
        if self.log and not self.low > 0:
            raise ModelMismatchError(f"basis of {self.feature}: a logarithm needs a low above 0")
        if not self.sd > 0:
            raise ModelMismatchError(f"basis of {self.feature}: sd must be above 0")

    def values(self, column: Array) -> Array:
        """Return the basis column for n values of the feature, shape (n,)."""
        return Basis.of((self,), (self.feature,)).values(column[:, None])[:, 0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """All basis columns of a model side by side, so that one row costs a few array operations.

    `position` (B,) is each column's place in the design matrix, `bounds` (2, B) low and high,
    `scale` (2, B) mean and sd; the others are places of the columns of that kind.

    >>> own = BasisColumn(feature="own", kind="flag")
    >>> unscored = BasisColumn(feature="fico", kind="missing")
    >>> both = Basis.of((own, unscored), ("fico", "own"))
    >>> both.values(np.array([[705, 1], [np.nan, 0]])).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    position: NDArray[np.int64]
    bounds: Array
    scale: Array
    logs: NDArray[np.int64]
    squares: NDArray[np.int64]
    flags: NDArray[np.int64]
    missing: NDArray[np.int64]

    @classmethod
    def of(cls, columns: tuple[BasisColumn, ...], features: tuple[str, ...]) -> "Basis":
        """Prepare a model's columns, computed from a design matrix with the named features.

        Raises:
            KeyError: when a column's feature is not among those named.
        """
        position = {name: i for i, name in enumerate(features)}

        def places(chosen: Callable[[BasisColumn], bool]) -> NDArray[np.int64]:
            return np.array([j for j, c in enumerate(columns) if chosen(c)], dtype=np.int64)

        return cls(
            position=np.array([position[c.feature] for c in columns], dtype=np.int64),
            bounds=np.array([[c.low for c in columns], [c.high for c in columns]]),
            scale=np.array([[c.mean for c in columns], [c.sd for c in columns]]),
            logs=places(lambda c: c.log and c.kind in ("z", "square")),
            squares=places(lambda c: c.kind == "square"),
            flags=places(lambda c: c.kind == "flag"),
            missing=places(lambda c: c.kind == "missing"),
        )

    def values(self, matrix: Array) -> Array:
        """Return the basis, (n, B), of a design matrix, (n, features); see `BasisColumn.values`."""
        given = matrix[:, self.position]
        absent = np.isnan(given)
        values: Array = np.minimum(np.maximum(given, self.bounds[0]), self.bounds[1])
        values[:, self.logs] = np.log(values[:, self.logs])
        values -= self.scale[0]
        values /= self.scale[1]
        values[absent] = 0.0
        squared = values[:, self.squares]
        values[:, self.squares] = (squared * squared - 1) / 2
        values[:, self.flags] = given[:, self.flags]
        values[:, self.missing] = absent[:, self.missing]
        return values
