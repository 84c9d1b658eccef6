"""Stage `publish`: import the production pair into the BentoML model store.

Run as `python -m training.publish PORTFOLIO`. Writes served.json, which names the exact pair by
this machine's tags; the service loads that pair and nothing else. The stage's output for DVC is
published.json, which names the pipeline's pair by digests alone and so is equal on every machine.
`--if-needed` imports only what the store lacks, and leaves alone what a person has rolled back.
"""

import argparse
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import bentoml
import yaml
from mlflow.entities.model_registry import ModelVersion

from finntelligence.errors import ModelMismatchError
from finntelligence.portfolio import Capability, Portfolio
from training.gate.aliases import (
    aliased,
    digest_of,
    in_production,
    marked,
    named,
    was_rolled_back,
)
from training.gate.history import PRODUCTION, PROMOTED
from training.gate.pair import declaration_digest
from training.promote import PromoteParams, promote
from training.stages import Paths, file_digest, read_json, read_params, run_stage, write_json
from training.tables import load_portfolio
from training.tracking import MODELS, client, download_evidence, registered_name

__all__ = [
    "main",
    "publish",
    "served_before",
    "served_file",
    "stored",
    "stored_pair_is_whole",
]

log = logging.getLogger(__name__)

MODEL_FILE = "model.ubj"
EVIDENCE = "evaluation"  # the folder in the store and in a Bento
PLACELESS = "model"


def publish(portfolio_name: str, alias: str = PRODUCTION) -> dict[str, Any]:
    """Import the pair under an alias and write down what is served by it; return that.

    Production is written to served.json, staging to served-staging.json.

    Raises:
        ModelMismatchError: when the book cannot price offers, or when the alias is not set on both
            models, or not on one pair.
    """
    paths, portfolio = Paths(portfolio_name), _priced(portfolio_name)
    versions = {model: _aliased(portfolio_name, model, alias) for model in MODELS}
    pair = named(versions)
    outcome = marked(versions, pair)
    if outcome is None or (alias == PRODUCTION and outcome != PROMOTED):
        raise ModelMismatchError(
            f"{portfolio_name}: the two {alias} models were never promoted as one pair; "
            f"run `make pipeline PORTFOLIO={portfolio_name}`"
        )
    served = stored(portfolio, versions, alias)
    if alias == PRODUCTION:
        write_json(_kept(paths, pair), served)
    write_json(served_file(paths, alias), served)
    return served


def stored(
    portfolio: Portfolio, versions: Mapping[Capability, ModelVersion], alias: str
) -> dict[str, Any]:
    """Import a pair and its evidence; return what a service needs to load it."""
    pair = named(versions)
    models = {str(model): _imported(version) for model, version in versions.items()}
    return {
        "portfolio": portfolio.name,
        "portfolio_digest": _declaration(models),
        "pair": pair,
        "alias": alias,
        "models": models,
        "evidence": _evidence(portfolio.name, pair, versions),
    }


def served_file(paths: Paths, alias: str = PRODUCTION) -> Path:
    """Return where it is written what a service of an alias loads."""
    return paths.served if alias == PRODUCTION else paths.build / f"served-{alias}.json"


def served_before(
    portfolio: Portfolio, paths: Paths, versions: Mapping[Capability, ModelVersion]
) -> bytes:
    """Return served.json as it was when this pair was last published, its models in the store.

    One that never was published, or whose evidence is gone, is written anew.
    """
    kept = _kept(paths, named(versions))
    if not (kept.exists() and _is_whole(read_json(kept))):
        again = stored(portfolio, versions, PRODUCTION)
        if not (kept.exists() and _is_whole(read_json(kept))):  # models may have been all it lacked
            write_json(kept, again)
    return kept.read_bytes()


def _priced(portfolio_name: str) -> Portfolio:
    """Return the declaration of a book that can price offers."""
    portfolio = load_portfolio(portfolio_name)
    if portfolio.capabilities != set(Capability):
        raise ModelMismatchError(
            f"portfolio {portfolio_name!r} cannot price offers: its history teaches "
            f"{' and '.join(portfolio.capabilities)} alone, and a price needs both models"
        )
    return portfolio


