"""Read one CSV file cell by cell: text in, canonical values out, and the line of what is wrong.

Rows are read in blocks, so that memory holds the text of one block and the values of the rest.
"""

import csv
from collections.abc import Iterator
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple, TextIO

import pandas as pd
import pandera.pandas as pa

from finntelligence.errors import InvalidDataError
from training.books.dates import numbered, shown
from training.books.layout import Column, TableLayout, kind_of, permitted

__all__ = ["read_cells"]

BLOCK_ROWS = 50_000
OUTCOMES = ("accepted", "defaulted")
WORDS = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}
DIGITS = 10  # 7.9 per cent is 0.079, not 0.07900000000000001


class _Typed(NamedTuple):
    """A column's values, which cells say one, and what the others should say."""

    values: pd.Series
    fits: pd.Series
    expected: str


def read_cells(
    stream: TextIO, name: str, table: TableLayout, schema: pa.DataFrameSchema
) -> pd.DataFrame:
    """Return the laid-out columns of a CSV file called `name`, indexed by line in the file.

    `quote_id` is still the lender's own text. A row without its outcome is open, and left out.

    Raises:
        InvalidDataError: naming file, line, column, value and what would be right.
    """
    try:
        blocks = [
            _typed_block(block, name, table, schema) for block in _blocks(stream, name, table)
        ]
    except csv.Error as error:
        raise InvalidDataError(
            f"{name}: is no table of values between {table.separator!r}: {error}"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidDataError(
            f"{name}: is not written in {error.encoding}; say which `encoding` it has"
        ) from error
    frame = pd.concat(blocks) if blocks else pd.DataFrame()
    if frame.empty:
        raise InvalidDataError(f"{name}: holds no row whose outcome is known")
    return frame


def _blocks(stream: TextIO, name: str, table: TableLayout) -> Iterator[pd.DataFrame]:
    reader = csv.reader(stream, delimiter=table.separator, strict=True)
    header = [cell.strip() for cell in next(reader, [])]
    wanted = list(dict.fromkeys(column.column for column in table.read))
    for column in table.read:
        if header.count(column.column) != 1:
            state = "twice" if column.column in header else "not"
            raise InvalidDataError(
                f"{name}: column {column.column}, laid out as {column.name}, is {state} in the "
                f"header; with the separator {table.separator!r} it has: {', '.join(header)}"
            )
    pick = itemgetter(*(header.index(column) for column in wanted), 0)  # never a lone cell
    rows = _rows(reader, name, len(header), table.separator)
    while block := [(line, pick(row)) for line, row in islice(rows, BLOCK_ROWS)]:
        lines, cells = zip(*block, strict=True)
        columns = dict(zip(wanted, zip(*cells, strict=True), strict=False))
        text = pd.DataFrame(columns, index=pd.Index(lines), dtype="str")
        yield text.apply(lambda column: column.str.strip())


def _rows(reader: Any, name: str, width: int, separator: str) -> Iterator[tuple[int, list[str]]]:
    for row in reader:
        if not row:
            continue  # an empty line
        if len(row) != width:
            raise InvalidDataError(
                f"{name}, line {reader.line_num}: has {len(row)} values, the header has {width}; "
                f"a text that holds {separator!r} must stand in double quotes"
            )
        yield reader.line_num, row


def _typed_block(
    text: pd.DataFrame, name: str, table: TableLayout, schema: pa.DataFrameSchema
) -> pd.DataFrame:
    for column in table.read:
        if column.name in OUTCOMES:
            text = text[~_absent(column, text[column.column])]
    typed = {}
    for column in table.read:
        cells = text[column.column]
        found = _typed(column, cells, table, schema)
        wrong = ~(found.fits & permitted(schema.columns[column.name], found.values))
        if wrong.any():
            line = wrong.idxmax()
            held = repr(cells[line]) if cells[line] else "nothing"
            raise InvalidDataError(
                f"{name}, line {line}: column {column.column} holds {held}; "
                f"{column.name} must be {found.expected}"
            )
        typed[column.name] = found.values
    return pd.DataFrame(typed)


def _typed(
    column: Column, cells: pd.Series, table: TableLayout, schema: pa.DataFrameSchema
) -> _Typed:
    contract = schema.columns[column.name]
    absent, kind, expected = _absent(column, cells), kind_of(contract), contract.description
    if column.name == "quote_id":
        return _Typed(cells, ~absent, "an id, each only once")
    if kind == "text":
        renamed = cells.replace(dict(column.values)).mask(absent)
        expected = f"{expected}; `values` renames what the file says"
        return _Typed(renamed, pd.Series(True, index=cells.index), expected)
    if kind == "bool":
        return _flags(column, cells)
    if column.date:
        return _periods(column, cells)
    plain = cells
    if table.decimal != ".":
        # a point would be read as the decimal sign that it is not here
        plain = cells.mask(cells.str.contains(".", regex=False), "a point")
        plain = plain.str.replace(table.decimal, ".", regex=False)
    number = pd.to_numeric(plain.mask(absent), errors="coerce").astype("float64")
    values = (number * column.factor).round(DIGITS)
    fits = (absent | values.notna()) & ((kind != "int64") | (values % 1 == 0))
    times = "" if column.factor == 1 else f" (times {column.factor:g})"
    expected = f"{expected}, written like 1234{table.decimal}5{times}"
    return _Typed(values, fits, expected)


def _flags(column: Column, cells: pd.Series) -> _Typed:
    words: dict[str, Any] = dict(column.values) or WORDS
    said = cells.map(lambda cell: words.get(cell if column.values else cell.lower()))
    return _Typed(said.eq(True), said.notna(), f"true or false: one of {', '.join(words)}")


def _periods(column: Column, cells: pd.Series) -> _Typed:
    period = numbered(cells, column.date, column.per)
    return _Typed(period, period.notna(), f"a date written like {shown(column.date, column.per)}")


def _absent(column: Column, cells: pd.Series) -> pd.Series:
    return cells.isin(["", *column.absent])
