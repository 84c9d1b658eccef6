import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from finntelligence.cashflow import monthly_payment
from finntelligence.value import (
    PD_CEILING,
    PD_FLOOR,
    Economics,
    default_hazard,
    hazard_table,
    loan_value,
)

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "test_vectors.json").read_text(encoding="utf-8")
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
ECONOMICS = st.builds(
    Economics,
    cost_of_funds=st.floats(0.005, 0.2),
    origination_fee=st.floats(0, 0.08),
    lgd=st.floats(0, 1),
    recovery_lag_months=st.integers(0, 36),
    acquisition_cost=st.floats(0, 500),
    servicing_cost=st.floats(0, 20),
    servicing_rate=st.floats(0, 0.02),
    capital_ratio=st.floats(0.02, 0.3),
    hurdle_rate=st.floats(0, 0.4),
    prepayment_rate=st.floats(0, 0.5),
)
RATES = st.just(0.0) | st.floats(1e-4, 0.6)
TERMS = st.integers(1, 120)
HAZARDS = st.floats(0, 0.1)


def month_by_month(principal, rate, term, hazard, e):
    """The definition: walk the months; default, else pay, then perhaps prepay; then discount.

    Arrays of one shape, in flows per month. Returns the net present value before and after the
    charge for capital, and the expected loss.
    """
    i, d, s = rate / 12, 1 / (1 + e.cost_of_funds / 12), e.monthly_prepayment
    payment = monthly_payment(principal, rate, term)
    alive = np.ones(principal.shape)
    balance = principal.copy()
    funded = (e.origination_fee - 1) * principal - e.acquisition_cost
    capital, loss = np.zeros(principal.shape), np.zeros(principal.shape)
    for month in range(1, int(term.max()) + 1):
        active = alive * (month <= term)
        after = balance * (1 + i) - payment
        paid = active * (1 - hazard) * (payment + s * after)
        late = d ** (month + e.recovery_lag_months)
        recovered = active * hazard * (1 - e.lgd) * balance
        serviced = active * (e.servicing_cost + e.servicing_rate / 12 * balance)
        funded = funded + d**month * (paid - serviced) + late * recovered
        capital = capital + d**month * active * e.capital_ratio * balance
        loss = loss + d**month * active * hazard * e.lgd * balance
        alive = alive * (1 - hazard) * (1 - s)
        balance = after
    return funded, funded - capital * (e.hurdle_rate - e.cost_of_funds) / 12, loss


def economics_of(v):
    return Economics(
        cost_of_funds=v["f"],
        origination_fee=v["phi"],
        lgd=v["lgd"],
        recovery_lag_months=v["lag"],
        acquisition_cost=v["Ca"],
        servicing_cost=v["cs"],
        servicing_rate=v["sig"],
        capital_ratio=v["kap"],
        hurdle_rate=v["hur"],
        prepayment_rate=v["cpr"],
    )


# --- hazard ------------------------------------------------------------------------------------


@pytest.mark.parametrize("v", VECTORS["hazard"], ids=lambda v: f"{v['pd']}-{v['H']}-{v['cpr']}")
def test_the_hazard_agrees_with_the_known_ones(v):
    assert float(default_hazard(v["pd"], v["H"], v["s"])) == pytest.approx(v["h"], abs=1e-14)


@given(
    pd=st.floats(PD_FLOOR, PD_CEILING),
    horizon=st.integers(1, 600),
    prepayment=st.just(0.0) | st.floats(1e-9, 0.5),
)
def test_the_hazard_solves_its_equation(pd, horizon, prepayment):
    hazard = float(default_hazard(pd, horizon, prepayment))
    alive, defaulted = 1.0, 0.0
    for _ in range(horizon):
        defaulted += alive * hazard
        alive *= (1 - hazard) * (1 - prepayment)
    assert 0 < hazard < 1
    assert defaulted == pytest.approx(pd, abs=1e-12)


