"""The loader of a lender's own book: a CSV of quotes and a CSV of loans, laid out in YAML.

They lie in one folder or one zip; a book that teaches risk alone may be its one CSV of loans. Files
may be gzipped. Which column holds what is declared: see `training.books.layout`.
"""

import gzip
import io
import logging
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, TextIO

import numpy as np
import pandas as pd
import pandera.pandas as pa

from finntelligence.errors import InvalidDataError
from finntelligence.fields import Role
from finntelligence.portfolio import Portfolio
from training.books.cells import read_cells
from training.books.layout import Layout, TableLayout
from training.tables import Tables, loans_schema, quotes_schema, validated_loans, validated_quotes

__all__ = ["tables"]

logger = logging.getLogger(__name__)

GZIP = b"\x1f\x8b"
# An encrypted member is a RuntimeError, an unknown compression a NotImplementedError.
BROKEN = (EOFError, gzip.BadGzipFile, zlib.error, zipfile.BadZipFile, RuntimeError)

# Quoted rates further than this factor from the declared list price are in another unit.
HIGHEST_FACTOR = 8


def tables(portfolio: Portfolio, path: Path, layout: Layout) -> Tables:
    """Return the canonical tables of the lender's files in `path`.

    Raises:
        InvalidDataError: naming file, line, column, value and what would be right.
    """
    _check_members(path, layout)
    own_loans = _read(path, layout.loans, loans_schema(portfolio))
    if layout.quotes is None:
        _refuse_repeated(path, layout.loans, own_loans)
        loans = _completed(portfolio, own_loans.assign(quote_id=_numbers(own_loans["quote_id"])))
        _check_unit(portfolio, layout.loans, loans)
        loans = loans.drop(columns="propensity")
        none = loans.head(0).drop(columns="defaulted").assign(propensity=np.nan, accepted=False)
        return Tables(validated_quotes(portfolio, none), validated_loans(portfolio, loans))
    quotes = _read(path, layout.quotes, quotes_schema(portfolio))
    _refuse_repeated(path, layout.quotes, quotes)
    place = _places(path, layout.quotes.file, layout.loans, quotes, own_loans)
    quotes = _completed(portfolio, quotes.assign(quote_id=_numbers(quotes["quote_id"])))
    _check_unit(portfolio, layout.quotes, quotes)
    taken = quotes.iloc[place].drop(columns=["propensity", "accepted"]).set_axis(own_loans.index)
    loans = taken.assign(**own_loans.drop(columns="quote_id"))
    if "is_randomised" not in own_loans:  # a rate that was settled later is no drawn one
        loans["is_randomised"] &= np.isclose(loans["quoted_rate"], taken["quoted_rate"])
    return Tables(validated_quotes(portfolio, quotes), validated_loans(portfolio, loans))


def _read(path: Path, table: TableLayout, schema: pa.DataFrameSchema) -> pd.DataFrame:
    name = _name(path, table)
    try:
        with _opened(path, table) as stream:
            frame = read_cells(stream, name, table, schema)
    except BROKEN as error:
        raise InvalidDataError(f"{name}: is truncated or broken ({error}); get it again") from error
    except OSError as error:
        raise InvalidDataError(f"{name}: cannot be read: {error.strerror}") from error
    for column in table.columns:
        if not column.column:
            frame[column.name] = column.value  # one for every row
    logger.info("%s: %d %s", name, len(frame), table.table)
    return frame


def _name(path: Path, table: TableLayout) -> str:
    alone = path.is_file() and not zipfile.is_zipfile(path)
    return str(path if alone else path / table.file)


@contextmanager
def _opened(path: Path, table: TableLayout) -> Iterator[TextIO]:
    """Open the table's file as text: in a folder, in a zip, or the one file that there is."""
    if not path.is_dir() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive, archive.open(_member(archive, path, table)) as raw:
            yield _text(raw, table)
    else:
        with (path / table.file if path.is_dir() else path).open("rb") as raw:
            yield _text(raw, table)


def _text(raw: IO[bytes], table: TableLayout) -> TextIO:
    packed = raw.read(len(GZIP)) == GZIP
    raw.seek(0)
    content = gzip.GzipFile(fileobj=raw) if packed else raw
    return io.TextIOWrapper(content, encoding=table.encoding, newline="")


