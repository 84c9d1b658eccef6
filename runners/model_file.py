"""A model as it is published, one file of XGBoost's: what it says of itself, and what answers.

Most of it is JSON of ours, in one attribute of the booster: a front reads that alone. XGBoost and
the SciPy that it needs take longer to import than all else that a front does before it serves.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from finntelligence.errors import ModelMismatchError
from finntelligence.explain import reference
from finntelligence.portfolio import Capability
from finntelligence.response import SPEC_ATTRIBUTE, PriceResponse
from runners.trees import contributed, predicted

if TYPE_CHECKING:
    import xgboost as xgb

__all__ = ["Scorer", "response_of", "scorer_of"]

Array = NDArray[np.float64]

_WIDTH = 8  # bytes of a length


@dataclass(frozen=True, slots=True)
class Scorer:
    """One loaded model: trees, linear parts, and the exact version."""

    booster: "xgb.Booster"
    response: PriceResponse
    version: str

    def coefficients(self, rows: Array) -> Array:
        """Return every head's coefficient for rows of the design matrix, (n, heads)."""
        return self.response.coefficients(rows, predicted(self.booster, rows))

    def contributions(self, rows: Array) -> Array:
        """Return what each column adds to each head's raw coefficient, (n, heads, features + 1)."""
        trees = contributed(self.booster, rows).reshape(len(rows), -1, rows.shape[1] + 1)
        return self.response.contributions(rows, trees)


def response_of(content: bytes, model: Capability) -> PriceResponse:
    """Return what a file says of itself: all but its trees.

    Raises:
        ModelMismatchError: when it is another model, or does not fit this engine.
    """
    try:
        spec = json.loads(_attributes(content).get(SPEC_ATTRIBUTE, "{}"))
    except ValueError as error:
        raise ModelMismatchError("is broken off") from error
    response = PriceResponse.from_mapping(spec)
    response.refuse_other(model, response.portfolio)
    if model is Capability.RISK:
        reference(response)  # without it no decline could be given its reasons
    return response


def scorer_of(content: bytes, response: PriceResponse, version: str) -> Scorer:
    """Load the model that a file holds, of which `response` was read; `version` is its exact id.

    Raises:
        ModelMismatchError: when its trees do not fit the rest of it.
    """
    import xgboost as xgb

    try:
        booster = xgb.Booster(model_file=bytearray(content))
    except xgb.core.XGBoostError as error:
        raise ModelMismatchError("cannot be read by this XGBoost") from error
    booster.set_param({"nthread": 1})  # of a few rows more threads only wait, and burn a core
    outputs = predicted(booster, np.zeros((1, len(response.features)))).size
    response.refuse_other(response.model, response.portfolio, outputs)
    return Scorer(booster, response, version)


def _attributes(content: bytes) -> dict[str, str]:
    """Return a booster's attributes: what its UBJSON begins with, as XGBoost sorts by name."""
    start = b"{" + _key(b"learner") + b"{" + _key(b"attributes") + b"{"
    if not content.startswith(start):
        raise ModelMismatchError("is no model that XGBoost saved as UBJSON")
    found, at = {}, len(start)
    while content[at : at + 1] == b"L":
        name, at = _text(content, at)
        found[name], at = _text(content, at + 1)  # an S says that it is text
    return found


def _key(name: bytes) -> bytes:
    return b"L" + len(name).to_bytes(_WIDTH) + name


def _text(content: bytes, at: int) -> tuple[str, int]:
    """Return the text whose length begins here, and where it ends."""
    begin = at + 1 + _WIDTH
    end = begin + int.from_bytes(content[at + 1 : begin])
    return content[begin:end].decode(), end
