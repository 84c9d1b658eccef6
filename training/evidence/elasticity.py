"""What a price does, as an experiment says it and as models say it: semi-elasticities.

On randomised quotes a logit of the outcome on the price, with a dummy for each stratum (class x
period), gives the price's causal effect. The same regression on a model's predictions at the same
quotes gives what the model believes of the very same figure, so that the two can be compared.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["LEAST_EVENTS", "semi_elasticities", "semi_elasticity"]

Array = NDArray[np.float64]
Strata = NDArray[np.int64]

LEAST_EVENTS = 20
"""Below this many events (or non-events) an experiment says nothing worth printing."""

_NEWTON_STEPS = 30
_CONVERGED = 1e-10
_Z = 1.959964


def semi_elasticity(outcome: Array, price: Array, strata: Strata) -> dict[str, float]:
    """Return d ln P / d price, averaged over the events, with its 95 % Wald interval, and `slope`.

        logit P = stratum + slope * price,   semi-elasticity = slope * sum P (1 - P) / sum P

    `outcome` may hold probabilities; then only `value` means something. `strata` are numbered
    from 0 on, and each must hold both outcomes.
    """
    count = int(strata.max()) + 1
    level, rows = np.bincount(strata, outcome, count), np.bincount(strata, minlength=count)
    intercepts, slope = np.log(level) - np.log(rows - level), 0.0
    centred = price - (np.bincount(strata, price, count) / rows)[strata]
    information = 0.0
    for _ in range(_NEWTON_STEPS):
        p = 1 / (1 + np.exp(-(intercepts[strata] + slope * centred)))
        w, residual = p * (1 - p), outcome - p
        diagonal = np.bincount(strata, w, count)
        border = np.bincount(strata, w * centred, count)
        own = np.bincount(strata, residual, count)
        # the strata's block is diagonal: eliminate it
        information = float(np.sum(w * centred**2) - np.sum(border**2 / diagonal))
        step = float(np.sum(residual * centred) - np.sum(border * own / diagonal)) / information
        intercepts, slope = intercepts + (own - border * step) / diagonal, slope + step
        if abs(step) < _CONVERGED:
            break
    p = 1 / (1 + np.exp(-(intercepts[strata] + slope * centred)))
    scale = float(np.sum(p * (1 - p)) / np.sum(p))
    value, reach = slope * scale, _Z * scale / float(np.sqrt(information))
    return {"value": value, "low": value - reach, "high": value + reach, "slope": slope}


def semi_elasticities(
    frame: pd.DataFrame, believed: Mapping[str, Array]
) -> dict[str, dict[str, Any]]:
    """Return the experiment's semi-elasticity and those `believed`, for all and by segment.

    `frame` is a judged table (`subject.Subject`); `believed` holds predictions for its rows.
    Where nothing can be estimated the entry is `{"absent": why}`.
    """
    drawn = frame["is_randomised"].to_numpy(dtype=bool)
    found = {"all": _compared(frame[drawn], {k: p[drawn] for k, p in believed.items()})}
    if "absent" in found["all"]:
        return found
    for segment in frame["segment"].cat.categories:
        part = drawn & (frame["segment"] == segment).to_numpy()
        found[str(segment)] = _compared(frame[part], {k: p[part] for k, p in believed.items()})
    return found


def _compared(frame: pd.DataFrame, believed: Mapping[str, Array]) -> dict[str, Any]:
    if frame.empty:
        return {"absent": "no price was randomised"}
    outcome, offset = frame["outcome"].to_numpy(), frame["offset"].to_numpy()
    strata = frame.groupby(["segment", "period"], observed=True).ngroup().to_numpy()
    telling = _telling(outcome, offset, strata)
    events = int(outcome[telling].sum())
    if min(events, int(telling.sum()) - events) < LEAST_EVENTS:
        return {"absent": f"only {events} events at randomised prices that differ"}
    strata = np.unique(strata[telling], return_inverse=True)[1]
    return {
        "rows": int(telling.sum()),
        "events": events,
        "randomised": semi_elasticity(outcome[telling], offset[telling], strata),
        **{
            name: semi_elasticity(p[telling], offset[telling], strata)["value"]
            for name, p in believed.items()
        },
    }


def _telling(outcome: Array, price: Array, strata: Strata) -> NDArray[np.bool_]:
    """Whether each row is in a stratum of both outcomes and of more than one price."""
    rows, events = np.bincount(strata), np.bincount(strata, outcome)
    highest, lowest = np.full(len(rows), -np.inf), np.full(len(rows), np.inf)
    np.maximum.at(highest, strata, price)
    np.minimum.at(lowest, strata, price)
    return ((events > 0) & (events < rows) & (highest > lowest))[strata]
