from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finntelligence import cashflow
from finntelligence.optimiser import candidates
from finntelligence.portfolio import Portfolio
from finntelligence.rules import RULES
from finntelligence.shadow_prices import ShadowPrices

BY_CODE = {rule.code: rule for rule in RULES}
CAPS = ("apr_cap", "pti_cap", "dti_cap", "pd_cutoff", "minimum_raroc")


def judged(code, asked, rates, sweep, **cell):
    """One rule's verdicts on rates in one cell, and what it judged."""
    valued = candidates(*asked.all, sweep(asked, rates, **cell))
    return BY_CODE[code].permits(valued, asked.market.policy), valued


def test_rules_have_distinct_codes_and_plain_reasons():
    assert len(BY_CODE) == len(RULES)
    assert all(rule.code.isupper() and rule.reason.strip() for rule in RULES)


def test_a_rule_caps_the_payment_or_judges_and_says_what_would_satisfy_it():
    for rule in RULES:
        assert (rule.payment_cap is None) != (rule.judge is None)
        assert rule.remedy.strip()


def test_a_candidates_expected_profit_is_acceptance_times_value(book, ask, sweep):
    asked = ask(book)
    valued = candidates(*asked.all, sweep(asked, asked.market.policy.ticks()))
    np.testing.assert_array_equal(valued.expected_profit, valued.p_accept * valued.value.npv)


def test_a_cap_that_does_not_apply_permits_everything(book, ask, sweep):
    asked = ask(book, dict.fromkeys(CAPS))
    for code in ("APR_CAP", "PTI", "DTI", "PD_CUTOFF", "RAROC"):
        permitted, _ = judged(code, asked, asked.market.policy.ticks(), sweep)
        assert permitted.all()


@given(cap=st.floats(0.08, 0.5))
def test_the_apr_cap_permits_exactly_the_offers_whose_apr_fees_included_is_within_it(
    simulated, ask, sweep, cap
):
    asked = ask(simulated, {"apr_cap": cap})
    permitted, valued = judged("APR_CAP", asked, asked.market.policy.ticks(), sweep)
    received = valued.terms.principal * (1 - asked.market.policy.economics.origination_fee)
    apr = cashflow.apr(received, valued.terms.payment, valued.terms.term_months)
    clear = np.abs(apr - cap) > 1e-9
    np.testing.assert_array_equal(permitted[clear], (apr <= cap)[clear])


@pytest.mark.parametrize("rate", [0.12, 0.2, 0.2999])
def test_without_a_fee_a_rate_equal_to_the_apr_cap_is_permitted(simulated, ask, sweep, rate):
    asked = ask(simulated, {"apr_cap": rate, "economics": {"origination_fee": 0}})
    permitted, _ = judged("APR_CAP", asked, [rate, round(rate + 1e-4, 4)], sweep)
    assert permitted.tolist() == [True, False]


@given(cap=st.floats(0.08, 0.5))
def test_the_cap_of_an_applicants_place_stands_before_the_policys(simulated, ask, sweep, cap):
    lax, strict = ask(simulated, {"apr_cap": 0.01}), ask(simulated, {"apr_cap": cap})
    rates = lax.market.policy.ticks()
    free, local = (replace(sweep(lax, rates), apr_cap=np.array([c])) for c in (np.inf, cap))
    permitted = [
        BY_CODE["APR_CAP"].permits(candidates(*lax.all, terms), lax.market.policy)
        for terms in (free, local)
    ]
    assert permitted[0].all()
    np.testing.assert_array_equal(permitted[1], judged("APR_CAP", strict, rates, sweep)[0])


@given(cap=st.floats(0.01, 0.5))
def test_the_payment_cap_permits_exactly_the_payments_within_its_share_of_income(
    book, ask, sweep, cap
):
    asked = ask(book, {"pti_cap": cap})
    permitted, valued = judged("PTI", asked, asked.market.policy.ticks(), sweep)
    share = valued.terms.payment / valued.terms.monthly_income
    clear = np.abs(share - cap) > 1e-12
    np.testing.assert_array_equal(permitted[clear], (share <= cap)[clear])


