"""Stage `evaluate`: the evidence for one portfolio's models, on rows they never saw.

Run as `python -m training.evaluate PORTFOLIO`. Writes evaluation.json, its single figures again in
metrics.json, the plots folder and report.html, and logs them to the runs that trained the models.
"""

import logging
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from mlflow.entities import Metric
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from finntelligence.features import design_matrix
from finntelligence.market import Market
from finntelligence.portfolio import Capability
from training.evidence.decisions import decisions
from training.evidence.findings import Evidence, EvidenceParams, evidence
from training.evidence.offered import best_offers, list_offers
from training.evidence.pictures import draw, draw_judgement
from training.evidence.price_curves import Prices
from training.evidence.report import report
from training.evidence.screens import ScreenParams, screens
from training.evidence.subject import Subject
from training.fitting.hyperparameters import FitParams
from training.fitting.price_response import columns_of
from training.gate.pair import pair_of
from training.judging.judge import JudgeParams, judgement
from training.simulate import Simulation
from training.stages import Paths, file_digest, load_policy, read_params, run_stage, write_json
from training.tables import load_portfolio
from training.tracking import client, ensured_run, log_evidence

__all__ = ["EvaluateParams", "main"]

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

_SIMULATED = "simulated"
_LIST_CUTOFF = 0.45
"""Default's probability up to which the list price is offered, where the policy has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateParams(EvidenceParams):
    """`decisions` held-out applicants go through the whole engine, `screened` are compared."""

    decisions: int
    screened: int


def main(portfolio_name: str) -> None:
    """Judge one portfolio's models and log the evidence to the runs that trained them."""
    paths, params = Paths(portfolio_name), read_params("evaluate", EvaluateParams)
    portfolio = load_portfolio(portfolio_name)
    plots = paths.build / "plots"
    shutil.rmtree(plots, ignore_errors=True)  # what an earlier run drew is not this one's evidence
    with threadpool_limits(1, user_api="blas"):  # more threads would sum in another order
        subjects = {m: Subject.read(paths, m, portfolio) for m in sorted(portfolio.capabilities)}
        found: dict[str, Any] = {}
        for model, subject in subjects.items():
            judged = _judged(subject, paths, params)
            found[str(model)] = judged.found
            draw(str(model), judged, portfolio, plots)
        found |= _engine(subjects, paths, params)
    digests = {model: file_digest(paths.model(model)) for model in subjects}
    found["artefacts"] = {str(model): digest for model, digest in digests.items()}
    write_json(paths.build / "evaluation.json", found)
    headlines = {str(model): dict(_metrics(found[model])) for model in subjects}
    write_json(paths.build / "metrics.json", headlines)
    text = report(portfolio, found, plots, _sources(subjects, paths))
    (paths.build / "report.html").write_text(text, encoding="utf-8")
    for model in subjects:
        _log_evidence(paths, model, pair_of(digests), found[model])


def _judged(subject: Subject, paths: Paths, params: EvaluateParams) -> Evidence:
    portfolio, model = subject.portfolio, subject.model
    prices = Prices.seen(subject.train)
    if portfolio.capabilities == set(Capability):  # else there is no policy
        prices = Prices.quotable(load_policy(portfolio, paths.root))
    settings = read_params(str(model), FitParams, paths.root)
    world = None
    if portfolio.name == _SIMULATED:
        world = read_params("simulate", Simulation, paths.root).world
    judged = evidence(subject, prices, settings, params, world)
    holdout = judged.found["holdout"]
    log.info(
        "%s: AUC %.3f, log-loss %.4f against %.4f of a constant, on %s held-out rows",
        model,
        holdout.get("auc", {"value": np.nan})["value"],
        holdout["log_loss"]["value"],
        holdout["constant_log_loss"],
        f"{holdout['rows']:,}",
    )
    return judged


