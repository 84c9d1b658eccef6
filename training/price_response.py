"""Fit the price-response form of `finntelligence.response`: base logit, control term, booster.

The base is a ridge logit fitted by Newton's method (iteratively reweighted least squares). On
discretionary quotes the distance from the list price, `control`, enters both models while fitting
and is dropped when quoting: it separates what staff knew from what the price did (control function;
Petrin and Train 2010). The booster of this version has no rounds: it returns zeros.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xgboost as xgb
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from finntelligence import cashflow
from finntelligence.declaration import canonical_json
from finntelligence.features import REQUEST_FEATURES, design_matrix, feature_names
from finntelligence.fields import Kind
from finntelligence.offers import OfferTerms
from finntelligence.portfolio import Capability, Portfolio, Price
from finntelligence.response import (
    PHI,
    SPEC_ATTRIBUTE,
    BasisColumn,
    Head,
    PriceResponse,
    basis,
)

__all__ = ["FitParams", "booster_of", "columns_of", "fit", "quoted_terms"]

Array = NDArray[np.float64]

WINSOR = (0.005, 0.995)
PTI_FLOOR = 0.001
_NEWTON_STEPS = 50
_DECREMENT_TOLERANCE = 1e-12  # twice the log-likelihood still to gain


@dataclass(frozen=True, slots=True, kw_only=True)
class FitParams:
    """What a person may tune of a fit.

    `ridge` and `slope_ridge` penalise the squared weights of the base and of the price slope's
    modifiers. Modifiers are used only from `minimum_events` events on, and only where a column's
    population stability index between first and last period is below `drift_limit`. The hinge at
    the benchmark enters only if its Wald z is below `hinge_z`. The last three are of the acceptance
    model alone: the risk model's price slope is one constant.
    """

    ridge: float
    drift_limit: float
    seed: int
    slope_ridge: float = 300.0
    minimum_events: int = 5000
    hinge_z: float = -3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """What a fit sees: (n, features) matrix, n terms, n control values, n outcomes, modifiers."""

    matrix: Array
    terms: OfferTerms
    control: Array
    outcome: Array
    modifiers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Block:
    """Consecutive design columns that share a ridge penalty around `prior`.

    `place` says where a head's weights go: `intercept`, `basis`, `modifiers`, or `nowhere` for the
    control term, which is reported and not kept.
    """

    head: int
    place: str
    columns: Array
    penalty: float
    prior: float = 0.0


def columns_of(portfolio: Portfolio, frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Return a canonical table's feature columns as arrays, for the core."""
    names = [field.name for field in portfolio.features]
    return {name: frame[name].to_numpy() for name in (*names, *REQUEST_FEATURES)}


def quoted_terms(portfolio: Portfolio, frame: pd.DataFrame) -> OfferTerms:
    """Return the terms in a canonical table, one per row."""
    columns = columns_of(portfolio, frame)
    term = frame["term_months"].to_numpy(dtype=float)
    principal = frame["principal"].to_numpy(dtype=float)
    quoted = frame["quoted_rate"].to_numpy(dtype=float)
    nominal = cashflow.nominal_rate(quoted, term, portfolio.price.convention)
    funds = frame["cost_of_funds"].to_numpy(dtype=float)
    return OfferTerms(
        principal=principal,
        term_months=term,
        quoted_rate=quoted,
        nominal_rate=nominal,
        payment=cashflow.monthly_payment(principal, nominal, term),
        benchmark=portfolio.price.benchmark.rate(columns, term, funds),
        requested_principal=columns["requested_principal"].astype(float),
        requested_term_months=columns["requested_term_months"].astype(float),
        monthly_income=portfolio.affordability.monthly_income(columns),
    )


