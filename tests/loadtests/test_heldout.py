from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from finntelligence.features import application_columns, design_matrix
from finntelligence.market import Market
from finntelligence.offers import application
from finntelligence.optimiser import optimum
from finntelligence.policy import Policy
from finntelligence.portfolio import Capability
from loadtests.heldout import body_of, model_scores, outside_policy
from training.fitting.price_response import PriceResponseModel
from training.simulate import simulate
from training.stages import Paths
from training.tables import load_portfolio, write_table

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def book():
    return simulate("W1", quotes=6_000, seed=4)


@pytest.fixture(scope="module")
def artefacts(book):
    """Small fitted models of the simulated book, without trees."""
    portfolio = load_portfolio("simulated", ROOT)
    risk, acceptance = (
        PriceResponseModel(portfolio, model, minimum_events=500, rounds=0)
        for model in (Capability.RISK, Capability.ACCEPTANCE)
    )
    risk.fit(book.loans, book.loans["defaulted"])
    acceptance.fit(book.quotes, book.quotes["accepted"])
    return risk.artefact_, acceptance.artefact_


@pytest.fixture(scope="module")
def market(artefacts):
    risk, acceptance = (artefact.response for artefact in artefacts)
    policy = Policy.from_mapping(risk.portfolio)
    return Market(portfolio=risk.portfolio, policy=policy, risk=risk, acceptance=acceptance)


@pytest.fixture(scope="module")
def applicant(market):
    return application(market.portfolio, **market.portfolio.example)


@pytest.fixture(scope="module")
def offers(market, applicant):
    """What the engine offers, as an answer's JSON has it."""
    rows = design_matrix(market.portfolio, application_columns(applicant))
    pair = (model.coefficients(rows)[0] for model in (market.risk, market.acceptance))
    found = [asdict(offer) for offer in optimum(applicant, market, *pair).offers]
    assert found
    return found


def test_nothing_is_wrong_with_what_the_engine_offers(offers, applicant, market):
    assert [outside_policy(offer, applicant, market) for offer in offers] == [[]] * len(offers)


@pytest.mark.parametrize(
    ("planted", "named"),
    [
        ({"term_months": 30}, ["term"]),
        ({"principal": 11_950.0}, ["principal"]),
        ({"quoted_rate": 0.0499}, ["rate", "trust region"]),
        ({"quoted_rate": 0.4599}, ["rate", "trust region"]),
        ({"quoted_rate": 0.17005}, ["tick"]),
        ({"quoted_rate": 0.2999}, ["trust region"]),
        ({"apr": 0.3601}, ["APR cap"]),
        ({"monthly_payment": 2_000.0}, ["PTI"]),
        ({"pd_lifetime": 0.61}, ["PD cut-off"]),
        ({"expected_profit": 0.0}, ["profit"]),
        ({"expected_profit": -1.0}, ["profit"]),
        ({"expected_profit": float("nan")}, ["profit"]),
        ({"pd_lifetime": 0.7, "apr": 0.5}, ["APR cap", "PD cut-off"]),
    ],
)
def test_each_planted_fault_is_named(offers, applicant, market, planted, named):
    sound = offers[0] | {"term_months": 36, "quoted_rate": 0.17}
    assert outside_policy(sound | {"quoted_rate": 0.1699}, applicant, market) == []
    assert outside_policy(offers[0] | planted, applicant, market) == named


def test_a_payment_that_existing_debts_forbid_is_named(offers, applicant, market):
    indebted = replace(applicant, features=applicant.features | {"dti": 50.0})
    payment = 0.2 * applicant.features["annual_income"] / 12  # below pti_cap, and 0.7 in all
    assert outside_policy(offers[0] | {"monthly_payment": payment}, indebted, market)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"apr_cap": None}, {"apr": 9.0}),
        ({"pti_cap": None, "dti_cap": None}, {"monthly_payment": 5_000.0}),
        ({"pd_cutoff": None}, {"pd_lifetime": 0.99}),
    ],
)
def test_a_cap_that_does_not_apply_is_no_fault(offers, applicant, market, change, fault):
    free = replace(market, policy=replace(market.policy, **change))
    assert outside_policy(offers[0] | fault, applicant, free) == []


def test_an_unknown_income_is_no_fault(offers, applicant, market):
    unknown = replace(applicant, features=applicant.features | {"annual_income": None})
    assert outside_policy(offers[0], unknown, market) == []


def test_absent_values_are_left_out_of_the_request(applicant):
    sparse = replace(applicant, features=applicant.features | {"dti": None})
    body = body_of(sparse)
    assert "dti" not in body["features"]
    assert body["requested_principal"] == applicant.requested_principal
    assert body["requested_term_months"] == applicant.requested_term_months
    assert len(body["features"]) == len(applicant.features) - 1
    assert all(np.isscalar(value) for value in body["features"].values())


# What both models score on the applicants asked about


@pytest.fixture
def paths(tmp_path, monkeypatch, artefacts, book):
    """A project that holds the two models, and the book both as training and as held-out part."""
    monkeypatch.chdir(ROOT)  # the parameters are the project's own
    found = Paths("simulated", tmp_path)
    for artefact in artefacts:
        artefact.save(found.model(artefact.response.model))
    for part in ("train", "holdout"):
        for name in ("quotes", "loans"):
            write_table(getattr(book, name), found.processed / part / f"{name}.parquet")
    return found


def rows_of(table):
    """Return the cells of a table of the terminal, row by row."""
    return list(zip(*(column.cells for column in table.columns), strict=True))


def test_both_models_are_scored_on_the_applicants_and_on_those_who_took_the_loan(
    paths, market, book
):
    chosen = book.quotes[:2_000]
    risk, acceptance = rows_of(model_scores(market.portfolio, paths, chosen))
    assert (risk[0], acceptance[0]) == ("risk", "acceptance")
    assert acceptance[1:3] == ("2000", str(chosen["accepted"].sum()))
    assert risk[1] == acceptance[2]


@pytest.mark.parametrize(
    "taken",
    [True, False],
)
def test_a_handful_of_applicants_is_scored_as_far_as_they_go(paths, market, book, taken):
    chosen = book.quotes[book.quotes["accepted"] == taken][:3]
    risk, acceptance = rows_of(model_scores(market.portfolio, paths, chosen))
    assert acceptance[1:4] == ("3", "3" if taken else "0", "none")
    assert risk[1] == ("3" if taken else "0")
