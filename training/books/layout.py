"""How a lender's own CSV files are laid out, declared in `data/sources.yaml` below the book.

    mybook:
      layout:
        quotes: {file: quotes.csv, columns: {quote_id: reference, accepted: {column: taken, ...}}}
        loans: {file: loans.csv, columns: {quote_id: reference, defaulted: ...}}

Each canonical column names the file's column its cells stand in, and what makes values of them.
"""

import codecs
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pandera.pandas as pa

from finntelligence.declaration import Section
from finntelligence.errors import InvalidDeclarationError
from finntelligence.fields import Role
from finntelligence.portfolio import Capability, Portfolio
from training.books.dates import PERIODS, shown
from training.tables import loans_schema, quotes_schema

__all__ = ["DEFAULTED", "UNITS", "Column", "Layout", "TableLayout", "kind_of", "permitted"]

UNITS = {
    "fraction": 1.0,
    "percent": 0.01,
    "basis_points": 0.0001,
    "per_percent": 100.0,  # a density per percentage point
    "cents": 0.01,
    "thousands": 1000.0,
    "years": 12.0,  # of a term in months
}
DEFAULTED = (
    *("requested_principal", "requested_term_months", "list_rate", "is_randomised"),
    *("propensity", "cost_of_funds"),
)
"""Columns that need not be laid out: `own_files` says what stands in them then."""

