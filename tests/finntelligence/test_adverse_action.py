import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from finntelligence.adverse_action import LEAST_EFFECT, reasons
from finntelligence.counter_offer import alternatives, counter_offer
from finntelligence.decision import decide
from finntelligence.explain import (
    Attribution,
    attribution,
    cell_terms,
    nearest_cell,
    reference,
)
from finntelligence.features import application_columns, design_matrix
from finntelligence.market import Market
from finntelligence.offers import Application
from finntelligence.optimiser import Optimum, optimum
from finntelligence.rules import RULES
from finntelligence.shadow_prices import ShadowPrices

VAGUE = re.compile(
    r"\bpolic|not profitable|internal standard|\bscore\b|"
    r"expected (credit )?loss|probability|return on capital",
    re.IGNORECASE,
)
ECONOMIC = {"PD_CUTOFF", "RAROC", "EXPECTED_LOSS", "PRICE_RANGE"}
SPEAKING = {rule.code for rule in RULES} - ECONOMIC
NO_FACTOR = {"SMALL_AMOUNT", "REQUESTED_TERMS"}

HARSH = (
    {},
    {"pd_cutoff": 0.1},
    {"minimum_raroc": 0.6},
    {"economics": {"acquisition_cost": 600}},
    {"economics": {"cost_of_funds": 0.3}},
    {"pti_cap": 0.04, "pd_cutoff": 0.15},
    {"minimum_rate": 0.2, "maximum_rate": 0.2001},
    {"pd_cutoff": 0.0001},
)


OFFERED = {
    "REQUESTED_PRINCIPAL": ("requested_principal", "offer=principal"),
    "REQUESTED_TERM": ("requested_term_months", "offer=term"),
    "PAYMENT": ("offer=payment",),
    "PRICE": ("offer=price",),
}


class Declined(NamedTuple):
    """One declined applicant, why, and the parts of the risk at what was asked for."""

    application: Application
    market: Market
    score: Callable
    reasons: tuple
    attribution: Attribution


def scored(market, risk):
    """Return what scores applications with both models, as one batch."""

    def score(applied):
        rows = [design_matrix(market.portfolio, application_columns(each)) for each in applied]
        matrix = np.concatenate(rows)
        return risk.coefficients(matrix), market.acceptance.coefficients(matrix)

    return score


def declined_of(applied, market, risk):
    """Return the decline of an application, or None where it has offers."""
    score = scored(market, risk)
    pair = tuple(rows[0] for rows in score([applied]))
    found = optimum(applied, market, *pair)
    if found.offers:
        return None
    row = design_matrix(market.portfolio, application_columns(applied))
    (parts,) = risk.contributions(row)
    asked = applied.requested_principal, applied.requested_term_months
    cell = nearest_cell(applied, market, pair, *asked)
    assert found.nearest == cell
    lowest = np.array([min(cell.first, len(market.policy.ticks()) - 1)])
    terms = cell_terms(applied, market, cell, lowest)
    told = decide(applied, market, pair, {}, found, parts).reasons
    return Declined(applied, market, score, told, attribution(market.risk, parts, pair[0], terms))


@pytest.fixture(scope="module", params=["linear", "trees"])
def declined(request, book, usual, models, forest):
    """125 declined applicants of each book and form, under every kind of harsh policy."""
    grown = forest(models(book)[0]) if request.param == "trees" else None
    found, seed = [], 0
    while len(found) < 125:
        applied, market, *_ = usual(book, seed, {"tick": 0.001} | HARSH[seed % len(HARSH)])
        decline = declined_of(applied, market, grown or market.risk)
        found += [decline] if decline else []
        seed += 1
    return found


def test_every_decline_has_one_to_four_specific_reasons_with_their_source(declined, book):
    fields = {f"FIELD:{field.name}": field.reason for field in book.features}
    for decline in declined:
        assert 1 <= len(decline.reasons) <= 4
        for reason in decline.reasons:
            assert reason.code in {*SPEAKING, *fields, *OFFERED, *NO_FACTOR}
            assert not VAGUE.search(reason.text), reason.text
            assert reason.text == fields.get(reason.code, reason.text)
            assert reason.source.startswith("12 CFR 1002.9(b)(2)")
        assert len({reason.text for reason in decline.reasons}) == len(decline.reasons)
        rules = [reason.code in SPEAKING for reason in decline.reasons]
        assert rules == sorted(rules, reverse=True)  # they come first


