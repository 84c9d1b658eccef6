"""What stands where: each declared portfolio's data, models and published pair."""

from pathlib import Path

from mlflow.exceptions import MlflowException

from finntelligence.portfolio import Capability
from training.pipeline import portfolios_present
from training.publish import stored_pair_is_whole
from training.stages import Paths, read_json
from training.tables import load_portfolio
from training.tracking import MODELS, client, registered_name

__all__ = ["portfolio_rows"]


def portfolio_rows(root: Path) -> list[tuple[str, ...]]:
    """Return one row per declared portfolio: name, data, pair, models in production, store."""
    present = portfolios_present(root)
    rows = []
    for path in sorted((root / "portfolios").glob("*.yaml")):
        paths = Paths(path.stem, root)
        served = read_json(paths.served) if paths.served.exists() else None
        priced = load_portfolio(path.stem, root).capabilities == set(Capability)
        rows.append(
            (
                path.stem,
                "here" if path.stem in present else "not added",
                served["pair"] if served else "none" if priced else "risk only",
                *(_in_production(path.stem, model) for model in MODELS),
                _store_state(paths, served is not None),
            )
        )
    return rows


def _in_production(portfolio: str, model: Capability) -> str:
    name = registered_name(portfolio, model)
    try:
        return f"version {client().get_model_version_by_alias(name, 'production').version}"
    except MlflowException:
        return "none"


def _store_state(paths: Paths, published: bool) -> str:
    if not published:
        return "none"
    return "whole" if stored_pair_is_whole(paths) else "lacks the pair: run make pipeline"
