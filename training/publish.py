"""Stage `publish`: import the production pair into the BentoML model store.

Run as `python -m training.publish PORTFOLIO`. Writes served.json, which names the exact pair by
this machine's tags; the service loads that pair and nothing else. The stage's output for DVC is
published.json, which says the same by digests alone and so is equal on every machine.
`--if-needed` imports only what the store lacks.
"""

import argparse
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import bentoml
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from finntelligence.errors import ModelMismatchError
from finntelligence.portfolio import Capability, Portfolio
from training.promote import PROMOTED, PromoteParams, pair_of, promote
from training.stages import Paths, file_digest, read_json, read_params, run_stage, write_json
from training.tables import load_portfolio
from training.tracking import MODELS, client, registered_name

__all__ = ["main", "publish", "stored_pair_is_whole"]

log = logging.getLogger(__name__)

MODEL_FILE = "model.ubj"
EVIDENCE = "evaluation"  # the folder of a run's artefacts


def publish(portfolio_name: str, alias: str = "production") -> dict[str, Any]:
    """Import the pair under an alias and write served.json; return its content.

    Raises:
        ModelMismatchError: when the book cannot price offers, or when the alias is not set on both
            models, or not on one pair.
    """
    paths, portfolio = Paths(portfolio_name), _priced(portfolio_name)
    versions = {model: _aliased(portfolio_name, model, alias) for model in MODELS}
    pair = pair_of({model: _digest_of(version) for model, version in versions.items()})
    judged = {version.tags.get(f"pair.{pair}") for version in versions.values()}
    if None in judged or (alias == "production" and judged != {PROMOTED}):
        raise ModelMismatchError(
            f"{portfolio_name}: the two {alias} models were never promoted as one pair; "
            f"run `make pipeline PORTFOLIO={portfolio_name}`"
        )
    served: dict[str, Any] = {
        "portfolio": portfolio_name,
        "portfolio_digest": portfolio.digest,
        "pair": pair,
        "alias": alias,
        "models": {str(m): _imported(version) for m, version in versions.items()},
        "evidence": _evidence(portfolio_name, pair, versions),
    }
    write_json(paths.served, served)
    digests = {model: entry["sha256"] for model, entry in served["models"].items()}
    write_json(paths.build / "published.json", {"pair": pair, "sha256": digests})
    return served


def _priced(portfolio_name: str) -> Portfolio:
    """Return the declaration of a book that can price offers."""
    portfolio = load_portfolio(portfolio_name)
    if portfolio.capabilities != set(Capability):
        raise ModelMismatchError(
            f"portfolio {portfolio_name!r} cannot price offers: its history teaches "
            f"{' and '.join(portfolio.capabilities)} alone, and a price needs both models"
        )
    return portfolio


def stored_pair_is_whole(paths: Paths) -> bool:
    """Whether the store holds the published pair, to the byte."""
    if not paths.served.exists():
        return False
    served = read_json(paths.served)
    for entry in served["models"].values():
        stored = _stored(entry["tag"])
        if stored is None or _digest_in_store(stored) != entry["sha256"]:
            return False
    return _stored(served["evidence"]) is not None


def _published_pair(paths: Paths) -> str | None:
    path = paths.build / "published.json"
    return str(read_json(path)["pair"]) if path.exists() else None


def _serves_what_was_published(paths: Paths) -> bool:
    return _published_pair(paths) in (None, read_json(paths.served)["pair"])


def _is_in_production(portfolio_name: str, paths: Paths) -> bool:
    """Whether this machine's registry has the published pair in production."""
    try:
        versions = {m: _aliased(portfolio_name, m, "production") for m in MODELS}
    except ModelMismatchError:
        return False
    current = pair_of({m: _digest_of(version) for m, version in versions.items()})
    return current == (_published_pair(paths) or current)


