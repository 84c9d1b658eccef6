"""Stage `prepare`: check the canonical tables and keep the newest quotes for judging.

Run as `python -m training.prepare PORTFOLIO`.
"""

import logging
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd

from finntelligence.portfolio import Capability
from training.stages import Paths, file_digest, read_params, run_stage, write_json
from training.tables import (
    load_portfolio,
    read_table,
    validated_loans,
    validated_quotes,
    write_table,
)

__all__ = ["PrepareParams", "holdout_rows", "main"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareParams:
    """`holdout_share` of the rows, the newest, are kept from training."""

    holdout_share: float
    seed: int


def holdout_rows(period: pd.Series, params: PrepareParams) -> pd.Series:
    """Return which rows are held out: the newest whole periods that fit into the share.

    Where the newest period alone is larger than the share, a random part of it is held out, so
    that a book of few long periods can still be judged on its newest customers.
    """
    target = params.holdout_share * len(period)
    counts = period.value_counts().sort_index(ascending=False)
    whole = counts.index[counts.cumsum() <= target]
    if len(whole):
        return period.isin(whole)
    newest = np.flatnonzero(period == counts.index[0])
    chosen = np.random.default_rng(params.seed).permutation(newest)[: round(target)]
    mask = np.zeros(len(period), dtype=bool)
    mask[chosen] = True
    return pd.Series(mask, index=period.index)


def main(portfolio_name: str) -> None:
    """Split one portfolio's tables; loans follow their quotes."""
    paths, params = Paths(portfolio_name), read_params("prepare", PrepareParams)
    portfolio = load_portfolio(portfolio_name)
    loans = validated_loans(portfolio, read_table(paths.interim / "loans.parquet"))
    counts: dict[str, float] = {}
    if Capability.ACCEPTANCE in portfolio.capabilities:
        quotes = validated_quotes(portfolio, read_table(paths.interim / "quotes.parquet"))
        held = holdout_rows(quotes["period"], params)
        loan_held = loans["quote_id"].isin(set(quotes.loc[held, "quote_id"]))
        tables = {"quotes": (quotes, held), "loans": (loans, loan_held)}
    else:
        tables = {"loans": (loans, holdout_rows(loans["period"], params))}
    for name, (table, mask) in tables.items():
        for part, rows in (("train", ~mask), ("holdout", mask)):
            write_table(table[rows], paths.processed / part / f"{name}.parquet")
            counts[f"{part}_{name}"] = int(rows.sum())
    digests = {name: file_digest(paths.interim / f"{name}.parquet") for name in tables}
    write_json(paths.build / "prepare.json", {**counts, "sha256": digests})
    log.info("prepare %s: %s", portfolio_name, ", ".join(f"{k} {v:,}" for k, v in counts.items()))


if __name__ == "__main__":
    run_stage(main, sys.argv[1])
