"""Stage `evaluate`: what both models are worth on rows they never saw.

Run as `python -m training.evaluate PORTFOLIO`. Intervals are 95 % bootstrap percentiles over rows.
"""

import csv
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from finntelligence.decision import decide
from finntelligence.features import design_matrix
from finntelligence.offers import Application, application
from finntelligence.optimiser import Market
from finntelligence.policy import Policy
from finntelligence.portfolio import Capability, Portfolio, Price
from training.artefact import Artefact, load_artefact
from training.price_response import columns_of, quoted_terms
from training.stages import Paths, load_policy, read_params, run_stage, write_json
from training.tables import load_portfolio, read_table
from training.tracking import client, ensured_run
from training.train import TARGETS

__all__ = ["EvaluateParams", "applications", "main", "scores"]

log = logging.getLogger(__name__)

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateParams:
    """`decisions` held-out applicants go through the whole engine; `bins` of equal mass each."""

    bootstrap: int
    decisions: int
    bins: int
    seed: int


def scores(
    outcome: Array, predicted: Array, constant: float, params: EvaluateParams
) -> dict[str, Any]:
    """Return AUC, log-loss, Brier score and the gain over a constant, each with its interval.

    Rows of one outcome only have no AUC.

    `gain` is the constant's log-loss less the model's, on the same resample: above zero is better.
    """
    draws = np.random.default_rng(params.seed).integers(
        0, len(outcome), (params.bootstrap, len(outcome))
    )
    loss = _row_loss(outcome, predicted)
    constant_loss = _row_loss(outcome, np.full_like(predicted, constant))
    by_row = {
        "log_loss": loss,
        "brier": (outcome - predicted) ** 2,
        "gain": constant_loss - loss,
    }
    result: dict[str, Any] = {"rows": len(outcome), "events": int(outcome.sum())}
    for name, values in by_row.items():
        result[name] = _interval(float(values.mean()), [float(values[d].mean()) for d in draws])
    if 0 < outcome.sum() < len(outcome):  # else nothing can be ranked
        mixed = [d for d in draws if 0 < outcome[d].sum() < len(d)]
        resampled = [float(roc_auc_score(outcome[d], predicted[d])) for d in mixed]
        result["auc"] = _interval(float(roc_auc_score(outcome, predicted)), resampled)
    result["constant_log_loss"] = float(constant_loss.mean())
    return result


def _row_loss(outcome: Array, predicted: Array) -> Array:
    return -np.where(outcome > 0, np.log(predicted), np.log1p(-predicted))


def _interval(value: float, resampled: list[float]) -> dict[str, float]:
    low, high = np.quantile(resampled or [value], [0.025, 0.975])
    return {"value": value, "low": float(low), "high": float(high)}


