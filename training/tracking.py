"""MLflow, and nowhere else: runs of the two models, their evidence, and the registry.

SQLite beside the project by default; any server through MLFLOW_TRACKING_URI.
"""

import hashlib
import json
import logging
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import xgboost as xgb
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from numpy.typing import NDArray

from finntelligence.portfolio import Capability
from training.books.raw import source_digest
from training.stages import Paths, file_digest, read_json, write_json

__all__ = [
    "MODELS",
    "NO_CHECKOUT",
    "client",
    "download_evidence",
    "ensured_run",
    "log_evidence",
    "log_training_run",
    "registered_name",
    "registered_version",
    "tracking_uri",
]

log = logging.getLogger(__name__)

MODELS = (Capability.RISK, Capability.ACCEPTANCE)
NO_CHECKOUT = "not a git checkout"
"""What a run says for its commit where there is none."""
DEFAULT_URI = "sqlite:///mlflow.db"
_TAG_LENGTH = 4000
_EVIDENCE = "evaluation"  # the folder of a run's artefacts; of each pair one below it


def tracking_uri() -> str:
    """Return the tracking server in force."""
    return os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_URI)


def client() -> MlflowClient:
    """Return a client of the tracking server and its registry."""
    uri = tracking_uri()
    logging.getLogger("mlflow").setLevel("ERROR")  # importing mlflow has set its own level
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return MlflowClient(uri)


def registered_name(portfolio: str, model: Capability) -> str:
    """Return the registry's name of a model, e.g. `finnt-simulated-risk`."""
    return f"finnt-{portfolio}-{model}"


def log_training_run(
    paths: Paths,
    model: Capability,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    sample: NDArray[np.float64],
    data: Mapping[str, str] | None = None,
) -> str:
    """Log one trained model with everything needed to find it again; return the run's id.

    `sample` holds design-matrix rows for the signature and the input example. `data` says what the
    model learned from, where it is another run's that is logged again; by default it is what lies
    in the processed folder. What was logged goes to logged.json beside the artefact, an output of
    the pipeline and equal on every machine; the run's id, which is not, to this machine's own
    record.
    """
    client()
    mlflow.set_experiment(f"finnt-{paths.portfolio}")
    artefact = paths.model(model)
    # as the record has them, so that the run says the same
    settings: dict[str, Any] = json.loads(json.dumps(params))
    metrics = {name: value for name, value in metrics.items() if np.isfinite(value)}
    learned_from = dict(_data(paths) if data is None else data)
    booster = xgb.Booster(model_file=artefact)
    with mlflow.start_run(run_name=str(model)) as run:
        mlflow.set_tags(_provenance(paths, model) | learned_from)
        if data is not None:
            mlflow.set_tag("logged_again", "true")
        mlflow.log_params(settings)
        mlflow.log_metrics(metrics)
        mlflow.log_text(_environment(), "environment.txt")
        rows = pd.DataFrame(sample, columns=list(booster.feature_names or ()), dtype=np.float32)
        raw = booster.predict(xgb.DMatrix(rows)).reshape(len(rows), -1)
        logged = mlflow.xgboost.log_model(
            booster,
            name="model",
            model_format="ubj",
            signature=infer_signature(rows, raw),
            input_example=rows[:1],
            pip_requirements=[f"xgboost=={xgb.__version__}", f"numpy=={np.__version__}"],
        )
        run_id: str = run.info.run_id
    record = {
        "run_id": run_id,
        "model_uri": logged.model_uri,
        "sha256": file_digest(artefact),
    }
    content = {"params": settings, "metrics": metrics, "sample": sample.tolist()}
    content["data"] = learned_from
    write_json(_run_record(paths, model), record)
    write_json(artefact.with_name("logged.json"), content)
    return run_id


