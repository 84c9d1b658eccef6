import csv

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from finntelligence.errors import InvalidApplicationError
from finntelligence.offers import Application
from training import evaluate
from training.evaluate import EvaluateParams, applications, scores
from training.stages import Paths, read_json
from training.tables import read_table
from training.tracking import client

PARAMS = EvaluateParams(bootstrap=100, decisions=10, bins=10, seed=7)
MEASURES = ("auc", "log_loss", "brier", "gain")


@pytest.fixture(scope="module")
def truth():
    """4,000 true probabilities and what came of them."""
    rng = np.random.default_rng(1)
    p = rng.beta(2, 6, size=4_000)
    return p, (rng.random(4_000) < p).astype(float)


# Scores


def test_scores_are_scikit_learns(truth):
    p, outcome = truth
    found = scores(outcome, p, 0.25, PARAMS)
    constant = np.full_like(p, 0.25)
    assert found["log_loss"]["value"] == pytest.approx(log_loss(outcome, p))
    assert found["brier"]["value"] == pytest.approx(brier_score_loss(outcome, p))
    assert found["auc"]["value"] == pytest.approx(roc_auc_score(outcome, p))
    assert found["constant_log_loss"] == pytest.approx(log_loss(outcome, constant))
    assert found["gain"]["value"] == pytest.approx(
        log_loss(outcome, constant) - log_loss(outcome, p)
    )
    assert found["rows"] == 4_000
    assert found["events"] == outcome.sum()


def test_the_truth_beats_a_constant_beyond_doubt(truth):
    p, outcome = truth
    found = scores(outcome, p, outcome.mean(), PARAMS)
    assert found["gain"]["low"] > 0
    assert found["auc"]["low"] > 0.5


def test_shuffled_predictions_beat_nothing(truth):
    p, outcome = truth
    shuffled = np.random.default_rng(2).permutation(p)
    found = scores(outcome, shuffled, outcome.mean(), PARAMS)
    assert found["gain"]["high"] < 0
    assert found["auc"]["low"] < 0.5 < found["auc"]["high"]


def test_a_constant_gains_nothing_over_itself(truth):
    _, outcome = truth
    gain = scores(outcome, np.full(len(outcome), 0.3), 0.3, PARAMS)["gain"]
    assert gain == {"value": 0, "low": 0, "high": 0}


def test_every_score_lies_inside_its_interval(truth):
    p, outcome = truth
    found = scores(outcome, p, 0.25, PARAMS)
    for name in MEASURES:
        assert found[name]["low"] < found[name]["value"] < found[name]["high"]


def test_four_times_the_rows_halve_the_intervals(truth):
    p, outcome = truth
    for name in MEASURES:
        few, many = (scores(outcome[::step], p[::step], 0.25, PARAMS)[name] for step in (4, 1))
        assert 1.5 < (few["high"] - few["low"]) / (many["high"] - many["low"]) < 2.7, name


def test_a_seed_is_an_interval(truth):
    p, outcome = truth
    first, again = (scores(outcome, p, 0.25, PARAMS) for _ in range(2))
    assert first == again


def test_resamples_of_one_class_are_left_out():
    outcome, predicted = np.array([0.0, 0, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4])
    found = scores(outcome, predicted, 0.25, PARAMS)
    assert all(np.isfinite(list(found[name].values())).all() for name in MEASURES)


@pytest.mark.filterwarnings("ignore:Only one class is present")  # scikit-learn
def test_held_out_rows_without_one_event_still_have_a_log_loss():
    found = scores(np.zeros(50), np.full(50, 0.1), 0.1, PARAMS)
    assert found["log_loss"]["value"] == pytest.approx(-np.log(0.9))


# Curves


@pytest.fixture(scope="module")
def judged(truth):
    p, outcome = truth
    return pd.DataFrame({"predicted": p, "outcome": outcome})


