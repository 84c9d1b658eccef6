"""Applicants as numbers: one encoding for a book and, to the bit, for a single row."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finntelligence.fields import Field, Kind, Value
from finntelligence.offers import Application
from finntelligence.portfolio import Portfolio

__all__ = [
    "REQUEST_FEATURES",
    "RowEncoder",
    "application_columns",
    "columns_of",
    "design_matrix",
    "feature_names",
    "source_of",
]

Array = NDArray[np.float64]

REQUEST_FEATURES = ("requested_principal", "requested_term_months")
"""What the models see of the request itself: currency units and months, the last columns."""


def feature_names(portfolio: Portfolio) -> tuple[str, ...]:
    """Return the columns of the design matrix: a number's name, or `field=value` of a category.

    >>> names = feature_names(book)
    >>> names[4:7], names[-1]
    (('fico', 'home=rent', 'home=own'), 'requested_term_months')
    """
    names: list[str] = []
    for field in portfolio.features:
        names += _flags(field) if field.kind is Kind.CATEGORY else [field.name]
    return (*names, *REQUEST_FEATURES)


def source_of(feature: str) -> str:
    """Return the field behind a design-matrix column.

    >>> source_of("purpose=medical"), source_of("fico")
    ('purpose', 'fico')
    """
    return feature.partition("=")[0]


def design_matrix(portfolio: Portfolio, columns: Mapping[str, NDArray[Any]]) -> Array:
    """Return the models' input, shape (n, features), float64; NaN where a value is absent.

    `columns` holds one array of n values per feature field and per `REQUEST_FEATURES` entry:
    numbers in the field's unit, categories as text (absent as None or NaN).

    >>> matrix = design_matrix(book, application_columns(asked))
    >>> matrix.shape, matrix[0, 4:8].tolist()  # a score of 705 and the flags of a mortgaged home
    ((1, 20), [705.0, 0.0, 0.0, 1.0])

    Raises:
        KeyError: when a column is missing.
    """
    parts: list[Array] = []
    for field in portfolio.features:
        column = columns[field.name]
        if field.kind is Kind.CATEGORY:
            parts += [np.asarray(column == value, dtype=float) for value in field.values]
        else:
            parts.append(np.asarray(column, dtype=float))
    parts += [np.asarray(columns[name], dtype=float) for name in REQUEST_FEATURES]
    return np.stack(parts, axis=1)


class RowEncoder:
    """Encodes one application as `design_matrix` does, many times faster than as columns of one.

    >>> encoded = RowEncoder(book)(asked)
    >>> bool((encoded == design_matrix(book, application_columns(asked))).all())
    True
    """

    def __init__(self, portfolio: Portfolio) -> None:
        places = {name: place for place, name in enumerate(feature_names(portfolio))}
        self._empty = [0.0] * len(places)
        self._numbers = [
            (field.name, places[field.name])
            for field in portfolio.features
            if field.kind is not Kind.CATEGORY
        ]
        self._flags = [
            (field.name, {value: places[f"{field.name}={value}"] for value in field.values})
            for field in portfolio.features
            if field.kind is Kind.CATEGORY
        ]

    def __call__(self, application: Application) -> Array:
        """Return the application's row, (1, features).

        Raises:
            KeyError: when it lacks a feature, or has a category that is not declared.
        """
        row, features = self._empty.copy(), application.features
        for name, place in self._numbers:
            value = features[name]
            row[place] = math.nan if value is None else value  # type: ignore[assignment]
        for name, places in self._flags:
            value = features[name]
            if value is not None:
                row[places[value]] = 1.0  # type: ignore[index]
        row[-2:] = application.requested_principal, application.requested_term_months
        return np.array([row])


def application_columns(application: Application) -> dict[str, NDArray[Any]]:
    """Return one application as columns of one row, shape (1,), by field and request feature.

    >>> columns = application_columns(asked)
    >>> columns["home"].tolist(), columns["requested_principal"].tolist()
    (['mortgage'], [12000.0])
    """
    return columns_of((application,))


def columns_of(applications: Sequence[Application]) -> dict[str, NDArray[Any]]:
    """Return applications as columns, (n,) each: what `application_columns` is for one.

    >>> columns = columns_of([asked, asked])
    >>> columns["home"].tolist(), columns["fico"].tolist()
    (['mortgage', 'mortgage'], [705.0, 705.0])

    Raises:
        ValueError: when there is none: nothing tells the fields.
    """
    if not applications:
        raise ValueError("columns need an application or more")
    columns = {
        name: _column([each.features[name] for each in applications])
        for name in applications[0].features
    }
    for name in REQUEST_FEATURES:
        columns[name] = np.array([getattr(each, name) for each in applications], dtype=float)
    return columns


def _column(values: list[Value]) -> NDArray[Any]:
    known = next((value for value in values if value is not None), None)
    if isinstance(known, str):
        return np.array(values, dtype=object if None in values else str)  # absent stays None
    return np.array(values, dtype=float)  # an absent number becomes NaN


def _flags(field: Field) -> list[str]:
    return [f"{field.name}={value}" for value in field.values]