@given(pd=st.floats(1e-4, 0.9), horizon=TERMS)
def test_without_prepayment_the_hazard_is_the_textbook_one(pd, horizon):
    found = float(default_hazard(pd, horizon, 0.0))
    assert found == pytest.approx(1 - (1 - pd) ** (1 / horizon), rel=1e-9)


@given(
    pd=st.floats(1e-4, 0.9), more=st.floats(1e-3, 0.05), n=st.integers(2, 120), s=st.floats(0, 0.1)
)
def test_the_hazard_rises_with_the_pd_and_with_competing_prepayment(pd, more, n, s):
    hazard = default_hazard(pd, n, s)
    assert default_hazard(pd + more, n, s) > hazard
    assert default_hazard(pd, n, s + more) > hazard


@pytest.mark.parametrize(("pd", "clipped"), [(0, 1e-5), (-1, 1e-5), (0.96, 0.95), (1, 0.95)])
def test_a_pd_beyond_what_is_believable_is_clipped(pd, clipped):
    assert default_hazard(pd, 36, 0.01) == default_hazard(clipped, 36, 0.01)


def test_many_hazards_are_each_the_hazard():
    pds, horizons = np.array([1e-5, 0.04, 0.5, 0.95]), np.array([[1], [12], [60]])
    table = default_hazard(pds, horizons, 0.0135)
    for i, horizon in enumerate(horizons[:, 0]):
        for j, pd in enumerate(pds):
            alone = float(default_hazard(pd, horizon, 0.0135))
            assert table[i, j] == pytest.approx(alone, abs=1e-14)


@given(pd=st.floats(1e-4, 0.94), n=st.integers(1, 120), s=st.just(0.0) | st.floats(1e-4, 0.1))
def test_the_hazard_table_holds_the_hazard_and_its_slope_over_the_logit(pd, n, s):
    logit = np.log(pd / (1 - pd)) + np.array([-1e-5, 0.0, 1e-5])
    table = hazard_table(logit, n, s)
    below, at, above = default_hazard(1 / (1 + np.exp(-logit)), n, s)
    assert table.shape == (3, 2)
    assert table[1, 0] == pytest.approx(at, rel=1e-12)
    assert table[1, 1] == pytest.approx((above - below) / 2e-5, rel=1e-5)


@given(cpr=st.floats(0, 0.99))
def test_a_year_of_monthly_prepayment_is_the_yearly_rate(cpr):
    monthly = replace(TYPICAL, prepayment_rate=cpr).monthly_prepayment
    assert (1 - monthly) ** 12 == pytest.approx(1 - cpr, abs=1e-12)


# --- value -------------------------------------------------------------------------------------


@pytest.mark.parametrize("v", VECTORS["npv"], ids=lambda v: v["name"])
def test_the_value_of_the_known_loans_agrees_part_by_part(v):
    economics = economics_of(v)
    found = loan_value(v["L"], v["r"], v["n"], v["h"], economics)
    parts = {
        "payments": v["pay"],
        "prepayments": v["pre"],
        "recoveries": v["rec"],
        "servicing": v["serv"],
        "capital_charge": v["cap"],
        "expected_loss": v["EL"],
        "npv": v["npv_sum"],
    }
    for name, known in parts.items():
        assert float(getattr(found, name)) == pytest.approx(known, abs=1e-7), name
    assert float(found.raroc) == pytest.approx(v["raroc"], abs=1e-10)
    assert economics.monthly_prepayment == pytest.approx(v["s"], abs=1e-15)
    assert float(found.npv + found.capital_charge) == pytest.approx(v["npv0"], abs=1e-7)


@pytest.mark.parametrize("v", VECTORS["npv"], ids=lambda v: v["name"])
def test_the_hazard_of_the_known_loans_follows_from_their_pd(v):
    horizon = 36 if v["name"] == "V1" else v["n"]
    found = float(default_hazard(v["pd_life"], horizon, v["s"]))
    assert found == pytest.approx(max(v["h"], PD_FLOOR / horizon), rel=1e-9, abs=1e-9)


