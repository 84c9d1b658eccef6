"""Which inputs matter: to the logit (Shapley values) and to the log-loss (permutation)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finntelligence.features import REQUEST_FEATURES
from finntelligence.offers import OfferTerms, terms_of
from finntelligence.portfolio import Portfolio
from training.evidence.attribution import Attribution
from training.evidence.scores import row_losses
from training.evidence.subject import Subject, repriced
from training.fitting.price_response import columns_of, quoted_terms

__all__ = ["PRICE", "dependence", "permutation", "summary"]

Array = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]

PRICE = "price over benchmark"
_POINTS = 10
_REPEATS = 3


def summary(found: Attribution) -> list[dict[str, Any]]:
    """Return every field's and offer term's mean absolute contribution to the logit, largest first.

    `share` is of the sum; `spread` the contribution's standard deviation.
    """
    named = {**found.fields, **{f"offer: {name}": part for name, part in found.offer.items()}}
    total = sum(float(np.mean(np.abs(part))) for part in named.values())
    rows = [
        {
            "input": name,
            "mean_absolute": float(np.mean(np.abs(part))),
            "share": float(np.mean(np.abs(part))) / max(total, 1e-12),
            "spread": float(np.std(part)),
        }
        for name, part in named.items()
    ]
    return sorted(rows, key=lambda row: (-row["mean_absolute"], row["input"]))


def dependence(values: pd.Series, contribution: Array) -> list[dict[str, Any]]:
    """Return the mean contribution along a field's values, in bins of equal mass or by category.

    `low` and `high` bound the middle 80 % of the contributions in a bin. Absent values are a bin.
    """
    known = values.notna()
    keys: pd.Series = values.astype(object)
    if pd.api.types.is_numeric_dtype(values) and known.any():
        edges = np.unique(np.quantile(values[known], np.linspace(0, 1, _POINTS + 1)))
        place = np.searchsorted(edges[1:-1], values, side="left")
        means = values.groupby(place).transform("mean")
        keys = means.astype(object)
    keys = keys.where(known, "absent")
    rows = []
    for key in sorted(keys.unique(), key=lambda k: (isinstance(k, str), k)):
        part = contribution[(keys == key).to_numpy()]
        low, high = np.quantile(part, (0.1, 0.9))
        rows.append(
            {
                "value": key,
                "mean": float(part.mean()),
                "low": float(low),
                "high": float(high),
                "rows": len(part),
            }
        )
    return rows


def permutation(subject: Subject, rows: pd.DataFrame, seed: int) -> list[dict[str, Any]]:
    """Return by how much the log-loss grows when one input is dealt out anew, largest first.

    A field is permuted wherever the model reads it, in the income and the request that an offer is
    compared with too; the offer itself and its benchmark stay as they were made. `PRICE` permutes
    the ratio of price to benchmark. `spread` is over the repeats.
    """
    columns, terms = columns_of(subject.portfolio, rows), quoted_terms(subject.portfolio, rows)
    outcome = rows["outcome"].to_numpy()
    loss = _loss(subject, columns, terms, outcome)
    rng = np.random.default_rng(seed)
    names = [*(field.name for field in subject.portfolio.features), *REQUEST_FEATURES, PRICE]
    found = []
    for name in names:
        grown = []
        for _ in range(_REPEATS):
            order = rng.permutation(len(rows))
            if name == PRICE:
                quoted = terms.benchmark * (terms.quoted_rate / terms.benchmark)[order]
                dealt, made = columns, repriced(subject.portfolio, terms, quoted)
            else:
                dealt = columns | {name: columns[name][order]}
                made = _made_to(subject.portfolio, dealt, terms)
            grown.append(_loss(subject, dealt, made, outcome) - loss)
        found.append(
            {"input": name, "log_loss": float(np.mean(grown)), "spread": float(np.std(grown))}
        )
    return sorted(found, key=lambda row: (-row["log_loss"], row["input"]))


def _loss(subject: Subject, columns: Columns, terms: OfferTerms, outcome: Array) -> float:
    return float(row_losses(outcome, subject.probability(columns, terms)).mean())


def _made_to(portfolio: Portfolio, columns: Columns, terms: OfferTerms) -> OfferTerms:
    """Return the same offers as made to other applicants, at the benchmark they were made at."""
    offered = terms.principal, terms.term_months, terms.quoted_rate
    made = terms_of(portfolio, columns, *offered, cost_of_funds=0.0)
    return replace(made, benchmark=terms.benchmark)
