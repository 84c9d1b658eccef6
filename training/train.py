"""What the stages `risk` and `acceptance` share: read the training part, fit, save, log."""

import logging

import xgboost as xgb

from finntelligence.features import application_columns, design_matrix
from finntelligence.offers import application
from finntelligence.portfolio import Capability
from training.price_response import FitParams, booster_of, fit
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
    response = fit(model, portfolio, frame, target, params)
    # the declared example, never a customer: it travels with the model
    example = application(portfolio, **portfolio.example)
    matrix = design_matrix(portfolio, application_columns(example))
    artefact = paths.model(model)
    artefact.parent.mkdir(parents=True, exist_ok=True)
    booster: xgb.Booster = booster_of(response, matrix, params.seed)
    booster.save_model(artefact)
    evidence = response.evidence
    metrics = {
        "rows": evidence["rows"],
        "events": evidence["events"],
        "price_slope": evidence["estimates"]["gap"],
        "price_slope_se": evidence["standard_errors"]["gap"],
        "rounds": booster.num_boosted_rounds(),
    }
    write_json(artefact.with_name("metrics.json"), metrics)
    logged = {name: getattr(params, name) for name in params.__dataclass_fields__}
    run_id = log_training_run(paths, model, logged, metrics, matrix)
    log.info(
        "%s %s: price slope %.4f (s.e. %.4f) logit per price unit, run %s",
        model,
        portfolio_name,
        metrics["price_slope"],
        metrics["price_slope_se"],
        run_id,
    )
