from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from sklearn.base import clone

from finntelligence.cashflow import monthly_payment
from finntelligence.declaration import canonical_json
from finntelligence.features import design_matrix
from finntelligence.portfolio import Capability
from finntelligence.response import SPEC_ATTRIBUTE
from training.fitting import price_response
from training.fitting.artefact import load_artefact
from training.fitting.hyperparameters import FitParams
from training.fitting.price_response import PriceResponseModel, columns_of, quoted_terms
from training.simulate import simulate
from training.simulator.truth import truth_at
from training.simulator.worlds import Terms

ACCEPTANCE, RISK = Capability.ACCEPTANCE, Capability.RISK
BOTH = pytest.mark.parametrize("kind", [ACCEPTANCE, RISK])


@pytest.fixture(scope="module")
def w1():
    return simulate("W1", quotes=12_000, seed=1)


@pytest.fixture(scope="module")
def w4():
    return simulate("W4", quotes=40_000, seed=2)


@pytest.fixture(scope="module")
def boosted(simulated, w4):
    """Models with trees of the non-linear world, though so few rows cannot prove their gain."""
    settings = {"minimum_events": 1_000, "gain_errors": 0}
    return {
        ACCEPTANCE: PriceResponseModel(simulated, ACCEPTANCE, **settings).fit(
            w4.quotes, w4.quotes["accepted"]
        ),
        RISK: PriceResponseModel(simulated, RISK, **settings).fit(w4.loans, w4.loans["defaulted"]),
    }


def table_of(book, kind):
    """Return a model's rows and outcomes in a simulated book."""
    if kind is ACCEPTANCE:
        return book.quotes, book.quotes["accepted"]
    return book.loans, book.loans["defaulted"]


def quick(simulated, kind, **settings):
    defaults = {"rounds": 20, "patience": 20, "minimum_events": 1_000}
    return PriceResponseModel(simulated, kind, **(defaults | settings))


def log_loss(outcome, p):
    return -np.mean(np.where(outcome, np.log(p), np.log1p(-p)))


# The estimator


def test_settings_are_only_stored_and_survive_cloning(simulated):
    model = PriceResponseModel(simulated, RISK, seed=3, shrink=(5.0,), rounds=12)
    again = clone(model)
    assert again.get_params() == model.get_params()
    assert {f.name for f in fields(FitParams)} | {"portfolio", "model"} == set(model.get_params())
    assert again.set_params(rounds=1).rounds == 1
    assert not hasattr(again, "artefact_")


@BOTH
def test_probabilities_are_the_cores_at_the_terms_in_the_table(boosted, w4, kind):
    model, (frame, _) = boosted[kind], table_of(w4, kind)
    some = frame[:500]
    response = model.artefact_.response
    matrix = design_matrix(response.portfolio, columns_of(response.portfolio, some))
    coefficients = model.artefact_.coefficients(matrix)
    expected = response.probability(coefficients, quoted_terms(response.portfolio, some))
    found = model.predict_proba(some)
    np.testing.assert_array_equal(found[:, 1], expected)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_array_equal(model.predict(some), expected > 0.5)


def test_a_dearer_offer_is_never_likelier_taken_nor_safer(boosted, w4):
    some = w4.quotes[:2_000]
    dearer = some.assign(quoted_rate=some["quoted_rate"] + 0.02)
    for kind, sign in ((ACCEPTANCE, -1), (RISK, 1)):
        before, after = (boosted[kind].predict_proba(f)[:, 1] for f in (some, dearer))
        assert (sign * (after - before) > 0).all()


def test_the_control_term_is_left_out_of_a_quote(boosted, w4):
    some = w4.quotes[:500]
    a, b = some.assign(is_randomised=True), some.assign(list_rate=some["list_rate"] + 0.02)
    np.testing.assert_array_equal(*(boosted[ACCEPTANCE].predict_proba(f) for f in (a, b)))


@BOTH
def test_a_fit_is_the_same_to_the_bit_every_time(simulated, w1, tmp_path, kind):
    frame, outcome = table_of(w1, kind)
    files = []
    for name in ("first", "second"):
        model = quick(simulated, kind, guard="implied").fit(frame.copy(), outcome)
        model.artefact_.save(path := tmp_path / f"{name}.ubj")
        files.append(path.read_bytes())
    assert files[0] == files[1]


# What the trees add


