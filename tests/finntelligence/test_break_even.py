import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from finntelligence.break_even import HIGHEST_RATE, break_even_rate
from finntelligence.value import Economics, default_hazard, loan_value

ECONOMICS = st.builds(
    Economics,
    cost_of_funds=st.floats(0.005, 0.2),
    origination_fee=st.floats(0, 0.08),
    lgd=st.floats(0, 1),
    recovery_lag_months=st.integers(0, 36),
    acquisition_cost=st.floats(0, 500),
    servicing_cost=st.floats(0, 20),
    servicing_rate=st.floats(0, 0.02),
    capital_ratio=st.just(0.0) | st.floats(0.01, 0.3),
    hurdle_rate=st.floats(0, 0.4),
    prepayment_rate=st.floats(0, 0.5),
)
TYPICAL = Economics(
    cost_of_funds=0.05,
    origination_fee=0.03,
    lgd=0.9,
    recovery_lag_months=12,
    acquisition_cost=250,
    servicing_cost=6,
    servicing_rate=0.005,
    capital_ratio=0.1,
    hurdle_rate=0.2,
    prepayment_rate=0.15,
)
RATES = st.just(0.0) | st.floats(1e-4, 0.6)  # a fraction of a basis point is not quotable
PRINCIPALS, TERMS, HAZARDS = st.floats(500, 40_000), st.integers(1, 84), st.floats(0, 0.1)


@given(ECONOMICS, PRINCIPALS, TERMS, HAZARDS)
def test_at_a_fixed_hazard_npv_rises_with_the_rate(economics, principal, term, hazard):
    rates = np.concatenate([[0], np.geomspace(1e-4, HIGHEST_RATE, 200)])
    npv = loan_value(principal, rates, term, hazard, economics).npv
    assert (np.diff(npv) > -1e-9 * principal).all()


@given(ECONOMICS, PRINCIPALS, TERMS, HAZARDS)
def test_at_the_break_even_rate_a_loan_earns_nothing(economics, principal, term, hazard):
    rate = break_even_rate(principal, term, hazard, economics)
    assume(1e-4 < rate < HIGHEST_RATE)
    assert abs(loan_value(principal, rate, term, hazard, economics).npv) < 1e-8 * principal


@given(ECONOMICS, PRINCIPALS, TERMS, HAZARDS, RATES)
def test_a_loan_earns_exactly_above_its_break_even_rate(economics, principal, term, hazard, rate):
    npv = loan_value(principal, rate, term, hazard, economics).npv
    free = break_even_rate(principal, term, hazard, economics)
    assume(abs(rate - free) > 1e-9)
    assert (npv > 0) == (rate > free)


@given(st.floats(2_000, 40_000), TERMS, st.floats(0, 0.05), st.floats(1e-4, 0.05))
def test_a_riskier_loan_breaks_even_at_a_higher_rate(principal, term, hazard, more):
    free = break_even_rate(principal, term, [hazard, hazard + more], TYPICAL)
    assume(free[1] > 0)  # else the fee pays for both
    assert free[0] < free[1]


def test_a_loan_alone_and_among_others_has_the_same_bits():
    principal, term = np.array([1_000.0, 9_000, 30_000]), np.array([12, 36, 60])
    hazard = default_hazard([0.05, 0.2, 0.4], term, TYPICAL.monthly_prepayment)
    together = break_even_rate(principal, term, hazard, TYPICAL)
    loans = zip(principal, term, hazard, strict=True)
    alone = [float(break_even_rate(*loan, TYPICAL)) for loan in loans]
    assert together.tolist() == alone


def test_a_fee_that_pays_for_everything_asks_for_no_interest():
    generous = Economics(
        cost_of_funds=0.01,
        origination_fee=0.2,
        lgd=0.5,
        recovery_lag_months=0,
        acquisition_cost=0,
        servicing_cost=0,
        servicing_rate=0,
        capital_ratio=0,
        hurdle_rate=0,
        prepayment_rate=0,
    )
    assert break_even_rate(1_000, 12, 0.001, generous) == 0


def test_a_loan_that_is_hardly_ever_repaid_has_no_break_even_rate():
    assert np.isnan(break_even_rate(1_000, 12, 0.9, TYPICAL))


@pytest.mark.parametrize("shape", [(0,), (3, 1), (2, 3)])
def test_it_broadcasts(shape):
    found = break_even_rate(np.full(shape, 5_000.0), 36, 0.005, TYPICAL)
    assert found.shape == shape
