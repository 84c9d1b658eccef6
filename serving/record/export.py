"""The record as data: a book's `quotes` table, from which the next models learn, or JSON lines.

One row of `quotes` is one decision whose customer is known to have accepted or declined. Where
several offers were shown, the row's offer is the one that was accepted, or, where none was, the
first: the best by expected profit. Its `propensity` stands only where the row's offer is the first,
for the recorded density is of the first offer's price.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from finntelligence.errors import InvalidDataError
from finntelligence.features import application_columns
from finntelligence.fields import Field, Kind, Role
from finntelligence.offers import application
from finntelligence.policy import Policy
from finntelligence.portfolio import Portfolio
from serving.record.database import snapshot
from serving.record.documents import policy_from
from serving.record.entry import Entry, Outcome, OutcomeKind
from serving.record.reader import Recorded, decisions, document, whole

__all__ = ["as_jsonl", "as_quotes", "quotes"]

_ROWS = 5000  # of a file that are held at once
_CONTRACT = {
    "principal": float,
    "term_months": int,
    "quoted_rate": float,
    "list_rate": float,
    "is_randomised": bool,
    "propensity": float,
    "accepted": bool,
    "period": int,
    "cost_of_funds": float,
}
Row = dict[str, Any]
Terms = Callable[[Mapping[str, str]], tuple[Portfolio, Policy]]


def as_quotes(engine: sa.Engine, portfolio: Portfolio, path: Path) -> int:
    """Write the book's `quotes` table to a .parquet or .csv file; return its rows.

    Raises:
        InvalidDataError: when the file is of another kind, or cannot be written.
        RecordUnavailableError: when the record does not answer.
    """
    write = {".parquet": _write_parquet, ".csv": _write_csv}.get(path.suffix)
    if write is None:
        raise InvalidDataError(f"{path}: must end in .parquet or .csv")
    with snapshot(engine) as connection:
        return _whole_file(path, lambda part: write(part, portfolio, quotes(connection, portfolio)))


def as_jsonl(engine: sa.Engine, portfolio: str | None, path: Path) -> int:
    """Write every decision that was not pruned, with its outcomes, one JSON object a line.

    Raises:
        InvalidDataError: when the file cannot be written.
        RecordUnavailableError: when the record does not answer.
    """

    def write(part: Path) -> int:
        count = 0
        with part.open("w", encoding="utf-8") as file:
            for recorded in decisions(connection, portfolio):
                file.write(json.dumps(recorded.to_json(), allow_nan=False) + "\n")
                count += 1
        return count

    with snapshot(engine) as connection:
        return _whole_file(path, write)


def quotes(connection: sa.Connection, portfolio: Portfolio) -> Iterator[Row]:
    """Yield the rows of `quotes`, oldest first; absent values are None.

    `list_rate` and `cost_of_funds` are those of the policy that was in force, `period` counts
    calendar months, and `quote_id` is the first 60 bits of the decision's own id.
    """

    @lru_cache(maxsize=64)
    def terms(parts: tuple[tuple[str, str], ...]) -> tuple[Portfolio, Policy]:
        keys = dict(parts)
        declared = Portfolio.from_mapping(document(connection, keys["portfolio"]))
        return declared, policy_from(keys, lambda digest: document(connection, digest))

    def terms_of(documents: Mapping[str, str]) -> tuple[Portfolio, Policy]:
        return terms(tuple((part, documents[part]) for part in ("portfolio", "policy")))

    for recorded in decisions(connection, portfolio.name):
        answer = next((o for o in recorded.outcomes if o.kind.slot == "answer"), None)
        if answer is not None:
            yield _row(recorded, whole(recorded), answer, portfolio, terms_of)


def _row(
    recorded: Recorded, entry: Entry, answer: Outcome, portfolio: Portfolio, terms_of: Terms
) -> Row:
    declared, policy = terms_of(entry.documents)
    asked = {name: value for name, value in entry.request.items() if name != "explain"}
    applied = application(declared, **asked)
    columns = application_columns(applied)
    place = answer.offer or 0
    offer = entry.answer["offers"][place]
    funds = policy.economics.cost_of_funds
    listed = declared.price.list_rate.rate(columns, float(offer["term_months"]), funds)
    propensity = entry.propensity if place == 0 else None
    return {
        "quote_id": int(entry.decision_id[-32:][:15], 16),
        **{field.name: applied.features.get(field.name) for field in _applicant(portfolio)},
        "requested_principal": applied.requested_principal,
        "requested_term_months": applied.requested_term_months,
        "principal": offer["principal"],
        "term_months": offer["term_months"],
        "quoted_rate": offer["quoted_rate"],
        "list_rate": float(np.ravel(listed)[0]),
        "is_randomised": propensity is not None,
        "propensity": propensity,
        "accepted": answer.kind is OutcomeKind.ACCEPTED,
        "period": recorded.at.year * 12 + recorded.at.month - 1,
        "cost_of_funds": funds,
    }


def _applicant(portfolio: Portfolio) -> list[Field]:
    """Return the fields that `quotes` has; those that no application carries stay absent."""
    return [field for field in portfolio.fields if field.role is not Role.LEAK]


def _kinds(portfolio: Portfolio) -> dict[str, type]:
    fields = {f.name: str if f.kind is Kind.CATEGORY else float for f in _applicant(portfolio)}
    requested = {"requested_principal": float, "requested_term_months": int}
    return {"quote_id": int, **fields, **requested, **_CONTRACT}


def _whole_file(path: Path, write: Callable[[Path], int]) -> int:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        count = write(part)
        part.replace(path)
    except OSError as error:
        raise InvalidDataError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return count


def _write_csv(path: Path, portfolio: Portfolio, rows: Iterator[Row]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(_kinds(portfolio)))
        writer.writeheader()
        for row in rows:
            writer.writerow(row)
            count += 1
    return count


def _write_parquet(path: Path, portfolio: Portfolio, rows: Iterator[Row]) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise InvalidDataError(f"{path}: Parquet needs pyarrow; install it or use .csv") from error
    types = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_()}
    kinds = _kinds(portfolio)
    schema = pa.schema([(name, types[kind]) for name, kind in kinds.items()])
    count = 0
    with pq.ParquetWriter(path, schema) as writer:
        while part := list(islice(rows, _ROWS)):
            columns = {n: [_cell(row[n], kind) for row in part] for n, kind in kinds.items()}
            writer.write_table(pa.table(columns, schema=schema))
            count += len(part)
    return count


def _cell(value: Any, kind: type) -> Any:
    return None if value is None else kind(value)
