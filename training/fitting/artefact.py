"""A saved model: the booster with the specification it carries."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from finntelligence.declaration import canonical_json
from finntelligence.errors import ModelMismatchError
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.response import SPEC_ATTRIBUTE, PriceResponse
from training.tables import replacing

__all__ = ["Artefact", "load_artefact"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Artefact:
    """Trees and linear parts of one fitted model."""

    booster: xgb.Booster
    response: PriceResponse

    def coefficients(self, matrix: Array) -> Array:
        """Return every head's coefficient for rows of the design matrix, (n, heads)."""
        return self.response.coefficients(matrix, _raw(self.booster, matrix))

    def contributions(self, matrix: Array) -> Array:
        """Return what each column adds to each head before clipping, (n, heads, features + 1)."""
        trees = self.booster.predict(
            xgb.DMatrix(matrix.astype(np.float32)),
            pred_contribs=True,
            strict_shape=True,
            validate_features=False,
        )
        return self.response.contributions(matrix, np.asarray(trees, dtype=float))

    def save(self, path: Path) -> None:
        """Write booster and specification to one file, whole or not at all."""
        self.booster.set_attr(**{SPEC_ATTRIBUTE: canonical_json(self.response.to_mapping())})
        with replacing(path) as temporary:
            temporary.write_bytes(self.booster.save_raw("ubj"))


def load_artefact(path: Path, model: Capability, portfolio: Portfolio) -> Artefact:
    """Load a model file.

    Raises:
        ModelMismatchError: when it is not this model of this declaration of the portfolio.
    """
    try:
        booster = xgb.Booster(model_file=path)
    except xgb.core.XGBoostError as error:
        raise ModelMismatchError(f"{path} is absent or no XGBoost model") from error
    response = PriceResponse.from_mapping(json.loads(booster.attr(SPEC_ATTRIBUTE) or "{}"))
    outputs = _raw(booster, np.zeros((1, len(response.features)))).shape[1]
    try:
        response.refuse_other(model, portfolio, outputs)
    except ModelMismatchError as error:
        repair = f"run `make pipeline PORTFOLIO={portfolio.name}`"
        raise ModelMismatchError(f"{path} {error}; {repair}") from error
    return Artefact(booster, response)


def _raw(booster: xgb.Booster, matrix: Array) -> Array:
    raw = booster.inplace_predict(matrix.astype(np.float32))
    return np.asarray(raw, dtype=float).reshape(len(matrix), -1)
