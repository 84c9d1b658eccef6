"""Where the published pair comes from, and what is known of it: as it shipped with the models."""

import csv
import json
from pathlib import Path
from typing import Any

import bentoml

from finntelligence.portfolio import Capability
from runners.store import ServedPair

__all__ = ["provenance"]

_DATA = "data_sha256."
_FOLDER = "evaluation"  # within the stored evidence
_KINDS = {"by_predicted": "calibration", "price_": "price"}


def provenance(pair: ServedPair) -> dict[str, Any]:
    """Return lineage, gate verdicts and plots of a pair; what did not ship is empty, or None.

    `models` has the lineage of each by name: its registered version, run, file's SHA-256, commit
    and the SHA-256 of each table it learned from. `gate` is what the gate said when the pair was
    last judged. `plots` are observed rates beside predicted ones: `calibration` by the prediction,
    `price` by the quoted rate's points above the list price, one for each segment.
    """
    return {
        "models": {str(name): _lineage(pair, name) for name in pair.tags},
        "gate": _gate(pair),
        "plots": _plots(pair),
    }


def _lineage(pair: ServedPair, name: Capability) -> dict[str, Any]:
    entry = pair.content["models"][name]
    try:
        metadata = pair.reference(name).resolve().info.metadata
    except bentoml.exceptions.BentoMLException:
        metadata = {}
    return {
        "version": entry["tag"],
        "registered": entry.get("registered"),
        "run_id": entry.get("run_id"),
        "sha256": entry["sha256"],
        "git_commit": metadata.get("git_commit"),
        "data_sha256": {
            key.removeprefix(_DATA): str(value)
            for key, value in sorted(metadata.items())
            if key.startswith(_DATA)
        },
    }


def _gate(pair: ServedPair) -> dict[str, Any] | None:
    """Return what gate.json says, if it is about this pair."""
    try:
        found = json.loads((pair.path.parent / "gate.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("pair") != pair.pair:
        return None
    return {name: found.get(name) for name in ("verdicts", "signed_off")}


def _plots(pair: ServedPair) -> list[dict[str, Any]]:
    try:
        folder = Path(pair.evidence.resolve().path) / _FOLDER
    except bentoml.exceptions.BentoMLException:
        return []
    return [
        {"model": name, "kind": kind, "title": path.stem.removeprefix(f"{name}_"), **_series(path)}
        for name in map(str, pair.tags)
        for start, kind in _KINDS.items()
        for path in sorted(folder.glob(f"{name}_{start}*.csv"))
    ]


def _series(path: Path) -> dict[str, list[float]]:
    """Return the columns of a plot."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = ("value", "predicted", "observed", "low", "high", "rows")
    return {name: [float(row[name]) for row in rows] for name in names}
