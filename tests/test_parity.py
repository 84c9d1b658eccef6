"""One function turns heads into probabilities: training, file, runner and core agree to the bit.

Bit equality holds on one machine: the same library on the same kind of processor.
"""

import asyncio

import numpy as np
import pytest
import xgboost as xgb

from finntelligence.features import design_matrix
from finntelligence.portfolio import Capability
from runners.model_file import Scorer
from serving.handler import in_process
from training.fitting.artefact import load_artefact
from training.fitting.price_response import PriceResponseModel, columns_of, quoted_terms
from training.simulate import simulate
from training.tables import load_portfolio

TARGET = {Capability.RISK: "defaulted", Capability.ACCEPTANCE: "accepted"}


@pytest.fixture(scope="module", params=list(Capability), ids=str)
def fitted(request):
    """An estimator with trees, and rows it never saw."""
    model, portfolio = request.param, load_portfolio("simulated")
    kept = {"rounds": 30, "gain_errors": -1000, "minimum_events": 500}
    tables = [
        book.loans if model is Capability.RISK else book.quotes
        for book in (simulate("W4", 12_000, seed=3), simulate("W4", 2_000, seed=4))
    ]
    estimator = PriceResponseModel(portfolio, model, **kept).fit(
        tables[0], tables[0][TARGET[model]]
    )
    assert estimator.artefact_.booster.num_boosted_rounds() > 0
    return estimator, tables[1]


def test_the_probabilities_of_training_file_runner_and_core_are_the_same(fitted, tmp_path):
    estimator, frame = fitted
    portfolio, model = estimator.portfolio, estimator.model
    trained = estimator.predict_proba(frame)[:, 1]
    path = tmp_path / "model.ubj"
    estimator.artefact_.save(path)
    matrix = design_matrix(portfolio, columns_of(portfolio, frame))
    loaded = load_artefact(path, model, portfolio)
    scorer = Scorer(xgb.Booster(model_file=path), loaded.response, "v1")
    found = {
        "file": loaded.coefficients(matrix),
        "runner": scorer.coefficients(matrix),
        "console": asyncio.run(in_process(scorer.coefficients)(matrix)),
    }
    for name, coefficients in found.items():
        p = loaded.response.probability(coefficients, quoted_terms(portfolio, frame))
        np.testing.assert_array_equal(p, trained, err_msg=name)


def test_a_row_alone_has_the_coefficients_it_has_among_others(fitted):
    estimator, frame = fitted
    matrix = design_matrix(estimator.portfolio, columns_of(estimator.portfolio, frame))[:50]
    among = estimator.artefact_.coefficients(matrix)
    alone = [estimator.artefact_.coefficients(row[None])[0] for row in matrix]
    np.testing.assert_array_equal(among, alone)


def test_contributions_sum_to_what_scoring_starts_from(fitted):
    estimator, frame = fitted
    matrix = design_matrix(estimator.portfolio, columns_of(estimator.portfolio, frame))
    response = estimator.artefact_.response
    trees = estimator.artefact_.booster.inplace_predict(matrix.astype(np.float32))
    raw = response.linear_part(matrix)
    scales = np.array([response.heads[k].scale for k in response.tree_heads])
    raw[:, list(response.tree_heads)] += trees.reshape(len(matrix), -1) * scales
    summed = estimator.artefact_.contributions(matrix).sum(axis=2)
    np.testing.assert_allclose(summed, raw, atol=1e-5)
