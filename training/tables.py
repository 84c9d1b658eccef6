"""The one contract of the two canonical tables every book is brought into.

`quotes`: what was offered to whom, and whether it was accepted. `loans`: the booked quotes with
their contract's terms, and whether they defaulted. Rates are fractions in the book's own
convention; categories are text, numbers are float64 with NaN where absent.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pandera.errors
import pandera.pandas as pa
import yaml

from finntelligence.errors import InvalidDataError, InvalidDeclarationError
from finntelligence.fields import Field, Kind, Role
from finntelligence.portfolio import Portfolio

__all__ = [
    "Tables",
    "holdout_rows",
    "load_portfolio",
    "loans_schema",
    "quotes_schema",
    "read_table",
    "replacing",
    "validated_loans",
    "validated_quotes",
    "write_table",
]

HIGHEST_PRINCIPAL = 1e9
LONGEST_TERM = 600


class Tables(NamedTuple):
    """One book's history, valid under its contract."""

    quotes: pd.DataFrame
    loans: pd.DataFrame


def quotes_schema(portfolio: Portfolio) -> pa.DataFrameSchema:
    """Return the contract of `quotes`; a column's description says what its values must be."""
    columns = _applicant_columns(portfolio) | _contract_columns()
    columns["propensity"] = pa.Column(
        "float64",
        pa.Check.in_range(0, np.inf, include_min=False, include_max=False),
        nullable=True,
        description="a density above 0 per unit of rate, or absent",
    )
    columns["accepted"] = _flag()
    columns |= _time_columns()
    return pa.DataFrameSchema(columns, name="quotes", strict=True, ordered=True)


def loans_schema(portfolio: Portfolio) -> pa.DataFrameSchema:
    """Return the contract of `loans`, whose terms are those of the contract, not of the offer."""
    columns = _applicant_columns(portfolio) | _contract_columns() | _time_columns()
    columns["defaulted"] = _flag()
    return pa.DataFrameSchema(columns, name="loans", strict=True, ordered=True)


