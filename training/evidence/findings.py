"""Everything a validator asks of one model, as figures: JSON-ready, and the same on every run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finntelligence.features import design_matrix
from training.evidence.attribution import Attribution, attribution
from training.evidence.elasticity import semi_elasticities
from training.evidence.importance import dependence, permutation, summary
from training.evidence.learning_curve import learning_curve
from training.evidence.price_curves import (
    Predict,
    Prices,
    observed_prices,
    price_curves,
    slopes,
    violations,
)
from training.evidence.reliability import reliability
from training.evidence.rivalry import Rival, compared, rivals
from training.evidence.scores import scores
from training.evidence.subject import Subject
from training.fitting.drift import stability
from training.fitting.hyperparameters import FitParams
from training.fitting.price_response import columns_of, quoted_terms
from training.simulator.truth import truth_at
from training.simulator.worlds import Terms

__all__ = ["Evidence", "EvidenceParams", "evidence"]

Array = NDArray[np.float64]

_MOST_DEPENDENCES = 4
_Z = 1.959964
_HISTORY = "all history, includes rows the models learned from"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceParams:
    """How much is looked at; the rows of each part are a random sample of so many at most.

    `bins` of equal mass in a curve; `priced` applicants at every tick and `curved` of each segment
    on its curve; `explained` by Shapley values; `permuted` for permutation importance; refits of
    the learning curve on at most `learned` rows.
    """

    bootstrap: int
    bins: int
    priced: int
    curved: int
    explained: int
    permuted: int
    learned: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One model's evidence: the `found` figures, and the explained rows for their pictures."""

    found: dict[str, Any]
    explained: pd.DataFrame
    attribution: Attribution


def evidence(
    subject: Subject,
    prices: Prices,
    settings: FitParams,
    params: EvidenceParams,
    world: str | None,
) -> Evidence:
    """Judge one model. `world` names the simulator's, where the truth is known."""
    others = rivals(subject, settings, params.seed)
    explained = _sample(subject.holdout, params.explained, params.seed)
    parts = attribution(subject, explained)
    found = {
        **_scored(subject, params),
        "calibration": _calibration(subject, params.bins),
        "stability": _stability(subject),
        "price": _price(subject, prices, others, params, world),
        "importance": _importance(subject, explained, parts, params),
        "learning_curve": learning_curve(subject, settings, params.learned, params),
        "rivals": {name: compared(subject, rival, params) for name, rival in others.items()},
        "fit": {
            **subject.artefact.response.evidence,
            "rounds": subject.artefact.booster.num_boosted_rounds(),
        },
    }
    return Evidence(found=found, explained=explained, attribution=parts)


