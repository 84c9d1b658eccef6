import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from finntelligence.cashflow import monthly_payment
from finntelligence.declaration import canonical_json
from finntelligence.features import design_matrix
from finntelligence.portfolio import Capability
from finntelligence.response import SPEC_ATTRIBUTE, unsupported
from training import price_response
from training.artefact import load_artefact
from training.price_response import booster_of, columns_of, fit, quoted_terms
from training.simulate import simulate
from training.truth import truth_at
from training.worlds import Terms

ACCEPTANCE, RISK = Capability.ACCEPTANCE, Capability.RISK
NEVER = 10**9  # events that no book has: the slope stays one constant


@pytest.fixture(scope="module")
def w1():
    return simulate("W1", quotes=30_000, seed=1)


@pytest.fixture(scope="module")
def fitted(simulated, fit_params):
    """A function: the acceptance model of quotes, by default with one slope for everybody."""

    def fit_quotes(quotes, minimum_events=NEVER, **changes):
        params = replace(fit_params, minimum_events=minimum_events, **changes)
        return fit(ACCEPTANCE, simulated, quotes, "accepted", params)

    return fit_quotes


def slope_of(response):
    """Return the price slope and its standard error, as the evidence has them."""
    return (response.evidence[key]["gap"] for key in ("estimates", "standard_errors"))


def position(response, head):
    return [h.name for h in response.heads].index(head)


def coefficients_of(response, frame):
    return response.coefficients(
        design_matrix(response.portfolio, columns_of(response.portfolio, frame))
    )


def logit(p):
    return np.log(p / (1 - p))


# The price slope


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_price_slopes_interval_covers_that_of_the_randomised_arm(fitted, seed):
    quotes = simulate("W1", quotes=30_000, seed=seed).quotes
    slope, error = slope_of(fitted(quotes))
    tested, _ = slope_of(fitted(quotes[quotes["is_randomised"]]))
    assert abs(slope - tested) < 1.96 * error


def test_without_the_control_term_what_staff_knew_flattens_the_slope(fitted, w1):
    slope, error = slope_of(fitted(w1.quotes))
    blind, _ = slope_of(fitted(w1.quotes.assign(is_randomised=True)))
    assert blind > slope + 5 * error


def test_the_mean_price_response_is_that_of_the_truth(fitted, w1):
    response = fitted(w1.quotes, minimum_events=1_000)
    some = w1.quotes[:3_000]

    def truly_accepted(shift):
        rate = some["list_rate"] + shift
        asked = some["requested_principal"], some["requested_term_months"]
        terms = Terms(principal=asked[0], term_months=asked[1], nominal_rate=rate.to_numpy())
        return truth_at("W1", some, terms).p_accept

    truth = np.mean(logit(truly_accepted(0.05)) - logit(truly_accepted(-0.05))) / 10
    learned = coefficients_of(response, some)[:, position(response, "gap")]
    assert np.mean(learned) == pytest.approx(truth, rel=0.1)


def test_those_who_truly_mind_the_price_more_are_seen_to(fitted, w1):
    response = fitted(w1.quotes, minimum_events=1_000)
    slopes = coefficients_of(response, w1.quotes)[:, position(response, "gap")]
    credit = np.clip((w1.quotes["fico"] - 700) / 50, -2, 2)
    size = np.log(w1.quotes["requested_principal"] / 12_500)
    assert np.corrcoef(-slopes, np.exp(0.2 * credit + 0.2 * size))[0, 1] > 0.8


def test_too_few_events_give_everybody_one_slope(fitted, w1):
    events = int(w1.quotes["accepted"].sum())
    for enough in (True, False):
        response = fitted(w1.quotes, minimum_events=events + (not enough))
        weights = response.linear[position(response, "gap"), 1:]
        assert bool(np.any(weights)) == enough
        assert bool(response.evidence["slope_modifiers"]) == enough


def test_the_risk_models_slope_never_varies(simulated, fit_params, w1):
    response = fit(RISK, simulated, w1.loans, "defaulted", replace(fit_params, minimum_events=1))
    assert not np.any(response.linear[position(response, "gap"), 1:])


def test_the_risk_slope_is_its_prior_when_loans_are_few(simulated, fit_params, w1):
    price = simulated.price
    few, many = (
        fit(RISK, simulated, loans, "defaulted", fit_params) for loans in (w1.loans[:150], w1.loans)
    )
    slope, error = slope_of(few)
    assert slope == pytest.approx(price.risk_slope_mean, abs=0.3 * price.risk_slope_sd)
    assert error == pytest.approx(price.risk_slope_sd, rel=0.05)
    _, less = slope_of(many)
    assert less < 0.95 * error