def test_trees_find_what_the_linear_parts_miss(boosted, simulated, w4):
    fresh = simulate("W4", quotes=20_000, seed=9).quotes
    base = PriceResponseModel(simulated, ACCEPTANCE, rounds=0, minimum_events=1_000)
    base.fit(w4.quotes, w4.quotes["accepted"])
    losses = [
        log_loss(fresh["accepted"], m.predict_proba(fresh)[:, 1])
        for m in (base, boosted[ACCEPTANCE])
    ]
    assert boosted[ACCEPTANCE].evidence_["rounds"] > 30
    assert losses[1] < losses[0] - 0.001


def test_trees_bring_everyones_slope_nearer_to_the_truth(boosted, simulated, w4):
    some = simulate("W4", quotes=4_000, seed=9).quotes
    base = PriceResponseModel(simulated, ACCEPTANCE, rounds=0, minimum_events=1_000)
    base.fit(w4.quotes, w4.quotes["accepted"])

    def slope(p_accept):
        dear, cheap = (
            p_accept(some.assign(quoted_rate=some["list_rate"] + step)) for step in (0.02, -0.02)
        )
        return (np.log(dear / (1 - dear)) - np.log(cheap / (1 - cheap))) / 4

    def truly(frame):
        terms = Terms(
            principal=frame["principal"],
            term_months=frame["term_months"],
            nominal_rate=frame["quoted_rate"].to_numpy(),
        )
        return truth_at("W4", frame, terms).p_accept

    truth = slope(truly)
    off = [
        np.sqrt(np.mean((slope(lambda f, m=m: m.predict_proba(f)[:, 1]) - truth) ** 2))
        for m in (base, boosted[ACCEPTANCE])
    ]
    assert off[1] < 0.9 * off[0]


def test_where_the_truth_is_linear_few_trees_are_kept(simulated, w1):
    model = PriceResponseModel(simulated, RISK).fit(w1.loans, w1.loans["defaulted"])
    assert model.evidence_["rounds"] <= 14


def test_the_newest_rows_judge_the_trees(simulated, w1):
    evidence = quick(simulated, RISK).fit(w1.loans, w1.loans["defaulted"]).evidence_
    newest = w1.loans["period"] > w1.loans["period"].max() - 4
    assert evidence["holdout"]["rows"] == newest.sum()
    assert abs(evidence["holdout"]["gain"]) < evidence["holdout"]["base_log_loss"]


def test_a_book_judged_at_random_has_its_trees_judged_at_random_too(simulated, w1, monkeypatch):
    seen = []
    guarded = price_response.guarded
    monkeypatch.setattr(price_response, "guarded", lambda *a: seen.append(a[2]) or guarded(*a))
    book = replace(simulated, random_holdout=True)
    quick(book, RISK, rounds=1).fit(w1.loans, w1.loans["defaulted"])
    (held,) = seen
    assert held.sum() == round(0.2 * len(w1.loans))
    assert set(w1.loans["period"][held]) == set(w1.loans["period"])


def test_the_risk_slope_is_shown_with_its_prior(simulated, w1):
    evidence = quick(simulated, RISK).fit(w1.loans, w1.loans["defaulted"]).evidence_
    shown = evidence["price_slope_prior"]
    price = simulated.price
    assert (shown["mean"], shown["sd"]) == (price.risk_slope_mean, price.risk_slope_sd)
    assert shown["posterior"] == evidence["estimates"]["gap"]
    assert 0 < shown["standard_error"] < shown["sd"]
    assert (
        quick(simulated, ACCEPTANCE).fit(*table_of(w1, ACCEPTANCE)).evidence_["price_slope_prior"]
        == {}
    )


def test_the_risk_slope_has_no_trees(boosted):
    response = boosted[RISK].artefact_.response
    assert [response.heads[k].name for k in response.tree_heads] == ["base"]


def test_too_few_events_leave_the_slope_without_trees(simulated, w1):
    model = quick(simulated, ACCEPTANCE, minimum_events=10**9).fit(*table_of(w1, ACCEPTANCE))
    response = model.artefact_.response
    assert [response.heads[k].name for k in response.tree_heads] == ["base"]
    assert model.evidence_["slope_guard"] == {}


def test_a_handful_of_rows_is_fitted_without_trees(simulated, w1):
    some = w1.loans[:40].assign(defaulted=np.arange(40) == 0)
    model = quick(simulated, RISK).fit(some, some["defaulted"])
    assert model.evidence_["holdout"] == {}
    assert model.evidence_["rounds"] == 0
    assert np.isfinite(model.predict_proba(some)).all()


# The drift screen


@pytest.fixture(scope="module")
def drifting(w1):
    """Quotes whose last month shows other utilisations and other purposes than the first."""
    quotes = w1.quotes
    last = quotes["period"] == quotes["period"].max()
    moved = np.clip(quotes["utilisation"] + 40 * last, 0, 200)
    other = last & (quotes["quote_id"] % 2 == 0)
    return quotes.assign(utilisation=moved, purpose=quotes["purpose"].mask(other, "medical"))


