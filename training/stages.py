"""What every pipeline stage needs: its parameters, its paths, its log."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from finntelligence.errors import FinntelligenceError, InvalidDeclarationError
from finntelligence.policy import Policy
from finntelligence.portfolio import Portfolio

T = TypeVar("T")

__all__ = [
    "Paths",
    "file_digest",
    "load_policy",
    "read_json",
    "read_params",
    "run_stage",
    "start_log",
    "write_json",
]


@dataclass(frozen=True, slots=True)
class Paths:
    """Where one portfolio's pipeline state lies, below the project's root."""

    portfolio: str
    root: Path = Path()

    @property
    def interim(self) -> Path:
        """Canonical tables: quotes.parquet and loans.parquet."""
        return self.root / "data" / "interim" / self.portfolio

    @property
    def processed(self) -> Path:
        """The same tables, split into train/ and holdout/."""
        return self.root / "data" / "processed" / self.portfolio

    @property
    def build(self) -> Path:
        """Models, metrics, plots and the record of what is served."""
        return self.root / "build" / self.portfolio

    @property
    def served(self) -> Path:
        """The exact pair of models that a service of this portfolio loads."""
        return self.build / "served.json"

    def model(self, name: str) -> Path:
        """The artefact of one model."""
        return self.build / name / "model.ubj"


def read_params(section: str, kind: type[T], root: Path = Path()) -> T:
    """Return a section of params.yaml as a frozen dataclass.

    Raises:
        InvalidDeclarationError: when a key is missing, unknown or the file is not there.
    """
    path = root / "params.yaml"
    try:
        content = dict(yaml.safe_load(path.read_text())[section])
    except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
        raise InvalidDeclarationError(f"{path}: has no section {section!r}") from error
    known = fields(kind)  # type: ignore[arg-type]
    needed = {f.name for f in known if f.default is MISSING}
    for name in (needed - set(content)) | (set(content) - {f.name for f in known}):
        state = "is missing" if name in needed else "is unknown"
        raise InvalidDeclarationError(f"{path}: {section}.{name}: {state}")
    return kind(**content)


def load_policy(portfolio: Portfolio, root: Path = Path()) -> Policy:
    """Return the lending policy in force for a portfolio.

    Raises:
        InvalidDeclarationError: when policy.yaml says something impossible.
    """
    path = root / "policy.yaml"
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise InvalidDeclarationError(f"{path} cannot be read: {error}") from error
    declared = {path.stem for path in (root / "portfolios").glob("*.yaml")}
    for name in set(content) - declared:
        raise InvalidDeclarationError(f"policy.yaml.{name}: no such portfolio is declared")
    return Policy.in_force(portfolio, content)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write sorted JSON in one step, so that an interrupt leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")
    partial.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run_stage(main: Callable[..., None], *arguments: Any) -> None:
    """Run a stage's `main`; an error of ours ends it in one line and exit status 1."""
    start_log()
    try:
        main(*arguments)
    except FinntelligenceError as error:
        logging.getLogger("training").error("%s", error)
        raise SystemExit(1) from None


def start_log() -> None:
    """Log one plain line per event to the terminal."""
    level = os.environ.get("FINNT_LOG_LEVEL", "INFO")
    logging.basicConfig(level="WARNING", format="%(message)s")
    for name in ("training", "__main__"):
        logging.getLogger(name).setLevel(level)
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel("ERROR")