def fit(
    model: Capability, portfolio: Portfolio, frame: pd.DataFrame, target: str, params: FitParams
) -> PriceResponse:
    """Fit one model on a canonical table; `target` is its 0/1 column.

    Evidence in the result: rows, events, the price slope with its standard error, the slope's
    modifiers and those that drift kept out, the prior where there is one, and the hinge's Wald z.
    """
    matrix = design_matrix(portfolio, columns_of(portfolio, frame))
    columns = _basis_columns(portfolio, matrix)
    outcome = frame[target].to_numpy(dtype=float)
    drift = _drift(matrix, frame["period"].to_numpy(), feature_names(portfolio))
    varying = model is Capability.ACCEPTANCE and outcome.sum() >= params.minimum_events
    sample = _Sample(
        matrix=matrix,
        terms=quoted_terms(portfolio, frame),
        control=_control(frame),
        outcome=outcome,
        modifiers=_modifiers(columns, portfolio, drift, params.drift_limit) if varying else (),
    )
    fitted = _fit_base(_shell(model, portfolio, columns, sample.terms), sample, params)
    if model is Capability.ACCEPTANCE:
        fitted = _with_hinge(fitted, sample, params)
    return replace(
        fitted,
        evidence={
            **fitted.evidence,
            "rows": len(frame),
            "events": int(outcome.sum()),
            "randomised_share": float(frame["is_randomised"].mean()),
            "slope_modifiers": sorted({columns[j].feature for j in sample.modifiers}),
            "drifting_features": sorted(f for f, x in drift.items() if x >= params.drift_limit),
        },
    )


def booster_of(response: PriceResponse, matrix: Array, seed: int) -> xgb.Booster:
    """Return the artefact: a booster with one output per tree head that carries the specification.

    It has no rounds yet, so that its raw output is zero and the linear parts decide alone.
    """
    outputs = len(response.tree_heads)
    sample = xgb.DMatrix(
        matrix[:1].astype(np.float32),
        label=np.zeros((1, outputs)),
        feature_names=list(response.features),
    )
    settings = {"base_score": 0.0, "multi_strategy": "one_output_per_tree", "seed": seed}
    booster = xgb.train(settings, sample, num_boost_round=0)
    booster.set_attr(**{SPEC_ATTRIBUTE: canonical_json(response.to_mapping())})
    return booster


def _basis_columns(portfolio: Portfolio, matrix: Array) -> tuple[BasisColumn, ...]:
    names = feature_names(portfolio)
    scales = {field.name: field.scale for field in portfolio.features}
    scales["requested_principal"] = "log"
    optional = {field.name for field in portfolio.features if not field.required}
    columns: list[BasisColumn] = []
    for j, name in enumerate(names):
        if "=" in name:
            columns.append(BasisColumn(feature=name, kind="flag"))
            continue
        column = matrix[:, j]
        z = _z_column(name, column, log=scales.get(name) == "log")
        columns += [z, replace(z, kind="square")] if z else []
        if name in optional and np.isnan(column).any():
            columns.append(BasisColumn(feature=name, kind="missing"))
    return tuple(columns)


def _z_column(name: str, column: Array, log: bool) -> BasisColumn | None:
    """Return the winsorised z-score of a number, or None for one that never varies."""
    known = column[~np.isnan(column)]
    low, high = np.quantile(known, WINSOR) if len(known) else (0.0, 0.0)
    if log:
        low = max(low, float(np.min(known[known > 0], initial=1.0)))
    clipped = np.clip(known, low, max(low, high))
    scaled = np.log(clipped) if log else clipped
    if len(known) == 0 or np.ptp(scaled) == 0:
        return None
    return BasisColumn(
        feature=name,
        kind="z",
        log=log,
        low=float(low),
        high=float(high),
        mean=float(np.mean(scaled)),
        sd=float(np.std(scaled)),
    )


def _control(frame: pd.DataFrame) -> Array:
    """Distance from the list price in price units, 0 where the price was randomised."""
    distance = (frame["quoted_rate"] - frame["list_rate"]).to_numpy(dtype=float) / Price.UNIT
    return np.where(frame["is_randomised"].to_numpy(dtype=bool), 0.0, distance)


def _drift(matrix: Array, period: NDArray[Any], names: tuple[str, ...]) -> dict[str, float]:
    """Population stability index of every feature between the first and the last period."""
    first, last = matrix[period == period.min()], matrix[period == period.max()]
    return {name: _stability(first[:, j], last[:, j]) for j, name in enumerate(names)}


