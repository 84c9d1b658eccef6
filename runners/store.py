"""The published pair: which models the service runs, read from served.json and the model store.

The service refuses to start on a missing or mismatched pair, and says which command repairs it.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
import xgboost as xgb
import yaml
from bentoml.models import BentoModel
from numpy.typing import NDArray
from pydantic import BaseModel

from finntelligence import __version__
from finntelligence.errors import InvalidDeclarationError, ModelMismatchError
from finntelligence.explain import reference
from finntelligence.market import Market
from finntelligence.policy import Policy
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.response import SPEC_ATTRIBUTE, PriceResponse

__all__ = ["ROOT", "Arguments", "Scorer", "ServedPair", "portfolio_argument"]

Array = NDArray[np.float64]

ROOT = Path(__file__).resolve().parents[1]


class Arguments(BaseModel):
    """What `bentoml serve --arg` and `bentoml build --arg` accept."""

    portfolio: str = "simulated"


@dataclass(frozen=True, slots=True)
class Scorer:
    """One loaded model: trees, linear parts, and the exact version."""

    booster: xgb.Booster
    response: PriceResponse
    version: str

    def coefficients(self, rows: Array) -> Array:
        """Return every head's coefficient for rows of the design matrix, (n, heads)."""
        raw = self.booster.inplace_predict(rows.astype(np.float32))
        return self.response.coefficients(rows, np.asarray(raw, dtype=float))

    def contributions(self, rows: Array) -> Array:
        """Return what each column adds to each head's raw coefficient, (n, heads, features + 1)."""
        trees = self.booster.predict(
            xgb.DMatrix(rows.astype(np.float32)),
            pred_contribs=True,
            strict_shape=True,
            validate_features=False,  # columns are in the order of the response's features
        )
        return self.response.contributions(rows, np.asarray(trees, dtype=float))


class ServedPair:
    """The content of one portfolio's served.json."""

    def __init__(self, portfolio: str, root: Path = ROOT) -> None:
        self.portfolio, self.root = portfolio, root
        self.repair = f"run `make pipeline PORTFOLIO={portfolio}`"
        path = root / "build" / portfolio / "served.json"
        try:
            self.content: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError as error:
            self._refuse_unpriced()
            raise ModelMismatchError(
                f"no models of portfolio {portfolio!r} are published ({path.name} is missing); "
                f"{self.repair}"
            ) from error
        except ValueError as error:
            raise ModelMismatchError(f"{path} is not JSON; {self.repair}") from error
        try:
            self.tags = {m: str(self._entry(m)["tag"]) for m in Capability}
            self._evidence = str(self.content["evidence"])
        except (KeyError, TypeError) as error:
            raise ModelMismatchError(f"{path} names no pair of models; {self.repair}") from error

    def _refuse_unpriced(self) -> None:
        """Say of a book that lacks a model for good that no pipeline will bring it."""
        path = self.root / "portfolios" / f"{self.portfolio}.yaml"
        if not path.exists():  # a Bento carries no declarations
            return
        try:
            declared = Portfolio.from_mapping(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InvalidDeclarationError(f"{path} cannot be read: {error}") from error
        except InvalidDeclarationError as error:
            raise InvalidDeclarationError(f"{path}: {error}") from error
        if declared.capabilities != set(Capability):
            raise ModelMismatchError(
                f"portfolio {self.portfolio!r} cannot price offers: its history teaches "
                f"{' and '.join(declared.capabilities)} alone, and a price needs both models"
            )

    @property
    def versions(self) -> dict[str, str]:
        """Exact version of each model: its tag in the model store."""
        return {str(model): tag for model, tag in self.tags.items()}

    def market(self) -> tuple[Market, dict[str, Scorer]]:
        """Load both models and the policy in force; return what prices offers, and the scorers.

        Raises:
            ModelMismatchError: when a model is missing or does not fit.
            InvalidDeclarationError: when policy.yaml says something impossible.
        """
        risk, acceptance = self.load(Capability.RISK), self.load(Capability.ACCEPTANCE)
        portfolio = risk.response.portfolio
        path = self.root / "policy.yaml"
        try:
            content = yaml.safe_load(path.read_text())
        except (OSError, yaml.YAMLError) as error:
            raise InvalidDeclarationError(f"{path} cannot be read: {error}") from error
        market = Market(
            portfolio=portfolio,
            policy=Policy.in_force(portfolio, content),
            risk=risk.response,
            acceptance=acceptance.response,
        )
        return market, {"risk": risk, "acceptance": acceptance}

    def all_versions(self, market: Market) -> dict[str, str]:
        """Exact ids of everything that decides: models, portfolio, policy, engine."""
        return {
            **self.versions,
            "portfolio": market.portfolio.digest,
            "policy": market.policy.digest,
            "engine": __version__,
        }

    def _entry(self, model: Capability) -> dict[str, str]:
        entry = self.content["models"][model]
        return {key: entry[key] for key in ("tag", "file", "sha256")}

    def _resolved(self, model: Capability) -> bentoml.Model:
        try:
            stored: bentoml.Model = self.reference(model).resolve()
        except bentoml.exceptions.BentoMLException as error:
            raise ModelMismatchError(
                f"the model store lacks {self.tags[model]}; {self.repair}"
            ) from error
        return stored

    def reference(self, model: Capability) -> BentoModel:
        """Return the reference by which a Bento carries the model."""
        return BentoModel(self.tags[model])

    @property
    def evidence(self) -> BentoModel:
        """The reference by which a Bento carries the evaluation of the pair: report and plots."""
        return BentoModel(self._evidence)

    def load(self, model: Capability) -> Scorer:
        """Load one model, verified to the byte.

        Raises:
            ModelMismatchError: when the store lacks it, its digest differs, or it does not fit.
        """
        entry = self._entry(model)
        stored = self._resolved(model)
        path = Path(stored.path) / entry["file"]
        if not path.exists() or _digest(path) != entry["sha256"]:
            raise ModelMismatchError(
                f"{entry['tag']} in the model store is not the published file; {self.repair}"
            )
        try:
            return self._scorer(path, model)
        except ModelMismatchError as error:
            raise ModelMismatchError(f"{entry['tag']} {error}; {self.repair}") from error

    def _scorer(self, path: Path, model: Capability) -> Scorer:
        booster = xgb.Booster(model_file=path)
        response = PriceResponse.from_mapping(json.loads(booster.attr(SPEC_ATTRIBUTE) or "{}"))
        outputs = np.size(booster.inplace_predict(np.zeros((1, len(response.features)), "f4")))
        declared: Portfolio = response.portfolio
        if declared.digest != self.content.get("portfolio_digest"):
            raise ModelMismatchError("declares another portfolio than served.json")
        response.refuse_other(model, declared, outputs)
        if model is Capability.RISK:
            reference(response)  # without it no decline could be given its reasons
        return Scorer(booster, response, self.tags[model])

    def refuse_incomplete(self) -> None:
        """Check, before anything starts, that the model store holds the pair.

        Raises:
            ModelMismatchError: naming what the store lacks and the command that repairs it.
        """
        for model in Capability:
            self._resolved(model)


def portfolio_argument() -> str:
    """Return the portfolio that this process serves."""
    return bentoml.use_arguments(Arguments).portfolio


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