def validated_quotes(portfolio: Portfolio, frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` as the canonical `quotes` table: columns in order, exact dtypes, new index.

    Raises:
        InvalidDataError: naming the column, what it must hold and the first row that does not.
    """
    return _validated(portfolio, quotes_schema(portfolio), frame)


def validated_loans(portfolio: Portfolio, frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` as the canonical `loans` table; raises as `validated_quotes` does."""
    return _validated(portfolio, loans_schema(portfolio), frame)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` on success; on failure `path` stays as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet, whole or not at all."""
    with replacing(path) as temporary:
        frame.to_parquet(temporary, index=False)


def read_table(path: Path) -> pd.DataFrame:
    """Read a table that `write_table` wrote."""
    if not path.is_file():
        raise InvalidDataError(f"{path}: no such table; run the stage that writes it first")
    try:
        return pd.read_parquet(path)
    except (ValueError, OSError) as error:  # pyarrow's errors are ValueErrors
        raise InvalidDataError(f"{path}: is not a readable Parquet table") from error


def holdout_rows(period: pd.Series, share: float, seed: int, at_random: bool = False) -> pd.Series:
    """Return which rows are held out: the newest whole periods that fit into the share.

    Where the newest period alone is larger than the share, a random part of it is held out, so
    that a book of few long periods can still be judged on its newest customers. `at_random` takes
    the whole book for one period.
    """
    if at_random:
        period = pd.Series(0, index=period.index)
    target = share * len(period)
    counts = period.value_counts().sort_index(ascending=False)
    whole = counts.index[counts.cumsum() <= target]
    if len(whole):
        return period.isin(whole)
    newest = np.flatnonzero(period == period.max())
    chosen = np.random.default_rng(seed).permutation(newest)[: round(target)]
    mask = np.zeros(len(period), dtype=bool)
    mask[chosen] = True
    return pd.Series(mask, index=period.index)


def load_portfolio(name: str, root: Path = Path()) -> Portfolio:
    """Read `portfolios/<name>.yaml` under `root`.

    Raises:
        InvalidDeclarationError: if there is none by that name, or it says something impossible.
    """
    declared = {path.stem: path for path in sorted((root / "portfolios").glob("*.yaml"))}
    if name not in declared:
        listed = ", ".join(declared) or "none"
        raise InvalidDeclarationError(f"portfolio {name!r} is not declared; declared: {listed}")
    try:
        content = yaml.safe_load(declared[name].read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidDeclarationError(f"portfolios/{name}.yaml: is not YAML: {error}") from error
    portfolio = Portfolio.from_mapping(content)
    if portfolio.name != name:
        raise InvalidDeclarationError(
            f"portfolios/{name}.yaml: portfolio.name must be {name!r}, is {portfolio.name!r}"
        )
    return portfolio


def _applicant_columns(portfolio: Portfolio) -> dict[str, pa.Column]:
    return {
        "quote_id": pa.Column("int64", unique=True, description="a whole number, each only once"),
        **{f.name: _field_column(f) for f in portfolio.fields if f.role is not Role.LEAK},
        "requested_principal": _principal(),
        "requested_term_months": _term(),
    }


def _contract_columns() -> dict[str, pa.Column]:
    return {
        "principal": _principal(),
        "term_months": _term(),
        "quoted_rate": _fraction("a quoted rate"),
        "list_rate": _fraction("a quoted rate"),
        "is_randomised": _flag(),
    }


def _time_columns() -> dict[str, pa.Column]:
    return {
        "period": pa.Column("int64", description="a whole number, higher is later"),
        "cost_of_funds": _fraction("a yearly rate"),
    }


def _field_column(field: Field) -> pa.Column:
    nullable, expected = not field.required, field.expected()
    if field.kind is Kind.CATEGORY:
        check = pa.Check.isin(field.values)
        return pa.Column("str", check, nullable=nullable, description=expected)
    checks = [pa.Check.in_range(field.minimum, field.maximum)]
    if field.kind is Kind.INTEGER:
        checks.append(pa.Check(lambda values: values % 1 == 0))
    return pa.Column("float64", checks, nullable=nullable, description=expected)


def _principal() -> pa.Column:
    check = pa.Check.in_range(0, HIGHEST_PRINCIPAL, include_min=False)
    return pa.Column(
        "float64", check, description=f"an amount above 0, up to {HIGHEST_PRINCIPAL:g}"
    )


def _term() -> pa.Column:
    expected = f"whole months from 1 to {LONGEST_TERM}"
    return pa.Column("int64", pa.Check.in_range(1, LONGEST_TERM), description=expected)


def _fraction(noun: str) -> pa.Column:
    expected = f"{noun} as a fraction from 0 to 1 (0.0775 is 7.75 %)"
    return pa.Column("float64", pa.Check.in_range(0, 1), description=expected)


def _flag() -> pa.Column:
    return pa.Column("bool", description="true or false")


def _validated(
    portfolio: Portfolio, schema: pa.DataFrameSchema, frame: pd.DataFrame
) -> pd.DataFrame:
    _check_names(portfolio, schema, frame)
    plain = frame.reset_index(drop=True)
    cast = {name: _cast(schema, name, plain[name]) for name in schema.columns}
    try:
        return schema.validate(pd.DataFrame(cast))
    except pandera.errors.SchemaError as error:
        row = int(error.failure_cases["index"].iloc[0])
        raise _bad_value(schema, error.schema.name, plain[error.schema.name], row) from error


def _check_names(portfolio: Portfolio, schema: pa.DataFrameSchema, frame: pd.DataFrame) -> None:
    names = [str(name) for name in frame.columns]
    for name in names:
        field = portfolio.field(name)
        if field is not None and field.role is Role.LEAK:
            raise InvalidDataError(
                f"{schema.name}.{name}: is a leak, known only after the decision; leave it out"
            )
        if name not in schema.columns or names.count(name) > 1:
            problem = "unknown column" if name not in schema.columns else "column given twice"
            known = ", ".join(schema.columns)
            raise InvalidDataError(f"{schema.name}.{name}: {problem}; the table holds: {known}")
    for name, column in schema.columns.items():
        if name not in names:
            raise InvalidDataError(
                f"{schema.name}.{name}: column is missing; it must hold {column.description}"
            )


def _cast(schema: pa.DataFrameSchema, name: str, values: pd.Series) -> pd.Series:
    """Return `values` in the contract's dtype if nothing is lost by it; pandas would truncate."""
    dtype: Any = str(schema.columns[name].dtype)
    fits: pd.Series
    if dtype in ("float64", "int64", "bool"):
        plain = pd.to_numeric(values, errors="coerce")
        numbers = plain.astype("Float64").astype("float64")
        fits = {
            "float64": numbers.notna() | values.isna(),
            "int64": np.isfinite(numbers) & (numbers % 1 == 0),
            "bool": numbers.isin((0.0, 1.0)),
        }[dtype]
    else:
        dtype, plain = "str", values.astype(object).where(values.notna(), np.nan)
        fits = values.isna() | plain.map(lambda value: isinstance(value, str))
    if not fits.all():
        raise _bad_value(schema, name, values, int(np.argmin(fits.to_numpy())))
    return values if values.dtype == dtype else plain.astype(dtype)


def _bad_value(
    schema: pa.DataFrameSchema, name: str, values: pd.Series, row: int
) -> InvalidDataError:
    value = values.iloc[row]
    held = "nothing" if pd.isna(value) else repr(value.item() if hasattr(value, "item") else value)
    expected = schema.columns[name].description
    return InvalidDataError(
        f"{schema.name}.{name}: must be {expected}; row {row} (the first is 0) holds {held}"
    )
