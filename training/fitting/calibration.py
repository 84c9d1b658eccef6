"""Intercept and slope of a model's total logit on the newest labelled rows (Platt 1999).

Only for data that is small or drifts: on a large steady book nothing is left to correct. The rows
are those that early stopping held out, and the model is the one fitted without them: on its own
rows every model looks calibrated.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.fitting.base_logit import ridge_logit

__all__ = ["calibrated"]

Array = NDArray[np.float64]

_NONE = (0.0, 1.0)
_CHI_SQUARE_999 = 13.82  # of two degrees of freedom


def calibrated(logit: Array, outcome: Array) -> tuple[tuple[float, float], dict[str, Any]]:
    """Return intercept and slope for held-out logits, and what was found.

    They are 0 and 1, nothing to correct, unless a likelihood-ratio test at 0.1 % says otherwise and
    the slope is above 0. A laxer test corrects luck: on a few hundred rows that made held-out
    losses worse (docs/decisions/0006).
    """
    found: dict[str, Any] = {"rows": len(outcome), "applied": False}
    if not 0 < outcome.sum() < len(outcome):
        return _NONE, found
    design = np.stack([np.ones_like(logit), logit], axis=1)
    tiny, start = np.full(2, 1e-6), np.array(_NONE)
    (intercept, slope), _ = ridge_logit(design, outcome, tiny, start)
    before, after = _log_loss(logit, outcome), _log_loss(intercept + slope * logit, outcome)
    found |= {
        "intercept": float(intercept),
        "slope": float(slope),
        "likelihood_ratio": 2 * len(outcome) * (before - after),
    }
    found["applied"] = bool(found["likelihood_ratio"] > _CHI_SQUARE_999 and slope > 0)
    return ((float(intercept), float(slope)) if found["applied"] else _NONE), found


def _log_loss(logit: Array, outcome: Array) -> float:
    return float(np.mean(np.logaddexp(0, logit) - outcome * logit))
