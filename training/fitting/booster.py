"""Trees on top of the base logit: one booster with an output for every tree head.

Labels carry phi, `label = [outcome, phi_1 / scale_1, ...]`, and the base margin carries the scaled
linear heads, so that the trees learn what the linear parts miss. With F_k a head's margin,

    s_k = sign_k max(sign_k F_k, floor_k),   p = sigmoid(sum_k label_k s_k),   label_0 = 1
    gradient_k = (p - outcome) label_k d_k,  hessian_k = max(p (1 - p) label_k^2 d_k, floor)

where d_k is 0 for a step that would take a clipped head further out, else 1. Raw predictions of the
saved booster leave the base margin out: they are the trees' part of the heads.
"""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from finntelligence.response import PHI, PriceResponse
from training.fitting.base_logit import Sample
from training.fitting.hyperparameters import FitParams

__all__ = ["Boosting", "TreeRows", "boosted", "grown", "head_scale", "total_logits", "tree_rows"]

log = logging.getLogger(__name__)

Array = NDArray[np.float64]
Single = NDArray[np.float32]

_THREADS = 2  # fixed: sums in another number of threads end in other bits
_WORTH_THREADS = 30_000  # rows; on fewer, threads wait for each other more than they work
_LOGGED_ROUNDS = 50
_FEW_ROWS = {30_000: 0.5, 5_000: 0.25}  # below so many rows a leaf needs less weight


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeRows:
    """Rows as the booster sees them: shapes (n, features), (n, K), (n, K); sign and floor (K,)."""

    features: tuple[str, ...]
    matrix: Single
    label: Single
    margin: Single
    sign: Single
    floor: Single


@dataclass(frozen=True, slots=True, kw_only=True)
class Boosting:
    """What the hold-out said: rounds worth keeping, and its rows' total logits with these.

    `base_loss` is the base's mean log-loss, `gain` what the best number of rounds takes off it, and
    `gain_error` the standard error of that, the mean of the rows' differences.
    """

    rounds: int
    base_loss: float
    gain: float
    gain_error: float
    logits: Array


def head_scale(phi: Array, shrink: float) -> float:
    """Return what a head's tree output is multiplied by: 1 / (shrink * root mean square of phi)."""
    return float(1 / (shrink * np.sqrt(np.mean(phi**2))))


def tree_rows(base: PriceResponse, sample: Sample, barred: tuple[str, ...] = ()) -> TreeRows:
    """Return rows for the booster; features in `barred` are blank, so that no tree splits on them.

    Heads without trees are frozen at their linear part, which with the control term goes into the
    margin of the first head.
    """
    heads = [base.heads[k] for k in base.tree_heads]
    scales = np.array([head.scale for head in heads])
    linear, frozen = base.linear_part(sample.matrix), base.coefficients(sample.matrix)
    margin = linear[:, list(base.tree_heads)] / scales
    margin[:, 0] += base.evidence["estimates"].get("control", 0.0) * sample.control
    for k, head in enumerate(base.heads):
        if not head.tree:
            margin[:, 0] += frozen[:, k] * PHI[head.phi](sample.terms, base)
    phi = [PHI[head.phi](sample.terms, base) * head.scale for head in heads[1:]]
    matrix = sample.matrix.astype(np.float32)
    matrix[:, [base.features.index(name) for name in barred]] = np.nan
    return TreeRows(
        features=base.features,
        matrix=matrix,
        label=np.stack([sample.outcome, *phi], axis=1).astype(np.float32),
        margin=margin.astype(np.float32),
        sign=np.array([head.sign for head in heads], dtype=np.float32),
        floor=np.array([h.floor / h.scale for h in heads], dtype=np.float32),
    )


def boosted(rows: TreeRows, held: TreeRows, params: FitParams, depth: int) -> Boosting:
    """Find on held-out rows how many rounds of trees are worth keeping.

    None where the best of them gains less than `gain_errors` standard errors over the base: among
    hundreds of rounds some gain by luck, and on a few hundred rows that luck is large.
    """
    base = _logits(held.margin, held).astype(float)
    progress = _Progress(float(_losses(base, held).mean()), held, params.patience)
    _train(rows, params, depth, params.rounds, progress)
    best = _logits(progress.best_margin, held).astype(float)
    gain = _losses(base, held) - _losses(best, held)
    error = float(np.std(gain) / np.sqrt(len(gain)))
    kept = progress.best_round > 0 and float(gain.mean()) > params.gain_errors * error
    return Boosting(
        rounds=progress.best_round if kept else 0,
        base_loss=float(_losses(base, held).mean()),
        gain=float(gain.mean()),
        gain_error=error,
        logits=best if kept else base,
    )


