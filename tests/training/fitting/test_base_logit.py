import os
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from finntelligence.declaration import canonical_json
from finntelligence.features import design_matrix
from finntelligence.portfolio import Capability
from finntelligence.response import unsupported
from training.fitting.base_logit import ridge_logit
from training.fitting.price_response import PriceResponseModel, columns_of, quoted_terms
from training.simulate import simulate
from training.simulator.truth import truth_at
from training.simulator.worlds import Terms

ACCEPTANCE, RISK = Capability.ACCEPTANCE, Capability.RISK
NEVER = 10**9  # events that no book has: the slope stays one constant


@pytest.fixture(scope="module")
def w1():
    return simulate("W1", quotes=30_000, seed=1)


@pytest.fixture(scope="module")
def fitted(simulated):
    """A function: the base alone of quotes, by default with one slope for everybody."""

    def fit_quotes(quotes, minimum_events=NEVER, **settings):
        model = PriceResponseModel(
            simulated, ACCEPTANCE, rounds=0, minimum_events=minimum_events, **settings
        )
        return model.fit(quotes, quotes["accepted"]).artefact_.response

    return fit_quotes


@pytest.fixture(scope="module")
def fitted_risk(simulated):
    def fit_loans(loans, **settings):
        model = PriceResponseModel(simulated, RISK, rounds=0, **settings)
        return model.fit(loans, loans["defaulted"]).artefact_.response

    return fit_loans


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
def test_the_price_slope_is_that_of_the_randomised_arm_but_for_chance(fitted, seed):
    """Of an estimate and that of a part of its rows, the variances differ by the difference's."""
    quotes = simulate("W1", quotes=30_000, seed=seed).quotes
    slope, error = slope_of(fitted(quotes))
    tested, its_error = slope_of(fitted(quotes[quotes["is_randomised"]]))
    assert abs(slope - tested) < 1.96 * np.sqrt(its_error**2 - error**2)


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


def test_the_risk_models_slope_never_varies(fitted_risk, w1):
    response = fitted_risk(w1.loans, minimum_events=1)
    assert not np.any(response.linear[position(response, "gap"), 1:])


def test_the_risk_slope_is_its_prior_when_loans_are_few(simulated, fitted_risk, w1):
    price = simulated.price
    few, many = fitted_risk(w1.loans[:150]), fitted_risk(w1.loans)
    slope, error = slope_of(few)
    assert slope == pytest.approx(price.risk_slope_mean, abs=0.3 * price.risk_slope_sd)
    assert error == pytest.approx(price.risk_slope_sd, rel=0.05)
    _, less = slope_of(many)
    assert less < 0.95 * error


@pytest.mark.parametrize(("model", "table", "target"), [
    (ACCEPTANCE, "quotes", "accepted"),
    (RISK, "loans", "defaulted"),
])  # fmt: skip
def test_every_applicants_slope_keeps_its_heads_sign(simulated, w1, model, table, target):
    frame = getattr(w1, table)
    loose = PriceResponseModel(simulated, model, rounds=0, minimum_events=1_000, slope_ridge=0.01)
    response = loose.fit(frame, frame[target]).artefact_.response
    found = coefficients_of(response, frame)
    for k, head in enumerate(response.heads):
        if head.sign:
            assert (head.sign * found[:, k] >= head.floor).all(), head.name


def test_one_modifier_alone_leaves_the_slopes_intercept_in_place(fitted, w1, monkeypatch):
    def fico_alone(columns, *_):
        return tuple(j for j, c in enumerate(columns) if (c.feature, c.kind) == ("fico", "z"))

    monkeypatch.setattr("training.fitting.price_response.slope_modifiers", fico_alone)
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


# The same numbers every time


@pytest.mark.skipif(os.cpu_count() < 2, reason="one core cannot run two threads")
def test_a_base_does_not_depend_on_the_number_of_cores(fitted, w1):
    specifications = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            specifications.append(canonical_json(fitted(w1.quotes[:5_000]).to_mapping()))
    assert specifications[0] == specifications[1]


def test_the_order_of_rows_does_not_matter(fitted, w1):
    first = fitted(w1.quotes)
    shuffled = fitted(w1.quotes.sample(frac=1, random_state=0))
    np.testing.assert_allclose(first.linear, shuffled.linear, atol=1e-8)


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
    ours, _ = ridge_logit(design, outcome, np.full(6, penalty), np.zeros(6))
    np.testing.assert_allclose(ours, theirs.coef_[0], atol=1e-6)


def test_at_the_optimum_data_and_prior_pull_equally(small_problem):
    design, outcome = small_problem
    penalty = np.array([1e-6, 1.0, 1e4, 300.0, 1e-6, 1.0])
    prior = np.array([0.0, 0.0, 0.015, 0.2, 0.0, -1.0])
    weights, covariance = ridge_logit(design, outcome, penalty, prior)
    p = 1 / (1 + np.exp(-design @ weights))
    np.testing.assert_allclose(design.T @ (outcome - p), penalty * (weights - prior), atol=1e-7)
    curvature = (design * (p * (1 - p))[:, None]).T @ design + np.diag(penalty)
    np.testing.assert_allclose(covariance @ curvature, np.eye(6), atol=1e-6)
    assert weights[2] == pytest.approx(0.015, abs=0.01)


def test_outcomes_that_separate_leave_finite_weights(small_problem):
    design, _ = small_problem
    outcome = (design[:, 1] > 0).astype(float)
    weights, covariance = ridge_logit(design, outcome, np.ones(6), np.zeros(6))
    p = 1 / (1 + np.exp(-design @ weights))
    np.testing.assert_allclose(design.T @ (outcome - p), weights, atol=1e-7)
    assert np.isfinite(covariance).all()


def test_a_start_far_from_the_optimum_still_finds_it(small_problem):
    design, outcome = small_problem
    free = np.full(6, 1e-6)
    near, _ = ridge_logit(design, outcome, free, np.zeros(6))
    far, _ = ridge_logit(design, outcome, free, np.array([4.0, -6.0, 5.0, 5.0, -5.0, 5.0]))
    np.testing.assert_allclose(far, near, atol=1e-4)
