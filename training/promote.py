"""Stage `promote`: register the pair of models, judge it, and give it the aliases together.

Run as `python -m training.promote PORTFOLIO`. Both models become `staging`; if every criterion
holds they become `production`, else production stays as it was and the stage fails, saying why.
The one model of a book that teaches risk alone goes through the same gate.
"""

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mlflow.entities.model_registry import ModelVersion

from finntelligence.errors import FinntelligenceError
from finntelligence.portfolio import Capability
from training.stages import Paths, file_digest, read_json, read_params, run_stage, write_json
from training.tables import load_portfolio
from training.tracking import MODELS, client, ensured_run, registered_version

__all__ = [
    "PROMOTED",
    "PromoteParams",
    "PromotionRefusedError",
    "Verdict",
    "main",
    "pair_of",
    "promote",
    "verdicts",
]

PROMOTED = "promoted"

log = logging.getLogger(__name__)


class PromotionRefusedError(FinntelligenceError):
    """The pair did not meet every criterion; production is unchanged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromoteParams:
    """`minimum_gain`: log-loss below a constant's that each model must reach on held-out rows."""

    minimum_gain: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One criterion: its figure, what it must exceed, and whether it does."""

    criterion: str
    figure: float
    above: float

    @property
    def passed(self) -> bool:
        """Whether the figure exceeds what it must."""
        return self.figure > self.above


def verdicts(
    evaluation: Mapping[str, Any], params: PromoteParams, models: Sequence[Capability] = MODELS
) -> tuple[Verdict, ...]:
    """Judge a pair, or the one model there is, by its evaluation."""
    return tuple(
        Verdict(
            criterion=f"{model}: log-loss below a constant's, {part} rows",
            figure=evaluation[model][part]["gain"]["value"],
            above=params.minimum_gain,
        )
        for model in models
        for part in ("holdout", "randomised")
        if part in evaluation[model]
    )


def promote(portfolio_name: str, params: PromoteParams) -> dict[str, Any]:
    """Register, judge and promote one portfolio's models; return the record of it.

    Raises:
        PromotionRefusedError: naming every criterion that failed.
    """
    paths, server = Paths(portfolio_name), client()
    models = [m for m in MODELS if m in load_portfolio(portfolio_name).capabilities]
    judged = verdicts(read_json(paths.build / "evaluation.json"), params, models)
    versions = {m: registered_version(paths, m, ensured_run(paths, m)) for m in models}
    pair = pair_of({m: file_digest(paths.model(m)) for m in models})
    failed = [v for v in judged if not v.passed]
    for version in versions.values():
        _tag(version, pair, judged, "refused" if failed else PROMOTED)
        server.set_registered_model_alias(version.name, "staging", version.version)
    if failed:
        text = "; ".join(f"{v.criterion}: {v.figure:.5f}, must exceed {v.above:g}" for v in failed)
        raise PromotionRefusedError(f"{portfolio_name} stays in staging: {text}")
    for version in versions.values():
        server.set_registered_model_alias(version.name, "production", version.version)
    # only what any machine would find: versions and runs are its registry's own
    record = {"pair": pair, "verdicts": [{**asdict(v), "passed": v.passed} for v in judged]}
    write_json(paths.build / "promotion.json", record)
    return {
        **record,
        "versions": {str(m): f"{v.name}/{v.version}" for m, v in versions.items()},
        "runs": {str(m): v.run_id for m, v in versions.items()},
    }


def pair_of(digests: Mapping[Capability, str]) -> str:
    """Return the id of a pair of models, or of one alone, from their artefacts' SHA-256."""
    return "-".join(digests[model][:8] for model in MODELS if model in digests)


def _tag(version: ModelVersion, pair: str, judged: tuple[Verdict, ...], outcome: str) -> None:
    """Note the verdict of one pair; a version may stand in several pairs, each with its own."""
    server = client()
    server.set_model_version_tag(version.name, version.version, f"pair.{pair}", outcome)
    for verdict in judged:
        passed = f"{'passed' if verdict.passed else 'FAILED'}: {verdict.figure:.6f}"
        name = "".join(c if c.isalnum() else "_" for c in verdict.criterion)
        key = f"gate.{pair}.{name}"
        server.set_model_version_tag(version.name, version.version, key, passed)


def main(portfolio_name: str) -> None:
    """Promote one portfolio's models."""
    record = promote(portfolio_name, read_params("promote", PromoteParams))
    log.info("promote %s: production is %s", portfolio_name, ", ".join(record["versions"].values()))
    if len(record["versions"]) < len(MODELS):
        log.info("promote %s: it ends here; a price needs an acceptance model too", portfolio_name)


if __name__ == "__main__":
    run_stage(main, sys.argv[1])
