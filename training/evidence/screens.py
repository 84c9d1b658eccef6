"""Fair-lending screens of what the engine would offer held-out applicants, by group.

Every field of role group or protected is screened: categories as they are, age at 62 (the elderly
of 12 CFR 1002.2(o)), flags as they are and other numbers at their quartiles. No model ever sees
these columns.
"""

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from finntelligence.fairness import (
    adverse_impact_ratio,
    group_means,
    standardised_mean_difference,
)
from finntelligence.features import design_matrix, feature_names
from finntelligence.fields import Field, Kind, Role
from finntelligence.group_calibration import group_calibration
from finntelligence.groups import Groups, Resamples
from finntelligence.portfolio import Portfolio
from finntelligence.price_gaps import apr_gap, markup_gap, price_dispersion, residual_apr_gap
from finntelligence.proxies import proxy_strength
from finntelligence.screening import Screen, Thresholds
from training.evidence.offered import Offered
from training.fitting.price_response import columns_of

__all__ = ["ELDERLY", "ScreenParams", "screens"]

Array = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]

ELDERLY = 62
"""The age from which 12 CFR 1002.2(o) calls an applicant elderly."""

_QUARTERS = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenParams:
    """`draws` resamples behind each interval, from `seed`; and what is flagged from where on."""

    draws: int = 400
    seed: int = 7
    thresholds: Thresholds = field(default_factory=Thresholds)


def screens(
    frame: pd.DataFrame,
    offers: Offered | None,
    portfolio: Portfolio,
    judged: Mapping[str, pd.DataFrame],
    params: ScreenParams,
    listed: Offered | None = None,
) -> dict[str, Any]:
    """Return the screens of every group and protected field, ready for JSON, keyed by field.

    `frame` holds applicants and `offers` what they got, None for a book whose history cannot teach
    offers. `judged` maps a model's name to held-out rows with the columns `outcome` (0 or 1) and
    `predicted`. `listed` are offers to compare with, a lender's without the engine.

    Of each field: how many applicants are of `unknown` group, and if there are two groups or more
    the `reference` group, `screens` by name and group, `means` by name and group, `calibration` by
    model and group, and by group the `proxies`: the columns of the models' input that are suspected
    of telling it, or else the strongest. `list_price` holds the screens and means of `listed`.
    """
    with threadpool_limits(1, user_api="blas"):  # more threads would sum in another order
        return _screened(frame, offers, portfolio, judged, params, listed)


def _screened(
    frame: pd.DataFrame,
    offers: Offered | None,
    portfolio: Portfolio,
    judged: Mapping[str, pd.DataFrame],
    params: ScreenParams,
    listed: Offered | None,
) -> dict[str, Any]:
    rng = np.random.default_rng(params.seed)
    draws = Resamples.draw(len(frame), params.draws, rng)
    draws_of = {name: Resamples.draw(len(j), params.draws, rng) for name, j in judged.items()}
    matrix = design_matrix(portfolio, columns_of(portfolio, frame))
    features = dict(zip(feature_names(portfolio), matrix.T, strict=True))
    result: dict[str, Any] = {}
    for each in portfolio.fields:
        if each.role not in (Role.GROUP, Role.PROTECTED):
            continue
        split = _Split.of(each, frame[each.name])
        labels = split.labels(frame[each.name])
        unknown = int(frame[each.name].isna().sum())
        found: dict[str, Any] = {"unknown": unknown}
        result[each.name] = found
        if len({label for label in labels if label is not None}) < 2:
            continue
        groups = Groups.of(labels)
        found["reference"] = groups.labels[groups.reference]
        found["calibration"] = {
            name: _calibration(table, split, groups, draws_of[name])
            for name, table in judged.items()
        }
        found["proxies"] = _proxies(features, groups, params.thresholds)
        if offers is not None:
            found |= _compared(offers, groups, draws, params.thresholds)
        if listed is not None:
            found["list_price"] = _compared(listed, groups, draws, params.thresholds)
    return result


def _compared(
    offers: Offered, groups: Groups, draws: Resamples, thresholds: Thresholds
) -> dict[str, Any]:
    return {
        "screens": _keyed(_offer_screens(offers, groups, draws, thresholds)),
        "means": _means(offers, groups, draws),
    }


