import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from finntelligence.portfolio import Capability
from training.evidence.findings import EvidenceParams, evidence
from training.evidence.price_curves import Prices
from training.evidence.scores import row_losses
from training.evidence.subject import Subject
from training.fitting.price_response import PriceResponseModel
from training.stages import Paths, load_policy

HISTORY = "all history, includes rows the models learned from"
PARAMS = EvidenceParams(
    bootstrap=20, bins=5, priced=30, curved=20, explained=100, permuted=200, learned=800, seed=7
)


@pytest.fixture(scope="module", params=Capability)
def subject(request, trained, simulated):
    return Subject.read(Paths("simulated", trained), request.param, simulated)


@pytest.fixture(scope="module")
def risk(trained, simulated):
    return Subject.read(Paths("simulated", trained), Capability.RISK, simulated)


@pytest.fixture(scope="module")
def acceptance(trained, simulated):
    return Subject.read(Paths("simulated", trained), Capability.ACCEPTANCE, simulated)


@pytest.fixture(scope="module")
def prices(trained, simulated):
    return Prices.quotable(load_policy(simulated, trained))


@pytest.fixture(scope="module")
def found(subject, prices, fit_params):
    return evidence(subject, prices, fit_params, PARAMS, "W1").found


def tiny(subject, rows, events):
    """The subject with a hold-out of a few rows, some of them events."""
    holdout = subject.holdout[:rows].assign(outcome=0.0)
    holdout.iloc[:events, holdout.columns.get_loc("outcome")] = 1.0
    return replace(subject, holdout=holdout)


def test_every_figure_can_be_said_in_json(found):
    assert json.loads(json.dumps(found, allow_nan=False))


def test_the_same_model_has_the_same_evidence(subject, prices, fit_params, found):
    again = evidence(subject, prices, fit_params, PARAMS, "W1").found
    assert json.dumps(again) == json.dumps(found)


def test_a_validators_questions_all_have_an_answer(subject, found):
    parts = {"holdout", "latest", "randomised", "calibration", "stability", "price", "importance"}
    assert set(found) == parts | {"learning_curve", "rivals", "fit"}
    scored = {"auc", "log_loss", "brier", "ece", "calibration_slope", "calibration_intercept"}
    for part in ("holdout", "latest", "randomised"):
        assert scored < set(found[part])
    of_risk = {"plain_classifier_without_rate"} if subject.model is Capability.RISK else set()
    assert set(found["rivals"]) == {"plain_classifier", "logit"} | of_risk
    assert found["price"]["violations"]["model"]["violations"] == 0
    assert found["importance"]["additivity_error"] < 1e-6
    assert found["importance"]["rows"] == 100
    assert found["fit"]["estimates"]["gap"]


def test_the_latest_period_is_the_newest_held_out(subject, found):
    newest = subject.holdout["period"].max()
    assert found["latest"]["period"] == newest
    assert found["latest"]["rows"] == (subject.holdout["period"] == newest).sum()


def test_calibration_along_the_price_is_also_shown_where_it_was_randomised(subject, found):
    drawn = subject.holdout["is_randomised"].sum()
    for by, rows in (("offset", len(subject.holdout)), ("offset_randomised", drawn)):
        assert sum(row["rows"] for row in found["calibration"][by]) == rows


def test_a_steady_simulators_features_are_stable(found, subject):
    assert set(found["stability"]) == {*subject.artefact.response.features, "prediction"}
    assert max(found["stability"].values()) < 0.1


def test_the_simulators_truth_stands_beside_the_experiment(subject, found):
    found = found["price"]["semi_elasticity"]
    assert list(found)[:2] == ["all", HISTORY]
    overall = found[HISTORY]
    assert {"randomised", "model", "plain_classifier", "logit", "truth"} < set(overall)
    wide = overall["randomised"]["high"] - overall["randomised"]["low"]
    assert abs(overall["truth"] - overall["randomised"]["value"]) < wide


def test_the_models_own_interval_is_as_wide_as_its_slopes(subject, found):
    fit = subject.artefact.response.evidence
    for row in found["price"]["semi_elasticity"].values():
        if "absent" in row:
            continue
        own = row["model_interval"]
        assert own["low"] < own["value"] == row["model"] < own["high"]
        spread = (own["high"] - own["low"]) / abs(own["value"])
        relative = fit["standard_errors"]["gap"] / abs(fit["estimates"]["gap"])
        assert spread == pytest.approx(2 * 1.96 * relative, rel=1e-3)


def test_the_experiment_is_of_rows_that_no_model_saw(acceptance, prices, fit_params):
    stopped = replace(acceptance, train=acceptance.train.assign(is_randomised=False))
    alone = evidence(stopped, prices, fit_params, PARAMS, None).found
    both = evidence(acceptance, prices, fit_params, PARAMS, None).found["price"]["semi_elasticity"]
    held, drawn = both["all"], acceptance.holdout["is_randomised"].sum()
    assert 0 < held["rows"] <= drawn < both[HISTORY]["rows"]
    alone = alone["price"]["semi_elasticity"]
    assert alone["all"]["randomised"] == held["randomised"]
    assert alone["all"]["model"] == held["model"]
    assert alone[HISTORY] == alone["all"]  # no other row was drawn


