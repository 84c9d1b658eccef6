"""A book of applicants in a Parquet or CSV file, read block by block in bounded memory."""

import csv
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from finntelligence.errors import InvalidDataError
from finntelligence.features import REQUEST_FEATURES
from finntelligence.portfolio import Portfolio

__all__ = ["Block", "Book"]


@dataclass(frozen=True, slots=True)
class Block:
    """Some applicants in a row: the first is row `first` of the book, and `number` counts blocks.

    `is_text` says that numbers are still text. `wrong` has by place what is wrong with a line.
    """

    number: int
    first: int
    table: pa.Table
    is_text: bool
    wrong: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Book:
    """One file, `.parquet` or `.csv`; of its columns those that an application has, and `key`.

    Raises:
        InvalidDataError: when it cannot be read, or lacks a column.
    """

    path: Path
    portfolio: Portfolio
    key: str | None = None

    def __post_init__(self) -> None:
        if self.path.suffix not in (".parquet", ".csv"):
            raise InvalidDataError(f"{self.path}: must end in .parquet or .csv")
        needed = {f.name for f in self.portfolio.asked if f.required} | set(REQUEST_FEATURES)
        needed |= {self.key} if self.key else set()
        if missing := sorted(needed - set(self._names)):
            raise InvalidDataError(f"{self.path}: lacks the column {', '.join(missing)}")
        if twice := sorted({name for name in self.columns if self._names.count(name) > 1}):
            raise InvalidDataError(f"{self.path}: has twice the column {', '.join(twice)}")

    @property
    def columns(self) -> list[str]:
        """The columns that are read, in the book's order."""
        known = {f.name for f in self.portfolio.asked} | {*REQUEST_FEATURES, self.key}
        return [name for name in self._names if name in known]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @cached_property
    def rows(self) -> int:
        """How many applicants there are."""
        with self._readable():
            if self.path.suffix == ".parquet":
                return int(self._parquet().metadata.num_rows)
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                return sum(1 for line in csv.reader(file) if line) - 1

    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield the book in blocks of so many rows; the last may have fewer.

        Raises:
            InvalidDataError: when the file is damaged.
        """
        tables = self._parquet_tables(rows) if self.path.suffix == ".parquet" else self._csv(rows)
        first = 0
        with self._readable():
            for number, (table, wrong) in enumerate(tables):
                yield Block(number, first, table, self.path.suffix == ".csv", wrong)
                first += len(table)

    @cached_property
    def _names(self) -> list[str]:
        with self._readable():
            if self.path.suffix == ".parquet":
                return list(self._parquet().schema_arrow.names)
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                return next(csv.reader(file), [])

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Say what keeps the file from being read."""
        try:
            yield
        except OSError as error:
            raise InvalidDataError(f"{self.path}: {error.strerror or error}") from error
        except (pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
            raise InvalidDataError(f"{self.path}: cannot be read: {error}") from error

    def _parquet(self) -> pq.ParquetFile:
        return pq.ParquetFile(self.path)

    def _parquet_tables(self, rows: int) -> Iterator[tuple[pa.Table, dict[int, str]]]:
        """Yield tables of so many rows, whatever the file's row groups are."""
        waiting: list[pa.RecordBatch] = []
        with self._parquet() as file:
            for batch in file.iter_batches(batch_size=rows, columns=self.columns):
                waiting.append(batch)
                while sum(map(len, waiting)) >= rows:
                    table = pa.Table.from_batches(waiting)
                    yield table.slice(0, rows), {}
                    waiting = table.slice(rows).to_batches()
        if sum(map(len, waiting)):
            yield pa.Table.from_batches(waiting), {}

    def _csv(self, rows: int) -> Iterator[tuple[pa.Table, dict[int, str]]]:
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file)
            next(lines)
            filled = (line for line in lines if line)
            while some := list(islice(filled, rows)):
                yield self._as_table(some)

    def _as_table(self, lines: list[list[str]]) -> tuple[pa.Table, dict[int, str]]:
        count = len(self._names)
        wrong = {
            place: f"must have {count} values, has {len(line)}"
            for place, line in enumerate(lines)
            if len(line) != count
        }
        columns = {}
        for name in self.columns:
            place = self._names.index(name)
            columns[name] = pa.array(_cells(lines, place), pa.string())
        return pa.table(columns), wrong


def _cells(lines: Iterable[list[str]], place: int) -> list[str | None]:
    return [line[place] or None if place < len(line) else None for line in lines]