def test_rules_fields_and_requests_are_all_among_the_reasons(declined):
    codes = {reason.code for decline in declined for reason in decline.reasons}
    assert codes & SPEAKING
    assert codes & set(OFFERED)
    assert any(code.startswith("FIELD:") for code in codes)


def test_the_logit_behind_every_decline_is_the_sum_of_its_parts(declined):
    for parts in (decline.attribution for decline in declined):
        assert sum(parts.groups.values()) + parts.floor == pytest.approx(parts.logit, abs=1e-5)


def test_every_factor_told_raises_the_risk_above_the_approved_mean_strongest_first(declined):
    for decline in declined:
        parts, approved = decline.attribution.groups, reference(decline.market.risk)
        factors = [r.code for r in decline.reasons if r.code not in SPEAKING | NO_FACTOR]
        groups = [OFFERED.get(code, (code.removeprefix("FIELD:"),)) for code in factors]
        pushed = [sum(parts[name] - approved[name] for name in names) for names in groups]
        assert all(push > LEAST_EFFECT for push in pushed)
        assert pushed == sorted(pushed, reverse=True)


def test_every_counter_offer_is_approved_when_asked_for(declined):
    approved = 0
    for applied, market, score, *_ in declined:
        others = alternatives(applied, market.portfolio, market.policy, most=24)
        counter = counter_offer(others, market, *score(others)) if others else None
        if counter is not None:
            again = replace(
                applied,
                requested_principal=counter.requested_principal,
                requested_term_months=counter.requested_term_months,
            )
            found = optimum(again, market, *(rows[0] for rows in score([again])))
            assert found.offers[0] == counter.offer
            approved += 1
    assert approved > 10


def reasons_for(asked):
    """Return the reasons for a decline."""
    applied, market, *pair = asked.all
    row = design_matrix(market.portfolio, application_columns(applied))
    parts = market.risk.contributions(row)[0]
    return decide(applied, market, tuple(pair), {}, optimum(*asked.all), parts).reasons


def told_of(asked):
    """Return the codes of the reasons for a decline."""
    return [reason.code for reason in reasons_for(asked)]


@pytest.mark.parametrize(
    ("code", "changes", "features"),
    [
        ("PTI", {}, {"annual_income": 0}),
        ("DTI", {"pti_cap": None}, {"annual_income": 0}),
        ("DTI", {}, {"dti": 100}),
        ("APR_CAP", {"apr_cap": 0.05}, {}),
    ],
)
def test_where_only_a_rule_about_the_payment_failed_no_factor_is_told(
    simulated, ask, code, changes, features
):
    worse = {"fico": 450, "home": "rent"} | features
    assert told_of(ask(simulated, changes, worse)) == [code]


@pytest.mark.parametrize(
    "changes",
    [
        {"pd_cutoff": 0.0001},
        {"minimum_raroc": 10},
        {"economics": {"acquisition_cost": 1e6}},
        {"minimum_rate": 0.0599, "maximum_rate": 0.06},
    ],
)
def test_a_rule_about_risk_or_value_is_told_by_the_applicants_factors(simulated, ask, changes):
    told = told_of(ask(simulated, changes, {"fico": 560, "home": "rent"}))
    assert told[0] == "FIELD:fico"
    assert "FIELD:home" in told
    assert len(told) <= 4


def test_a_loan_that_only_a_limit_on_all_loans_keeps_back_is_told_so(simulated, ask):
    better = {"fico": 800, "annual_income": 250_000, "home": "own"}
    for features, factors in ((better, []), ({"fico": 640, "home": "rent"}, ["FIELD:fico"])):
        free = ask(simulated, None, features, requested_term_months=24)
        assert optimum(*free.all).offers
        limited = replace(free.market, prices=ShadowPrices(principal=0.5))
        first, *others = reasons_for(free._replace(market=limited))
        assert first.code == "PORTFOLIO_LIMIT"
        assert not first.is_factor
        assert [reason.code for reason in others][: len(factors)] == factors
        assert all(reason.is_factor for reason in others)


def test_where_a_rule_leaves_nothing_no_limit_is_blamed(simulated, ask):
    strict = ask(simulated, {"pd_cutoff": 0.0001}, {"fico": 560, "home": "rent"})
    limited = replace(strict.market, prices=ShadowPrices(principal=0.5))
    assert told_of(strict._replace(market=limited)) == told_of(strict)


