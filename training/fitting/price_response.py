"""The estimator of the price-response form: base logit, then trees, a guard, and calibration.

`PriceResponseModel` is a scikit-learn classifier of a canonical table's rows; what it fits,
`artefact_`, is what the engine serves.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from finntelligence.explain import reference_of
from finntelligence.features import REQUEST_FEATURES, design_matrix, feature_names
from finntelligence.offers import OfferTerms, terms_of
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.rates import Price
from finntelligence.response import PriceResponse
from training.fitting.artefact import Artefact
from training.fitting.base_logit import Sample, fit_base, unfitted, with_hinge
from training.fitting.basis import basis_columns, slope_modifiers
from training.fitting.booster import Boosting
from training.fitting.calibration import calibrated
from training.fitting.drift import drift
from training.fitting.hyperparameters import FitParams
from training.fitting.slope_guard import Ensemble, guarded
from training.tables import holdout_rows

__all__ = [
    "FitParams",
    "PriceResponseModel",
    "columns_of",
    "drifting_features",
    "quoted_terms",
    "sample_of",
    "with_modifiers",
]

Array = NDArray[np.float64]

_REFERENCE_ROWS = 10_000  # approved applicants whose mean contributions reasons are told against


def columns_of(portfolio: Portfolio, frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Return a canonical table's feature columns as arrays, for the core."""
    names = [field.name for field in portfolio.features]
    return {name: frame[name].to_numpy() for name in (*names, *REQUEST_FEATURES)}


def quoted_terms(portfolio: Portfolio, frame: pd.DataFrame) -> OfferTerms:
    """Return the terms in a canonical table, one per row."""
    principal, term, quoted, funds = (
        frame[name].to_numpy(dtype=float)
        for name in ("principal", "term_months", "quoted_rate", "cost_of_funds")
    )
    return terms_of(portfolio, columns_of(portfolio, frame), principal, term, quoted, funds)


def sample_of(portfolio: Portfolio, frame: pd.DataFrame, outcome: ArrayLike) -> Sample:
    """Return what a fit sees of a canonical table and its 0/1 outcomes; no slope modifiers yet."""
    return Sample(
        matrix=design_matrix(portfolio, columns_of(portfolio, frame)),
        terms=quoted_terms(portfolio, frame),
        control=_control(frame),
        outcome=np.asarray(outcome, dtype=float),
        modifiers=(),
    )


def drifting_features(
    portfolio: Portfolio,
    frame: pd.DataFrame,
    sample: Sample,
    limit: float,
    scoring: pd.DataFrame | None = None,
) -> dict[str, float]:
    """Return the features whose stability index reaches the limit, with the index."""
    names, period = feature_names(portfolio), frame["period"].to_numpy()
    ahead = None if scoring is None else design_matrix(portfolio, columns_of(portfolio, scoring))
    found = drift(sample.matrix, period, names, ahead)
    return {name: psi for name, psi in found.items() if psi >= limit}


def with_modifiers(
    sample: Sample, shell: PriceResponse, moved: Collection[str], minimum_events: int
) -> Sample:
    """Return the sample with what may modify the price slope: nothing of risk, or of few events."""
    if shell.model is not Capability.ACCEPTANCE or sample.outcome.sum() < minimum_events:
        return sample
    return replace(sample, modifiers=slope_modifiers(shell.basis, shell.portfolio, moved))