def _member(archive: zipfile.ZipFile, path: Path, table: TableLayout) -> zipfile.ZipInfo:
    found = [i for i in archive.infolist() if PurePosixPath(i.filename).name == table.file]
    if len(found) != 1:
        raise InvalidDataError(f"{path}: the zip must hold one {table.file}, holds {len(found)}")
    return found[0]


def _check_members(path: Path, layout: Layout) -> None:
    """Check that a folder holds the laid-out files and no others: all of it goes under DVC."""
    both = [table.file for table in (layout.quotes, layout.loans) if table is not None]
    if path.is_dir():
        held = sorted(each.name for each in path.iterdir() if not each.name.startswith("."))
        if held != sorted(both):
            raise InvalidDataError(
                f"{path}: must hold {' and '.join(both)} and nothing else, as sources.yaml lays "
                f"out; holds {', '.join(held) or 'nothing'}"
            )
    elif not path.exists():
        raise InvalidDataError(f"{path}: no such file or folder")
    elif len(both) > 1 and not zipfile.is_zipfile(path):
        raise InvalidDataError(f"{path}: give the folder or the zip with {' and '.join(both)}")


def _refuse_repeated(path: Path, table: TableLayout, rows: pd.DataFrame) -> None:
    repeated = rows["quote_id"].duplicated()
    if repeated.any():
        line, column = repeated.idxmax(), table.source("quote_id")
        raise InvalidDataError(
            f"{_name(path, table)}, line {line}: column {column} holds "
            f"{rows.loc[line, 'quote_id']!r} again; quote_id must be different in each row"
        )


def _places(
    path: Path, quotes_file: str, table: TableLayout, quotes: pd.DataFrame, loans: pd.DataFrame
) -> np.ndarray:
    """Return the position of each loan's quote, which must be there, accepted, and its alone."""
    place = pd.Index(quotes["quote_id"]).get_indexer(loans["quote_id"])
    refused = {
        f"must be that of a row of {quotes_file}": place < 0,
        "must be that of an accepted quote": ~quotes["accepted"].to_numpy()[place],
        "must be different in each row": loans["quote_id"].duplicated().to_numpy(),
    }
    for right, wrong in refused.items():
        if wrong.any():
            line = loans.index[wrong.argmax()]
            raise InvalidDataError(
                f"{_name(path, table)}, line {line}: column {table.source('quote_id')} holds "
                f"{loans.loc[line, 'quote_id']!r}; quote_id {right}"
            )
    return place


def _numbers(ids: pd.Series) -> pd.Series:
    """Return ids as whole numbers: the lender's own where they are, else the rows' own order."""
    if ids.str.fullmatch(r"\d{1,18}").all():
        numbers = ids.astype("int64")
        if numbers.is_unique:  # 7 and 007 are two ids
            return numbers
    return pd.Series(np.arange(len(ids)), index=ids.index)


def _completed(portfolio: Portfolio, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with what the layout leaves out: what was offered is what was asked for."""
    declared = [field.name for field in portfolio.fields if field.role is not Role.LEAK]
    defaults = {
        **dict.fromkeys(declared, np.nan),
        "requested_principal": frame["principal"],
        "requested_term_months": frame["term_months"],
        "is_randomised": False,
        "propensity": np.nan,
        "cost_of_funds": portfolio.economics["cost_of_funds"],
    }
    whole = frame.assign(**{k: v for k, v in defaults.items() if k not in frame})
    if "list_rate" in whole:
        return whole
    columns = {str(name): whole[name].to_numpy() for name in whole}
    rule = portfolio.price.list_rate
    return whole.assign(list_rate=rule.rate(columns, whole["term_months"], whole["cost_of_funds"]))


def _check_unit(portfolio: Portfolio, table: TableLayout, quotes: pd.DataFrame) -> None:
    """Refuse rates in another unit than the declared list price, within bounds though they be."""
    ratio = float((quotes["quoted_rate"] / quotes["list_rate"].clip(lower=1e-9)).median())
    if not 1 / HIGHEST_FACTOR <= ratio <= HIGHEST_FACTOR:
        raise InvalidDataError(
            f"{table.file}: the quoted rates are {ratio:.3g} times the list price (median); check "
            f"the `unit` of quoted_rate against portfolio.price.list_rate of {portfolio.name}"
        )