def test_a_curves_bins_hold_equal_parts_of_every_row(judged):
    rows = evaluate._curve(judged, "predicted", bins=10)
    assert [row["rows"] for row in rows] == [400] * 10
    assert [row["value"] for row in rows] == sorted(row["value"] for row in rows)


def test_a_curves_means_are_those_of_the_rows(judged):
    rows = evaluate._curve(judged, "predicted", bins=10)
    for name, column in (("predicted", "predicted"), ("observed", "outcome")):
        assert np.mean([row[name] for row in rows]) == pytest.approx(judged[column].mean())


def test_the_truth_is_calibrated_in_nearly_every_bin(judged):
    rows = evaluate._curve(judged, "predicted", bins=20)
    inside = [row["low"] <= row["predicted"] <= row["high"] for row in rows]
    assert np.mean(inside) >= 0.85


def test_ties_share_a_bin(judged):
    rounded = judged.assign(predicted=judged["predicted"].round(1))
    rows = evaluate._curve(rounded, "predicted", bins=10)
    assert sum(row["rows"] for row in rows) == len(judged)
    assert len({row["value"] for row in rows}) == len(rows)


def test_quotes_all_at_the_list_price_are_one_bin(judged):
    rows = evaluate._curve(judged.assign(offset=0.0), "offset", bins=10)
    assert [row["rows"] for row in rows] == [len(judged)]


# Applications


def test_held_out_rows_are_the_applications_a_service_would_get(trained, simulated):
    frame = read_table(Paths("simulated", trained).processed / "holdout" / "quotes.parquet")[:50]
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


def test_a_row_outside_the_declaration_is_no_application(trained, simulated):
    frame = read_table(Paths("simulated", trained).processed / "holdout" / "quotes.parquet")[:1]
    with pytest.raises(InvalidApplicationError, match=r"features\.fico"):
        applications(simulated, frame.assign(fico=200.0))


# The stage


def test_both_models_are_judged_on_held_out_and_on_randomised_rows(trained):
    found = read_json(Paths("simulated", trained).build / "evaluation.json")
    assert set(found) == {"risk", "acceptance", "decisions"}
    holdout = Paths("simulated", trained).processed / "holdout"
    for model, table in (("risk", "loans"), ("acceptance", "quotes")):
        frame = read_table(holdout / f"{table}.parquet")
        assert found[model]["holdout"]["rows"] == len(frame)
        assert found[model]["randomised"]["rows"] == frame["is_randomised"].sum()
    assert found["decisions"]["applicants"] == 20
    assert 0.5 < found["decisions"]["offered_share"] <= 1


def test_every_model_gets_its_curves_and_pictures(trained):
    plots = Paths("simulated", trained).build / "plots"
    stems = {f"{m}_by_{by}" for m in ("risk", "acceptance") for by in ("predicted", "offset")}
    assert {p.name for p in plots.iterdir()} == {f"{s}.{e}" for s in stems for e in ("csv", "png")}
    for stem in stems:
        with (plots / f"{stem}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert {"value", "predicted", "observed", "low", "high", "rows"} == set(rows[0])
        assert (plots / f"{stem}.png").read_bytes().startswith(b"\x89PNG")


def test_the_evidence_is_in_the_runs_that_trained_the_models(project):
    paths, server = Paths("simulated"), client()
    found = read_json(paths.build / "evaluation.json")
    for model in ("risk", "acceptance"):
        run_id = read_json(paths.build / f"run-{model}.json")["run_id"]
        metrics = server.get_run(run_id).data.metrics
        assert metrics["holdout.auc"] == found[model]["holdout"]["auc"]["value"]
        assert metrics["randomised.gain"] == found[model]["randomised"]["gain"]["value"]
        logged = {p.path for p in server.list_artifacts(run_id, "evaluation")}
        assert f"evaluation/{model}_by_predicted.csv" in logged


def test_judging_again_gives_the_same_figures(project):
    path = Paths("simulated").build / "evaluation.json"
    before = path.read_bytes()
    evaluate.main("simulated")
    assert path.read_bytes() == before