def _offer_screens(
    offers: Offered, groups: Groups, draws: Resamples, thresholds: Thresholds
) -> tuple[Screen, ...]:
    apr, shared = offers.apr, (groups, draws, thresholds)
    return (
        *adverse_impact_ratio(offers.approved, *shared),
        *standardised_mean_difference(apr, *shared),
        *apr_gap(apr, *shared),
        *residual_apr_gap(apr, _controls(offers), *shared),
        *markup_gap(apr, offers.break_even_apr, *shared),
    )


def _controls(offers: Offered) -> dict[str, Array]:
    """Return what may explain a price; one cost of funds prices all, so it explains nothing."""
    return {
        "risk": offers.list_risk,
        "risk squared": offers.list_risk**2,  # a straight line leaves risk in the gap
        "term": offers.term_months,
        "log amount": np.log(offers.principal),
    }


def _means(offers: Offered, groups: Groups, draws: Resamples) -> dict[str, Any]:
    columns = {
        "approved": offers.approved.astype(float),
        "apr": offers.apr,
        "markup": offers.apr - offers.break_even_apr,
        "p_accept": offers.p_accept,
        "expected_profit": np.where(offers.approved, offers.p_accept * offers.npv, 0.0),
    }
    means = group_means(columns, groups, draws)
    means["price_dispersion"] = price_dispersion(offers.apr, _controls(offers), groups, draws)
    return {name: {m.group: asdict(m) for m in found} for name, found in means.items()}


def _calibration(
    table: pd.DataFrame, split: "_Split", applicants: Groups, draws: Resamples
) -> dict[str, Any]:
    labels = split.labels(table[split.field.name])
    reference = applicants.labels[applicants.reference]
    if reference not in labels:  # nobody to compare with
        return {}
    groups = Groups.of(labels, reference)
    predicted, outcome = (table[name].to_numpy(dtype=float) for name in ("predicted", "outcome"))
    return {c.group: asdict(c) for c in group_calibration(predicted, outcome, groups, draws)}


def _proxies(features: Columns, groups: Groups, thresholds: Thresholds) -> dict[str, Any]:
    found = {}
    for g in groups.others:
        compared = (groups.codes == g) | (groups.codes == groups.reference)
        columns = {name: column[compared] for name, column in features.items()}
        strengths = proxy_strength(columns, groups.codes[compared] == g, thresholds)
        told = [asdict(each) for each in strengths if each.suspected]
        found[groups.labels[g]] = told or [asdict(strengths[0])]
    return found


def _keyed(found: tuple[Screen, ...]) -> dict[str, dict[str, Any]]:
    result: dict[str, dict[str, Any]] = {}
    for screen in found:
        result.setdefault(screen.name, {})[screen.group] = asdict(screen)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    """How a field's values become groups: by `cuts` of a number, or without any as they are."""

    field: Field
    cuts: tuple[float, ...]

    @classmethod
    def of(cls, field: Field, column: pd.Series) -> "_Split":
        cuts: tuple[float, ...] = ()
        if field.name == "age":
            cuts = (ELDERLY,)
        elif field.kind is not Kind.CATEGORY and column.nunique() > 2:
            cuts = tuple(np.unique(column.quantile(list(_QUARTERS))).tolist())
        return cls(field=field, cuts=cuts)

    def labels(self, column: pd.Series) -> NDArray[Any]:
        """Return each row's group, (n,), None where it is not known."""
        values = column.to_numpy()
        if self.cuts:
            ends = [f"{cut:g}" for cut in self.cuts]
            between = [f"{a} to below {b}" for a, b in itertools.pairwise(ends)]
            names = np.array([f"below {ends[0]}", *between, f"{ends[-1]} and over"], dtype=object)
            found = names[np.searchsorted(self.cuts, values, side="right")]
        elif self.field.kind is Kind.CATEGORY:
            found = values.astype(object)
        else:
            found = np.array([f"{value:g}" for value in values], dtype=object)
        found[column.isna().to_numpy()] = None
        return found
