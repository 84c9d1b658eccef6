import numpy as np
import pandas as pd
import pytest

from finntelligence.errors import InvalidApplicationError
from finntelligence.features import design_matrix
from finntelligence.market import Market
from finntelligence.offers import Application
from finntelligence.portfolio import Capability
from training.evidence.decisions import applications, decisions
from training.evidence.subject import Subject
from training.fitting.price_response import columns_of
from training.stages import Paths, load_policy


@pytest.fixture(scope="module")
def pair(trained, simulated):
    return [Subject.read(Paths("simulated", trained), m, simulated) for m in Capability]


@pytest.fixture(scope="module")
def decided(pair, trained, simulated):
    """The rows, and what is decided on them; the models are risk and acceptance."""
    risk, acceptance = pair
    market = Market(
        portfolio=simulated,
        policy=load_policy(simulated, trained),
        risk=risk.artefact.response,
        acceptance=acceptance.artefact.response,
    )
    rows = acceptance.holdout[:40]
    matrix = design_matrix(simulated, columns_of(simulated, rows))
    coefficients = [subject.artefact.coefficients(matrix) for subject in pair]
    return rows, decisions(market, rows, *coefficients)


def test_held_out_rows_are_the_applications_a_service_would_get(pair, simulated):
    frame = pair[1].holdout[:50]
    found = applications(simulated, frame)
    for applicant, row in zip(found, frame.to_dict("records"), strict=True):
        assert isinstance(applicant, Application)
        assert applicant.features == {f.name: row[f.name] for f in simulated.features}
        assert applicant.requested_principal == row["requested_principal"]
        assert applicant.requested_term_months == row["requested_term_months"]


def test_what_is_absent_from_the_table_is_absent_from_the_application(kz):
    features = {f.name: [f.values[0] if f.values else 40.0, None] for f in kz.features}
    required = {f.name: [features[f.name][0]] * 2 for f in kz.features if f.required}
    frame = pd.DataFrame(
        features
        | required
        | {"requested_principal": [1_000.0] * 2, "requested_term_months": [4, 4]}
        | {"bureau_score": [600.0, np.nan]}
    )
    full, sparse = applications(kz, frame)
    assert full.features["bureau_score"] == 600
    optional = [f.name for f in kz.features if not f.required]
    assert optional
    assert all(sparse.features[name] is None for name in optional)


def test_a_row_outside_the_declaration_is_no_application(pair, simulated):
    with pytest.raises(InvalidApplicationError, match=r"features\.fico"):
        applications(simulated, pair[1].holdout[:1].assign(fico=200.0))


def test_shares_are_of_whom_they_say(decided):
    rows, found = decided
    assert found["applicants"] == len(rows)
    assert 0.5 < found["offered_share"] <= 1
    assert sum(found["bound_by"].values()) == pytest.approx(found["bound_share"])
    assert found["expected_profit_per_applicant"] > 0


def test_prices_stay_within_the_trust_region_and_answer_to_demand(decided, simulated):
    region = simulated.policy["trust_region"]
    assert -100 * region["below"] <= decided[1]["mean_move"] <= 100 * region["above"]
    assert decided[1]["median_elasticity"] < 0
