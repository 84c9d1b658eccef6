"""The published pair: which models the service runs, read from served.json and the model store.

The service refuses to start on a missing or mismatched pair, and says which command repairs it. A
pair under another alias than production has a file of its own, served-<alias>.json.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bentoml
import yaml
from bentoml.models import BentoModel

from finntelligence import __version__
from finntelligence.errors import InvalidDeclarationError, ModelMismatchError
from finntelligence.market import Market
from finntelligence.policy import Policy
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.response import PriceResponse
from finntelligence.shadow_prices import NO_PRICES, ShadowPrices
from runners.model_file import Scorer, response_of, scorer_of
from runners.settings import Alias, Arguments

__all__ = ["ROOT", "ServedPair", "asked_pair"]

ROOT = Path(__file__).resolve().parents[1]
_SHOWN = 12  # digits of a digest that a person compares


class ServedPair:
    """The content of one portfolio's served.json, or of the one of another alias."""

    def __init__(
        self, portfolio: str, root: Path = ROOT, alias: Alias | str = "production"
    ) -> None:
        self.portfolio, self.root, self.alias = portfolio, root, alias
        self._ids: dict[tuple[str, str], float] = {}  # of stored models, by tag and creation
        named = "served.json" if alias == "production" else f"served-{alias}.json"
        self.repair = _repair(portfolio, root, alias)
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
        risk, acceptance = self.load(Capability.RISK), self.load(Capability.ACCEPTANCE)
        market = self._market(risk.response, acceptance.response)
        return market, {"risk": risk, "acceptance": acceptance}

    def read_market(self) -> Market:
        """As `market`, but leave out the scorers: their trees are for who scores to load."""
        risk, acceptance = (self._read(m)[0] for m in (Capability.RISK, Capability.ACCEPTANCE))
        return self._market(risk, acceptance)

    def recorded(self, versions: Mapping[str, str]) -> tuple[Market, dict[str, Scorer]]:
        """Load the models that a recorded decision names, as `market` does, to replay it.

        Raises:
            ModelMismatchError: when the store lacks one, or has another file under its name.
        """
        digests = str(versions.get("pair")).split("-")
        models = (Capability.RISK, Capability.ACCEPTANCE)
        if len(digests) != len(models) or any(str(each) not in versions for each in models):
            raise ModelMismatchError("the decision does not say which models decided")
        found = {}
        for model, digest in zip(models, digests, strict=True):
            tag = versions[model]
            try:
                path = Path(bentoml.models.get(tag).path) / self._entry(model)["file"]
            except bentoml.exceptions.BentoMLException as error:
                raise ModelMismatchError(f"the model store lacks {tag}") from error
            content = _bytes_of(path)
            if not _digest(content).startswith(digest):
                raise ModelMismatchError(f"{tag} in the model store is not the file that decided")
            found[str(model)] = scorer_of(content, response_of(content, model), tag)
        return self._market(found["risk"].response, found["acceptance"].response), found

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

    def _market(self, risk: PriceResponse, acceptance: PriceResponse) -> Market:
        portfolio = risk.portfolio
        return Market(
            portfolio=portfolio,
            policy=Policy.in_force(portfolio, self.policies()),
            risk=risk,
            acceptance=acceptance,
            prices=self.prices(),
        )

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
        response, content = self._read(model)
        with self._told_of(model):
            return scorer_of(content, response, self.tags[model])

    def _read(self, model: Capability) -> tuple[PriceResponse, bytes]:
        """Read one model's file, verified to the byte; return what it says of itself, and all."""
        entry = self._entry(model)
        content = _bytes_of(Path(self._resolved(model).path) / entry["file"])
        if not content:
            raise ModelMismatchError(
                f"the file of {entry['tag']} is missing in the model store; {self.repair}"
            )
        if (found := _digest(content)) != entry["sha256"]:
            raise ModelMismatchError(
                f"{entry['tag']} in the model store is not the published file: its SHA-256 is "
                f"{found[:_SHOWN]}, published was {entry['sha256'][:_SHOWN]}; {self.repair}"
            )
        with self._told_of(model):
            response = response_of(content, model)
            if response.portfolio.digest != self.content.get("portfolio_digest"):
                raise ModelMismatchError("declares another portfolio than served.json")
        return response, content

    @contextmanager
    def _told_of(self, model: Capability) -> Iterator[None]:
        """Say which model does not fit, and what repairs it."""
        try:
            yield
        except ModelMismatchError as error:
            raise ModelMismatchError(f"{self.tags[model]} {error}; {self.repair}") from error

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
            if self._ids.get(known, model_id) == model_id and (content := _bytes_of(path)):
                self._ids[known] = _id_of(_digest(content))  # of a known one too: it may be damaged
                if self._ids[known] == model_id:
                    return scorer_of(content, response_of(content, model), str(each.tag))
        return None


def asked_pair() -> ServedPair:
    """Return the pair that this process was started for, as it is published now."""
    asked = bentoml.use_arguments(Arguments)
    return ServedPair(asked.portfolio, ROOT, asked.alias)


def _repair(portfolio: str, root: Path, alias: str) -> str:
    if (root.parent / "bento.yaml").is_file():
        return "this Bento or image is damaged: take it anew from where it was built"
    if alias == "production":
        return f"run `make pipeline PORTFOLIO={portfolio}`"
    return f"run `finnt promote {portfolio} --to {alias}`"


def _is_stored(tag: str) -> bool:
    try:
        bentoml.models.get(tag)
    except bentoml.exceptions.BentoMLException:
        return False
    return True


def _id_of(sha256: str) -> float:
    """Return 48 bits of a digest, which a float64 holds exactly."""
    return float(int(sha256[:12], 16))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _bytes_of(path: Path) -> bytes:
    """Return what a file holds; nothing where there is none that can be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