def _engine(
    subjects: Mapping[Capability, Subject], paths: Paths, params: EvaluateParams
) -> dict[str, Any]:
    """Return what a pair decides on held-out applicants, and the screens by group of its offers.

    A book that cannot teach acceptance has no offers; its risk model alone is screened.
    """
    risk, settings = (
        subjects[Capability.RISK],
        ScreenParams(draws=params.bootstrap, seed=params.seed),
    )
    portfolio, judged = risk.portfolio, {str(m): s.holdout for m, s in subjects.items()}
    if set(subjects) != set(Capability):
        rows = _sample(risk.holdout, params.screened, params)
        return {"fairness": screens(rows, None, portfolio, judged, settings)}
    acceptance = subjects[Capability.ACCEPTANCE]
    market = Market(
        portfolio=portfolio,
        policy=load_policy(portfolio, paths.root),
        risk=risk.artefact.response,
        acceptance=acceptance.artefact.response,
    )

    def coefficients(rows: pd.DataFrame) -> tuple[Array, Array]:
        matrix = design_matrix(portfolio, columns_of(portfolio, rows))
        return risk.artefact.coefficients(matrix), acceptance.artefact.coefficients(matrix)

    rows = _sample(acceptance.holdout, params.decisions, params)
    decided = decisions(market, rows, *coefficients(rows))
    log.info("engine: offers for %.1f %%", 100 * decided["offered_share"])
    rows = _sample(acceptance.holdout, params.screened, params)
    both, cutoff = coefficients(rows), market.policy.pd_cutoff or _LIST_CUTOFF
    offers, listed = best_offers(rows, market, both), list_offers(rows, market, both, cutoff)
    fairness = screens(rows, offers, portfolio, judged, settings, listed)
    off_policy = judgement(
        market,
        acceptance.holdout,
        risk.train,
        coefficients(acceptance.holdout),
        read_params("judge", JudgeParams, paths.root),
    )
    draw_judgement(off_policy, portfolio, paths.build / "plots")
    return {"decisions": decided, "fairness": fairness, "judgement": off_policy}


def _sample(frame: pd.DataFrame, rows: int, params: EvaluateParams) -> pd.DataFrame:
    return frame.sample(min(rows, len(frame)), random_state=params.seed)


def _sources(subjects: Mapping[Capability, Subject], paths: Paths) -> dict[str, dict[str, Any]]:
    """Return which rows and which artefact each model's evidence is about."""
    return {
        str(model): {
            "artefact SHA-256": file_digest(paths.model(model)),
            "rows learned from": len(subject.train),
            "rows held out": len(subject.holdout),
            "periods learned from": _span(subject.train["period"]),
            "periods held out": _span(subject.holdout["period"]),
        }
        for model, subject in subjects.items()
    }


def _span(period: pd.Series) -> str:
    low, high = int(period.min()), int(period.max())
    return f"{low}" if low == high else f"{low} to {high}"


def _log_evidence(paths: Paths, model: Capability, pair: str, found: Mapping[str, Any]) -> None:
    """Log the figures as metrics and the files as artefacts of the run that trained the model."""
    run_id = ensured_run(paths, model)
    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in _metrics(found)]
    client().log_batch(run_id, metrics)
    files = [paths.build / "evaluation.json", paths.build / "report.html"]
    log_evidence(run_id, pair, [*files, *sorted((paths.build / "plots").glob(f"{model}_*"))])


def _metrics(found: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the single figures: scores by part, the price's effect, and broken monotonicity."""
    price = found["price"]
    groups = {
        **{part: found[part] for part in ("holdout", "latest", "randomised") if part in found},
        "price.violations": price["violations"]["model"],
        "price.semi_elasticity": price["semi_elasticity"]["all"],
    }
    for group, values in groups.items():
        for name, value in values.items():
            number = value["value"] if isinstance(value, Mapping) else value
            if not isinstance(number, str):  # why a figure is absent
                yield f"{group}.{name}", float(number)


if __name__ == "__main__":
    run_stage(main, sys.argv[1])