def random_economics(rng):
    return Economics(
        cost_of_funds=rng.uniform(0.005, 0.2),
        origination_fee=rng.uniform(0, 0.08),
        lgd=rng.uniform(0, 1),
        recovery_lag_months=int(rng.integers(0, 37)),
        acquisition_cost=rng.uniform(0, 500),
        servicing_cost=rng.uniform(0, 20),
        servicing_rate=rng.uniform(0, 0.02),
        capital_ratio=rng.uniform(0.02, 0.3),
        hurdle_rate=rng.uniform(0, 0.4),
        prepayment_rate=float(-np.expm1(12 * np.log1p(-rng.uniform(0, 0.06)))),
    )


def test_the_closed_form_is_the_month_by_month_sum_on_20000_random_loans():
    rng = np.random.default_rng(20_000)
    worst = 0.0
    for _ in range(100):
        economics = random_economics(rng)
        principal = rng.uniform(500, 40_000, 200)
        rate = np.where(rng.random(200) < 0.1, 0.0, np.exp(rng.uniform(np.log(1e-4), 0, 200)))
        term = rng.integers(1, 121, 200).astype(float)
        hazard = np.where(rng.random(200) < 0.05, 0.0, rng.uniform(0, 0.1, 200))
        found = loan_value(principal, rate, term, hazard, economics)
        _, npv, loss = month_by_month(principal, rate, term, hazard, economics)
        errors = np.abs([found.npv - npv, found.expected_loss - loss]) / principal
        worst = max(worst, float(errors.max()))
    assert worst < 1e-10


@given(e=ECONOMICS, rate=RATES, term=TERMS, hazard=HAZARDS)
def test_the_parts_add_up_to_the_value(e, rate, term, hazard):
    v = loan_value(10_000, rate, term, hazard, e)
    flows = v.payments + v.prepayments + v.recoveries - v.servicing - v.capital_charge
    lent = (e.origination_fee - 1) * 10_000 - e.acquisition_cost
    assert float(v.npv) == pytest.approx(float(lent + flows), abs=1e-6)


@given(e=ECONOMICS, rate=RATES, term=TERMS, hazard=HAZARDS)
def test_raroc_reaches_the_hurdle_exactly_where_the_value_reaches_zero(e, rate, term, hazard):
    found = loan_value(10_000, rate, term, hazard, e)
    assume(abs(found.npv) > 1e-6)
    assert (found.raroc >= e.hurdle_rate) == (found.npv >= 0)


@given(e=ECONOMICS, rate=RATES, term=TERMS, hazard=HAZARDS, more=st.floats(1e-4, 0.1))
def test_the_expected_loss_rises_with_the_hazard(e, rate, term, hazard, more):
    assume(e.lgd > 1e-3)
    less, greater = (loan_value(10_000, rate, term, h, e) for h in (hazard, hazard + more))
    # defaults come sooner, and find a higher balance
    assert greater.expected_loss > less.expected_loss


@given(e=ECONOMICS, rate=RATES, term=TERMS, hazard=st.floats(1e-4, 0.1), more=st.floats(1e-3, 1))
def test_the_expected_loss_rises_with_the_loss_given_default(e, rate, term, hazard, more):
    worse = loan_value(10_000, rate, term, hazard, replace(e, lgd=e.lgd + more))
    assert worse.expected_loss > loan_value(10_000, rate, term, hazard, e).expected_loss


@given(e=ECONOMICS, rate=st.floats(1e-4, 0.6), more=st.floats(1e-4, 0.2), n=TERMS, h=HAZARDS)
def test_at_the_same_hazard_a_higher_rate_is_worth_more(e, rate, more, n, h):
    e = replace(e, hurdle_rate=min(e.hurdle_rate, e.cost_of_funds + 0.3))
    lower, higher = (loan_value(10_000, r, n, h, e).npv for r in (rate, rate + more))
    assert higher > lower