def test_too_few_held_out_events_leave_the_history_its_row(risk, prices, fit_params):
    tried = tiny(risk, 70, 5)
    tried = replace(tried, holdout=tried.holdout.assign(is_randomised=True))
    found = evidence(tried, prices, fit_params, PARAMS, None).found["price"]["semi_elasticity"]
    assert set(found) == {"all", HISTORY}
    assert "absent" in found["all"]
    assert found[HISTORY]["rows"] > 70


def test_a_price_test_that_began_in_the_newest_rows_can_be_judged(risk, prices, fit_params):
    begun = replace(risk, train=risk.train.assign(is_randomised=False))
    found = evidence(begun, prices, fit_params, PARAMS, None).found
    assert np.isfinite(found["randomised"]["gain"]["value"])
    share, drawn = risk.train["outcome"].mean(), risk.holdout[risk.holdout["is_randomised"]]
    constant = row_losses(drawn["outcome"].to_numpy(), np.full(len(drawn), share)).mean()
    assert found["randomised"]["constant_log_loss"] == pytest.approx(constant)


def test_no_truth_is_told_of_a_real_book(risk, prices, fit_params):
    found = evidence(risk, prices, fit_params, PARAMS, None).found
    assert "truth" not in found["price"]["semi_elasticity"]["all"]


def test_a_book_without_an_experiment_gives_no_figure_for_one(risk, prices, fit_params):
    chosen = {
        part: getattr(risk, part).assign(is_randomised=False) for part in ("train", "holdout")
    }
    found = evidence(replace(risk, **chosen), prices, fit_params, PARAMS, None).found
    assert "randomised" not in found
    assert found["price"]["semi_elasticity"] == {"all": {"absent": "no price was randomised"}}
    assert "absent" in found["price"]["observed"]


def test_a_book_that_never_left_its_list_price_says_so(risk, fit_params):
    parts = {}
    for part in ("train", "holdout"):
        frame = getattr(risk, part)
        parts[part] = frame.assign(offset=0.0, is_randomised=False, quoted_rate=frame["list_rate"])
    still = replace(risk, **parts)
    found = evidence(still, Prices.seen(still.train), fit_params, PARAMS, None).found
    assert found["calibration"]["offset"] == {"absent": "every price was the list price"}
    assert found["price"]["violations"]["model"]["violations"] == 0


@pytest.mark.parametrize(("rows", "events"), [(70, 5), (12, 1), (8, 0), (3, 3)])
def test_a_tiny_hold_out_is_judged_without_a_warning(risk, prices, fit_params, rows, events):
    found = evidence(tiny(risk, rows, events), prices, fit_params, PARAMS, "W1").found
    assert found["holdout"]["events"] == events
    assert json.dumps(found, allow_nan=False)
    assert ("auc" in found["holdout"]) == (0 < events < rows)


def test_one_held_out_period_has_no_latest_of_its_own(risk, prices, fit_params):
    one = replace(risk, holdout=risk.holdout.assign(period=9))
    found = evidence(one, prices, fit_params, PARAMS, None).found
    assert found["latest"] == {"absent": "all held-out rows are of one period"}


def test_a_real_books_absent_values_and_few_rows_are_evidence_too(kz, fit_params):
    rng, count = np.random.default_rng(4), 600
    frame = pd.DataFrame(
        {
            "risk_class": rng.choice(["LOW", "HIGH"], count),
            "bureau_score": np.where(rng.random(count) < 0.3, np.nan, rng.uniform(400, 800, count)),
            "internal_score": rng.uniform(1, 100, count),
            "months_dormant": rng.integers(0, 24, count).astype(float),
            "prior_loans": rng.integers(0, 9, count).astype(float),
            "last_term_months": 4.0,
            "gross_monthly_income": np.nan,
            "educated": rng.choice(["no", "yes"], count),
            "requested_principal": 1_000.0,
            "requested_term_months": 4,
            "principal": 1_000.0,
            "term_months": 4,
            "quoted_rate": rng.uniform(0.04, 0.0775, count).round(4),
            "list_rate": 0.0775,
            "is_randomised": True,
            "period": np.repeat([1, 2], count // 2),
            "cost_of_funds": 0.15,
            "outcome": (rng.random(count) < 0.15).astype(float),
        }
    )
    fitted = PriceResponseModel(kz, Capability.RISK).fit(frame, frame["outcome"])
    frame["predicted"] = fitted.predict_proba(frame)[:, 1]
    frame["offset"] = 100 * (frame["quoted_rate"] - frame["list_rate"])
    frame["segment"] = pd.Categorical(frame["risk_class"], categories=["LOW", "MEDIUM", "HIGH"])
    subject = Subject(
        portfolio=kz, artefact=fitted.artefact_, train=frame[:500], holdout=frame[500:]
    )
    found = evidence(subject, Prices.seen(frame), fit_params, PARAMS, None).found
    assert json.dumps(found, allow_nan=False)
    assert "randomised" not in found  # every row is: the hold-out itself says it
    assert set(found["price"]["curves"]) == {"LOW", "HIGH"}