def test_without_a_factor_that_raises_the_risk_the_request_is_the_reason(simulated, ask):
    better = {"fico": 800, "annual_income": 250_000, "home": "own"}
    request = {"requested_principal": 5_000, "requested_term_months": 24}
    costly = ask(simulated, {"economics": {"acquisition_cost": 2_000}}, better, **request)
    assert told_of(costly) == ["SMALL_AMOUNT"]
    strict = ask(simulated, {"pd_cutoff": 0.0001}, better, **request)
    assert told_of(strict) == ["REQUESTED_TERMS"]
    narrow = {"minimum_rate": 0.35, "maximum_rate": 0.35}
    assert told_of(ask(simulated, narrow, better, **request)) == ["PRICE"]


def test_a_small_amount_is_the_reason_only_if_a_larger_one_would_carry_the_cost(simulated, ask):
    better = {"fico": 800, "annual_income": 900_000, "home": "own"}
    costly = {
        "economics": {"acquisition_cost": 300},
        "principal_ratios": [1.0],
        "terms": [24],
        "trust_region": {"below": 0.1, "above": 0.1},
    }
    request = {"requested_principal": 2_000, "requested_term_months": 24}
    asked = ask(simulated, costly, better, **request)
    assert told_of(asked) == ["SMALL_AMOUNT"]
    larger = ask(simulated, costly, better, **(request | {"requested_principal": 40_000}))
    assert optimum(*larger.all).offers
    for most in (2_000, 2_500, 40_000):
        capped = costly | {"maximum_principal": most}
        within = ask(simulated, capped, better, **(request | {"requested_principal": most}))
        said = told_of(ask(simulated, capped, better, **request)) == ["SMALL_AMOUNT"]
        assert said == bool(optimum(*within.all).offers)


def test_no_amount_is_too_small_where_the_largest_could_not_carry_the_cost_either(simulated, ask):
    better = {"fico": 800, "annual_income": 900_000, "home": "own"}
    costly = {"economics": {"acquisition_cost": 1e6}, "principal_ratios": [1.0]}
    for principal in (2_000, 40_000):
        request = {"requested_principal": principal, "requested_term_months": 24}
        assert "SMALL_AMOUNT" not in told_of(ask(simulated, costly, better, **request))


def test_no_amount_is_too_small_on_account_of_rates_that_a_cap_forbids(simulated, ask):
    better = {"fico": 800, "annual_income": 900_000, "home": "own"}
    request = {"requested_principal": 2_000, "requested_term_months": 24}
    costly = {
        "economics": {"acquisition_cost": 300, "origination_fee": 0, "servicing_rate": 0.03},
        "principal_ratios": [1.0],
        "terms": [24],
        "trust_region": {"below": 0.1, "above": 0.1},
    }
    assert told_of(ask(simulated, costly, better, **request)) == ["SMALL_AMOUNT"]
    cap = {"apr_cap": 0.065}  # below what money costs, whatever the amount
    assert "SMALL_AMOUNT" not in told_of(ask(simulated, costly | cap, better, **request))


def test_the_payment_is_told_once(simulated, ask):
    poor = {"annual_income": 20_000}
    request = {"requested_principal": 30_000, "requested_term_months": 24}
    told = told_of(ask(simulated, {"pd_cutoff": 0.05, "pti_cap": 0.4}, poor, **request))
    assert told[0] == "PTI"
    assert "PAYMENT" not in told
    assert "PAYMENT" in told_of(ask(simulated, {"pd_cutoff": 0.05, "pti_cap": 1}, poor, **request))


def test_an_amount_never_tried_is_told_in_words_of_the_request(kz, ask):
    asked = ask(kz, {"principal_ratios": [0.5]})
    (reason,) = reasons_for(asked)
    assert reason.code == "NO_EVIDENCE"
    assert "amount requested" in reason.text


def test_failed_rules_come_in_the_order_of_how_much_they_stopped(simulated, ask):
    asked = ask(simulated, features={"fico": 450})
    broken = {"PTI": 1, "DTI": 5, "APR_CAP": 2, "PD_CUTOFF": 4}
    row = design_matrix(simulated, application_columns(asked.application))
    parts = asked.market.risk.contributions(row)[0]
    applied, market, *pair = asked.all
    wanted = applied.requested_principal, applied.requested_term_months
    cell = nearest_cell(applied, market, pair, *wanted)
    found = Optimum(offers=(), count_broken=lambda: broken, nearest=cell)
    told = reasons(applied, market, pair, found, parts)
    assert [reason.code for reason in told][:3] == ["DTI", "APR_CAP", "PTI"]
    assert told[3].code == "FIELD:fico"
    assert len(told) == 4