@given(e=ECONOMICS, rate=RATES, term=TERMS, hazard=HAZARDS)
def test_nothing_but_servicing_is_lost_or_kept_when_money_costs_what_it_earns(
    e, rate, term, hazard
):
    free = replace(
        e,
        cost_of_funds=rate,
        origination_fee=0,
        acquisition_cost=0,
        servicing_cost=0,
        servicing_rate=0,
        hurdle_rate=rate,
        lgd=0,
        recovery_lag_months=0,
    )
    assume(rate > 0)
    # a default at full recovery pays the balance before the month's interest, a month late
    found = loan_value(10_000, rate, term, hazard, free)
    interest_lost = loan_value(10_000, rate, term, hazard, replace(free, lgd=1)).expected_loss
    assert float(found.npv) == pytest.approx(-float(interest_lost) * rate / 12, abs=1e-6)


@given(rate=RATES, term=TERMS, hazard=HAZARDS, funds=st.floats(0.005, 0.2))
def test_funding_given_apart_is_funding_of_the_economics(rate, term, hazard, funds):
    given_apart = loan_value(10_000, rate, term, hazard, TYPICAL, cost_of_funds=funds)
    own = loan_value(10_000, rate, term, hazard, replace(TYPICAL, cost_of_funds=funds))
    assert given_apart == own


def test_many_loans_are_each_valued_as_if_alone():
    principal = np.array([1000.0, 15_000.0])
    rate, term = np.array([[0.0], [0.1299], [0.3599]]), np.array([[12.0], [36.0], [60.0]])
    table = loan_value(principal, rate, term, 0.005, TYPICAL)
    for i in range(3):
        for j in range(2):
            alone = loan_value(principal[j], rate[i, 0], term[i, 0], 0.005, TYPICAL)
            for name in ("npv", "raroc", "expected_loss"):
                assert getattr(table, name)[i, j] == pytest.approx(float(getattr(alone, name)))


def test_a_loan_without_interest_risk_and_funding_cost_is_worth_its_fees():
    none = replace(
        TYPICAL,
        cost_of_funds=0.0,
        prepayment_rate=0.0,
        servicing_cost=0.0,
        servicing_rate=0.0,
        hurdle_rate=0.0,
    )
    assert float(loan_value(1000, 0.0, 24, 0.0, none).npv) == pytest.approx(30 - 250)


def test_a_loan_without_interest_is_valued_exactly_however_cheap_its_funding():
    cheap = replace(TYPICAL, cost_of_funds=1e-6, prepayment_rate=0.0)
    loan = [np.array([float(x)]) for x in (1000, 0, 60, 1e-7)]
    _, npv, _ = month_by_month(*loan, cheap)
    assert abs(loan_value(*loan, cheap).npv - npv) / 1000 < 1e-10


def test_without_capital_a_loan_that_loses_has_no_infinite_return():
    found = loan_value(1000, 0.01, 36, 0.2, replace(TYPICAL, capital_ratio=0.0))
    assert found.npv < 0
    assert found.raroc < TYPICAL.hurdle_rate


def test_the_hazard_of_a_loan_does_not_depend_on_the_loans_beside_it():
    pds = np.arange(1, 600) / 1e3
    together = default_hazard(pds, 36, 0.0135)
    alone = [float(default_hazard(pd, 36, 0.0135)) for pd in pds]
    # numpy's vector and scalar exponentials may differ in the last bit
    np.testing.assert_allclose(together, alone, rtol=1e-15)


@given(st.floats(0, 1e-7), TERMS, HAZARDS, ECONOMICS)
def test_a_rate_that_is_next_to_none_is_worth_next_to_none(rate, term, hazard, e):
    free, found = (loan_value(10_000, each, term, hazard, e) for each in (0.0, rate))
    for part in ("interest", "funding", "credit_loss", "servicing", "capital_charge", "npv"):
        assert getattr(found, part) == pytest.approx(getattr(free, part), abs=0.05), part
