"""How much another applicant would still teach: scores on the hold-out after fewer rows."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from training.evidence.scores import Resampling, scores
from training.evidence.subject import Subject
from training.fitting.hyperparameters import FitParams
from training.fitting.price_response import PriceResponseModel

__all__ = ["learning_curve"]

_SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
LEAST_EVENTS = 20
"""Below this many events a refit would say more of its few rows than of the curve."""


def learning_curve(
    subject: Subject, settings: FitParams, most_rows: int, params: Resampling
) -> list[dict[str, Any]]:
    """Return hold-out scores after refits on growing random shares of `most_rows` rows.

    A refit may use as many rounds of trees as the model did, and one try of the slope guard, so
    that it ends soon. The last point is the model itself, on all its rows.
    """
    train, outcome = subject.train, subject.holdout["outcome"].to_numpy()
    order = np.random.default_rng(settings.seed).permutation(len(train))
    rounds = subject.artefact.booster.num_boosted_rounds()
    quick = replace(settings, rounds=max(rounds, 1), shrink=tuple(settings.shrink)[:1])
    points = []
    for share in _SHARES:
        rows = train.iloc[np.sort(order[: round(share * min(most_rows, len(train)))])]
        events = int(rows["outcome"].sum())
        if min(events, len(rows) - events) < LEAST_EVENTS:
            continue
        refit = PriceResponseModel(subject.portfolio, subject.model, **asdict(quick))
        predicted = refit.fit(rows, rows["outcome"]).predict_proba(subject.holdout)[:, 1]
        constant = float(rows["outcome"].mean())
        points.append(
            {"rows": len(rows), "events": events}
            | _kept(scores(outcome, predicted, constant, params))
        )
    predicted, constant = subject.holdout["predicted"].to_numpy(), float(train["outcome"].mean())
    whole = {"rows": len(train), "events": int(train["outcome"].sum())}
    return [*points, whole | _kept(scores(outcome, predicted, constant, params))]


def _kept(found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in ("log_loss", "auc") if name in found}