def _stability(expected: Array, actual: Array, bins: int = 10) -> float:
    """Return sum (a - e) ln(a / e) over quantile bins of `expected`; absent values are a bin.

    A feature of few values has a bin for each: quantiles would put a flag that nearly all hold and
    those without it into one.
    """
    known = expected[~np.isnan(expected)]
    distinct = np.unique(known)
    if len(distinct) <= bins:
        edges = (distinct[1:] + distinct[:-1]) / 2
    else:
        edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1]))
    shares = []
    for sample in (expected, actual):
        place = np.where(np.isnan(sample), len(edges) + 1, np.searchsorted(edges, sample))
        count = np.bincount(place, minlength=len(edges) + 2)
        shares.append(np.maximum(count / len(sample), 1e-4))
    e, a = shares
    return float(np.sum((a - e) * np.log(a / e)))


def _modifiers(
    columns: tuple[BasisColumn, ...], portfolio: Portfolio, drift: Mapping[str, float], limit: float
) -> tuple[int, ...]:
    """Positions of the basis columns that may modify the slope: known for all, not drifting."""
    categories = {f.name for f in portfolio.features if f.kind is Kind.CATEGORY}
    required = {f.name for f in portfolio.features if f.required} | set(REQUEST_FEATURES)
    return tuple(
        j
        for j, column in enumerate(columns)
        if column.kind in ("z", "flag")
        and column.feature.partition("=")[0] in required | categories
        and drift[column.feature] < limit
    )


def _shell(
    model: Capability, portfolio: Portfolio, columns: tuple[BasisColumn, ...], terms: OfferTerms
) -> PriceResponse:
    """Return the unfitted model: its heads, with those that the data never varied marked."""
    floor = portfolio.price.slope_floor
    heads = {
        Capability.ACCEPTANCE: (
            Head(name="base", phi="one", tree=True),
            Head(name="gap", phi="gap", sign=-1, floor=floor, tree=True),
            Head(name="term_change", phi="term_change", sign=-1),
            Head(name="shortfall", phi="shortfall", sign=-1),
            Head(name="excess", phi="excess"),
        ),
        Capability.RISK: (
            Head(name="base", phi="one", tree=True),
            Head(name="gap", phi="gap", sign=1),
            Head(name="pti", phi="pti", sign=1, floor=PTI_FLOOR),
            Head(name="term", phi="term"),
            Head(name="principal", phi="principal"),
        ),
    }[model]
    income = terms.monthly_income[~np.isnan(terms.monthly_income)]
    shell = PriceResponse(
        model=model,
        portfolio=portfolio,
        features=feature_names(portfolio),
        basis=columns,
        heads=heads,
        linear=np.zeros((len(heads), 1 + len(columns))),
        calibration=(0.0, 1.0),
        income_fill=float(np.median(income)) if len(income) else 1.0,
        evidence={},
    )
    varied = [head.phi == "one" or np.ptp(PHI[head.phi](terms, shell)) > 0 for head in heads]
    marked = tuple(replace(h, supported=bool(v)) for h, v in zip(heads, varied, strict=True))
    return replace(shell, heads=marked)


def _fit_base(shell: PriceResponse, sample: _Sample, params: FitParams) -> PriceResponse:
    """Fit every linear weight together; the control term's weight is reported, not kept."""
    blocks = _blocks(shell, sample, params)
    design = np.concatenate([block.columns for block in blocks], axis=1)
    widths = [block.columns.shape[1] for block in blocks]
    penalty = np.repeat([block.penalty for block in blocks], widths)
    prior = np.repeat([block.prior for block in blocks], widths)
    weights, covariance = _ridge_logit(design, sample.outcome, penalty, prior)
    linear = np.zeros_like(shell.linear)
    modified = [1 + j for j in sample.modifiers]
    into = {"intercept": [0], "basis": list(range(1, linear.shape[1])), "modifiers": modified}
    estimates: dict[str, float] = {}
    errors: dict[str, float] = {}
    start = 0
    for block, width in zip(blocks, widths, strict=True):
        part = weights[start : start + width]
        if block.place != "nowhere":
            linear[block.head, into[block.place]] = part
        if block.place in ("intercept", "nowhere"):
            name = "control" if block.place == "nowhere" else shell.heads[block.head].name
            estimates[name] = float(part[0])
            errors[name] = float(np.sqrt(covariance[start, start]))
        start += width
    estimates["gap"], errors["gap"] = _mean_slope(blocks, widths, weights, covariance)
    wald = {name: value / errors[name] for name, value in estimates.items() if errors[name] > 0}
    evidence = {"estimates": estimates, "standard_errors": errors, "wald_z": wald}
    return replace(shell, linear=linear, evidence=evidence)


