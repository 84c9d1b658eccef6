"""Who accepts at which price: the model behind the direct method, cross-fitted.

A ridge logit in the applicants' basis with a price slope that the basis may modify. Each row is
predicted by a fit on the other folds.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finntelligence.heads import ALONG_PRICE
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.rates import Price
from finntelligence.response import PHI
from training.fitting.base_logit import ridge_logit, unfitted
from training.fitting.basis import basis_columns, slope_modifiers
from training.fitting.hyperparameters import FitParams
from training.fitting.price_response import sample_of

__all__ = ["Fold", "OutcomeModel"]

Array = NDArray[np.float64]

_STEPS = 5  # of a refit: its error is then far below the draws' own spread
_FREE = 1e-6  # ridge on what should be free: keeps the curvature invertible


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """One fit: `weights` (d,) and their `covariance`, learned from all rows but `rows`."""

    rows: NDArray[np.bool_]
    weights: Array
    covariance: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeModel:
    """P(accept) of n quotes at any rate: logit = constant + slope * (rate - benchmark) / unit.

    `fixed` (n, c) has the columns of the constant and `moving` (n, s) those of the slope.
    """

    fixed: Array
    moving: Array
    benchmark: Array
    gap: Array
    outcome: Array
    penalty: Array
    folds: tuple[Fold, ...]

    @classmethod
    def fitted(
        cls, portfolio: Portfolio, quotes: pd.DataFrame, folds: int, seed: int
    ) -> "OutcomeModel":
        """Fit on randomised canonical quotes, each part from the others."""
        settings = FitParams()
        sample = sample_of(portfolio, quotes, quotes["accepted"])
        columns = basis_columns(portfolio, sample.matrix)
        shell = unfitted(Capability.ACCEPTANCE, portfolio, columns, sample.terms)
        values = shell.columns.values(sample.matrix)
        asked = [
            PHI[head.phi](sample.terms, shell)
            for head in shell.heads
            if head.supported and head.phi != "one" and head.phi not in ALONG_PRICE
        ]
        modifiers = list(slope_modifiers(columns, portfolio, ()))
        ones = np.ones((len(values), 1))
        fixed = np.concatenate([ones, values, *(each[:, None] for each in asked)], axis=1)
        moving = np.concatenate([ones, values[:, modifiers]], axis=1)
        squares = [column.kind == "square" for column in columns]
        penalty = np.concatenate(
            [
                [_FREE],
                np.where(np.array(squares, dtype=bool), settings.square_ridge, settings.ridge),
                np.full(len(asked), _FREE),
                [_FREE],
                np.full(len(modifiers), settings.slope_ridge),
            ]
        )
        benchmark = np.broadcast_to(sample.terms.benchmark, len(values))
        gap = (sample.terms.quoted_rate - benchmark) / Price.UNIT
        design = np.concatenate([fixed, moving * gap[:, None]], axis=1)
        part = np.random.default_rng(seed).permutation(len(values)) % folds
        return cls(
            fixed=fixed,
            moving=moving,
            benchmark=np.asarray(benchmark),
            gap=gap,
            outcome=sample.outcome,
            penalty=penalty,
            folds=tuple(_fold(design, sample.outcome, penalty, part == k) for k in range(folds)),
        )

    def lines(self, counts: Array | None = None) -> tuple[Array, Array]:
        """Return constant and slope of each row's logit, (n,), or (draws, n) for such `counts`.

        `counts` says how often each row counts in each draw, which is refitted from where the fit
        of all rows ended.
        """
        shape = self.outcome.shape if counts is None else counts.shape
        constant, slope = np.empty(shape), np.empty(shape)
        design = np.concatenate([self.fixed, self.moving * self.gap[:, None]], axis=1)
        for fold in self.folds:
            weights, learned = fold.weights, ~fold.rows
            if counts is not None:
                part = design[learned], self.outcome[learned], counts[:, learned]
                weights = _refitted(fold, *part, self.penalty)
            split = self.fixed.shape[1]
            constant[..., fold.rows] = weights[..., :split] @ self.fixed[fold.rows].T
            slope[..., fold.rows] = weights[..., split:] @ self.moving[fold.rows].T
        return constant, slope

    def p_accept(self, lines: tuple[Array, Array], rates: Array) -> Array:
        """Return P(accept) at rates (n,), of the shape of `lines`; NaN where the rate is."""
        constant, slope = lines
        return np.asarray(
            1 / (1 + np.exp(-(constant + slope * (rates - self.benchmark) / Price.UNIT)))
        )


def _fold(design: Array, outcome: Array, penalty: Array, rows: NDArray[np.bool_]) -> Fold:
    prior = np.zeros(design.shape[1])
    weights, covariance = ridge_logit(design[~rows], outcome[~rows], penalty, prior)
    return Fold(rows=rows, weights=weights, covariance=covariance)


def _refitted(fold: Fold, design: Array, outcome: Array, counts: Array, penalty: Array) -> Array:
    """Return the weights (draws, d) of resampled rows, by Newton steps from the fit of all rows.

    All take the curvature of that fit. A draw's own differs little, so that each step leaves about
    a tenth of the error of the last, and a step of all draws is two matrix products.
    """
    found = np.repeat(fold.weights[None], len(counts), axis=0)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-(found @ design.T)))
        gradient = (counts * (outcome - p)) @ design - penalty * found
        found = found + gradient @ fold.covariance
    return found
