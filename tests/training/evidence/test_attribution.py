from dataclasses import replace

import numpy as np
import pytest
import xgboost as xgb

from finntelligence.features import design_matrix
from finntelligence.portfolio import Capability
from training.evidence.attribution import attribution
from training.evidence.subject import Subject
from training.fitting.artefact import Artefact
from training.fitting.price_response import columns_of, quoted_terms
from training.stages import Paths


@pytest.fixture(scope="module", params=Capability)
def subject(request, trained, simulated):
    return Subject.read(Paths("simulated", trained), request.param, simulated)


@pytest.fixture(scope="module")
def grown(subject):
    """The same model with trees that matter, whatever its own early stopping said."""
    response, rows = subject.artefact.response, subject.train[:2_000]
    matrix = design_matrix(subject.portfolio, columns_of(subject.portfolio, rows))
    outputs = len(response.tree_heads)
    target = np.stack([np.sin(matrix[:, 1] * (k + 1)) for k in range(outputs)], axis=1)
    booster = xgb.train(
        {"base_score": 0.0, "max_depth": 3, "multi_strategy": "one_output_per_tree", "nthread": 1},
        xgb.DMatrix(matrix.astype(np.float32), label=target, feature_names=list(response.features)),
        num_boost_round=5,
    )
    return replace(subject, artefact=Artefact(booster, response))


def test_contributions_sum_to_the_logit(subject, grown):
    for each in (subject, grown):
        found = attribution(each, each.holdout[:300])
        assert found.additivity_error < 1e-6
        assert np.ptp(found.logit) > 0


def test_the_logit_is_the_predictions(grown):
    rows = grown.holdout[:100]
    found = attribution(grown, rows)
    intercept, slope = grown.artefact.response.calibration
    p = grown.probability(columns_of(grown.portfolio, rows), quoted_terms(grown.portfolio, rows))
    np.testing.assert_allclose(intercept + slope * found.logit, np.log(p / (1 - p)), atol=1e-9)


def test_every_field_and_every_term_of_the_offer_has_its_share(subject):
    found = attribution(subject, subject.holdout[:100])
    asked = {f.name for f in subject.portfolio.features}
    assert set(found.fields) == asked | {"requested_principal", "requested_term_months"}
    assert set(found.offer) == {h.name for h in subject.artefact.response.heads} - {"base"}


def test_an_offer_is_set_against_the_average_offer(subject):
    found = attribution(subject, subject.holdout[:100])
    for part in found.offer.values():
        assert part.mean() == pytest.approx(0, abs=1e-9)


def test_a_head_clipped_at_its_floor_is_the_residual(subject):
    response = subject.artefact.response
    steep = tuple(
        replace(head, floor=5.0) if head.sign and head.name == "gap" else head
        for head in response.heads
    )
    clipped = Artefact(subject.artefact.booster, replace(response, heads=steep))
    found = attribution(replace(subject, artefact=clipped), subject.holdout[:50])
    assert np.abs(found.residual).max() > 1
    assert found.additivity_error < 1e-6