def _mean_slope(
    blocks: list[_Block], widths: list[int], weights: Array, covariance: Array
) -> tuple[float, float]:
    """Return the price slope's mean over the rows and its standard error; 0, 0 where none is fit.

    The slope's own intercept says little: it is nearly collinear with the modifiers' flags.
    """
    gradient, price = np.zeros(len(weights)), np.zeros(0)
    ends = np.cumsum(widths)
    for block, end, width in zip(blocks, ends, widths, strict=True):
        if block.head == 1 and block.place == "intercept":
            price = block.columns[:, 0]
            gradient[end - 1] = 1.0
        elif block.place == "modifiers":
            # the block holds price times modifier: weigh each modifier by its mean over priced rows
            priced = price != 0
            gradient[end - width : end] = np.mean(
                block.columns[priced] / price[priced, None], axis=0
            )
    return float(gradient @ weights), float(np.sqrt(gradient @ covariance @ gradient))


def _with_hinge(fitted: PriceResponse, sample: _Sample, params: FitParams) -> PriceResponse:
    """Return the fit with a kink of demand at the benchmark if the data asks for it."""
    hinge = Head(name="gap_hinge", phi="gap_hinge")
    shape = (len(fitted.heads) + 1, 1 + len(fitted.basis))
    wider = replace(fitted, heads=(*fitted.heads, hinge), linear=np.zeros(shape))
    if np.ptp(PHI[hinge.phi](sample.terms, wider)) == 0:
        return fitted
    hinged = _fit_base(wider, sample, params)
    z = hinged.evidence["wald_z"]["gap_hinge"]
    chosen = hinged if z < params.hinge_z else fitted
    return replace(chosen, evidence={**chosen.evidence, "hinge_wald_z": z})


def _blocks(shell: PriceResponse, sample: _Sample, params: FitParams) -> list[_Block]:
    columns = basis(shell.basis, shell.features, sample.matrix)
    price, tiny = shell.portfolio.price, 1e-6
    blocks = [
        _Block(0, "intercept", np.ones((len(columns), 1)), tiny),
        _Block(0, "basis", columns, params.ridge),
    ]
    for k, head in enumerate(shell.heads[1:], start=1):
        if not head.supported:
            continue
        phi = PHI[head.phi](sample.terms, shell)[:, None]
        if shell.model is Capability.RISK and head.name == "gap":
            blocks.append(
                _Block(k, "intercept", phi, price.risk_slope_sd**-2, price.risk_slope_mean)
            )
            continue
        blocks.append(_Block(k, "intercept", phi, tiny))
        if head.name == "gap" and sample.modifiers:
            modified = phi * columns[:, list(sample.modifiers)]
            blocks.append(_Block(k, "modifiers", modified, params.slope_ridge))
    if np.any(sample.control != 0):
        blocks.append(_Block(0, "nowhere", sample.control[:, None], tiny))
    return blocks


def _ridge_logit(
    design: Array, outcome: Array, penalty: Array, prior: Array
) -> tuple[Array, Array]:
    """Return weights and covariance of a logit with penalty / 2 * (weight - prior) ** 2 each."""
    weights = prior.copy()
    with threadpool_limits(1, user_api="blas"):  # more threads would sum in another order
        for _ in range(_NEWTON_STEPS):
            p = 1 / (1 + np.exp(-(design @ weights)))
            curvature = (design * (p * (1 - p))[:, None]).T @ design + np.diag(penalty)
            gradient = design.T @ (outcome - p) - penalty * (weights - prior)
            step = np.linalg.solve(curvature, gradient)
            # a damped step keeps Newton from overshooting where outcomes nearly separate
            weights = weights + step * min(1.0, 5.0 / max(np.max(np.abs(step)), 1e-12))
            if gradient @ step < _DECREMENT_TOLERANCE:
                break
        return weights, np.asarray(np.linalg.inv(curvature))
