"""Which columns the linear parts are made of, and which of them may modify the price slope."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from finntelligence.basis import BasisColumn
from finntelligence.features import REQUEST_FEATURES, feature_names, source_of
from finntelligence.fields import Kind
from finntelligence.portfolio import Portfolio

__all__ = ["WINSOR", "basis_columns", "slope_modifiers"]

Array = NDArray[np.float64]

WINSOR = (0.005, 0.995)


def basis_columns(portfolio: Portfolio, matrix: Array) -> tuple[BasisColumn, ...]:
    """Return the basis of a(x) for a design matrix, its statistics taken from the matrix.

    A number gives its winsorised z-score and that squared, a category's value its flag, an optional
    number that is absent somewhere a flag for that. A number that never varies is left out.
    """
    scales = {field.name: field.scale for field in portfolio.features}
    scales["requested_principal"] = "log"
    optional = {field.name for field in portfolio.features if not field.required}
    columns: list[BasisColumn] = []
    for j, name in enumerate(feature_names(portfolio)):
        if "=" in name:
            columns.append(BasisColumn(feature=name, kind="flag"))
            continue
        column = matrix[:, j]
        z = _z_column(name, column, log=scales.get(name) == "log")
        columns += [z, replace(z, kind="square")] if z else []
        if name in optional and np.isnan(column).any():
            columns.append(BasisColumn(feature=name, kind="missing"))
    return tuple(columns)


def slope_modifiers(
    columns: tuple[BasisColumn, ...], portfolio: Portfolio, drifting: Collection[str]
) -> tuple[int, ...]:
    """Return positions of the columns that may modify the slope: known for all, not drifting.

    A column that is absent for some never may, nor may its absence: who leaves a field empty
    changes with the form, and a slope learned from that was seen to be four times too steep.
    """
    known = {f.name for f in portfolio.features if f.required or f.kind is Kind.CATEGORY}
    return tuple(
        j
        for j, column in enumerate(columns)
        if column.kind in ("z", "flag")
        and source_of(column.feature) in known | set(REQUEST_FEATURES)
        and column.feature not in drifting
    )


def _z_column(name: str, column: Array, log: bool) -> BasisColumn | None:
    """Return the winsorised z-score of a number, or None for one that never varies."""
    known = column[~np.isnan(column)]
    low, high = np.quantile(known, WINSOR) if len(known) else (0.0, 0.0)
    if log:
        low = max(low, float(np.min(known[known > 0], initial=1.0)))
    clipped = np.clip(known, low, max(low, high))
    scaled = np.log(clipped) if log else clipped
    if len(known) == 0 or np.ptp(scaled) == 0:
        return None
    return BasisColumn(
        feature=name,
        kind="z",
        log=log,
        low=float(low),
        high=float(high),
        mean=float(np.mean(scaled)),
        sd=float(np.std(scaled)),
    )
