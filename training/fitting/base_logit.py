"""The base of both models: a ridge logit of every head's linear part, with a control term.

Fitted by Newton's method (iteratively reweighted least squares). On discretionary quotes the
distance from the list price, `control`, enters the fit and is dropped when quoting: it separates
what staff knew from what the price did (control function; Petrin and Train 2010).
"""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from finntelligence.basis import BasisColumn
from finntelligence.features import feature_names
from finntelligence.heads import Head
from finntelligence.offers import OfferTerms
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.response import PHI, PriceResponse
from training.fitting.hyperparameters import FitParams

__all__ = ["PTI_FLOOR", "Sample", "fit_base", "ridge_logit", "unfitted", "with_hinge"]

Array = NDArray[np.float64]

PTI_FLOOR = 0.001
_NEWTON_STEPS = 50
_DECREMENT_TOLERANCE = 1e-12  # twice the log-likelihood still to gain
_ROUNDING = 1e-12  # by which a sum of losses may seem to rise at the optimum
_TINY = 1e-6  # ridge on what should be free: keeps the curvature invertible


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a fit sees: (n, features) matrix, n terms, n control values, n outcomes, modifiers.

    `modifiers` are the positions of the basis columns that may modify the price slope.
    """

    matrix: Array
    terms: OfferTerms
    control: Array
    outcome: Array
    modifiers: tuple[int, ...]

    def part(self, rows: NDArray[np.bool_]) -> "Sample":
        """Return the sample of some rows."""
        columns = {f.name: getattr(self.terms, f.name) for f in fields(self.terms)}
        some = {name: c[rows] for name, c in columns.items() if c is not None}
        return replace(
            self,
            matrix=self.matrix[rows],
            terms=replace(self.terms, **some),
            control=self.control[rows],
            outcome=self.outcome[rows],
        )


@dataclass(frozen=True, slots=True)
class _Block:
    """Consecutive design columns that share a ridge penalty around `prior`.

    `place` says where a head's weights go: `intercept`, `basis`, `modifiers`, or `nowhere` for the
    control term, which is reported and not kept.
    """

    head: int
    place: str
    columns: Array
    penalty: Array | float
    prior: float = 0.0


def unfitted(
    model: Capability, portfolio: Portfolio, columns: tuple[BasisColumn, ...], terms: OfferTerms
) -> PriceResponse:
    """Return the unfitted model: its heads, with those that the data never varied marked."""
    floor = portfolio.price.slope_floor
    heads = {
        Capability.ACCEPTANCE: (
            Head(name="base", phi="one"),
            Head(name="gap", phi="gap", sign=-1, floor=floor),
            Head(name="term_change", phi="term_change", sign=-1),
            Head(name="shortfall", phi="shortfall", sign=-1),
            Head(name="excess", phi="excess"),
        ),
        Capability.RISK: (
            Head(name="base", phi="one"),
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


def fit_base(shell: PriceResponse, sample: Sample, params: FitParams) -> PriceResponse:
    """Fit every linear weight together; the control term's weight is reported, not kept.

    Evidence of the result: `estimates`, `standard_errors` and `wald_z` of every head's intercept,
    of the price slope's mean as `gap`, and of `control` where there is any.
    """
    blocks = _blocks(shell, sample, params)
    design = np.concatenate([block.columns for block in blocks], axis=1)
    widths = [block.columns.shape[1] for block in blocks]
    penalty = np.concatenate(
        [np.broadcast_to(block.penalty, n) for block, n in zip(blocks, widths, strict=True)]
    )
    prior = np.repeat([block.prior for block in blocks], widths)
    weights, covariance = ridge_logit(design, sample.outcome, penalty, prior)
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


def with_hinge(fitted: PriceResponse, sample: Sample, params: FitParams) -> PriceResponse:
    """Return the fit with a kink of demand at the benchmark if the data asks for it."""
    hinge = Head(name="gap_hinge", phi="gap_hinge")
    shape = (len(fitted.heads) + 1, 1 + len(fitted.basis))
    wider = replace(fitted, heads=(*fitted.heads, hinge), linear=np.zeros(shape))
    if np.ptp(PHI[hinge.phi](sample.terms, wider)) == 0:
        return fitted
    hinged = fit_base(wider, sample, params)
    z = hinged.evidence["wald_z"]["gap_hinge"]
    chosen = hinged if z < params.hinge_z else fitted
    return replace(chosen, evidence={**chosen.evidence, "hinge_wald_z": z})


def ridge_logit(design: Array, outcome: Array, penalty: Array, prior: Array) -> tuple[Array, Array]:
    """Return weights and covariance of a logit with penalty / 2 * (weight - prior) ** 2 each."""

    def penalised_loss(weights: Array) -> float:
        logit = design @ weights
        fit = np.sum(np.logaddexp(0, logit) - outcome * logit)
        return float(fit + np.sum(penalty * (weights - prior) ** 2) / 2)

    weights = prior.copy()
    with threadpool_limits(1, user_api="blas"):  # more threads would sum in another order
        loss = penalised_loss(weights)
        for _ in range(_NEWTON_STEPS):
            p = 1 / (1 + np.exp(-(design @ weights)))
            curvature = (design * (p * (1 - p))[:, None]).T @ design + np.diag(penalty)
            gradient = design.T @ (outcome - p) - penalty * (weights - prior)
            step = np.linalg.solve(curvature, gradient)
            # a full step from afar, or where outcomes nearly separate, can overshoot for ever
            while (reached := penalised_loss(weights + step)) > loss * (1 + _ROUNDING):
                step = step / 2
            weights, loss = weights + step, reached
            if gradient @ step < _DECREMENT_TOLERANCE:
                break
        return weights, np.asarray(np.linalg.inv(curvature))


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


def _basis_penalty(shell: PriceResponse, params: FitParams) -> Array:
    """Return the ridge of every basis column: squares say little that small books can tell."""
    squares = np.array([column.kind == "square" for column in shell.basis], dtype=bool)
    return np.where(squares, params.square_ridge, params.ridge)


def _blocks(shell: PriceResponse, sample: Sample, params: FitParams) -> list[_Block]:
    columns = shell.columns.values(sample.matrix)
    price = shell.portfolio.price
    blocks = [
        _Block(0, "intercept", np.ones((len(columns), 1)), _TINY),
        _Block(0, "basis", columns, _basis_penalty(shell, params)),
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
        blocks.append(_Block(k, "intercept", phi, _TINY))
        if head.name == "gap" and sample.modifiers:
            modified = phi * columns[:, list(sample.modifiers)]
            blocks.append(_Block(k, "modifiers", modified, params.slope_ridge))
    if np.any(sample.control != 0):
        blocks.append(_Block(0, "nowhere", sample.control[:, None], _TINY))
    return blocks
