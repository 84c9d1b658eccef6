"""What the notebooks stand on: a book opened from its original file, and first looks at it.

Nothing here writes into the project: a notebook's pipeline state goes to a folder of its own.
"""

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from pandas.api.types import is_numeric_dtype

from finntelligence.features import design_matrix, feature_names
from finntelligence.fields import Role
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.rates import Price
from training import prepare
from training.evidence.price_curves import Predict
from training.evidence.reliability import share_interval
from training.evidence.subject import Subject, repriced, segments
from training.fitting.price_response import columns_of, quoted_terms
from training.ingest import SOURCES, load
from training.simulate import simulate
from training.simulator.truth import truth_at
from training.simulator.worlds import Terms
from training.stages import Paths
from training.tables import Tables, load_portfolio, validated_loans, validated_quotes, write_table

__all__ = [
    "ROOT",
    "WORLD",
    "Source",
    "along_price",
    "balance",
    "classes",
    "completeness",
    "draw_shares",
    "opened",
    "original",
    "prepared",
    "price_slope",
    "shares",
    "simulated",
]

ROOT = Path(__file__).resolve().parents[1]
WORLD = "W1"
"""The simulator's world of the book that stands in for a real one."""

_QUOTES = 40_000  # fitted in seconds, and enough for both models
_SEED = 7
_Z = 1.959964
_QUARTERS = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A book's declaration and canonical tables, and in words where they come from."""

    portfolio: Portfolio
    tables: Tables
    origin: str
    is_real: bool

    def __str__(self) -> str:
        kind = "REAL" if self.is_real else "SIMULATED"
        rows = f"{len(self.tables.quotes):,} quotes, {len(self.tables.loans):,} loans"
        return f"{kind} book: {self.portfolio.title}\n{rows}; {self.origin}"


def original(name: str, root: Path = ROOT) -> Path | None:
    """Return a book's original file, or None where it is not at hand.

    The environment variable FINNT_SOURCES names the folder that holds the originals, under their
    names in data/sources.yaml. Without it `data/raw/<name>/`, where `finnt data add` keeps them, is
    looked into, and then `../shared/data` beside the project.
    """
    listed = yaml.safe_load((root / SOURCES).read_text(encoding="utf-8")).get(name, {})
    folder, added = os.environ.get("FINNT_SOURCES"), root / "data" / "raw" / name
    kept = Path(folder).expanduser() if folder else root.parent / "shared" / "data"
    places = [] if folder else [p for p in sorted(added.glob("[!.]*")) if p.suffix != ".dvc"]
    places += [kept / entry["file"] for entry in listed.get("files", ())]
    return next((place for place in places if place.is_file()), None)


def opened(name: str, root: Path = ROOT) -> Source:
    """Return a real book where its original file is at hand, else the simulated one."""
    file = original(name, root)
    if file is None:
        return simulated(root=root, instead_of=name)
    loaded = load(name, file, root)
    return Source(
        portfolio=load_portfolio(name, root),
        tables=loaded.tables,
        origin=f"from {loaded.published or file.name}",
        is_real=True,
    )


def simulated(quotes: int = _QUOTES, root: Path = ROOT, instead_of: str | None = None) -> Source:
    """Return a small book of the simulator's world W1, whose truth is known."""
    portfolio, book = load_portfolio("simulated", root), simulate(WORLD, quotes, _SEED)
    missing = f", for no original of {instead_of} is at hand: FINNT_SOURCES may name its folder"
    return Source(
        portfolio=portfolio,
        tables=Tables(
            validated_quotes(portfolio, book.quotes), validated_loans(portfolio, book.loans)
        ),
        origin=f"made here, world {WORLD}{missing if instead_of else ''}",
        is_real=False,
    )


def prepared(source: Source, folder: Path, loans: int | None = None, root: Path = ROOT) -> Paths:
    """Make `folder` a small project in which stage `prepare` has split the book; return its paths.

    With `loans` only so many, at random, are kept: a large book's risk model takes minutes.
    """
    shutil.copytree(root / "portfolios", folder / "portfolios", dirs_exist_ok=True)
    for name in ("params.yaml", "policy.yaml"):
        shutil.copy(root / name, folder)
    paths, kept = Paths(source.portfolio.name, folder), source.tables.loans
    if loans is not None and loans < len(kept):
        kept = kept.sample(loans, random_state=_SEED).sort_index()
    write_table(source.tables.quotes, paths.interim / "quotes.parquet")
    write_table(kept, paths.interim / "loans.parquet")
    with contextlib.chdir(folder):
        prepare.main(source.portfolio.name)
    return paths