def _sample(frame: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    return frame.sample(min(rows, len(frame)), random_state=seed)


def _scored(subject: Subject, params: EvidenceParams) -> dict[str, Any]:
    """Return the scores of all held-out rows, of the newest, and of those at randomised prices."""
    frame, train = subject.holdout, subject.train
    found = {"holdout": _scores_of(frame, train, params)}
    latest = frame["period"] == frame["period"].max()
    if latest.all():
        found["latest"] = {"absent": "all held-out rows are of one period"}
    else:
        period = {"period": int(frame["period"].max())}
        found["latest"] = period | _scores_of(frame[latest], train, params)
    drawn = frame["is_randomised"]
    if 0 < drawn.sum() < len(frame):
        tested = train[train["is_randomised"]]  # none where the price test began in the hold-out
        found["randomised"] = _scores_of(frame[drawn], train if tested.empty else tested, params)
    return found


def _scores_of(frame: pd.DataFrame, train: pd.DataFrame, params: EvidenceParams) -> dict[str, Any]:
    outcome, predicted = frame["outcome"].to_numpy(), frame["predicted"].to_numpy()
    return scores(outcome, predicted, float(train["outcome"].mean()), params)


def _calibration(subject: Subject, bins: int) -> dict[str, Any]:
    """Return reliability along the prediction and along the price, also where it was randomised.

    On discretionary prices staff knew more than the model, which quotes without their knowledge:
    off the list price only randomised prices can show whether it is right.
    """
    frame = subject.holdout
    found: dict[str, Any] = {"predicted": reliability(frame, "predicted", bins)}
    if frame["offset"].nunique() == 1:
        return found | {"offset": {"absent": "every price was the list price"}}
    found["offset"] = reliability(frame, "offset", bins)
    drawn = frame[frame["is_randomised"]]
    if 0 < len(drawn) < len(frame):
        found["offset_randomised"] = reliability(drawn, "offset", bins)
    return found


def _stability(subject: Subject) -> dict[str, float]:
    """Return every model input's PSI, and the prediction's own, between train and hold-out."""
    matrices = [
        design_matrix(subject.portfolio, columns_of(subject.portfolio, frame))
        for frame in (subject.train, subject.holdout)
    ]
    before, after = matrices
    names = subject.artefact.response.features
    found = {name: stability(before[:, j], after[:, j]) for j, name in enumerate(names)}
    return found | {
        "prediction": stability(
            subject.train["predicted"].to_numpy(), subject.holdout["predicted"].to_numpy()
        )
    }


def _price(
    subject: Subject,
    prices: Prices,
    others: Mapping[str, Rival],
    params: EvidenceParams,
    world: str | None,
) -> dict[str, Any]:
    rows = _sample(subject.holdout, params.priced, params.seed)
    probabilities = {"model": subject.probability} | {
        name: rival.probability for name, rival in others.items()
    }
    few = rows[: -(-len(rows) // 10)]  # enough to tell of rivals, and a classifier takes its time
    return {
        "violations": {
            name: violations(p, subject, rows if name == "model" else few, prices)
            for name, p in probabilities.items()
        },
        "slopes": slopes(subject, params.priced, params.seed),
        "curves": price_curves(subject, prices, params.curved, params.seed),
        "observed": observed_prices(subject),
        "semi_elasticity": _experiment(subject, probabilities, world),
    }


def _experiment(
    subject: Subject, probabilities: Mapping[str, Predict], world: str | None
) -> dict[str, dict[str, Any]]:
    """Return the price's effect by experiment and by model, on held-out rows and then on all."""
    every = pd.concat([subject.holdout, subject.train], ignore_index=True)
    drawn = every[every["is_randomised"]]
    if drawn.empty:
        return semi_elasticities(drawn, {})
    columns = columns_of(subject.portfolio, drawn)
    terms = quoted_terms(subject.portfolio, drawn)
    believed = {name: p(columns, terms) for name, p in probabilities.items()}
    if world is not None:
        believed["truth"] = _truth(subject, world, drawn)
    unseen = drawn.index < len(subject.holdout)
    found = semi_elasticities(drawn[unseen], {name: p[unseen] for name, p in believed.items()})
    history = semi_elasticities(drawn, believed)["all"]
    fit = subject.artefact.response.evidence
    error = abs(fit["standard_errors"]["gap"] / fit["estimates"]["gap"])
    rows = {"all": found.pop("all"), _HISTORY: history, **found}
    return {name: _with_interval(row, error) for name, row in rows.items()}


def _with_interval(row: dict[str, Any], error: float) -> dict[str, Any]:
    """Add the model's own 95 % interval, from its slope's relative standard error."""
    if "absent" in row:
        return row
    value, reach = row["model"], _Z * error * abs(row["model"])
    own = {"value": value, "low": value - reach, "high": value + reach}
    return row | {"model_interval": own}


def _truth(subject: Subject, world: str, rows: pd.DataFrame) -> Array:
    terms = Terms(
        principal=rows["principal"].to_numpy(),
        term_months=rows["term_months"].to_numpy(),
        nominal_rate=quoted_terms(subject.portfolio, rows).nominal_rate,
    )
    found = truth_at(world, rows, terms)
    return found.p_accept if subject.model == "acceptance" else found.pd_lifetime


def _importance(
    subject: Subject, explained: pd.DataFrame, parts: Attribution, params: EvidenceParams
) -> dict[str, Any]:
    ranked = summary(parts)
    fields = [row["input"] for row in ranked if row["input"] in parts.fields]
    permuted = _sample(subject.holdout, params.permuted, params.seed)
    return {
        "rows": len(explained),
        "additivity_error": parts.additivity_error,
        "shapley": ranked,
        "dependence": {
            name: dependence(explained[name], parts.fields[name])
            for name in fields[:_MOST_DEPENDENCES]
        },
        "permuted_rows": len(permuted),
        "permutation": permutation(subject, permuted, params.seed),
    }
