"""Dates as a lender writes them, and the number of the period that each falls in."""

import datetime

import pandas as pd

__all__ = ["PERIODS", "numbered", "shown"]

PERIODS = ("day", "month", "quarter", "year")
_SHOWN = datetime.datetime(2025, 3, 14, 10, 30, tzinfo=datetime.UTC)


def shown(written: str, per: str) -> str:
    """Return a date written so, for people to compare with.

    Raises:
        ValueError: if dates that are written so cannot be read back, or do not say their period.
    """
    example = _SHOWN.strftime(written)
    both = (_SHOWN, _SHOWN.replace(month=8))  # a year alone would pass for its first quarter
    found, right = (
        numbered(pd.Series([date.strftime(form) for date in both]), form, per)
        for form in (written, "%Y-%m-%d")
    )
    if not found.equals(right):
        raise ValueError(f"{example} does not say which {per} of which year it is")
    return example


def numbered(cells: pd.Series, written: str, per: str) -> pd.Series:
    """Number the day, month, quarter or year so that it can be read: 20250314, 202503, 20251.

    What is not written so has no number. A date is the one that stands there, in its own zone.
    """
    try:
        dates = pd.to_datetime(cells, format=written, errors="coerce")
    except ValueError:  # of several zones, which pandas does not mix
        each = (pd.to_datetime(cell, format=written, errors="coerce") for cell in cells)
        dates = pd.Series([date.replace(tzinfo=None) for date in each], index=cells.index)
    date = dates.dt
    return {
        "day": 10_000 * date.year + 100 * date.month + date.day,
        "month": 100 * date.year + date.month,
        "quarter": 10 * date.year + date.quarter,
        "year": date.year,
    }[per].astype("float64")
