"""Stage `prepare`: check the canonical tables and keep some rows for judging, newest by default.

Run as `python -m training.prepare PORTFOLIO`.
"""

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from finntelligence.errors import InvalidDataError
from finntelligence.portfolio import Capability
from training.stages import Paths, file_digest, read_params, run_stage, write_json
from training.tables import (
    holdout_rows,
    load_portfolio,
    read_table,
    validated_loans,
    validated_quotes,
    write_table,
)

__all__ = ["PrepareParams", "main"]

log = logging.getLogger(__name__)

_TAUGHT = (
    (Capability.ACCEPTANCE, "quotes", "accepted"),
    (Capability.RISK, "loans", "defaulted"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareParams:
    """`holdout_share` of the rows, the newest where the book does not say random, are kept."""

    holdout_share: float
    seed: int


def _check(model: Capability, table: str, target: str, parts: Mapping[str, pd.DataFrame]) -> None:
    """Raise where a part cannot teach a model, or cannot judge it."""
    for part, rows in parts.items():
        happened = int(rows[target].sum())
        if not 0 < happened < len(rows):
            raise InvalidDataError(
                f"{part}/{table}: the {model} model needs rows both with {target} and without, "
                f"has {happened} with and {len(rows) - happened} without; bring a longer history "
                f"or change prepare.holdout_share"
            )


def main(portfolio_name: str) -> None:
    """Split one portfolio's tables; loans follow their quotes.

    Raises:
        InvalidDataError: when a part is too poor for a model to be fitted on or judged by.
    """
    paths, params = Paths(portfolio_name), read_params("prepare", PrepareParams)
    portfolio = load_portfolio(portfolio_name)
    share, seed, at_random = params.holdout_share, params.seed, portfolio.random_holdout
    loans = validated_loans(portfolio, read_table(paths.interim / "loans.parquet"))
    if Capability.ACCEPTANCE in portfolio.capabilities:
        quotes = validated_quotes(portfolio, read_table(paths.interim / "quotes.parquet"))
        held = holdout_rows(quotes["period"], share, seed, at_random)
        loan_held = loans["quote_id"].isin(set(quotes.loc[held, "quote_id"]))
        tables = {"quotes": (quotes, held), "loans": (loans, loan_held)}
    else:
        tables = {"loans": (loans, holdout_rows(loans["period"], share, seed, at_random))}
    parts = {
        name: {"train": table[~held], "holdout": table[held]}
        for name, (table, held) in tables.items()
    }
    for model, table, target in _TAUGHT:
        if model in portfolio.capabilities:
            _check(model, table, target, parts[table])
    counts: dict[str, int] = {}
    for name, split in parts.items():
        for part, rows in split.items():
            write_table(rows, paths.processed / part / f"{name}.parquet")
            counts[f"{part}_{name}"] = len(rows)
    digests = {name: file_digest(paths.interim / f"{name}.parquet") for name in tables}
    write_json(paths.build / "prepare.json", {**counts, "sha256": digests})
    log.info("prepare %s: %s", portfolio_name, ", ".join(f"{k} {v:,}" for k, v in counts.items()))


if __name__ == "__main__":
    run_stage(main, sys.argv[1])