_ENCODING = "utf-8-sig"  # with the mark that spreadsheets put before UTF-8, or without


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """The cells of one canonical column: those of the file's `column`, or `value` in every row.

    Numbers are multiplied by `factor`; `values` renames what a cell says; an `absent` cell says
    nothing; a `date` is written so, and its period is counted `per` month or another.
    """

    name: str
    column: str
    value: Any
    factor: float
    values: Mapping[str, str | bool]
    absent: frozenset[str]
    date: str
    per: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableLayout:
    """One CSV file: how it is written, and where the canonical columns of `table` stand."""

    table: str
    file: str
    separator: str
    decimal: str
    encoding: str
    columns: tuple[Column, ...]

    @property
    def read(self) -> tuple[Column, ...]:
        """The columns that the file itself gives."""
        return tuple(column for column in self.columns if column.column)

    def source(self, name: str) -> str:
        """Return what the file calls a canonical column."""
        return next(column.column for column in self.columns if column.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Both files; a book that teaches risk alone may have no `quotes`."""

    quotes: TableLayout | None
    loans: TableLayout

    @classmethod
    def read(cls, content: object, portfolio: Portfolio) -> "Layout":
        """Read the `layout` of a book's entry.

        Raises:
            InvalidDeclarationError: naming the path of the first key that is wrong or missing.
        """
        section = Section(content, f"sources.yaml.{portfolio.name}.layout")
        quotes = None
        if section.has("quotes") or Capability.ACCEPTANCE in portfolio.capabilities:
            quotes = _table(section.section("quotes"), quotes_schema(portfolio), portfolio, ())
        given = () if quotes is None else tuple(quotes_schema(portfolio).columns)
        loans = _table(section.section("loans"), loans_schema(portfolio), portfolio, given)
        if quotes is not None and quotes.file == loans.file:
            raise section.fail("loans.file", "must not be that of quotes")
        section.close()
        return cls(quotes=quotes, loans=loans)


def kind_of(column: pa.Column) -> str:
    """Say what a canonical column holds: text, or its dtype."""
    dtype = str(column.dtype)
    return dtype if dtype in ("float64", "int64", "bool") else "text"


def permitted(contract: pa.Column, values: pd.Series) -> pd.Series:
    """Return which values the canonical contract permits."""
    present = values.dropna()
    fits = pd.Series(contract.nullable, index=values.index)
    fits[present.index] = True
    for check in contract.checks:
        fits[present.index] &= check(present).check_output
    return fits


def _table(
    section: Section, schema: pa.DataFrameSchema, portfolio: Portfolio, given: Collection[str]
) -> TableLayout:
    """Read one table; `given` are the columns that it has from the other one."""
    absent = _absent(section)
    columns = section.section("columns")
    found = []
    for name, content in columns.items():
        _refuse_unknown(columns, name, schema, portfolio)
        found.append(_column(name, content, columns, schema, absent))
    table = TableLayout(
        table=str(schema.name),
        file=section.text("file", f"{schema.name}.csv"),
        separator=_character(section, "separator", ","),
        decimal=section.choice("decimal", (".", ","), "."),
        encoding=_encoding(section),
        columns=tuple(found),
    )
    section.close()
    if table.separator == table.decimal:
        raise section.fail("decimal", f"must not be the separator, is {table.decimal!r}")
    optional = {field.name for field in portfolio.fields if not field.required}
    own = {column.name for column in found}
    known = {*own, *optional, *DEFAULTED, *(set(given) - {"quote_id"})}
    for name in schema.columns:
        if name not in known:
            raise columns.fail(name, f"is missing; it holds {schema.columns[name].description}")
    return table


def _column(
    name: str, content: object, columns: Section, schema: pa.DataFrameSchema, absent: frozenset[str]
) -> Column:
    section = Section(
        {"column": content} if isinstance(content, str) else content, columns.at(name)
    )
    kind = kind_of(schema.columns[name])
    parts: dict[str, Any] = {"column": "", "value": None, "factor": 1.0, "values": {}}
    parts |= {"absent": absent | _absent(section), "date": "", "per": ""}
    if name != "quote_id" and section.has("value"):
        parts["value"] = _value(section, schema.columns[name])
    else:
        parts["column"] = section.text("column")
        if kind in ("text", "bool"):
            parts["values"] = _renamed(section, bool if kind == "bool" else str)
        elif name == "period" and section.has("date"):
            parts["per"] = section.choice("per", PERIODS, "month")
            parts["date"] = _date(section, parts["per"])
        elif name != "quote_id":
            parts["factor"] = UNITS[section.choice("unit", tuple(UNITS), "fraction")]
    section.close()
    return Column(name=name, **parts)


def _value(section: Section, contract: pa.Column) -> Any:
    """Read what stands in every row, which must be what the column may hold."""
    kind = kind_of(contract)
    readers: dict[str, Callable[[str], Any]] = {"text": section.text, "bool": section.flag}
    value = readers.get(kind, section.number)("value")
    whole = kind != "int64" or value % 1 == 0
    if not (whole and permitted(contract, pd.Series([value])).all()):
        raise section.fail("value", f"must be {contract.description}, is {value!r}")
    return value


def _date(section: Section, per: str) -> str:
    written = section.text("date")
    try:
        shown(written, per)
    except ValueError as error:
        right = f"must say the {per} and its year as in %d/%m/%Y for 14/03/2025"
        raise section.fail("date", f"{right}, is {written!r}: {error}") from error
    return written


def _renamed(section: Section, kind: type) -> dict[str, str | bool]:
    if not section.has("values"):
        return {}
    content = section.raw("values")
    right = "true or false" if kind is bool else "text; put yes and no in quotes"
    inner = Section(content, section.at("values"))
    for name in content:
        if isinstance(name, bool):
            raise inner.fail(str(name), 'is no text to YAML; put it in quotes, as in "yes"')
    for name, value in inner.items():
        if not isinstance(value, kind):
            raise inner.fail(name, f"must be {right}, is {value!r}")
    return {str(name): value for name, value in content.items()}


def _absent(section: Section) -> frozenset[str]:
    return frozenset(section.texts("absent")) if section.has("absent") else frozenset()


def _character(section: Section, key: str, default: str) -> str:
    value = section.raw(key) if section.has(key) else default
    if not isinstance(value, str) or len(value) != 1 or value in '"\r\n':
        raise section.fail(key, f"must be one character, is {value!r}")
    return value


def _encoding(section: Section) -> str:
    name = section.text("encoding", _ENCODING)
    try:
        found = codecs.lookup(name).name
    except LookupError as error:
        raise section.fail("encoding", f"must be one that Python knows, is {name!r}") from error
    return _ENCODING if found == "utf-8" else found


def _refuse_unknown(
    columns: Section, name: str, schema: pa.DataFrameSchema, portfolio: Portfolio
) -> None:
    if name in schema.columns:
        return
    field = portfolio.field(name)
    if field is not None and field.role is Role.LEAK:
        raise columns.fail(name, "is a leak, known only after the decision; leave it out")
    known = ", ".join(str(column) for column in schema.columns)
    raise InvalidDeclarationError(
        f"{columns.at(name)}: is no column of {schema.name}; they are: {known}"
    )
