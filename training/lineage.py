"""Where a model or a decision comes from: its pair, runs, parameters, commit, data and stages.

Asked about a model's version, a pair or one decision; answers from the registry, from dvc.lock as
git has it and from the promotion history, with the commands that bring the training data back. It
holds nothing of an applicant: a decision is known here by its id alone.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from finntelligence.errors import InvalidDataError, ModelMismatchError
from training.gate.history import PROMOTED, ROLLED_BACK, entries
from training.locks import Stage, has_commit, recorded, restore_commands
from training.stages import Paths, read_json
from training.tracking import MODELS, NO_CHECKOUT, client

__all__ = ["Lineage", "ModelLineage", "holds_an_answer", "lineage", "published_as"]

_PAIR = r"[0-9a-f]{8}(?:-[0-9a-f]{8})?"
_DECISION = re.compile(rf"({_PAIR})-([0-9a-f]{{32}})")
_NAME = re.compile(rf"finnt-(.+)-({'|'.join(MODELS)})")
_VERSION = re.compile(r"(finnt-.+)(?:/|:v)(\d+)(?:-([0-9a-f]{12}))?")
_FORMS = (
    "a model's version (finnt-simulated-risk/3), its tag in the model store, a pair of models, "
    "a decision's id or a file that holds a decision"
)
_NOT_RECORDED = "not recorded"
_LONGEST_SAID = 80  # what was pasted by mistake may be long, and an applicant's


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLineage:
    """One version of a model; `stages` lead from the data to it, `recorded` says by which lock.

    `data` holds the SHA-256 of each table it learned from, `sources` of each published file, with
    what data/sources.yaml says of it. `restore` are shell commands, run from the project's root.
    """

    model: str
    version: str
    run_id: str
    logged_at: str
    artefact_sha256: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    commit: str
    commit_is_here: bool
    uncommitted: str
    logged_again: bool
    data: Mapping[str, str]
    sources: Mapping[str, str]
    recorded: str
    stages: tuple[Stage, ...]
    restore: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What was asked about, and the models behind it; `verdicts` are the gate's on the pair.

    `history` holds what happened to the pair, oldest first: also how another took its place.
    """

    asked: str
    portfolio: str
    pair: str | None
    decision_id: str | None
    models: tuple[ModelLineage, ...]
    verdicts: tuple[Mapping[str, Any], ...]
    history: tuple[Mapping[str, Any], ...]


def lineage(what: str, root: Path = Path()) -> Lineage:
    """Return the lineage of a model's version, of a pair or of a decision.

    Raises:
        InvalidDataError: when `what` is none of these, or a file without a decision.
        ModelMismatchError: when this registry lacks the version or the pair.
    """
    path = Path(what)
    decision_id: str | None = None
    pair: str | None = None
    named: dict[str, ModelVersion] = {}
    if holds_an_answer(what):
        decision_id, named = _answer(path)
    elif _DECISION.fullmatch(what):
        decision_id = what
    elif match := _VERSION.fullmatch(what):
        version = _version(*match.groups())
        named, pair = {_parts(version)[1]: version}, _pair_of(version, root)
    elif re.fullmatch(_PAIR, what):
        pair = what
    else:
        said = what if len(what) <= _LONGEST_SAID else f"{what[:_LONGEST_SAID]}..."
        raise InvalidDataError(f"{said}: must be {_FORMS}")
    if decision_id and (match := _DECISION.fullmatch(decision_id)):
        pair = match.group(1)
    versions = {**(_versions_of(pair, root) if pair else {}), **named}
    if not versions:
        raise ModelMismatchError(f"{what}: this registry knows no such pair of models")
    models = tuple(_model(version, root) for _, version in sorted(versions.items()))
    portfolio = _parts(next(iter(versions.values())))[0]
    history = tuple(line for line in entries(Paths(portfolio, root)) if _concerns(line, pair))
    return Lineage(
        asked=what,
        portfolio=portfolio,
        pair=pair,
        decision_id=decision_id,
        models=models,
        verdicts=_verdicts(pair, history, versions),
        history=history,
    )


def holds_an_answer(what: str) -> bool:
    """Whether `what` is a file's path, which `lineage` then reads as an answer."""
    try:
        return Path(what).is_file()
    except OSError:  # too long for a path, or behind a folder that may not be looked into
        return False


def _concerns(line: Mapping[str, Any], pair: str | None) -> bool:
    """Whether something happened to the pair: a rival's refusal did nothing to the champion."""
    if line.get("pair") == pair:
        return True
    moved = line.get("action") in (PROMOTED, ROLLED_BACK)
    return moved and pair is not None and line.get("former_pair") == pair