def fit_quotes(simulated, quotes, scoring=None, **settings):
    return quick(simulated, ACCEPTANCE, **settings).fit(quotes, quotes["accepted"], scoring)


def test_a_steady_book_has_no_drifting_feature(simulated, w1):
    assert fit_quotes(simulated, w1.quotes).evidence_["drifting_features"] == {}


def test_a_drifting_column_stays_out_of_the_slope_and_is_named(simulated, drifting):
    model = fit_quotes(simulated, drifting, guard="implied")
    response, evidence = model.artefact_.response, model.evidence_
    assert {"utilisation", "purpose=medical"} <= set(evidence["drifting_features"])
    assert all(psi >= 0.25 for psi in evidence["drifting_features"].values())
    assert not {"utilisation", "purpose=medical"} & set(evidence["slope_modifiers"])
    weights = dict(zip(response.basis, response.linear[1, 1:], strict=True))
    assert all(w == 0 for c, w in weights.items() if c.feature in evidence["drifting_features"])
    assert any(w != 0 for c, w in weights.items() if c.feature == "fico")
    assert "utilisation" not in model.artefact_.booster.get_score()


def test_a_drifting_column_still_moves_the_base(simulated, drifting):
    response = fit_quotes(simulated, drifting, rounds=0).artefact_.response
    weights = dict(zip(response.basis, response.linear[0, 1:], strict=True))
    assert any(w != 0 for c, w in weights.items() if c.feature == "utilisation")


def test_a_higher_limit_lets_the_column_in(simulated, drifting):
    evidence = fit_quotes(simulated, drifting, rounds=0, drift_limit=10.0).evidence_
    assert evidence["drifting_features"] == {}
    assert "utilisation" in evidence["slope_modifiers"]


def test_a_column_that_differs_where_the_model_will_be_used_counts_as_drifting(simulated, w1):
    ahead = w1.quotes[:2_000].assign(fico=w1.quotes["fico"][:2_000] + 60)
    evidence = fit_quotes(simulated, w1.quotes, ahead, rounds=0).evidence_
    assert list(evidence["drifting_features"]) == ["fico"]
    assert "fico" not in evidence["slope_modifiers"]


# Calibration


def test_a_large_steady_book_is_not_recalibrated(boosted):
    evidence = boosted[ACCEPTANCE].evidence_
    assert evidence["rows"] >= boosted[ACCEPTANCE].calibrate_below
    assert evidence["calibration"] == {}
    assert boosted[ACCEPTANCE].artefact_.response.calibration == (0.0, 1.0)


def test_a_level_that_shifts_in_the_newest_months_is_recalibrated(simulated, w1):
    quotes = w1.quotes
    late = quotes["period"] > quotes["period"].max() - 4
    shifted = quotes["accepted"] & ~(late & (quotes["quote_id"] % 3 > 0))
    model = quick(simulated, ACCEPTANCE, rounds=0).fit(quotes, shifted)
    assert model.evidence_["calibration"]["applied"]
    newest = quotes[late]
    plain = replace(model.artefact_.response, calibration=(0.0, 1.0))
    matrix = design_matrix(simulated, columns_of(simulated, newest))
    terms = quoted_terms(simulated, newest)
    uncorrected = plain.probability(plain.coefficients(matrix), terms)
    corrected = model.predict_proba(newest)[:, 1]
    assert log_loss(shifted[late], corrected) < log_loss(shifted[late], uncorrected)
    whole = quick(simulated, ACCEPTANCE, rounds=0, calibrate_below=0).fit(quotes, shifted)
    assert whole.evidence_["calibration"] == {}


# Absent values


def kz_like_quotes(kz, rng, rows):
    """Return made-up offers of the book with optional fields; a bureau score in four is absent."""
    frame = pd.DataFrame({"quote_id": np.arange(rows)})
    for field in kz.features:
        if field.values:
            frame[field.name] = rng.choice(field.values, rows)
        else:
            frame[field.name] = rng.integers(20, 90, rows).astype(float)
    income = np.exp(rng.normal(8, 0.5, rows))
    score = np.where(rng.random(rows) < 0.25, np.nan, rng.normal(650, 60, rows))
    standard = np.array([7.75, 9.75, 11.75])[rng.integers(0, 3, rows)] / 100
    return frame.assign(
        gross_monthly_income=income,
        bureau_score=score,
        requested_principal=1_000.0,
        requested_term_months=4,
        principal=1_000.0,
        term_months=4,
        list_rate=standard,
        quoted_rate=standard - rng.uniform(0, 0.04, rows),
        is_randomised=True,
        accepted=rng.random(rows) < np.where(np.isnan(score), 0.3, 0.1),
        period=rng.integers(1, 3, rows),
        cost_of_funds=0.15,
    )