def _judge(
    artefact: Artefact, portfolio: Portfolio, paths: Paths, params: EvaluateParams
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return one model's scores on held-out rows, and the rows with their predictions."""
    table, target = TARGETS[artefact.response.model]
    train = read_table(paths.processed / "train" / f"{table}.parquet")
    frame = read_table(paths.processed / "holdout" / f"{table}.parquet")
    coefficients = artefact.coefficients(design_matrix(portfolio, columns_of(portfolio, frame)))
    terms = quoted_terms(portfolio, frame)
    frame = frame.assign(
        outcome=frame[target].astype(float),
        predicted=artefact.response.probability(coefficients, terms),
        offset=(frame["quoted_rate"] - frame["list_rate"]) / Price.UNIT,
    )
    constant = float(train[target].mean())
    result = {"holdout": _scores_of(frame, constant, params)}
    randomised = frame[frame["is_randomised"]]
    if 0 < len(randomised) < len(frame):
        arm = float(train.loc[train["is_randomised"], target].mean())
        result["randomised"] = _scores_of(randomised, arm, params)
    return result, frame


def _scores_of(frame: pd.DataFrame, constant: float, params: EvaluateParams) -> dict[str, Any]:
    outcome, predicted = frame["outcome"].to_numpy(), frame["predicted"].to_numpy()
    return scores(outcome, predicted, constant, params)


def _curve(frame: pd.DataFrame, by: str, bins: int) -> list[dict[str, float]]:
    """Mean prediction and outcome in equal-mass bins of a column, with binomial intervals."""
    edges = np.unique(np.quantile(frame[by], np.linspace(0, 1, bins + 1)))
    place = np.searchsorted(edges[1:-1], frame[by], side="left")
    rows = []
    for _, part in frame.groupby(place):
        observed, count = float(part["outcome"].mean()), len(part)
        spread = 1.96 * float(np.sqrt(max(observed * (1 - observed), 1e-12) / count))
        rows.append(
            {
                "value": float(part[by].mean()),
                "predicted": float(part["predicted"].mean()),
                "observed": observed,
                "low": observed - spread,
                "high": observed + spread,
                "rows": count,
            }
        )
    return rows


def _write_curve(rows: list[dict[str, float]], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _draw(rows: list[dict[str, float]], by: str, title: str, path: Path) -> None:
    x = [row["value"] for row in rows]
    observed = np.array([row["observed"] for row in rows])
    reach = [observed - [row["low"] for row in rows], [row["high"] for row in rows] - observed]
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    axes.errorbar(x, observed, yerr=reach, fmt="o", capsize=3, label="observed, 95 % interval")
    axes.plot(x, [row["predicted"] for row in rows], label="predicted")
    axes.set(xlabel=by, ylabel="share", title=title)
    axes.legend()
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


def applications(portfolio: Portfolio, frame: pd.DataFrame) -> list[Application]:
    """Return held-out rows as the applications a service would receive."""
    names = [field.name for field in portfolio.asked]
    rows = []
    for row in frame.to_dict("records"):
        values = {name: None if pd.isna(row[name]) else row[name] for name in names}
        rows.append(
            application(
                portfolio,
                requested_principal=row["requested_principal"],
                requested_term_months=row["requested_term_months"],
                features=values,
            )
        )
    return rows


def _decisions(
    risk: Artefact, acceptance: Artefact, frame: pd.DataFrame, policy: Policy
) -> dict[str, float]:
    """Run the engine on applicants; the profit is the models' own expectation, not an outcome."""
    portfolio = risk.response.portfolio
    market = Market(
        portfolio=portfolio, policy=policy, risk=risk.response, acceptance=acceptance.response
    )
    matrix = design_matrix(portfolio, columns_of(portfolio, frame))
    pd_rows, take_rows = risk.coefficients(matrix), acceptance.coefficients(matrix)
    best = []
    for i, applicant in enumerate(applications(portfolio, frame)):
        decision = decide(applicant, market, pd_rows[i], take_rows[i], {})
        if decision.offers:
            best.append(decision.offers[0])
    edge = sum(offer.binding is not None for offer in best)
    return {
        "applicants": len(frame),
        "offered_share": len(best) / len(frame),
        "bound_share": edge / max(len(best), 1),
        "expected_profit_per_applicant": sum(o.expected_profit for o in best) / len(frame),
    }


def main(portfolio_name: str) -> None:
    """Judge one portfolio's models and log the evidence to the runs that trained them."""
    mpl.use("agg")
    paths, params = Paths(portfolio_name), read_params("evaluate", EvaluateParams)
    portfolio = load_portfolio(portfolio_name)
    found: dict[str, Any] = {}
    artefacts: dict[Capability, Artefact] = {}
    plots = paths.build / "plots"
    for model in sorted(portfolio.capabilities):
        artefacts[model] = load_artefact(paths.model(model), model, portfolio)
        found[model], frame = _judge(artefacts[model], portfolio, paths, params)
        for by in ("predicted", "offset"):
            rows = _curve(frame, by, params.bins)
            _write_curve(rows, plots / f"{model}_by_{by}.csv")
            _draw(rows, by, f"{portfolio.title}: {model}", plots / f"{model}_by_{by}.png")
        holdout = found[model]["holdout"]
        log.info(
            "%s: AUC %.3f, log-loss %.4f against %.4f of a constant, on %s held-out rows",
            model,
            holdout.get("auc", {"value": np.nan})["value"],
            holdout["log_loss"]["value"],
            holdout["constant_log_loss"],
            f"{holdout['rows']:,}",
        )
    if portfolio.capabilities == set(Capability):
        quotes = read_table(paths.processed / "holdout" / "quotes.parquet")
        chosen = quotes.sample(min(params.decisions, len(quotes)), random_state=params.seed)
        pair = artefacts[Capability.RISK], artefacts[Capability.ACCEPTANCE]
        found["decisions"] = _decisions(*pair, chosen, load_policy(portfolio))
        log.info("engine: offers for %.1f %%", 100 * found["decisions"]["offered_share"])
    write_json(paths.build / "evaluation.json", found)
    for model in artefacts:
        _log_evidence(paths, model, found[model], plots)


def _log_evidence(paths: Paths, model: Capability, found: Mapping[str, Any], plots: Path) -> None:
    run_id, server = ensured_run(paths, model), client()
    for part, values in found.items():
        for name, value in values.items():
            number = value["value"] if isinstance(value, dict) else value
            server.log_metric(run_id, f"{part}.{name}", float(number))
    for path in sorted(plots.glob(f"{model}_by_*")):
        server.log_artifact(run_id, str(path), "evaluation")


if __name__ == "__main__":
    run_stage(main, sys.argv[1])
