"""What every loader does to bring a book's columns into the canonical tables."""

import logging
from collections.abc import Collection

import pandas as pd

from finntelligence.errors import InvalidDeclarationError
from finntelligence.fields import Field, Kind, Role
from finntelligence.portfolio import Portfolio

__all__ = ["check_fields", "cleaned", "permitted"]

log = logging.getLogger(__name__)


def check_fields(
    portfolio: Portfolio, supplied: Collection[str], leaks: Collection[str], known_after: str
) -> None:
    """Check that the file gives every declared field, and gives it in time.

    `leaks` are names of what is `known_after` the decision.

    Raises:
        InvalidDeclarationError: naming the field and what would be right.
    """
    for field in portfolio.fields:
        if field.role is Role.LEAK:
            continue
        path = f"portfolio.fields.{field.name}"
        if field.name in leaks:
            raise InvalidDeclarationError(
                f"{path}: is known only after {known_after}; its role must be leak"
            )
        if field.name not in supplied:
            raise InvalidDeclarationError(
                f"{path}: the file does not give it; it gives {', '.join(supplied)}"
            )


def cleaned(book: str, field: Field, values: pd.Series) -> pd.Series:
    """Return `values`, absent where an optional field holds what its declaration rules out."""
    if field.required:
        return values
    odd = values.notna() & ~permitted(field, values)
    if odd.any():
        log.info("%s: %s: %d odd values taken as absent", book, field.name, odd.sum())
    return values.mask(odd)


def permitted(field: Field, values: pd.Series) -> pd.Series:
    """Return which values the field's declaration permits; an absent one is not."""
    if field.kind is Kind.CATEGORY:
        return values.isin(field.values)
    return values.between(field.minimum, field.maximum)
