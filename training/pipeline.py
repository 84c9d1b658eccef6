"""Run the DVC pipeline of one portfolio, and say in one line what is missing."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import yaml

from finntelligence.errors import FinntelligenceError, InvalidDataError
from finntelligence.portfolio import Capability, Portfolio
from training.promote import PROMOTED, PromoteParams, pair_of, promote
from training.publish import main as publish
from training.stages import Paths, file_digest, read_params
from training.tables import load_portfolio
from training.tracking import MODELS, client, registered_name

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

    A book that teaches risk alone ends with its model in the registry.

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
    target = f"{'publish' if priced else 'promote_risk_only'}@{portfolio_name}"
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
            f"the pipeline of {portfolio_name} stopped before {target}, for the reason above; "
            f"finished stages are kept: put it right, then run the same command again"
        )
    with contextlib.chdir(root):
        if priced:
            publish(portfolio_name, only_if_needed=True)
        # DVC may have restored the outputs without running: then this machine's registry lacks them
        elif not _was_promoted(portfolio):
            promote(portfolio_name, read_params("promote", PromoteParams))


def _was_promoted(portfolio: Portfolio) -> bool:
    """Whether this registry ever promoted these models; if others are in production, that stays."""
    paths, models = Paths(portfolio.name), [m for m in MODELS if m in portfolio.capabilities]
    tag = f"pair.{pair_of({model: file_digest(paths.model(model)) for model in models})}"
    return all(
        any(
            version.tags.get(tag) == PROMOTED
            for version in client().search_model_versions(
                f"name = '{registered_name(portfolio.name, model)}'"
            )
        )
        for model in models
    )