@dataclass(eq=False, repr=False)
class PriceResponseModel(ClassifierMixin, BaseEstimator, FitParams):  # type: ignore[misc] # untyped
    """Acceptance or default of offers as a function of who is asked and of what is offered.

    The settings are those of `FitParams`, by name. Fitted attributes: `artefact_`, the booster and
    the response it belongs to; `evidence_`, what the fit found; `classes_`.
    """

    portfolio: Portfolio
    model: Capability

    def fit(
        self, frame: pd.DataFrame, outcome: ArrayLike, scoring: pd.DataFrame | None = None
    ) -> "PriceResponseModel":
        """Fit on a canonical table and its 0/1 outcomes.

        `scoring` holds applicants like those the model will meet, where they are known: a feature
        that differs between them and the table may not modify the price slope. The pipeline gives
        none: its held-out rows judge the fit and must not shape it.
        """
        sample = sample_of(self.portfolio, frame, outcome)
        moved = drifting_features(self.portfolio, frame, sample, self.drift_limit, scoring)
        columns = basis_columns(self.portfolio, sample.matrix)
        shell = unfitted(self.model, self.portfolio, columns, sample.terms)
        sample = with_modifiers(sample, shell, moved, self.minimum_events)
        base = fit_base(shell, sample, self)
        if self.model is Capability.ACCEPTANCE:
            base = with_hinge(base, sample, self)
        held = self._held(frame, sample.outcome)
        ensemble = guarded(base, sample, held, self)
        evidence = {
            **base.evidence,
            "rows": len(frame),
            "events": int(sample.outcome.sum()),
            "randomised_share": float(frame["is_randomised"].mean()),
            "slope_modifiers": sorted({columns[j].feature for j in sample.modifiers}),
            "drifting_features": moved,
            "rounds": ensemble.artefact.booster.num_boosted_rounds(),
            "holdout": _holdout(ensemble.boosting),
            "slope_guard": ensemble.guard,
            "price_slope_prior": self._prior(base.evidence),
        }
        judged = sample.outcome[held]
        calibration, evidence["calibration"] = self._calibration(ensemble, judged, evidence)
        response = replace(ensemble.artefact.response, calibration=calibration, evidence=evidence)
        if self.model is Capability.RISK:
            approved = self._reference(Artefact(ensemble.artefact.booster, response), sample)
            response = replace(response, evidence={**evidence, "reference": approved})
        self.artefact_ = Artefact(ensemble.artefact.booster, response)
        self.evidence_ = response.evidence
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, frame: pd.DataFrame) -> Array:
        """Return both classes' probabilities at the terms in the table, shape (n, 2)."""
        response = self.artefact_.response
        matrix = design_matrix(self.portfolio, columns_of(self.portfolio, frame))
        coefficients = self.artefact_.coefficients(matrix)
        p = response.probability(coefficients, quoted_terms(self.portfolio, frame))
        return np.stack([1 - p, p], axis=1)

    def predict(self, frame: pd.DataFrame) -> NDArray[np.int64]:
        """Return the likelier class of each row."""
        return self.classes_[(self.predict_proba(frame)[:, 1] > 0.5).astype(int)]

    def _held(self, frame: pd.DataFrame, outcome: Array) -> NDArray[np.bool_] | None:
        """Return what judges, the newest or random; None where a part has one outcome only."""
        at_random = self.portfolio.random_holdout
        held = holdout_rows(frame["period"], self.holdout, self.seed, at_random).to_numpy(bool)
        mixed = all(0 < part.sum() < len(part) for part in (outcome[held], outcome[~held]))
        return held if mixed else None

    def _prior(self, evidence: Mapping[str, Any]) -> dict[str, Any]:
        """Return the risk slope's prior beside what the data made of it."""
        if self.model is not Capability.RISK:
            return {}
        price = self.portfolio.price
        return {
            "mean": price.risk_slope_mean,
            "sd": price.risk_slope_sd,
            "posterior": evidence["estimates"]["gap"],
            "standard_error": evidence["standard_errors"]["gap"],
        }

    def _reference(self, artefact: Artefact, sample: Sample) -> dict[str, float]:
        """Return the mean contributions of approved applicants: those whose loans were booked."""
        rng = np.random.default_rng(self.seed)
        count = min(len(sample.matrix), _REFERENCE_ROWS)
        some = np.isin(np.arange(len(sample.matrix)), rng.permutation(len(sample.matrix))[:count])
        part = sample.part(some)
        return reference_of(artefact.response, artefact.contributions(part.matrix), part.terms)

    def _calibration(
        self, ensemble: Ensemble, held: Array, evidence: Mapping[str, Any]
    ) -> tuple[tuple[float, float], dict[str, Any]]:
        """Return intercept and slope of the total logit and what the held-out rows say of them."""
        small = evidence["rows"] < self.calibrate_below
        if ensemble.boosting is None or not (small or evidence["drifting_features"]):
            return (0.0, 1.0), {}
        return calibrated(ensemble.boosting.logits, held)


def _holdout(boosting: Boosting | None) -> dict[str, float]:
    """Return what early stopping judged by."""
    if boosting is None:
        return {}
    return {
        "rows": len(boosting.logits),
        "base_log_loss": boosting.base_loss,
        "gain": boosting.gain,
        "gain_error": boosting.gain_error,
    }


def _control(frame: pd.DataFrame) -> Array:
    """Distance from the list price in price units, 0 where the price was randomised."""
    distance = (frame["quoted_rate"] - frame["list_rate"]).to_numpy(dtype=float) / Price.UNIT
    return np.where(frame["is_randomised"].to_numpy(dtype=bool), 0.0, distance)