def grown(rows: TreeRows, params: FitParams, depth: int, rounds: int) -> xgb.Booster:
    """Return a booster of exactly `rounds` rounds."""
    return _train(rows, params, depth, rounds, None)


def total_logits(booster: xgb.Booster, rows: TreeRows) -> Array:
    """Return the logits of the rows, shape (n,), with trees and with all that the margin holds."""
    trees = booster.inplace_predict(rows.matrix).reshape(rows.margin.shape)
    return _logits(rows.margin + trees, rows).astype(float)


def _train(
    rows: TreeRows, params: FitParams, depth: int, rounds: int, progress: "_Progress | None"
) -> xgb.Booster:
    threads = _THREADS if len(rows.label) >= _WORTH_THREADS else 1
    data = xgb.QuantileDMatrix(
        rows.matrix,
        label=rows.label,
        base_margin=rows.margin,
        feature_names=list(rows.features),
        max_bin=params.max_bin,
        nthread=threads,
    )
    share = min([1.0, *(s for limit, s in _FEW_ROWS.items() if len(rows.label) < limit)])
    settings = {
        "base_score": 0.0,
        "multi_strategy": "one_output_per_tree",
        "tree_method": "hist",
        "max_depth": depth,
        "eta": params.eta,
        "lambda": params.reg_lambda,
        "min_child_weight": share * params.min_child_weight,
        "subsample": params.subsample,
        "colsample_bytree": params.colsample,
        "max_bin": params.max_bin,
        "nthread": threads,
        "seed": params.seed,
    }

    def objective(margin: Single, _: xgb.DMatrix) -> tuple[Single, Single]:
        return _derivatives(margin.reshape(rows.label.shape), rows, params.hessian_floor)

    return xgb.train(
        settings, data, rounds, obj=objective, callbacks=[progress] if progress else None
    )


class _Progress(xgb.callback.TrainingCallback):
    """Early stopping on held-out rows, with a line in the log now and then."""

    def __init__(self, base_loss: float, held: TreeRows, patience: int) -> None:
        self.held, self.patience = held, patience
        self.margin = held.margin.copy()
        self.best_loss, self.best_round, self.best_margin = base_loss, 0, held.margin

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Add the round's trees; True ends the training."""
        newest = model.inplace_predict(self.held.matrix, iteration_range=(epoch, epoch + 1))
        self.margin = self.margin + newest.reshape(self.margin.shape)
        loss = float(_losses(_logits(self.margin, self.held), self.held).mean())
        if loss < self.best_loss:
            self.best_loss, self.best_round = loss, epoch + 1
            self.best_margin = self.margin
        if (epoch + 1) % _LOGGED_ROUNDS == 0:
            log.info("  round %d: hold-out log-loss %.5f", epoch + 1, loss)
        return epoch + 1 - self.best_round >= self.patience


def _derivatives(margin: Single, rows: TreeRows, hessian_floor: float) -> tuple[Single, Single]:
    """Return gradient and Hessian of the log-loss in every head's margin, (n, K) each."""
    phi = rows.label.copy()
    phi[:, 0] = 1
    p = 1 / (1 + np.exp(-_logits(margin, rows)))
    gradient = (p - rows.label[:, 0])[:, None] * phi
    clipped = (rows.sign != 0) & (rows.sign * margin <= rows.floor)
    passed = ~(clipped & (rows.sign * gradient > 0))
    hessian = (p * (1 - p))[:, None] * phi**2 * passed
    return gradient * passed, np.maximum(hessian, np.float32(hessian_floor))


def _logits(margin: Single, rows: TreeRows) -> Single:
    slopes = np.where(
        rows.sign == 0, margin, rows.sign * np.maximum(rows.sign * margin, rows.floor)
    )
    slopes[:, 1:] *= rows.label[:, 1:]
    return slopes.sum(axis=1)


def _losses(logits: Array | Single, rows: TreeRows) -> Array:
    exact = logits.astype(float)
    return np.asarray(np.logaddexp(0, exact) - rows.label[:, 0] * exact)
