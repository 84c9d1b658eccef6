"""What the documents are about: a portfolio's pair in force, with its evidence and its lineage."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import pandas as pd
import xgboost as xgb
import yaml

from finntelligence.errors import ModelMismatchError
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.response import SPEC_ATTRIBUTE, PriceResponse
from training.evidence.page import Picture
from training.gate.history import entries
from training.gate.pair import pair_of
from training.lineage import Lineage, lineage
from training.stages import Paths, file_digest, read_json
from training.tables import load_portfolio
from training.tracking import MODELS, client, download_evidence

__all__ = ["Data", "Documented", "documented"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Where a portfolio's history comes from, and which periods each part has, where known."""

    source: Mapping[str, str]
    periods: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Documented:
    """A pair, or the one model of a book that teaches risk alone, and all that is known of it.

    `portfolio` is the declaration the models carry; `lineage` is None for a pair that was never
    registered, `evaluation` empty where its evidence is not on this machine.
    """

    portfolio: Portfolio
    pair: str
    alias: str
    responses: Mapping[str, PriceResponse]
    evaluation: Mapping[str, Any]
    report: str | None
    pictures: Mapping[str, Picture]
    data: Data
    lineage: Lineage | None
    history: tuple[Mapping[str, Any], ...]


class _Folders(NamedTuple):
    models: Path
    evidence: Path
    plots: Path


def documented(portfolio_name: str, root: Path = Path()) -> Documented:
    """Return the pair that is served, or else the one that was trained last.

    Raises:
        ModelMismatchError: when nothing was trained here.
    """
    paths = Paths(portfolio_name, root)
    declared = load_portfolio(portfolio_name, root)
    models = [model for model in MODELS if model in declared.capabilities]
    digests, alias = _in_force(paths, models)
    pair = pair_of(digests)
    try:
        found = lineage(pair, root)
    except ModelMismatchError:
        found = None
    with _evidence(paths, digests, found) as where:
        responses = {str(model): _response(where.models / model / "model.ubj") for model in models}
        figures, report = where.evidence / "evaluation.json", where.evidence / "report.html"
        evaluation = read_json(figures) if figures.exists() else {}
        if evaluation.get("artefacts") != digests:
            evaluation = {}  # of the models that lay here before these
        pictures = where.plots.glob("*.png") if evaluation else ()
        return Documented(
            portfolio=responses[str(models[0])].portfolio,
            pair=pair,
            alias=alias,
            responses=responses,
            evaluation=evaluation,
            report=report.read_text(encoding="utf-8") if evaluation and report.exists() else None,
            pictures={path.stem: Picture.of(path, path.stem) for path in pictures},
            data=Data(source=_source(paths, found), periods=_periods(paths, found)),
            lineage=found,
            history=tuple(entries(paths)),
        )


def _in_force(paths: Paths, models: list[Capability]) -> tuple[dict[Capability, str], str]:
    """Return each model's SHA-256 and what the pair is: what is served, or just trained."""
    if paths.served.exists():
        served = read_json(paths.served)
        return {m: str(served["models"][m]["sha256"]) for m in models}, "production"
    absent = [str(model) for model in models if not paths.model(model).exists()]
    if absent:
        raise ModelMismatchError(
            f"portfolio {paths.portfolio!r} has no {' and no '.join(absent)} model to document; "
            f"run `make pipeline PORTFOLIO={paths.portfolio}`"
        )
    alone = set(models) != set(Capability)
    state = "it prices nothing: a price needs both models" if alone else "trained, not served"
    return {model: file_digest(paths.model(model)) for model in models}, state


@contextmanager
def _evidence(
    paths: Paths, digests: Mapping[Capability, str], found: Lineage | None
) -> Iterator[_Folders]:
    """Yield where the pair's artefacts and evaluation lie: the build's own, else its runs'."""
    here = {m: file_digest(paths.model(m)) for m in digests if paths.model(m).exists()}
    if here == digests:
        yield _Folders(paths.build, paths.build, paths.build / "plots")
        return
    if found is None:
        raise ModelMismatchError(
            f"the pair that {paths.served} names is neither here nor in this registry; "
            f"run `make pipeline PORTFOLIO={paths.portfolio}`"
        )
    with tempfile.TemporaryDirectory() as name:
        client()
        folder = Path(name)
        for model in found.models:
            saved, kept = folder / "registered" / model.model, folder / model.model
            saved.mkdir(parents=True)
            kept.mkdir()
            mlflow.artifacts.download_artifacts(f"models:/{model.version}", dst_path=str(saved))
            next(saved.rglob("model.ubj")).rename(kept / "model.ubj")
        evidence = download_evidence((m.run_id for m in found.models), pair_of(digests), folder)
        yield _Folders(folder, evidence, evidence)


def _response(path: Path) -> PriceResponse:
    booster = xgb.Booster(model_file=path)
    return PriceResponse.from_mapping(json.loads(booster.attr(SPEC_ATTRIBUTE) or "{}"))


def _source(paths: Paths, found: Lineage | None) -> dict[str, str]:
    """Return what the book's data is: its publication, or the simulator's settings."""
    stages = [stage for model in found.models for stage in model.stages] if found else []
    simulated = next((s.params["simulate"] for s in stages if "simulate" in s.params), None)
    if simulated is not None:
        told = ", ".join(f"{name} {value}" for name, value in simulated.items())
        return {"title": f"the simulator of this project ({told})", "licence": "as the project's"}
    if paths.portfolio == "simulated":
        return {"title": "the simulator of this project; no recorded stage says its settings"}
    path = paths.root / "data" / "sources.yaml"
    listed = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    source = (listed or {}).get(paths.portfolio)
    if source is None:
        return {"title": "not described in data/sources.yaml"}
    return {key: str(source[key]) for key in ("title", "doi", "url", "licence") if key in source}


def _periods(paths: Paths, found: Lineage | None) -> dict[str, str]:
    """Return each part's first and last period, if the very data lies here."""
    told = {}
    tables = (
        {name: sha256 for model in found.models for name, sha256 in model.data.items()}
        if found
        else {}
    )
    for table, sha256 in tables.items():
        parts = {part: paths.processed / part / f"{table}.parquet" for part in ("train", "holdout")}
        if not parts["train"].exists() or file_digest(parts["train"]) != sha256:
            continue
        for part, path in parts.items():
            period = pd.read_parquet(path, columns=["period"])["period"]
            told[f"{table}, {part}"] = f"{int(period.min())} to {int(period.max())}"
    return told