@pytest.mark.parametrize(("model", "table", "target"), [
    (ACCEPTANCE, "quotes", "accepted"),
    (RISK, "loans", "defaulted"),
])  # fmt: skip
def test_every_applicants_slope_keeps_its_heads_sign(
    simulated, fit_params, w1, model, table, target
):
    frame = getattr(w1, table)
    response = fit(model, simulated, frame, target, replace(fit_params, slope_ridge=0.01))
    found = coefficients_of(response, frame)
    for k, head in enumerate(response.heads):
        if head.sign:
            assert (head.sign * found[:, k] >= head.floor).all(), head.name


def test_one_modifier_alone_leaves_the_slopes_intercept_in_place(
    fitted, w1, simulated, monkeypatch
):
    columns = price_response._basis_columns(
        simulated, design_matrix(simulated, columns_of(simulated, w1.quotes))
    )
    fico = [j for j, c in enumerate(columns) if (c.feature, c.kind) == ("fico", "z")]
    monkeypatch.setattr(price_response, "_modifiers", lambda *_: tuple(fico))
    response = fitted(w1.quotes, minimum_events=1)
    slopes = coefficients_of(response, w1.quotes)[:, position(response, "gap")]
    assert np.mean(slopes) == pytest.approx(response.evidence["estimates"]["gap"], rel=0.05)


# The hinge at the benchmark


def test_straight_demand_gets_no_kink(fitted, w1):
    response = fitted(w1.quotes, minimum_events=1_000)
    assert "gap_hinge" not in [h.name for h in response.heads]
    assert response.evidence["hinge_wald_z"] > -3


def test_kinked_demand_gets_its_kink_and_still_falls_with_the_price(fitted):
    quotes = simulate("W2", quotes=60_000, seed=2).quotes
    response = fitted(quotes, minimum_events=1_000)
    gap, hinge = position(response, "gap"), position(response, "gap_hinge")
    assert response.evidence["hinge_wald_z"] < -3
    found = coefficients_of(response, quotes)
    floor = response.heads[gap].floor
    assert (found[:, gap] + found[:, hinge] <= -floor).all()
    assert np.mean(found[:, hinge]) < -0.05


def test_a_limit_that_no_kink_reaches_keeps_it_out(fitted):
    quotes = simulate("W2", quotes=60_000, seed=2).quotes
    response = fitted(quotes, minimum_events=1_000, hinge_z=-100)
    assert "gap_hinge" not in [h.name for h in response.heads]


# The drift screen


@pytest.fixture(scope="module")
def drifting(w1):
    """Quotes whose last month shows other utilisations and other purposes than the first."""
    quotes = w1.quotes
    last = quotes["period"] == quotes["period"].max()
    moved = np.clip(quotes["utilisation"] + 40 * last, 0, 200)
    other = last & (quotes["quote_id"] % 2 == 0)
    return quotes.assign(utilisation=moved, purpose=quotes["purpose"].mask(other, "medical"))


def test_a_steady_book_has_no_drifting_feature(fitted, w1):
    assert fitted(w1.quotes).evidence["drifting_features"] == []


def test_a_drifting_column_stays_out_of_the_slope_and_is_reported(fitted, drifting):
    response = fitted(drifting, minimum_events=1_000)
    reported = response.evidence["drifting_features"]
    assert {"utilisation", "purpose=medical"} <= set(reported)
    assert not {"utilisation", "purpose=medical"} & set(response.evidence["slope_modifiers"])
    weights = dict(zip(response.basis, response.linear[position(response, "gap"), 1:], strict=True))
    assert all(w == 0 for c, w in weights.items() if c.feature in reported)
    assert any(w != 0 for c, w in weights.items() if c.feature == "fico")


def test_a_drifting_column_still_moves_the_base(fitted, drifting):
    response = fitted(drifting, minimum_events=1_000)
    weights = dict(zip(response.basis, response.linear[0, 1:], strict=True))
    assert any(w != 0 for c, w in weights.items() if c.feature == "utilisation")


def test_a_higher_limit_lets_the_column_in(fitted, drifting):
    evidence = fitted(drifting, minimum_events=1_000, drift_limit=10).evidence
    assert evidence["drifting_features"] == []
    assert "utilisation" in evidence["slope_modifiers"]


@pytest.mark.parametrize(
    "before",
    [
        0.97,
        0.92,
        *(0.6, 0.3, 0.05),
    ],
)
def test_a_flag_whose_share_moves_by_a_third_drifts(before):
    rows = np.arange(10_000) / 10_000
    after = before - 1 / 3 if before > 0.5 else before + 1 / 3
    shift = price_response._stability((rows < before) * 1.0, (rows < after) * 1.0)
    assert shift > 0.25