def ensured_run(paths: Paths, model: Capability) -> str:
    """Return the id of the run that logged this artefact; log it again if the server lacks it.

    A pulled artefact (`dvc pull` on a fresh clone) has no run on the new machine's server.
    """
    path = _run_record(paths, model)
    record = read_json(path) if path.exists() else None
    if record and record["sha256"] == file_digest(paths.model(model)):
        try:
            run_id: str = client().get_run(record["run_id"]).info.run_id
        except MlflowException:
            pass  # another server, or a registry that was removed: log it again below
        else:
            return run_id
    log.info("%s: this server has no run of the model; logging it", model)
    logged = read_json(paths.model(model).with_name("logged.json"))
    sample = np.array(logged["sample"], dtype=float)
    # the folder of data may hold another by now
    data = logged.get("data", {})
    return log_training_run(paths, model, logged["params"], logged["metrics"], sample, data)


def _run_record(paths: Paths, model: Capability) -> Path:
    """Where this machine notes the run that logged a model; no output of the pipeline."""
    return paths.build / f"run-{model}.json"


def log_evidence(run_id: str, pair: str, files: Iterable[Path]) -> None:
    """Log what evaluation found of a pair to a run of one of its models.

    A model may stand in several pairs, so a run holds a folder of each.
    """
    for path in files:
        client().log_artifact(run_id, str(path), f"{_EVIDENCE}/{pair}")


def download_evidence(run_ids: Iterable[str], pair: str, folder: Path) -> Path:
    """Bring what evaluation found of a pair from its models' runs below `folder`; return where.

    There is no such place if no run has any.
    """
    server, place, found = client(), f"{_EVIDENCE}/{pair}", folder / pair
    for run_id in run_ids:
        if server.list_artifacts(run_id, place):
            found = Path(server.download_artifacts(run_id, place, str(folder)))
    return found


def registered_version(paths: Paths, model: Capability, run_id: str) -> ModelVersion:
    """Return the registry's version made from a run, creating it once."""
    registry, name = client(), registered_name(paths.portfolio, model)
    found = registry.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    if found:
        return found[0]
    record = read_json(_run_record(paths, model))
    return mlflow.register_model(record["model_uri"], name)


def _provenance(paths: Paths, model: Capability) -> dict[str, str]:
    changed = _git("status", "--porcelain", "--untracked-files=no").splitlines()
    return {
        "portfolio": paths.portfolio,
        "model": str(model),
        "artefact_sha256": file_digest(paths.model(model)),
        "artefact_md5": _md5(paths.model(model)),
        "dvc_stage": f"{model}@{paths.portfolio}",
        "git_commit": _git("rev-parse", "HEAD") or NO_CHECKOUT,
        "git_dirty": str(bool(changed)).lower(),
        "git_changed": ", ".join(line[2:].strip() for line in changed)[:_TAG_LENGTH],
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def _data(paths: Paths) -> dict[str, str]:
    """Return, as tags, what both models learn from: each table's SHA-256 and DVC's of the folder.

    DVC keeps a folder under the MD5 of its files' names and MD5s. `sources` are what the tables
    were read from: files, or folders of a lender's own.
    """
    raw = paths.root / "data" / "raw" / paths.portfolio
    visible = (p for p in sorted(raw.glob("*")) if p.suffix != ".dvc" and p.name[0] != ".")
    files = (path for path in paths.processed.rglob("*") if path.is_file())
    names = {path.relative_to(paths.processed).as_posix(): path for path in files}
    listed = [{"md5": _md5(names[name]), "relpath": name} for name in sorted(names)]
    folder = hashlib.md5(json.dumps(listed, sort_keys=True).encode(), usedforsecurity=False)
    digests = {
        f"data_sha256.{path.stem}": file_digest(path)
        for name, path in names.items()
        if name in ("train/quotes.parquet", "train/loans.parquet")
    }
    sources = json.dumps({path.name: source_digest(path) for path in visible})
    return digests | {"data_md5": f"{folder.hexdigest()}.dir", "sources": sources}


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _environment() -> str:
    found = {f"{d.metadata['Name']}=={d.version}" for d in metadata.distributions()}
    return "\n".join(sorted(found, key=str.lower)) + "\n"
