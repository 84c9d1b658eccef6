"""The fixed basis of the models' linear parts: columns computed from the design matrix."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finntelligence.errors import ModelMismatchError

__all__ = ["BasisColumn", "basis"]

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
        absent = np.isnan(column)
        if self.kind == "missing":
            return absent.astype(float)
        if self.kind == "flag":
            return column
        clipped = np.clip(column, self.low, self.high)
        z = ((np.log(clipped) if self.log else clipped) - self.mean) / self.sd
        z = np.where(absent, 0.0, z)
        return z if self.kind == "z" else (z * z - 1) / 2


def basis(columns: tuple[BasisColumn, ...], features: tuple[str, ...], matrix: Array) -> Array:
    """Return the basis, shape (n, basis columns), of a design matrix with the named features.

    >>> own = BasisColumn(feature="own", kind="flag")
    >>> unscored = BasisColumn(feature="fico", kind="missing")
    >>> basis((own, unscored), ("fico", "own"), np.array([[705, 1], [np.nan, 0]])).tolist()
    [[1.0, 0.0], [0.0, 1.0]]

    Raises:
        KeyError: when a column's feature is not among those named.
    """
    position = {name: i for i, name in enumerate(features)}
    if not columns:
        return np.empty((len(matrix), 0))
    return np.stack([c.values(matrix[:, position[c.feature]]) for c in columns], axis=1)