def test_values_that_go_missing_are_drift():
    values = np.random.default_rng(0).normal(size=5_000)
    gone = np.where(np.arange(5_000) % 3 == 0, np.nan, values)
    assert price_response._stability(values, values) == 0
    assert price_response._stability(values, gone) > 0.25
    assert price_response._stability(np.full(10, np.nan), np.full(10, np.nan)) == 0


# What the data never varied


def test_terms_that_nobody_was_offered_are_marked_as_guesses(fitted, w1, simulated):
    as_asked = w1.quotes.assign(
        principal=w1.quotes["requested_principal"], term_months=w1.quotes["requested_term_months"]
    )
    response = fitted(as_asked)
    marked = {h.name for h in response.heads if not h.supported}
    assert marked == {"term_change", "shortfall", "excess"}
    asked = quoted_terms(simulated, as_asked)
    assert not unsupported(response, asked).any()
    assert unsupported(response, replace(asked, principal=0.5 * asked.principal)).all()
    assert unsupported(response, replace(asked, principal=1.5 * asked.principal)).all()
    assert unsupported(response, replace(asked, term_months=asked.term_months + 12)).all()


def test_terms_that_were_tried_are_no_guesses(fitted, w1, simulated):
    response = fitted(w1.quotes)
    assert all(h.supported for h in response.heads)
    assert not unsupported(response, quoted_terms(simulated, w1.quotes)).any()


# Numbers into the basis


def test_a_value_far_outside_scores_as_the_edge_of_the_known(fitted, w1):
    response = fitted(w1.quotes)
    edge = next(c.high for c in response.basis if c.feature == "dti" and c.kind == "z")
    some = w1.quotes[:50]
    np.testing.assert_array_equal(
        *(coefficients_of(response, some.assign(dti=dti)) for dti in (edge, 99.0))
    )


def test_a_missing_value_scores_as_the_mean(fitted, w1):
    response = fitted(w1.quotes)
    mean = next(c.mean for c in response.basis if c.feature == "dti" and c.kind == "z")
    some = w1.quotes[:50]
    np.testing.assert_allclose(
        *(coefficients_of(response, some.assign(dti=dti)) for dti in (mean, np.nan)), rtol=1e-12
    )


def test_a_missing_value_that_training_saw_moves_the_base_by_one_weight(kz, fit_params):
    rng = np.random.default_rng(3)
    frame = kz_like_quotes(kz, rng, rows=2_000)
    response = fit(ACCEPTANCE, kz, frame, "accepted", fit_params)
    names = [(c.feature, c.kind) for c in response.basis]
    weight = response.linear[0, 1 + names.index(("bureau_score", "missing"))]
    mean = response.basis[names.index(("bureau_score", "z"))].mean
    known, absent = (
        coefficients_of(response, frame[:20].assign(bureau_score=value)) for value in (mean, np.nan)
    )
    np.testing.assert_allclose(absent[:, 0] - known[:, 0], weight, rtol=1e-9)
    np.testing.assert_array_equal(absent[:, 1:], known[:, 1:])


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


@pytest.mark.parametrize(
    "value",
    [7.0, 0.1, 1 / 3],
)
def test_a_column_that_never_varies_is_left_out(value):
    assert price_response._z_column("dti", np.full(1_000, value), log=False) is None


def test_a_column_that_nobody_filled_is_left_out():
    assert price_response._z_column("dti", np.full(10, np.nan), log=False) is None


def test_a_logged_column_with_zeros_stays_finite():
    column = np.concatenate([np.zeros(50), np.random.default_rng(0).lognormal(8, 1, 500)])
    z = price_response._z_column("income", column, log=True)
    assert np.isfinite(z.values(column)).all()


def test_the_terms_of_a_table_are_those_the_simulator_quoted(w1, simulated):
    terms = quoted_terms(simulated, w1.quotes)
    np.testing.assert_allclose(terms.benchmark, w1.truth["benchmark"], rtol=1e-12)
    np.testing.assert_allclose(
        terms.payment, monthly_payment(terms.principal, terms.quoted_rate, terms.term_months)
    )
    np.testing.assert_allclose(terms.monthly_income, w1.quotes["annual_income"] / 12)


# The ridge logit