@given(cap=st.floats(0.05, 0.6), dti=st.floats(0, 60))
def test_the_debt_cap_counts_existing_debt_and_this_loan(simulated, ask, sweep, cap, dti):
    asked = ask(simulated, {"dti_cap": cap}, {"dti": dti})
    permitted, valued = judged("DTI", asked, asked.market.policy.ticks(), sweep)
    total = valued.terms.payment / valued.terms.monthly_income + dti / 100
    clear = np.abs(total - cap) > 1e-12
    np.testing.assert_array_equal(permitted[clear], (total <= cap)[clear])


@pytest.mark.parametrize(("answer", "permits"), [("skip", True), ("decline", False)])
def test_unknown_income_is_skipped_or_declined_as_the_book_says(
    changed, ask, sweep, answer, permits
):
    book = Portfolio.from_mapping(changed("kz2008", {"if_missing": {"pti": answer}}))
    asked = ask(book, None, {"gross_monthly_income": ...})
    permitted, valued = judged("PTI", asked, asked.market.policy.ticks(), sweep)
    assert np.isnan(valued.terms.monthly_income).all()
    assert (permitted == permits).all()


def test_unknown_income_declines_where_the_book_does_not_say(changed, ask, sweep):
    book = Portfolio.from_mapping(changed("kz2008", {"if_missing": {}}))
    asked = ask(book, {"dti_cap": 0.5}, {"gross_monthly_income": ...})
    for code in ("PTI", "DTI"):
        assert not judged(code, asked, asked.market.policy.ticks(), sweep)[0].any()


@pytest.mark.parametrize("code", ["PTI", "DTI"])
def test_no_payment_is_affordable_without_income(simulated, ask, sweep, code):
    asked = ask(simulated, None, {"annual_income": 0})
    assert not judged(code, asked, asked.market.policy.ticks(), sweep)[0].any()


@given(limit=st.floats(0.01, 1))
def test_the_pd_cutoff_permits_exactly_the_pds_within_it(book, ask, sweep, limit):
    asked = ask(book, {"pd_cutoff": limit})
    permitted, valued = judged("PD_CUTOFF", asked, asked.market.policy.ticks(), sweep)
    np.testing.assert_array_equal(permitted, valued.pd_lifetime <= limit)


@given(floor=st.floats(-1, 2))
def test_the_raroc_floor_permits_exactly_what_earns_it(book, ask, sweep, floor):
    asked = ask(book, {"minimum_raroc": floor})
    permitted, valued = judged("RAROC", asked, asked.market.policy.ticks(), sweep)
    np.testing.assert_array_equal(permitted, valued.value.raroc >= floor)


def test_a_loan_that_is_worth_nothing_is_never_offered(book, ask, sweep):
    asked = ask(book)
    permitted, valued = judged("EXPECTED_LOSS", asked, asked.market.policy.ticks(), sweep)
    np.testing.assert_array_equal(permitted, valued.value.npv > 0)
    assert permitted.any()


@pytest.mark.parametrize(
    "prices",
    [
        ShadowPrices(),
        ShadowPrices(principal=-0.1),
        ShadowPrices(principal=0.05),
        ShadowPrices(expected_loss=0.5, apr=0.3),
    ],
)
def test_a_limit_on_all_loans_permits_exactly_what_is_worth_more_than_its_charge(
    book, ask, sweep, prices
):
    asked = ask(book, {"economics": {"acquisition_cost": 0}})
    charged = asked._replace(market=replace(asked.market, prices=prices))
    rates = asked.market.policy.ticks()[::20]
    permitted, valued = judged("PORTFOLIO_LIMIT", charged, rates, sweep)
    terms = valued.terms
    received = terms.principal * (1 - asked.market.policy.economics.origination_fee)
    apr = cashflow.apr(received, terms.payment, terms.term_months)
    charge = prices.charge(terms.principal, apr, valued.value.expected_loss)
    np.testing.assert_allclose(valued.charge, charge, rtol=1e-12)
    worth = valued.value.npv - charge
    np.testing.assert_allclose(valued.objective, valued.p_accept * worth, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(permitted, (worth > 0) | (charge <= 0))


def test_an_amount_nobody_ever_answered_to_is_never_offered(kz, ask, sweep):
    asked = ask(kz, requested_principal=1500)
    rates = asked.market.policy.ticks()
    for principal, permits in ((1500, True), (1499.99, False), (1500.01, False)):
        assert (judged("NO_EVIDENCE", asked, rates, sweep, principal=principal)[0] == permits).all()