def _answer(path: Path) -> tuple[str, dict[str, ModelVersion]]:
    """Read a decision's id and the exact models it names."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        tags = {str(model): str(content["versions"][model]) for model in MODELS}
        decision_id = str(content["decision_id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidDataError(f"{path}: must hold an answer with decision_id, versions") from error
    matches = {model: _VERSION.fullmatch(tag) for model, tag in tags.items()}
    return decision_id, {m: _version(*match.groups()) for m, match in matches.items() if match}


def _version(name: str, number: str, run_id: str | None = None) -> ModelVersion:
    try:
        version = client().get_model_version(name, number)
    except MlflowException as error:
        raise ModelMismatchError(f"{name}/{number}: this registry has no such version") from error
    if run_id and not str(version.run_id).startswith(run_id):
        raise ModelMismatchError(f"{name}:v{number}-{run_id}: comes from another registry")
    return version


def _pairs_of(version: ModelVersion) -> list[str]:
    keys = (key.partition(".") for key in version.tags)
    return sorted(rest for first, _, rest in keys if first == "pair")


def _pair_of(version: ModelVersion, root: Path) -> str | None:
    """Return the pair a version stands in: of several the served one, else the one seen last."""
    pairs = _pairs_of(version)
    seen = [line.get("pair") for line in entries(Paths(_parts(version)[0], root))]
    served = [content["pair"] for content in _served(root)]
    return next((p for p in [*served, *reversed(seen), *pairs] if p in pairs), None)


def _served(root: Path) -> Iterator[dict[str, Any]]:
    """Yield what is served, in production before any other alias."""
    found = (root / "build").glob("*/served*.json")
    for path in sorted(found, key=lambda path: (path.name != "served.json", path)):
        yield read_json(path)


def _versions_of(pair: str, root: Path) -> dict[str, ModelVersion]:
    """Return a pair's versions: those served, else those in the history, else the newest."""
    for content in _served(root):
        if content["pair"] == pair:
            names = {m: entry["registered"] for m, entry in content["models"].items()}
            return {model: _version(*name.split("/")) for model, name in names.items()}
    folders = (path.parent.name for path in sorted((root / "build").glob("*/history.jsonl")))
    for line in (line for folder in folders for line in reversed(entries(Paths(folder, root)))):
        if line.get("pair") == pair and line.get("versions"):
            names = line["versions"]
            return {model: _version(*name.split("/")) for model, name in names.items()}
    registered = client().search_model_versions("name LIKE 'finnt-%'")
    known = [version for version in registered if pair in _pairs_of(version)]
    return {_parts(v)[1]: v for v in sorted(known, key=lambda v: int(v.version))}


def _parts(version: ModelVersion) -> tuple[str, str]:
    """Return the portfolio and the model that a registered name says."""
    match = _NAME.fullmatch(str(version.name))
    if match is None:
        raise ModelMismatchError(f"{version.name}: is no model of ours")
    return match.group(1), match.group(2)


def _verdicts(
    pair: str | None, history: tuple[Mapping[str, Any], ...], versions: Mapping[str, ModelVersion]
) -> tuple[Mapping[str, Any], ...]:
    """Return the gate's last verdicts: as the history has them, else as the registry's tags do."""
    for line in reversed(history):
        if line.get("pair") == pair and line.get("verdicts"):
            return tuple(line["verdicts"])
    start = f"gate.{pair}."
    tags = {k: v for version in versions.values() for k, v in version.tags.items()}
    return tuple(
        {
            "criterion": key.removeprefix(start).replace("_", " "),
            "outcome": value.partition(": ")[0],
            "passed": not value.startswith("FAILED"),
            "why": value.partition(": ")[2],
        }
        for key, value in sorted(tags.items())
        if key.startswith(start)
    )


def _model(version: ModelVersion, root: Path) -> ModelLineage:
    try:
        run = client().get_run(str(version.run_id))
    except MlflowException as error:
        raise ModelMismatchError(
            f"{version.name}/{version.version}: its run {version.run_id} was removed from the "
            "tracking server, and with it what the model comes from"
        ) from error
    (portfolio, model), tags = _parts(version), run.data.tags
    where, stages = recorded(tags, root)
    commit = tags.get("git_commit", _NOT_RECORDED)
    return ModelLineage(
        model=model,
        version=f"{version.name}/{version.version}",
        run_id=str(version.run_id),
        logged_at=datetime.fromtimestamp(run.info.start_time / 1000, UTC).isoformat("T", "seconds"),
        artefact_sha256=tags.get("artefact_sha256", _NOT_RECORDED),
        params=dict(sorted(run.data.params.items())),
        metrics=dict(sorted(run.data.metrics.items())),
        commit=commit,
        commit_is_here=has_commit(commit, root),
        uncommitted=_uncommitted(tags),
        logged_again="logged_again" in tags,
        data={
            key.partition(".")[2]: value
            for key, value in sorted(tags.items())
            if key.startswith("data_sha256.")
        },
        sources={
            f"{name} {sha256}": published_as(portfolio, sha256, root)
            for name, sha256 in json.loads(tags.get("sources", "{}")).items()
        },
        recorded=where,
        stages=stages,
        restore=restore_commands(tags),
    )


def _uncommitted(tags: Mapping[str, str]) -> str:
    """Return which files had changed since the run's commit."""
    if changed := tags.get("git_changed"):
        return changed
    known = tags.get("git_dirty") == "false" and tags.get("git_commit") != NO_CHECKOUT
    return "nothing" if known else "unknown"


def published_as(portfolio: str, sha256: str, root: Path = Path()) -> str:
    """Say which file of data/sources.yaml has this SHA-256: its name, address and licence.

    A book that is laid out there, and names no published file, is the lender's own.
    """
    path = root / "data" / "sources.yaml"
    listed = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    source = (listed or {}).get(portfolio) or {}
    for file in source.get("files") or ():
        if file.get("sha256") == sha256:
            told = {**source, **file}
            return ", ".join(str(told[key]) for key in ("file", "url", "licence") if key in told)
    if "layout" in source and "files" not in source:
        return "the lender's own files"
    return "not a published file that data/sources.yaml lists"
