"""What moved a prediction: exact Shapley values of the logit at the offer that was made.

With a_kj(x) the centred contribution of feature j to head k (Shapley values of the trees, terms of
the linear part), c_k the head's mean and phi_k what it multiplies at the offer,

    logit = base + sum_j sum_k phi_k a_kj + sum_k c_k (phi_k - mean phi_k) + residual

The first sum belongs to the applicant's fields, the second to the terms of the offer, and the
residual to heads that were clipped at their floor. All sums are before calibration.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finntelligence.features import design_matrix, source_of
from finntelligence.response import PHI, PriceResponse
from training.evidence.subject import Subject
from training.fitting.artefact import Artefact
from training.fitting.price_response import columns_of, quoted_terms

with warnings.catch_warnings():
    # on import, shap 0.51 sets its colour maps in a way that matplotlib will retire
    warnings.simplefilter("ignore", PendingDeprecationWarning)
    import shap

__all__ = ["Attribution", "attribution"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Contributions to n logits, shape (n,) each: by applicant's field, and by term of the offer.

    `base` is the constant, `residual` what clipping changed, and `logit` what the model itself
    computes, which all of them should sum to.
    """

    fields: dict[str, Array]
    offer: dict[str, Array]
    base: float
    residual: Array
    logit: Array

    @property
    def additivity_error(self) -> float:
        """The largest distance between the model's logit and the sum of the parts."""
        parts = sum((*self.fields.values(), *self.offer.values()), self.base + self.residual)
        return float(np.max(np.abs(parts - self.logit)))


def attribution(subject: Subject, rows: pd.DataFrame) -> Attribution:
    """Attribute the logits of rows at the offers they were made."""
    artefact, portfolio = subject.artefact, subject.portfolio
    response = artefact.response
    matrix = design_matrix(portfolio, columns_of(portfolio, rows))
    terms = quoted_terms(portfolio, rows)
    phi = np.stack([PHI[head.phi](terms, response) for head in response.heads], axis=1)
    level, parts = _linear_parts(response, matrix)
    raw = response.linear_part(matrix)
    if artefact.booster.num_boosted_rounds():  # without trees shap has nothing to explain
        scales = np.array([response.heads[k].scale for k in response.tree_heads])
        heads = list(response.tree_heads)
        expected, contributions = _tree_parts(artefact, matrix)
        level[heads] += expected * scales
        parts[:, :, heads] += contributions * scales
        single = matrix.astype(np.float32)
        trees = np.asarray(artefact.booster.inplace_predict(single), dtype=float)
        raw[:, heads] += trees.reshape(len(matrix), -1) * scales
    weighted = np.einsum("nfk,nk->nf", parts, phi)
    fields: dict[str, Array] = {}
    for j, feature in enumerate(response.features):
        name = source_of(feature)
        fields[name] = fields.get(name, 0.0) + weighted[:, j]
    intercept, slope = response.calibration  # which scales the whole logit, and comes after this
    clipped = artefact.coefficients(matrix)
    clipped[:, 0] -= intercept
    clipped /= slope
    mean = phi.mean(axis=0)
    return Attribution(
        fields=fields,
        offer={
            head.name: level[k] * (phi[:, k] - mean[k])
            for k, head in enumerate(response.heads)
            if k > 0
        },
        base=float(level @ mean),
        residual=np.sum((clipped - raw) * phi, axis=1),
        logit=np.sum(clipped * phi, axis=1),
    )


def _linear_parts(response: PriceResponse, matrix: Array) -> tuple[Array, Array]:
    """Return the heads' means (K,) and their centred terms by feature (n, features, K)."""
    columns = response.columns.values(matrix)
    mean = columns.mean(axis=0)
    level = response.linear[:, 0] + response.linear[:, 1:] @ mean
    parts = np.zeros((len(matrix), len(response.features), len(response.heads)))
    for j, column in enumerate(response.basis):
        place = response.features.index(column.feature)
        parts[:, place] += (columns[:, j, None] - mean[j]) * response.linear[:, 1 + j]
    return level, parts


def _tree_parts(artefact: Artefact, matrix: Array) -> tuple[Array, Array]:
    """Return the trees' expected outputs (T,) and Shapley values (n, features, T)."""
    explainer = shap.TreeExplainer(artefact.booster)
    values = np.asarray(explainer.shap_values(matrix.astype(np.float32)), dtype=float)
    expected = np.atleast_1d(np.asarray(explainer.expected_value, dtype=float))
    return expected, values.reshape(*matrix.shape, len(expected))
