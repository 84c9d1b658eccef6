"""Run the DVC pipeline of one portfolio, and say in one line what is missing."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import yaml

from finntelligence.errors import FinntelligenceError, InvalidDataError
from finntelligence.portfolio import Capability
from training.publish import main as publish
from training.tables import load_portfolio

__all__ = ["PipelineError", "portfolios_present", "run"]

SIMULATED = "simulated"


class PipelineError(FinntelligenceError):
    """A stage failed or was interrupted; what is finished is kept."""


def portfolios_present(root: Path = Path()) -> tuple[str, ...]:
    """Return the books that have data here."""
    content = yaml.safe_load((root / "data" / "portfolios.yaml").read_text())
    return tuple(content["present"])


def run(portfolio_name: str, root: Path = Path()) -> None:
    """Bring one portfolio from its data to the published pair; finished stages are skipped.

    Raises:
        InvalidDeclarationError: when no such portfolio is declared.
        InvalidDataError: when its data is not here.
        PipelineError: when a stage fails.
    """
    portfolio = load_portfolio(portfolio_name, root)
    if portfolio_name not in portfolios_present(root):
        raise InvalidDataError(
            f"portfolio {portfolio_name} has no data here; get its source (data/sources.yaml says "
            f"where), then run `make pipeline PORTFOLIO={portfolio_name} SOURCE=<file>`"
        )
    priced = portfolio.capabilities == set(Capability)
    target = f"{'publish' if priced else 'evaluate'}@{portfolio_name}"
    # the stages run `python`: make sure that it is this environment's
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", target],
        cwd=root,
        env={**os.environ, "PATH": path},
        check=False,
    )
    if done.returncode:
        raise PipelineError(
            f"the pipeline of {portfolio_name} stopped before {target}; finished stages are kept: "
            f"run the same command again"
        )
    with contextlib.chdir(root):
        publish(portfolio_name, only_if_needed=True)