def test_a_missing_value_that_training_saw_moves_the_base_by_one_weight(kz):
    frame = kz_like_quotes(kz, np.random.default_rng(3), rows=2_000)
    settings = {"rounds": 0, "calibrate_below": 0, "drift_limit": 10.0}
    model = PriceResponseModel(kz, ACCEPTANCE, **settings).fit(frame, frame["accepted"])
    response = model.artefact_.response
    names = [(c.feature, c.kind) for c in response.basis]
    weight = response.linear[0, 1 + names.index(("bureau_score", "missing"))]
    mean = response.basis[names.index(("bureau_score", "z"))].mean
    known, absent = (
        response.coefficients(
            design_matrix(kz, columns_of(kz, frame[:20].assign(bureau_score=value)))
        )
        for value in (mean, np.nan)
    )
    np.testing.assert_allclose(absent[:, 0] - known[:, 0], weight, rtol=1e-9)
    np.testing.assert_array_equal(absent[:, 1:], known[:, 1:])


def test_no_slope_tree_splits_on_whether_a_value_is_missing(kz):
    frame = kz_like_quotes(kz, np.random.default_rng(3), rows=4_000)
    settings = {"minimum_events": 1, "guard": "implied", "rounds": 20, "patience": 20}
    model = PriceResponseModel(kz, ACCEPTANCE, drift_limit=10.0, **settings)
    model.fit(frame, frame["accepted"])
    response = model.artefact_.response
    absent, known = frame[:50].assign(bureau_score=np.nan), frame[:50].assign(bureau_score=650.0)
    slopes = [
        model.artefact_.coefficients(design_matrix(kz, columns_of(kz, f)))[:, 1]
        for f in (absent, known)
    ]
    np.testing.assert_array_equal(*slopes)
    assert "bureau_score" not in model.evidence_["slope_modifiers"]
    assert len(response.tree_heads) >= 1


# Terms and control


def test_the_terms_of_a_table_are_those_the_simulator_quoted(w1, simulated):
    terms = quoted_terms(simulated, w1.quotes)
    np.testing.assert_allclose(terms.benchmark, w1.truth["benchmark"], rtol=1e-12)
    np.testing.assert_allclose(
        terms.payment, monthly_payment(terms.principal, terms.quoted_rate, terms.term_months)
    )
    np.testing.assert_allclose(terms.monthly_income, w1.quotes["annual_income"] / 12)


def test_a_randomised_price_needs_no_control(simulated, w1):
    fully = w1.quotes.assign(is_randomised=True)
    assert "control" not in fit_quotes(simulated, fully, rounds=0).evidence_["estimates"]
    assert "control" in fit_quotes(simulated, w1.quotes, rounds=0).evidence_["estimates"]


# The artefact


@BOTH
def test_a_saved_model_is_the_fitted_one(boosted, simulated, w4, tmp_path, kind):
    model, (frame, _) = boosted[kind], table_of(w4, kind)
    model.artefact_.save(path := tmp_path / "model.ubj")
    loaded = load_artefact(path, kind, simulated)
    matrix = design_matrix(simulated, columns_of(simulated, frame[:1_000]))
    assert canonical_json(loaded.response.to_mapping()) == canonical_json(
        model.artefact_.response.to_mapping()
    )
    np.testing.assert_array_equal(loaded.coefficients(matrix), model.artefact_.coefficients(matrix))
    assert [p.name for p in tmp_path.iterdir()] == ["model.ubj"]


def test_a_model_without_trees_is_saved_and_adds_nothing(simulated, w1, tmp_path):
    model = quick(simulated, ACCEPTANCE, rounds=0).fit(*table_of(w1, ACCEPTANCE))
    model.artefact_.save(path := tmp_path / "model.ubj")
    artefact = load_artefact(path, ACCEPTANCE, simulated)
    matrix = design_matrix(simulated, columns_of(simulated, w1.quotes[:50]))
    rows = xgb.DMatrix(matrix.astype(np.float32), feature_names=list(artefact.response.features))
    raw = artefact.booster.predict(rows).reshape(len(matrix), -1)
    assert raw.shape == (50, len(artefact.response.tree_heads))
    assert not raw.any()
    np.testing.assert_array_equal(
        artefact.coefficients(matrix), artefact.response.coefficients(matrix)
    )
    assert artefact.booster.attr(SPEC_ATTRIBUTE) == canonical_json(artefact.response.to_mapping())
