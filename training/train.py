"""What the stages `risk` and `acceptance` share: read the training part, fit, save, log."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from finntelligence.features import application_columns, design_matrix
from finntelligence.offers import application
from finntelligence.portfolio import Capability
from training.fitting.price_response import FitParams, PriceResponseModel
from training.stages import Paths, read_params, write_json
from training.tables import load_portfolio, read_table
from training.tracking import log_training_run

__all__ = ["TARGETS", "train"]

log = logging.getLogger(__name__)

TARGETS = {
    Capability.RISK: ("loans", "defaulted"),
    Capability.ACCEPTANCE: ("quotes", "accepted"),
}


def train(model: Capability, portfolio_name: str) -> None:
    """Fit one model on the training part, write its artefact and metrics, and log the run."""
    paths, params = Paths(portfolio_name), read_params(str(model), FitParams)
    portfolio = load_portfolio(portfolio_name)
    if model not in portfolio.capabilities:
        log.info("%s: portfolio %s has no such history; nothing to fit", model, portfolio_name)
        return
    table, target = TARGETS[model]
    frame = read_table(paths.processed / "train" / f"{table}.parquet")
    log.info("%s %s: fitting %s rows of %s", model, portfolio_name, f"{len(frame):,}", table)
    fitted = PriceResponseModel(portfolio, model, **asdict(params)).fit(frame, frame[target])
    # the declared example, never a customer: it travels with the model
    example = application(portfolio, **portfolio.example)
    matrix = design_matrix(portfolio, application_columns(example))
    artefact = paths.model(model)
    fitted.artefact_.save(artefact)
    metrics = _metrics(fitted.evidence_)
    write_json(artefact.with_name("metrics.json"), metrics)
    run_id = log_training_run(paths, model, asdict(params), metrics, matrix)
    log.info(
        "%s %s: price slope %.4f (s.e. %.4f) logit per price unit, %d rounds of trees, run %s",
        model,
        portfolio_name,
        metrics["price_slope"],
        metrics["price_slope_se"],
        metrics["rounds"],
        run_id,
    )


def _metrics(evidence: Mapping[str, Any]) -> dict[str, float]:
    """Return what is worth following from run to run; no times, so that it can be reproduced."""
    metrics = {
        "rows": evidence["rows"],
        "events": evidence["events"],
        "price_slope": evidence["estimates"]["gap"],
        "price_slope_se": evidence["standard_errors"]["gap"],
        "rounds": evidence["rounds"],
        "drifting_features": len(evidence["drifting_features"]),
    }
    if evidence["holdout"]:
        metrics["early_stopping_gain"] = evidence["holdout"]["gain"]
        metrics["early_stopping_base_log_loss"] = evidence["holdout"]["base_log_loss"]
    if prior := evidence["price_slope_prior"]:
        metrics["price_slope_prior"] = prior["mean"]
        metrics["price_slope_prior_sd"] = prior["sd"]
    if guard := evidence["slope_guard"]:
        metrics["slope_anchor"] = guard["anchor"]
        metrics["slope_anchor_se"] = guard["anchor_se"]
        metrics["slope_with_trees"] = guard["tried"][-1]["mean"]
        metrics["slope_shrink"] = guard["shrink"] or 0.0  # 0: the slope has no trees
    return metrics
