import math
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finntelligence import cashflow
from finntelligence.errors import InvalidApplicationError
from finntelligence.optimiser import optimum
from finntelligence.quote import quote
from finntelligence.why_not import why_not
from finntelligence.why_this import WATERFALL

SAME = (
    *("principal", "term_months", "quoted_rate", "nominal_rate", "apr", "monthly_payment"),
    *("total_cost", "p_accept", "pd_lifetime", "expected_profit"),
)


@pytest.fixture(scope="module")
def applicant(ask, book):
    return ask(book)


@pytest.fixture(scope="module")
def simulated_applicant(ask, simulated):
    return ask(simulated)


def test_the_engines_own_offers_are_quoted_as_they_were_offered(applicant):
    for offer in optimum(*applicant.all).offers:
        quoted = quote(*applicant.all, offer.principal, offer.term_months, offer.quoted_rate)
        assert quoted.permitted
        assert quoted.profit_given_up == pytest.approx(0, abs=1e-6)
        for name in SAME:
            assert getattr(quoted, name) == pytest.approx(getattr(offer, name), rel=1e-9), name


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0.01, 1e6).map(lambda amount: max(round(amount, 2), 0.01)),
    st.integers(1, 600),
    st.floats(0, 0.4).map(lambda rate: round(rate, 4)),
)
def test_any_terms_are_valued_as_they_are_judged(simulated_applicant, principal, term, rate):
    quoted = quote(*simulated_applicant.all, principal, term, rate)
    judged = why_not(*simulated_applicant.all, principal, term, rate)
    assert quoted.broken == judged.broken
    assert quoted.npv == judged.npv
    numbers = [value for value in asdict(quoted).values() if isinstance(value, float)]
    assert all(map(math.isfinite, numbers))


@given(rate=st.floats(0.001, 0.3))
@settings(max_examples=40, deadline=None)
def test_the_waterfall_sums_to_the_value(simulated_applicant, rate):
    parts = quote(*simulated_applicant.all, 12_000, 36, rate).waterfall
    assert tuple(parts) == WATERFALL
    earned = parts["interest"] + parts["fee"]
    spent = sum(parts[n] for n in WATERFALL if n not in ("interest", "fee", "npv"))
    assert earned - spent == pytest.approx(parts["npv"], abs=1e-6)


def test_the_cost_is_the_contracts_schedule_less_what_was_received(simulated_applicant):
    quoted = quote(*simulated_applicant.all, 12_345.67, 48, 0.1234)
    rows = cashflow.schedule(12_345.67, quoted.nominal_rate, 48)
    fee = simulated_applicant.market.policy.economics.origination_fee
    assert float(rows[0].payment) == quoted.monthly_payment
    paid = float(sum(row.payment for row in rows))
    assert quoted.total_cost == round(paid - 12_345.67 * (1 - fee), 2)


def test_a_rate_at_which_cents_grow_to_millions_is_refused(simulated_applicant):
    with pytest.raises(InvalidApplicationError, match="quoted_rate: must be a rate at which"):
        quote(*simulated_applicant.all, 12_000, 600, 0.9)


def test_impossible_terms_are_refused_together(simulated_applicant):
    with pytest.raises(InvalidApplicationError) as caught:
        quote(*simulated_applicant.all, math.nan, math.nan, math.inf)
    fields = [problem.field for problem in caught.value.problems]
    assert fields == ["principal", "term_months", "quoted_rate"]