def completeness(portfolio: Portfolio, frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each declared field: its role and unit, the share absent, and its range."""
    rows = {}
    for field in portfolio.fields:
        if field.role is Role.LEAK:
            continue  # no canonical table has it
        values = frame[field.name]
        numbers = values if is_numeric_dtype(values) else pd.Series(dtype=float)
        rows[field.name] = {
            "role": str(field.role),
            "unit": field.unit or str(field.kind),
            "absent": values.isna().mean(),
            "distinct": values.nunique(),
            "lowest": numbers.min(),
            "median": numbers.median(),
            "highest": numbers.max(),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def shares(frame: pd.DataFrame, outcome: str, by: str, bins: int = 10) -> pd.DataFrame:
    """Return the share of rows with an outcome along a column, with Wilson's 95 % interval.

    A category or a number of few values has a row for each; other numbers are put into bins of
    equal mass and stand at the bin's mean. Rows where the column is absent are left out.
    """
    known = frame[frame[by].notna()]
    keys = known[by]
    if is_numeric_dtype(keys) and keys.nunique() > bins:
        edges = np.unique(np.quantile(keys, np.linspace(0, 1, bins + 1)))
        keys = keys.groupby(np.searchsorted(edges[1:-1], keys, side="left")).transform("mean")
    rows = {}
    for key, part in known.groupby(keys)[outcome]:
        low, high = share_interval(float(part.sum()), len(part))
        rows[key] = {"share": part.mean(), "low": low, "high": high, "rows": len(part)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(by)


def draw_shares(ax: Axes, found: pd.DataFrame, value: str = "share", **style: Any) -> None:
    """Draw a column of `shares`, or of any table with `low` and `high`, with its intervals."""
    reach = [found[value] - found["low"], found["high"] - found[value]]
    ax.errorbar(found.index, found[value], yerr=reach, **{"fmt": "o", "capsize": 3, **style})


def classes(portfolio: Portfolio, frame: pd.DataFrame) -> pd.Categorical:
    """Return the class that each row's list price goes by; of a number, its quarters."""
    rule = portfolio.price.list_rate
    cuts = () if rule.categories else np.quantile(frame[rule.field], _QUARTERS)
    return segments(rule, frame, cuts)


def balance(portfolio: Portfolio, quotes: pd.DataFrame) -> pd.DataFrame:
    """Return each feature's correlation with the drawn price, and its z; the largest first.

    Prices are drawn within list price x period, so both sides are taken as distances from the
    mean there. Where the draw was fair, no feature knows the price: z is near standard normal.
    """
    drawn = quotes[quotes["is_randomised"]]
    stratum = drawn.groupby(["list_rate", "period"]).ngroup()
    matrix = design_matrix(portfolio, columns_of(portfolio, drawn))
    features = pd.DataFrame(matrix, columns=list(feature_names(portfolio)), index=drawn.index)
    rows = {}
    for name, column in features.items():
        known = column.notna()
        strata = stratum[known]
        column, price = (
            values[known] - values[known].groupby(strata).transform("mean")
            for values in (column, drawn["quoted_rate"])
        )
        if column.std() > 0 and price.std() > 0:  # a class is constant within its stratum
            correlation = column.corr(price)
            free = int(known.sum()) - strata.nunique()
            rows[name] = {"correlation": correlation, "z": correlation * np.sqrt(free)}
    found = pd.DataFrame.from_dict(rows, orient="index", columns=["correlation", "z"])
    return found.sort_values("z", key=abs, ascending=False)


def price_slope(evidence: Mapping[str, Any]) -> dict[str, float]:
    """Return a fit's mean price slope, logit per price unit, with its 95 % interval."""
    value, error = (evidence[name]["gap"] for name in ("estimates", "standard_errors"))
    return {"value": value, "low": value - _Z * error, "high": value + _Z * error}


def along_price(
    subject: Subject,
    offsets: ArrayLike,
    rivals: Mapping[str, Predict] | None = None,
    world: str | None = None,
    applicants: int = 1_000,
) -> pd.DataFrame:
    """Return the mean probability of the same held-out rows at other prices, by who predicts it.

    `offsets`, the index, are price units above each row's list price; nothing else of the offer
    moves. Beside `model` stand the `rivals` by name and, for a simulated book whose world is named,
    the `truth`.
    """
    rows = subject.holdout.sample(min(applicants, len(subject.holdout)), random_state=_SEED)
    moved = np.asarray(offsets, dtype=float)
    rates = np.maximum(rows["list_rate"].to_numpy()[:, None] + moved * Price.UNIT, 0.0)
    terms = repriced(subject.portfolio, quoted_terms(subject.portfolio, rows), rates)
    columns = columns_of(subject.portfolio, rows)
    found = {
        name: predict(columns, terms).mean(axis=0)
        for name, predict in {"model": subject.probability, **(rivals or {})}.items()
    }
    if world is not None:
        offered = {each.name: getattr(terms, each.name) for each in fields(Terms)}
        truth = truth_at(world, rows, Terms(**offered))
        is_risk = subject.model is Capability.RISK
        found["truth"] = (truth.pd_lifetime if is_risk else truth.p_accept).mean(axis=0)
    return pd.DataFrame(found, index=pd.Index(moved, name="offset"))