def stored_pair_is_whole(paths: Paths, alias: str = PRODUCTION) -> bool:
    """Whether the store holds the published pair, to the byte."""
    path = served_file(paths, alias)
    return path.exists() and _is_whole(read_json(path))


def _is_whole(served: Mapping[str, Any]) -> bool:
    for entry in served["models"].values():
        found = _stored(entry["tag"])
        if found is None or _digest_in_store(found) != entry["sha256"]:
            return False
    return _stored(served["evidence"]) is not None


def _kept(paths: Paths, pair: str) -> Path:
    """Where served.json of a pair is kept, so that a rollback brings it back to the byte."""
    return paths.build / "served" / f"{pair}.json"


def _aliased(portfolio_name: str, model: Capability, alias: str) -> ModelVersion:
    found = aliased(portfolio_name, model, alias)
    if found is None:
        raise ModelMismatchError(
            f"registry has no {alias} version of {registered_name(portfolio_name, model)}; "
            f"run `make pipeline PORTFOLIO={portfolio_name}`"
        )
    return found


def _evidence(portfolio_name: str, pair: str, versions: Mapping[Capability, ModelVersion]) -> str:
    """Put what evaluation found of the pair beside its models, once; return the tag of it."""
    with tempfile.TemporaryDirectory() as folder:
        runs = (str(version.run_id) for version in versions.values())
        found = download_evidence(runs, pair, Path(folder))
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
    run_id, digest = str(version.run_id), digest_of(version)
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
        stored = bentoml.models.get(tag)  # what an import returns is a copy of what it stored
    _forget_place(stored)
    file = next(iter(sorted(_files(stored))))
    return {
        "tag": str(stored.tag),
        "registered": f"{version.name}/{version.version}",
        "run_id": run_id,
        "file": str(file.relative_to(stored.path)),
        "sha256": digest,
    }


def _forget_place(stored: bentoml.Model) -> None:
    """Take out of MLflow's description where on this machine the model was logged: it travels."""
    for path in Path(stored.path).rglob("MLmodel"):
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
        if told.get("artifact_path") != PLACELESS:
            told["artifact_path"] = PLACELESS
            path.write_text(yaml.safe_dump(told), encoding="utf-8")


def _declaration(models: Mapping[str, Mapping[str, str]]) -> str:
    """Return the digest of the declaration that a pair embeds, which may not be today's.

    Raises:
        ModelMismatchError: when its models embed two.
    """
    found = {
        declaration_digest(Path(bentoml.models.get(entry["tag"]).path) / entry["file"])
        for entry in models.values()
    }
    if len(found) > 1:
        raise ModelMismatchError("the pair's models are of two declarations of their portfolio")
    return found.pop()


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
    if only_if_needed:
        _bring_to_production(paths)
        if _serves_production(paths):
            return
    else:
        ours = read_json(paths.build / "promotion.json")
        # of the pipeline's pair, which any machine has; what this one serves says served.json
        write_json(paths.build / "published.json", {n: ours[n] for n in ("pair", "sha256")})
    served = publish(portfolio_name)
    tags = ", ".join(entry["tag"] for entry in served["models"].values())
    log.info("publish %s: %s", portfolio_name, tags)


def _bring_to_production(paths: Paths) -> None:
    """Promote the pipeline's pair where DVC restored it without running on this machine."""
    versions, published = in_production(paths, MODELS), paths.build / "published.json"
    pair = read_json(published)["pair"] if published.exists() else None
    if versions is not None and pair in (None, named(versions)):
        return
    if versions is not None and was_rolled_back(paths.portfolio, MODELS, str(pair)):
        log.warning(
            "publish %s: %s was rolled back by a person; %s stays in production",
            *(paths.portfolio, pair, named(versions)),
        )
        return
    promote(paths.portfolio, read_params("promote", PromoteParams))


def _serves_production(paths: Paths) -> bool:
    versions = in_production(paths, MODELS)
    return (
        versions is not None
        and stored_pair_is_whole(paths)
        and read_json(paths.served)["pair"] == named(versions)
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("portfolio")
    parser.add_argument("--if-needed", action="store_true")
    arguments = parser.parse_args()
    run_stage(main, arguments.portfolio, arguments.if_needed)
