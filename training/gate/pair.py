"""A pair of models, or the one of a book that teaches risk alone, wherever it comes from."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import xgboost as xgb
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray

from finntelligence.errors import ModelMismatchError
from finntelligence.features import design_matrix
from finntelligence.market import Market
from finntelligence.offers import OfferTerms
from finntelligence.policy import Policy
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.response import SPEC_ATTRIBUTE, PriceResponse
from training.fitting.artefact import Artefact, load_artefact
from training.fitting.price_response import columns_of, quoted_terms
from training.stages import Paths, file_digest
from training.tracking import MODELS, client

__all__ = [
    "OtherDeclarationError",
    "Pair",
    "declaration_digest",
    "pair_of",
    "registered_pair",
    "trained_pair",
]

Array = NDArray[np.float64]

_LAST = b"}"  # of a model file; XGBoost reads on past the end of one that breaks off


class OtherDeclarationError(ModelMismatchError):
    """Registered models are sound, but of another declaration: other features, other prices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Models of one portfolio with the SHA-256 of each one's file."""

    portfolio: Portfolio
    models: Mapping[Capability, Artefact]
    digests: Mapping[Capability, str]

    @property
    def name(self) -> str:
        """The pair's id."""
        return pair_of(self.digests)

    @property
    def priced(self) -> bool:
        """Whether it can price offers, which takes both models."""
        return set(self.models) == set(Capability)

    def both(self, columns: Mapping[str, NDArray[Any]]) -> tuple[Array, Array]:
        """Return the coefficients of risk and of acceptance for applicants' columns."""
        matrix = design_matrix(self.portfolio, columns)
        risk, acceptance = (self.models[model].coefficients(matrix) for model in MODELS)
        return risk, acceptance

    def probability(
        self, model: Capability, frame: pd.DataFrame, terms: OfferTerms | None = None
    ) -> Array:
        """Return a model's probabilities at the table's terms, or at others, (n,)."""
        quoted = quoted_terms(self.portfolio, frame) if terms is None else terms
        artefact = self.models[model]
        matrix = design_matrix(self.portfolio, columns_of(self.portfolio, frame))
        return artefact.response.probability(artefact.coefficients(matrix), quoted)

    def market(self, policy: Policy) -> Market:
        """Return what the engine prices with."""
        risk, acceptance = (self.models[model].response for model in MODELS)
        return Market(portfolio=self.portfolio, policy=policy, risk=risk, acceptance=acceptance)


def pair_of(digests: Mapping[Capability, str]) -> str:
    """Return the id of a pair of models, or of one alone, from their artefacts' SHA-256."""
    return "-".join(digests[model][:8] for model in MODELS if model in digests)


def trained_pair(paths: Paths, portfolio: Portfolio) -> Pair:
    """Return what the pipeline has trained."""
    return _loaded({m: paths.model(m) for m in _taught(portfolio)}, portfolio)


def registered_pair(
    versions: Mapping[Capability, ModelVersion],
    portfolio: Portfolio,
    digests: Mapping[Capability, str] | None = None,
) -> Pair:
    """Return what the registry holds under these versions, as it is downloaded.

    `digests` are the SHA-256 that the files must have, where those are known.

    Raises:
        OtherDeclarationError: when the models are of another declaration of the portfolio.
        ModelMismatchError: when a file is absent, damaged or no such model.
    """
    client()
    with tempfile.TemporaryDirectory() as folder:
        files = {m: _downloaded(each, Path(folder) / m) for m, each in versions.items()}
        for model, digest in (digests or {}).items():
            if file_digest(files[model]) != digest:
                each = versions[model]
                raise ModelMismatchError(f"{each.name}/{each.version} is not the file registered")
        try:
            return _loaded(files, portfolio)
        except (ModelMismatchError, ValueError) as error:  # the folder tells nobody anything
            said = str(error).replace(f"{folder}/", "the registered ").partition("; run")[0]
            if _of_another(files, portfolio):
                raise OtherDeclarationError(said) from error
            raise ModelMismatchError(said) from error


def declaration_digest(path: Path) -> str:
    """Return the digest of the portfolio's declaration that a model file embeds.

    Raises:
        ModelMismatchError: when it is no model of this engine's.
    """
    try:
        if not path.read_bytes().endswith(_LAST):
            raise ValueError("it breaks off")
        embedded = json.loads(xgb.Booster(model_file=path).attr(SPEC_ATTRIBUTE) or "{}")
    except (xgb.core.XGBoostError, OSError, ValueError) as error:
        raise ModelMismatchError(f"{path} is absent or no model") from error
    return PriceResponse.from_mapping(embedded).portfolio.digest


def _of_another(files: Mapping[Capability, Path], portfolio: Portfolio) -> bool:
    try:
        return any(declaration_digest(file) != portfolio.digest for file in files.values())
    except ModelMismatchError:
        return False


def _downloaded(version: ModelVersion, place: Path) -> Path:
    uri = f"models:/{version.name}/{version.version}"
    try:
        mlflow.artifacts.download_artifacts(uri, dst_path=str(place))
    except (MlflowException, OSError) as error:
        raise ModelMismatchError(f"{uri} has no model.ubj") from error
    for file in sorted(place.rglob("model.ubj")):
        return file.replace(place.with_suffix(".ubj"))
    raise ModelMismatchError(f"{uri} has no model.ubj")


def _loaded(files: Mapping[Capability, Path], portfolio: Portfolio) -> Pair:
    return Pair(
        portfolio=portfolio,
        models={model: load_artefact(path, model, portfolio) for model, path in files.items()},
        digests={model: file_digest(path) for model, path in files.items()},
    )


def _taught(portfolio: Portfolio) -> list[Capability]:
    return [model for model in MODELS if model in portfolio.capabilities]
