"""The fixed basis of the models' linear parts: columns of the design matrix, and their sums."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finntelligence.errors import ModelMismatchError

try:
    from finntelligence._search import linear_part as compiled
except ImportError:  # no compiler where the package was built
    compiled = None  # type: ignore[assignment]

__all__ = ["Basis", "BasisColumn"]

Array = NDArray[np.float64]

_KINDS = ("z", "log z", "square", "log square", "flag", "missing")  # as _search.c counts them
_ROWS = 512  # whose parts fit into a core's cache


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
        ModelMismatchError: when the kind is unknown, low above high, sd not above 0, or a
            logarithm's low is not.
    """

    feature: str
    kind: str
    log: bool = False
    low: float = 0.0
    high: float = 1.0
    mean: float = 0.0
    sd: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in _KINDS or self.kind.startswith("log "):
            raise ModelMismatchError(f"basis of {self.feature}: unknown kind {self.kind!r}")
        if self.log and not self.low > 0:
            raise ModelMismatchError(f"basis of {self.feature}: a logarithm needs a low above 0")
        if not self.low <= self.high:
            raise ModelMismatchError(f"basis of {self.feature}: low must not be above high")
        if not self.sd > 0:
            raise ModelMismatchError(f"basis of {self.feature}: sd must be above 0")

    def values(self, column: Array) -> Array:
        """Return the basis column for n values of the feature, shape (n,)."""
        return Basis.of((self,), (self.feature,)).values(column[:, None])[:, 0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """All basis columns of a model side by side, so that they are computed together.

    `position` (B,) is each column's place in the design matrix, `bounds` (2, B) low and high,
    `scale` (2, B) mean and sd, `kind` (B,) what each is, as a place in the list of kinds; the
    others are the places of the columns of some kinds.

    >>> own = BasisColumn(feature="own", kind="flag")
    >>> unscored = BasisColumn(feature="fico", kind="missing")
    >>> both = Basis.of((own, unscored), ("fico", "own"))
    >>> both.values(np.array([[705, 1], [np.nan, 0]])).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    position: NDArray[np.int64]
    bounds: Array
    scale: Array
    kind: NDArray[np.int64]
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

        kind = np.array([_KINDS.index(_whole_kind(c)) for c in columns], dtype=np.int64)

        def places(*kinds: str) -> NDArray[np.int64]:
            return np.flatnonzero(np.isin(kind, [_KINDS.index(each) for each in kinds]))

        return cls(
            position=np.array([position[c.feature] for c in columns], dtype=np.int64),
            bounds=np.array([[c.low for c in columns], [c.high for c in columns]], dtype=float),
            scale=np.array([[c.mean for c in columns], [c.sd for c in columns]], dtype=float),
            kind=kind,
            logs=places("log z", "log square"),
            squares=places("square", "log square"),
            flags=places("flag"),
            missing=places("missing"),
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

    def weighted(self, matrix: Array, weights: Array) -> Array:
        """Return a constant and weighted columns, summed: (n, heads).

        `matrix` is the design matrix, (n, features), `weights` are (1 + B, heads), the constants
        first. Terms are added in column order: a matrix product would give one row other last bits
        than the same row in a batch.

        >>> fico = BasisColumn(feature="fico", kind="z", low=580, high=840, mean=700, sd=50)
        >>> known, weights = np.array([[725.0], [np.nan]]), np.array([[1.0, 0.0], [2.0, 4.0]])
        >>> Basis.of((fico,), ("fico",)).weighted(known, weights).tolist()
        [[2.0, 2.0], [1.0, 0.0]]
        """
        if compiled is None:
            return self._weighted_numpy(matrix, weights)
        total = np.empty((len(matrix), weights.shape[1]))
        matrix = np.ascontiguousarray(matrix, dtype=float)
        weights = np.ascontiguousarray(weights, dtype=float)
        compiled(matrix, total, self.position, self.kind, self.bounds, self.scale, weights)
        return total

    def _weighted_numpy(self, matrix: Array, weights: Array) -> Array:
        """Do what `weighted` does, with the same bits but for those of a logarithm."""
        total = np.empty((len(matrix), weights.shape[1]))
        for start in range(0, len(matrix), _ROWS):
            rows = slice(start, start + _ROWS)
            parts = np.empty((len(total[rows]), *weights.shape))
            parts[:, 0] = weights[0]
            np.multiply(self.values(matrix[rows])[:, :, None], weights[1:], out=parts[:, 1:])
            total[rows] = np.add.accumulate(parts, axis=1)[:, -1]
        return total


def _whole_kind(column: BasisColumn) -> str:
    """Return a column's kind as `_KINDS` has it; of a flag no logarithm is taken."""
    logarithmic = f"log {column.kind}"
    return logarithmic if column.log and logarithmic in _KINDS else column.kind
