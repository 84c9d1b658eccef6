"""The model beside plainer ones, fitted on the same rows and asked the same questions."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from finntelligence.offers import OfferTerms
from finntelligence.portfolio import Capability
from training.evidence.price_curves import Columns
from training.evidence.scores import Resampling, gain, scores
from training.evidence.subject import Subject
from training.fitting.hyperparameters import FitParams
from training.fitting.price_response import columns_of, quoted_terms
from training.fitting.rivals import LogitRival, PlainClassifier

__all__ = ["Rival", "compared", "rivals"]

Array = NDArray[np.float64]


class Rival(Protocol):
    """Whatever gives a probability to terms of shape (n,) or (n, m)."""

    def probability(self, columns: Columns, terms: OfferTerms) -> Array:
        """Return the probability at the terms."""


def rivals(subject: Subject, settings: FitParams, seed: int) -> dict[str, Rival]:
    """Return the rivals, fitted on the rows and with the settings of the model itself.

    Of risk there is a second classifier, which knows what the model's heads know: the first may
    read from the rate what its setter knew of the applicant, which no quote of ours can repeat.
    """
    portfolio, model, rows = subject.portfolio, subject.model, subject.train
    found: dict[str, Rival] = {
        "plain_classifier": PlainClassifier(portfolio, model, seed).fit(rows, rows["outcome"]),
        "logit": LogitRival(portfolio, model, settings).fit(rows, rows["outcome"]),
    }
    if model is Capability.RISK:
        blind = PlainClassifier(portfolio, model, seed, sees_rate=False)
        found["plain_classifier_without_rate"] = blind.fit(rows, rows["outcome"])
    return found


def compared(subject: Subject, rival: Rival, params: Resampling) -> dict[str, Any]:
    """Return a rival's scores on the hold-out and on its randomised quotes.

    `model_gains` is the rival's log-loss less the model's on the same applicants: above zero the
    model is better.
    """
    frame = subject.holdout
    predicted = rival.probability(
        columns_of(subject.portfolio, frame), quoted_terms(subject.portfolio, frame)
    )
    constant = float(subject.train["outcome"].mean())
    drawn = frame["is_randomised"].to_numpy(dtype=bool)
    parts = {"holdout": np.ones(len(frame), dtype=bool)}
    if 0 < drawn.sum() < len(frame):
        parts["randomised"] = drawn
    found: dict[str, Any] = {}
    for part, rows in parts.items():
        outcome, ours = frame["outcome"].to_numpy()[rows], frame["predicted"].to_numpy()[rows]
        found[part] = {
            **scores(outcome, predicted[rows], constant, params),
            "model_gains": gain(outcome, ours, predicted[rows], params),
        }
    return found