@pytest.fixture(scope="module")
def small_problem():
    """A design of 400 rows and 6 columns, and outcomes drawn from a logit in it."""
    rng = np.random.default_rng(4)
    design = np.concatenate([np.ones((400, 1)), rng.normal(size=(400, 5))], axis=1)
    weights = np.array([-1.0, 0.8, 0.0, -0.5, 0.3, 0.0])
    return design, (rng.logistic(size=400) < design @ weights).astype(float)


@pytest.mark.parametrize("penalty", [0.01, 1.0, 300.0])
def test_the_ridge_logit_is_scikit_learns(small_problem, penalty):
    design, outcome = small_problem
    theirs = LogisticRegression(C=1 / penalty, fit_intercept=False, tol=1e-10, max_iter=10_000)
    theirs.fit(design, outcome)
    ours, _ = price_response._ridge_logit(design, outcome, np.full(6, penalty), np.zeros(6))
    np.testing.assert_allclose(ours, theirs.coef_[0], atol=1e-6)


def test_at_the_optimum_data_and_prior_pull_equally(small_problem):
    design, outcome = small_problem
    penalty = np.array([1e-6, 1.0, 1e4, 300.0, 1e-6, 1.0])
    prior = np.array([0.0, 0.0, 0.015, 0.2, 0.0, -1.0])
    weights, covariance = price_response._ridge_logit(design, outcome, penalty, prior)
    p = 1 / (1 + np.exp(-design @ weights))
    np.testing.assert_allclose(design.T @ (outcome - p), penalty * (weights - prior), atol=1e-7)
    curvature = (design * (p * (1 - p))[:, None]).T @ design + np.diag(penalty)
    np.testing.assert_allclose(covariance @ curvature, np.eye(6), atol=1e-6)
    assert weights[2] == pytest.approx(0.015, abs=0.01)


def test_outcomes_that_separate_leave_finite_weights(small_problem):
    design, _ = small_problem
    outcome = (design[:, 1] > 0).astype(float)
    weights, covariance = price_response._ridge_logit(design, outcome, np.ones(6), np.zeros(6))
    p = 1 / (1 + np.exp(-design @ weights))
    np.testing.assert_allclose(design.T @ (outcome - p), weights, atol=1e-7)
    assert np.isfinite(covariance).all()


# The artefact


def test_a_fit_is_the_same_to_the_bit_every_time(fitted, w1, tmp_path):
    files = []
    for name in ("first", "second"):
        response = fitted(w1.quotes.copy(), minimum_events=1_000)
        matrix = design_matrix(response.portfolio, columns_of(response.portfolio, w1.quotes[:1]))
        path = tmp_path / f"{name}.ubj"
        booster_of(response, matrix, seed=7).save_model(path)
        files.append(path.read_bytes())
    assert files[0] == files[1]


@pytest.mark.skipif(os.cpu_count() < 2, reason="one core cannot run two threads")
def test_a_fit_does_not_depend_on_the_number_of_cores(fitted, w1):
    specifications = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            specifications.append(canonical_json(fitted(w1.quotes[:5_000]).to_mapping()))
    assert specifications[0] == specifications[1]


def test_the_order_of_rows_does_not_matter(fitted, w1):
    first = fitted(w1.quotes)
    shuffled = fitted(w1.quotes.sample(frac=1, random_state=0))
    np.testing.assert_allclose(first.linear, shuffled.linear, atol=1e-8)


@pytest.fixture(scope="module", params=[ACCEPTANCE, RISK])
def some_fit(request, simulated, fit_params, w1):
    """One model of either kind, and the design matrix it was fitted on."""
    frame, target = {
        ACCEPTANCE: (w1.quotes, "accepted"),
        RISK: (w1.loans, "defaulted"),
    }[request.param]
    matrix = design_matrix(simulated, columns_of(simulated, frame[:3_000]))
    return fit(request.param, simulated, frame[:3_000], target, fit_params), matrix


def test_a_saved_booster_brings_its_specification_back_and_adds_nothing(
    simulated, some_fit, tmp_path
):
    response, matrix = some_fit
    booster_of(response, matrix[:5], seed=7).save_model(path := tmp_path / "model.ubj")
    artefact = load_artefact(path, response.model, simulated)
    assert artefact.response.to_mapping() == response.to_mapping()
    assert artefact.booster.attr(SPEC_ATTRIBUTE) == canonical_json(response.to_mapping())
    rows = xgb.DMatrix(matrix.astype(np.float32), feature_names=list(response.features))
    raw = artefact.booster.predict(rows).reshape(len(matrix), -1)
    assert raw.shape == (len(matrix), len(response.tree_heads))
    assert not raw.any()
    np.testing.assert_array_equal(artefact.coefficients(matrix), response.coefficients(matrix))
