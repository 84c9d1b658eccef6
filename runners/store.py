"""The published pair: which models the service runs, read from served.json and the model store.

The service refuses to start on a missing or mismatched pair, and says which command repairs it. A
pair under another alias than production has a file of its own, served-<alias>.json.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
import xgboost as xgb
import yaml
from bentoml.models import BentoModel
from numpy.typing import NDArray

from finntelligence import __version__
from finntelligence.errors import InvalidDeclarationError, ModelMismatchError
from finntelligence.explain import reference
from finntelligence.market import Market
from finntelligence.policy import Policy
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.response import SPEC_ATTRIBUTE, PriceResponse
from finntelligence.shadow_prices import NO_PRICES, ShadowPrices
from runners.settings import Alias, Arguments

__all__ = ["ROOT", "Scorer", "ServedPair", "asked_pair"]

Array = NDArray[np.float64]

ROOT = Path(__file__).resolve().parents[1]


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
    """The content of one portfolio's served.json, or of the one of another alias."""

    def __init__(
        self, portfolio: str, root: Path = ROOT, alias: Alias | str = "production"
    ) -> None:
        self.portfolio, self.root, self.alias = portfolio, root, alias
        self._ids: dict[tuple[str, str], float] = {}  # of stored models, by tag and creation
        named = "served.json" if alias == "production" else f"served-{alias}.json"
        self.repair = (
            f"run `make pipeline PORTFOLIO={portfolio}`"
            if alias == "production"
            else f"run `finnt promote {portfolio} --to {alias}`"
        )
        self.path = root / "build" / portfolio / named
        self.prices_path = self.path.with_name("shadow-prices.json")
        try:
            self.content: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            self._refuse_unpriced()
            raise ModelMismatchError(
                f"no models of portfolio {portfolio!r} are published ({named} is missing); "
                f"{self.repair}"
            ) from error
        except OSError as error:
            told = f"{named} cannot be read: {error.strerror}"
            raise ModelMismatchError(f"{told}; {self.repair}") from error
        except ValueError as error:
            raise ModelMismatchError(f"{named} is not JSON; {self.repair}") from error
        try:
            self.tags = {m: str(self._entry(m)["tag"]) for m in Capability}
            self.pair = str(self.content["pair"])
            self._evidence = str(self.content["evidence"])
        except (KeyError, TypeError) as error:
            raise ModelMismatchError(f"{named} names no pair of models; {self.repair}") from error

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
        return self._market(self.load(Capability.RISK), self.load(Capability.ACCEPTANCE))

    def recorded(self, versions: Mapping[str, str]) -> tuple[Market, dict[str, Scorer]]:
        """Load the models that a recorded decision names, as `market` does, to replay it.

        Raises:
            ModelMismatchError: when the store lacks one, or has another file under its name.
        """
        digests = str(versions.get("pair")).split("-")
        models = (Capability.RISK, Capability.ACCEPTANCE)
        if len(digests) != len(models) or any(str(each) not in versions for each in models):
            raise ModelMismatchError("the decision does not say which models decided")
        found = []
        for model, digest in zip(models, digests, strict=True):
            tag = versions[model]
            try:
                path = Path(bentoml.models.get(tag).path) / self._entry(model)["file"]
            except bentoml.exceptions.BentoMLException as error:
                raise ModelMismatchError(f"the model store lacks {tag}") from error
            if not path.is_file() or not _digest(path).startswith(digest):
                raise ModelMismatchError(f"{tag} in the model store is not the file that decided")
            found.append(_scorer(path, model, tag))
        return self._market(*found)

    @property
    def policy_path(self) -> Path:
        """Where the lending policy is."""
        return self.root / "policy.yaml"

    def policies(self) -> Any:
        """Return the content of policy.yaml.

        Raises:
            InvalidDeclarationError: when it cannot be read.
        """
        path = self.policy_path
        try:
            return yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            told = " ".join(str(error).split())  # YAML's own takes several lines
            raise InvalidDeclarationError(f"{path.name} cannot be read: {told}") from error

    def prices(self) -> ShadowPrices:
        """Return the shadow prices in force: those of the file, or none.

        Raises:
            InvalidDeclarationError: when the file holds none.
        """
        name = self.prices_path.name
        try:
            return ShadowPrices.from_mapping(json.loads(self.prices_path.read_bytes()))
        except FileNotFoundError:
            return NO_PRICES
        except (OSError, ValueError) as error:
            raise InvalidDeclarationError(f"{name} cannot be read: {error}") from error

    def _market(self, risk: Scorer, acceptance: Scorer) -> tuple[Market, dict[str, Scorer]]:
        portfolio = risk.response.portfolio
        market = Market(
            portfolio=portfolio,
            policy=Policy.in_force(portfolio, self.policies()),
            risk=risk.response,
            acceptance=acceptance.response,
            prices=self.prices(),
        )
        return market, {"risk": risk, "acceptance": acceptance}

    def all_versions(self, market: Market) -> dict[str, str]:
        """Exact ids of all that decides: pair, models, portfolio, policy, engine; and the alias.

        Where the portfolio's limits have shadow prices, theirs too.
        """
        priced = {} if market.prices == NO_PRICES else {"shadow_prices": market.prices.digest}
        return {
            **self.versions,
            "pair": self.pair,
            "alias": self.alias,
            "portfolio": market.portfolio.digest,
            "policy": market.policy.digest,
            "engine": __version__,
            **priced,
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

    def before(self, model: Capability) -> BentoModel | None:
        """Return the reference to the model of the pair that was published before this one.

        None where nobody knows it, the store lacks it, or it is this pair's too. A Bento carries
        it, so that its runners may replace others while fronts of the pair before ask them.
        """
        kept = [path for path in self.path.parent.glob("served/*.json") if path.stem != self.pair]
        try:
            path = max(kept, key=lambda each: each.stat().st_mtime)
            tag = str(json.loads(path.read_text(encoding="utf-8"))["models"][model]["tag"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return BentoModel(tag) if tag != self.tags[model] and _is_stored(tag) else None

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
        path = Path(self._resolved(model).path) / entry["file"]
        if not path.is_file() or _digest(path) != entry["sha256"]:
            raise ModelMismatchError(
                f"{entry['tag']} in the model store is not the published file; {self.repair}"
            )
        try:
            scorer = _scorer(path, model, self.tags[model])
            if scorer.response.portfolio.digest != self.content.get("portfolio_digest"):
                raise ModelMismatchError("declares another portfolio than served.json")
        except ModelMismatchError as error:
            raise ModelMismatchError(f"{entry['tag']} {error}; {self.repair}") from error
        return scorer

    def model_id(self, model: Capability) -> float:
        """Return the number by which rows say that they are this model's; see `envelope`."""
        return _id_of(self._entry(model)["sha256"])

    def stored(self, model: Capability, model_id: float) -> Scorer | None:
        """Load the model of this id from the store, newest first, whichever pair it belongs to.

        A pair is served under an id only after the front has verified it to the byte. Files are
        read once: what is known to be another model is not read again.

        Raises:
            ModelMismatchError: when the model of this id does not fit this engine.
        """
        name, _, _ = self.tags[model].partition(":")
        try:
            kept = bentoml.models.list(name)
        except bentoml.exceptions.NotFound:
            return None
        kept.sort(key=lambda stored: stored.creation_time, reverse=True)
        for each in kept:
            path = Path(each.path) / self._entry(model)["file"]
            known = (str(each.tag), str(each.creation_time))
            if self._ids.get(known, model_id) == model_id and path.is_file():
                self._ids[known] = _id_of(_digest(path))  # of a known one too, lest it was damaged
                if self._ids[known] == model_id:
                    return _scorer(path, model, str(each.tag))
        return None


def asked_pair() -> ServedPair:
    """Return the pair that this process was started for, as it is published now."""
    asked = bentoml.use_arguments(Arguments)
    return ServedPair(asked.portfolio, ROOT, asked.alias)


def _is_stored(tag: str) -> bool:
    try:
        bentoml.models.get(tag)
    except bentoml.exceptions.BentoMLException:
        return False
    return True


def _scorer(path: Path, model: Capability, version: str) -> Scorer:
    booster = xgb.Booster(model_file=path)
    response = PriceResponse.from_mapping(json.loads(booster.attr(SPEC_ATTRIBUTE) or "{}"))
    outputs = np.size(booster.inplace_predict(np.zeros((1, len(response.features)), "f4")))
    response.refuse_other(model, response.portfolio, outputs)
    if model is Capability.RISK:
        reference(response)  # without it no decline could be given its reasons
    return Scorer(booster, response, version)


def _id_of(sha256: str) -> float:
    """Return 48 bits of a digest, which a float64 holds exactly."""
    return float(int(sha256[:12], 16))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
