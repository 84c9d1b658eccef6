"""Rivals of the engine's models, each measured at its best: what plainer forms make of the quotes.

`PlainClassifier` is the usual way: one tree classifier over applicant and offer together, blind to
who set the price. `LogitRival` is the careful statistician's: a hand-made varying-slope logit.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xgboost as xgb
from numpy.typing import ArrayLike, NDArray

from finntelligence.features import design_matrix
from finntelligence.offers import OfferTerms
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.response import PriceResponse
from training.fitting.base_logit import fit_base, unfitted
from training.fitting.basis import basis_columns
from training.fitting.hyperparameters import FitParams
from training.fitting.price_response import (
    columns_of,
    drifting_features,
    quoted_terms,
    sample_of,
    with_modifiers,
)

__all__ = ["LogitRival", "PlainClassifier"]

Array = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]

_SETTINGS = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "max_depth": 4,
    "eta": 0.05,
    "min_child_weight": 20,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "nthread": 1,  # more threads would sum in another order
}
_HOLDOUT_SHARE = 0.2
_MOST_ROUNDS = 1000
_PATIENCE = 30


class PlainClassifier:
    """A monotone XGBoost classifier on features and offer terms, without a control term.

    Acceptance falls in the price and default rises in it, whatever the data say. A random fifth of
    the rows chooses the number of rounds; then all rows are fitted with that many. Without
    `sees_rate` only the payment tells it of the price: then it knows what the risk model's heads
    know, which do not learn from a rate that was set by risk.
    """

    def __init__(
        self, portfolio: Portfolio, model: Capability, seed: int = 7, *, sees_rate: bool = True
    ) -> None:
        self.portfolio, self.model, self.seed = portfolio, model, seed
        self.sees_rate = sees_rate
        self.booster: xgb.Booster | None = None

    def fit(self, frame: pd.DataFrame, outcome: ArrayLike) -> "PlainClassifier":
        """Fit the 0/1 `outcome` of a canonical table's rows."""
        terms = quoted_terms(self.portfolio, frame)
        matrix = self._matrix(columns_of(self.portfolio, frame), terms)
        held = np.random.default_rng(self.seed).random(len(matrix)) < _HOLDOUT_SHARE
        label = np.asarray(outcome, dtype=float)
        directions = self._directions()
        free = matrix.shape[1] - len(directions)
        settings = _SETTINGS | {
            "seed": self.seed,
            "monotone_constraints": (0,) * free + directions,
        }
        seen, unseen = (xgb.DMatrix(matrix[rows], label[rows]) for rows in (~held, held))
        trial = xgb.train(
            settings,
            seen,
            _MOST_ROUNDS,
            evals=[(unseen, "held")],
            early_stopping_rounds=_PATIENCE,
            verbose_eval=False,
        )
        self.booster = xgb.train(settings, xgb.DMatrix(matrix, label), trial.best_iteration + 1)
        return self

    def probability(self, columns: Columns, terms: OfferTerms) -> Array:
        """Return the probability at terms of shape (n,) or (n, m), offered to n applicants."""
        if self.booster is None:
            raise ValueError("the classifier must be fitted first")
        found = self.booster.inplace_predict(self._matrix(columns, terms))
        return np.asarray(found, dtype=float).reshape(np.shape(terms.quoted_rate))

    def _matrix(self, columns: Columns, terms: OfferTerms) -> NDArray[np.float32]:
        """Return features beside offer columns, a row for each offer."""
        offered = [
            terms.term_months,
            terms.principal,
            terms.principal / terms.requested_principal,
        ]
        if self.sees_rate:
            offered += [terms.quoted_rate, terms.quoted_rate - terms.benchmark]
        if self.model is Capability.RISK:
            offered.append(terms.payment / np.maximum(terms.monthly_income, 1e-9))
        matrix = design_matrix(self.portfolio, columns)
        shape = np.shape(terms.quoted_rate)
        wide = np.repeat(matrix, int(np.prod(shape[1:])), axis=0)
        flat = [np.broadcast_to(column, shape).reshape(-1, 1) for column in offered]
        return np.hstack([wide, *flat]).astype(np.float32)

    def _directions(self) -> tuple[int, ...]:
        """Return the constraints of the offer columns: what moves with the price has a sign."""
        rate = (1, 1) if self.sees_rate else ()
        if self.model is Capability.RISK:
            return (0, 0, 0, *rate, 1)
        return (0, 0, 0, *(-sign for sign in rate))


class LogitRival:
    """A logit on z-scores and one-hots, whose price slope varies with them; no squares, no trees.

    It shares the engine's control term, penalties and drift screen. `response` and `coefficients`
    are what the engine's optimiser needs.
    """

    response: PriceResponse

    def __init__(self, portfolio: Portfolio, model: Capability, params: FitParams) -> None:
        self.portfolio, self.model, self.params = portfolio, model, params

    def fit(self, frame: pd.DataFrame, outcome: ArrayLike) -> "LogitRival":
        """Fit the 0/1 `outcome` of a canonical table's rows."""
        portfolio, params = self.portfolio, self.params
        sample = sample_of(portfolio, frame, outcome)
        columns = tuple(c for c in basis_columns(portfolio, sample.matrix) if c.kind != "square")
        moved = drifting_features(portfolio, frame, sample, params.drift_limit)
        shell = unfitted(self.model, portfolio, columns, sample.terms)
        sample = with_modifiers(sample, shell, moved, params.minimum_events)
        self.response = fit_base(shell, sample, params)
        return self

    def coefficients(self, matrix: Array) -> Array:
        """Return every head's coefficient for rows of the design matrix, (n, heads)."""
        return self.response.coefficients(matrix)

    def probability(self, columns: Columns, terms: OfferTerms) -> Array:
        """Return the probability at terms of shape (n,) or (n, m), offered to n applicants."""
        found = self.coefficients(design_matrix(self.portfolio, columns))
        wide = found[:, None] if np.ndim(terms.quoted_rate) > 1 else found
        return self.response.probability(wide, terms)