def _aliased(portfolio_name: str, model: Capability, alias: str) -> ModelVersion:
    name = registered_name(portfolio_name, model)
    try:
        return client().get_model_version_by_alias(name, alias)
    except MlflowException as error:
        raise ModelMismatchError(
            f"registry has no {alias} version of {name}; "
            f"run `make pipeline PORTFOLIO={portfolio_name}`"
        ) from error


def _evidence(portfolio_name: str, pair: str, versions: Mapping[Capability, ModelVersion]) -> str:
    """Put what evaluation found of the pair beside its models, once; return the tag of it."""
    with tempfile.TemporaryDirectory() as folder:
        for run_id in (str(version.run_id) for version in versions.values()):
            if client().list_artifacts(run_id, EVIDENCE):
                client().download_artifacts(run_id, EVIDENCE, folder)
        found = Path(folder) / EVIDENCE
        figures = found / "evaluation.json"
        judged = file_digest(figures)[:8] if figures.is_file() else "unjudged"
        tag = f"finnt-{portfolio_name}-evidence:{pair}-{judged}"
        if _stored(tag) is None:
            labels = {"portfolio": portfolio_name, "pair": pair}
            with bentoml.models.create(tag, labels=labels) as stored:
                if found.is_dir():
                    shutil.copytree(found, Path(stored.path) / EVIDENCE)
    return tag


def _imported(version: ModelVersion) -> dict[str, str]:
    """Import one registered version, once, under a tag that can mean nothing else."""
    run_id, digest = str(version.run_id), _digest_of(version)
    tag = f"{version.name}:v{version.version}-{run_id[:12]}"
    stored = _stored(tag)
    if stored is not None and _digest_in_store(stored) != digest:
        log.warning("%s in the model store is damaged; importing it again", tag)
        bentoml.models.delete(tag)
        stored = None
    if stored is None:
        run = client().get_run(run_id)
        hashes = {k: v for k, v in run.data.tags.items() if k.startswith("data_sha256")}
        stored = bentoml.mlflow.import_model(
            tag,
            f"models:/{version.name}/{version.version}",
            labels={"portfolio": run.data.tags["portfolio"], "model": run.data.tags["model"]},
            metadata={
                "run_id": run_id,
                "model_version": str(version.version),
                "git_commit": run.data.tags["git_commit"],
                **hashes,
            },
        )
    file = next(iter(sorted(_files(stored))))
    return {
        "tag": str(stored.tag),
        "registered": f"{version.name}/{version.version}",
        "run_id": run_id,
        "file": str(file.relative_to(stored.path)),
        "sha256": digest,
    }


def _digest_of(version: ModelVersion) -> str:
    digest: str = client().get_run(str(version.run_id)).data.tags["artefact_sha256"]
    return digest


def _stored(tag: str) -> bentoml.Model | None:
    try:
        return bentoml.models.get(tag)
    except bentoml.exceptions.NotFound:
        return None


def _digest_in_store(stored: bentoml.Model) -> str | None:
    file = next(iter(sorted(_files(stored))), None)
    return None if file is None else file_digest(file)


def _files(stored: bentoml.Model) -> Iterator[Path]:
    return Path(stored.path).rglob(MODEL_FILE)


def main(portfolio_name: str, only_if_needed: bool) -> None:
    """Publish one portfolio's production pair."""
    _priced(portfolio_name)
    paths = Paths(portfolio_name)
    if only_if_needed and stored_pair_is_whole(paths) and _serves_what_was_published(paths):
        return
    if only_if_needed and not _is_in_production(portfolio_name, paths):
        # DVC restored these outputs without running: bring them to this machine's registry too
        promote(portfolio_name, read_params("promote", PromoteParams))
    served = publish(portfolio_name)
    tags = ", ".join(entry["tag"] for entry in served["models"].values())
    log.info("publish %s: %s", portfolio_name, tags)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("portfolio")
    parser.add_argument("--if-needed", action="store_true")
    arguments = parser.parse_args()
    run_stage(main, arguments.portfolio, arguments.if_needed)
