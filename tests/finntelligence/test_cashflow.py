import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finntelligence import cashflow
from finntelligence.cashflow import (
    Convention,
    addon_from_nominal,
    apr,
    capped_payment,
    contract_payments,
    monthly_payment,
    nominal_from_addon,
    nominal_rate,
    quoted_rate,
    schedule,
)

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "test_vectors.json").read_text(encoding="utf-8")
)
PRINCIPALS = st.integers(100, 10_000_000).map(lambda cents: cents / 100)
RATES = st.just(0.0) | st.floats(1e-9, 1.0)
TICKS = st.integers(0, 3600).map(lambda k: k / 1e4)
QUOTABLE = st.integers(0, 10_000).map(lambda k: k / 1e4)
TERMS = st.integers(1, 120)
FEES = st.just(0.0) | st.floats(1e-4, 0.2)


def present_value(payments, monthly):
    """What payments due after 1, 2, ... months are worth today."""
    return sum(float(p) / (1 + monthly) ** t for t, p in enumerate(payments, start=1))


# --- payment -----------------------------------------------------------------------------------


@pytest.mark.parametrize("v", VECTORS["payment"], ids=lambda v: f"{v['L']}-{v['r']}-{v['n']}")
def test_payment_and_contract_agree_with_the_known_loans(v):
    np.testing.assert_allclose(monthly_payment(v["L"], v["r"], v["n"]), v["exact"], rtol=1e-13)
    rows = schedule(v["L"], v["r"], v["n"])
    cents = [round(v[key] * 100) for key in ("rounded", "last", "total", "interest")]
    assert [
        rows[0].payment * 100,
        rows[-1].payment * 100,
        sum(row.payment for row in rows) * 100,
        sum(row.interest for row in rows) * 100,
    ] == cents


@given(principal=PRINCIPALS, rate=RATES, term=TERMS)
def test_payments_discounted_at_the_loans_rate_are_worth_the_principal(principal, rate, term):
    payment = float(monthly_payment(principal, rate, term))
    assert present_value([payment] * term, rate / 12) == pytest.approx(principal, rel=1e-10)


@given(principal=PRINCIPALS, term=TERMS, rate=st.floats(0, 1), more=st.floats(1e-6, 1))
def test_the_payment_rises_with_the_rate_and_is_at_least_its_share(principal, term, rate, more):
    payment = monthly_payment(principal, rate, term)
    assert payment >= principal / term * (1 - 1e-12)
    assert monthly_payment(principal, rate + more, term) > payment


@given(principal=PRINCIPALS, rate=RATES, term=TERMS, times=st.floats(0.1, 100))
def test_the_payment_is_proportional_to_the_principal(principal, rate, term, times):
    scaled = monthly_payment(principal * times, rate, term)
    np.testing.assert_allclose(scaled, times * monthly_payment(principal, rate, term), rtol=1e-12)


def test_arrays_broadcast_and_equal_single_loans():
    rates, terms = np.array([0.0, 0.0599, 0.3599]), np.array([[1], [36], [84]])
    table = monthly_payment(12_000, rates, terms)
    assert table.shape == (3, 3)
    for i, term in enumerate((1, 36, 84)):
        for j, rate in enumerate(rates):
            assert table[i, j] == monthly_payment(12_000, rate, term)


# --- schedule ----------------------------------------------------------------------------------


def test_the_schedule_agrees_with_the_known_one_row_by_row():
    rows = schedule(10_000, 0.10, 36)
    found = [[r.month, *map(float, (r.payment, r.interest, r.principal, r.balance))] for r in rows]
    assert found == VECTORS["schedule"]


def assert_is_a_contract(rows, principal, term):
    owed = Decimal(str(principal))
    for month, row in enumerate(rows, start=1):
        assert row.month == month
        assert row.payment == row.interest + row.principal
        assert row.balance == owed - row.principal
        assert min(row.payment, row.interest, row.balance) >= 0
        owed = row.balance
    assert owed == 0
    assert sum(row.principal for row in rows) == Decimal(str(principal))
    assert len(rows) <= term
    cents = [value for row in rows for value in (row.payment, row.interest, row.balance)]
    assert all(value == value.quantize(Decimal("0.01")) for value in cents)


@given(principal=PRINCIPALS, rate=TICKS, term=TERMS)
def test_a_schedule_adds_up_and_ends_at_exactly_zero(principal, rate, term):
    rows = schedule(principal, rate, term)
    assert_is_a_contract(rows, principal, term)
    assert len({row.payment for row in rows[:-1]}) <= 1


@given(principal=PRINCIPALS, rate=TICKS, term=st.integers(1, 60))
def test_a_months_interest_is_rounded_half_up_to_the_cent(principal, rate, term):
    balance, yearly = Fraction(str(principal)), Fraction(str(rate))
    for row in schedule(principal, rate, term):
        cents = balance * yearly / 12 * 100
        assert row.interest * 100 == (cents + Fraction(1, 2)).__floor__()
        balance = Fraction(row.balance)


def test_a_true_half_cent_of_interest_rounds_up():
    assert schedule(16.50, 0.04, 12)[0].interest == Decimal("0.06")  # 5.5 cents


@given(principal=PRINCIPALS, rate=TICKS.filter(bool), term=st.integers(2, 120))
def test_the_contracts_payments_are_those_of_its_schedule(principal, rate, term):
    rows = schedule(principal, rate, term)
    total = float(sum(row.payment for row in rows))
    assert contract_payments(principal, rate, term) == (float(rows[0].payment), total)


@given(principal=PRINCIPALS, points=st.integers(1, 2000), term=st.integers(2, 60))
def test_the_contracts_payments_are_those_of_its_schedule_for_flat_interest_too(
    principal, points, term
):
    addon = points / 1e4
    nominal = float(nominal_from_addon(addon, term))
    rows = schedule(principal, nominal, term)
    total = float(sum(row.payment for row in rows))
    assert contract_payments(principal, nominal, term) == (float(rows[0].payment), total)


@given(cents=st.integers(1, 300), rate=TICKS, term=TERMS)
def test_a_tiny_loan_adds_up_too(cents, rate, term):
    assert_is_a_contract(schedule(cents / 100, rate, term), cents / 100, term)


def test_a_tiny_loan_that_rounding_overpays_ends_early():
    rows = schedule(0.5, 0.0, 60)
    assert len(rows) == 50
    assert {row.payment for row in rows} == {Decimal("0.01")}


@given(principal=st.integers(1000, 40_000), rate=TICKS, term=st.sampled_from([12, 24, 36, 60]))
def test_rounding_moves_the_total_by_at_most_a_few_cents_a_month(principal, rate, term):
    total = float(sum(row.payment for row in schedule(principal, rate, term)))
    exact = float(monthly_payment(principal, rate, term)) * term
    assert abs(total - exact) <= 0.02 * term * (1 + rate / 12) ** term


# --- APR ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("v", VECTORS["apr"], ids=lambda v: f"{v['L']}-{v['r']}-{v['fee']}")
def test_the_apr_agrees_with_the_known_loans(v):
    payment = monthly_payment(v["L"], v["r"], v["n"])
    received = v["L"] * (1 - v["fee"])
    assert float(apr(received, payment, v["n"])) == pytest.approx(v["apr_exact"], abs=1e-12)


@pytest.mark.parametrize("v", VECTORS["apr"], ids=lambda v: f"{v['L']}-{v['r']}-{v['fee']}")
def test_rounding_to_cents_leaves_the_apr_within_the_legal_tolerance(v):
    received = v["L"] * (1 - v["fee"])
    payments = [row.payment for row in schedule(v["L"], v["r"], v["n"])]
    worth = present_value(payments, v["apr_rounded"] / 12)
    assert worth == pytest.approx(received, abs=1e-4)
    found = float(apr(received, monthly_payment(v["L"], v["r"], v["n"]), v["n"]))
    assert abs(found - v["apr_rounded"]) < 0.125 / 100  # 12 CFR 1026.22(a)(2)


@pytest.mark.parametrize(
    ("amount", "payment", "term", "published"),
    [
        (5_000, 230, 24, 9.69),  # Regulation Z, Appendix J(c)(1)(i)
        (9_500, 322.6718719384, 36, 13.56),
    ],
)
def test_the_apr_agrees_with_published_examples_to_two_decimals(amount, payment, term, published):
    assert round(100 * float(apr(amount, payment, term)), 2) == published


@given(principal=PRINCIPALS, rate=QUOTABLE, term=TERMS)
def test_without_a_fee_the_apr_is_the_nominal_rate(principal, rate, term):
    found = apr(principal, monthly_payment(principal, rate, term), term)
    assert float(found) == pytest.approx(rate, abs=1e-11)


@given(principal=PRINCIPALS, rate=QUOTABLE, term=TERMS, fee=FEES)
def test_payments_discounted_at_the_apr_are_worth_the_amount_received(principal, rate, term, fee):
    payment = float(monthly_payment(principal, rate, term))
    found = float(apr(principal * (1 - fee), payment, term))
    worth = present_value([payment] * term, found / 12)
    assert worth == pytest.approx(principal * (1 - fee), rel=1e-10)


@given(rate=QUOTABLE, term=TERMS, fee=FEES, more=st.floats(1e-6, 0.1))
def test_the_apr_rises_with_the_fee(rate, term, fee, more):
    payment = monthly_payment(1000, rate, term)
    assert apr(1000 * (1 - fee - more), payment, term) > apr(1000 * (1 - fee), payment, term)


@given(rate=QUOTABLE, term=TERMS, fee=FEES)
def test_the_apr_is_never_below_the_nominal_rate(rate, term, fee):
    found = apr(1000 * (1 - fee), monthly_payment(1000, rate, term), term)
    assert found >= rate - 1e-11


@given(n=st.integers(1, 120), factor=st.floats(0.5, 1))
def test_payments_that_do_not_cover_the_amount_have_an_apr_of_at_most_zero(n, factor):
    assert apr(1000, factor * 1000 / n, n) <= 1e-12


def test_the_apr_of_many_loans_is_the_apr_of_each():
    terms = np.array([1, 12, 36, 60, 84])
    payments = monthly_payment(1000, 0.2, terms)
    together = apr(950, payments, terms)
    alone = [float(apr(950, p, n)) for p, n in zip(payments, terms, strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-12)


# --- caps --------------------------------------------------------------------------------------


@given(amount=PRINCIPALS, cap=st.floats(0.01, 4), term=TERMS)
def test_the_capped_payment_has_exactly_the_capped_apr(amount, cap, term):
    assert float(apr(amount, capped_payment(amount, cap, term), term)) == pytest.approx(cap)


@given(cap=st.floats(0.01, 1), term=TERMS, fee=FEES, rate=st.floats(0, 1))
def test_a_payment_is_within_the_cap_exactly_when_its_apr_is(cap, term, fee, rate):
    received, payment = 1000 * (1 - fee), monthly_payment(1000, rate, term)
    found = float(apr(received, payment, term))
    if abs(found - cap) > 1e-9:
        assert (payment <= capped_payment(received, cap, term)) == (found <= cap)


@pytest.mark.parametrize(
    ("term", "fee", "highest"),
    [
        (36, 0.05, 0.31926483),
        (36, 0.08, 0.29429103),
        (60, 0.05, 0.33168590),
        (12, 0.05, 0.25812616),
    ],
)
def test_the_highest_rate_under_a_cap_is_known(term, fee, highest):
    payment = capped_payment(1000 * (1 - fee), 0.36, term)
    assert float(apr(1000, payment, term)) == pytest.approx(highest, abs=5e-9)


# --- conventions -------------------------------------------------------------------------------


@given(addon=st.floats(1e-4, 0.2), term=TERMS)
def test_the_nominal_rate_has_the_payments_of_flat_interest(addon, term):
    payment = monthly_payment(1000, nominal_from_addon(addon, term), term)
    assert float(payment) == pytest.approx(1000 * (1 + addon * term) / term, rel=1e-12)


@given(addon=st.just(0.0) | st.floats(1e-4, 0.2), term=TERMS)
def test_addon_to_nominal_and_back_is_the_identity(addon, term):
    back = addon_from_nominal(nominal_from_addon(addon, term), term)
    assert float(back) == pytest.approx(addon, abs=1e-13)


@given(rate=st.just(0.0) | st.floats(1e-4, 3), term=TERMS)
def test_nominal_to_addon_and_back_is_the_identity(rate, term):
    back = nominal_from_addon(addon_from_nominal(rate, term), term)
    assert float(back) == pytest.approx(rate, abs=1e-10)


@pytest.mark.parametrize("addon", [0.0, 0.0001, 0.0775, 0.1175, 0.15])
def test_with_one_payment_flat_interest_is_the_monthly_rate(addon):
    assert float(nominal_from_addon(addon, 1)) == pytest.approx(12 * addon, abs=1e-14)
    assert float(addon_from_nominal(12 * addon, 1)) == pytest.approx(addon, abs=1e-14)


@pytest.mark.parametrize("term", [1, 4, 6, 12, 60, 120])
def test_fifteen_per_cent_flat_a_month_converts_there_and_back(term):
    nominal = float(nominal_from_addon(0.15, term))
    assert nominal >= 1.8 - 1e-12  # flat interest ignores what was paid back already
    assert float(addon_from_nominal(nominal, term)) == pytest.approx(0.15, abs=1e-14)


@given(addon=st.floats(1e-4, 0.15), more=st.floats(1e-4, 0.05), term=TERMS)
def test_the_nominal_rate_rises_with_the_flat_one(addon, more, term):
    assert nominal_from_addon(addon + more, term) > nominal_from_addon(addon, term)


@pytest.mark.parametrize("convention", Convention)
@given(quoted=st.floats(1e-4, 0.3), term=TERMS)
def test_a_quoted_rate_converted_there_and_back_is_the_same(convention, quoted, term):
    there = nominal_rate(quoted, term, convention)
    assert float(quoted_rate(there, term, convention)) == pytest.approx(quoted, abs=1e-13)


@pytest.mark.parametrize("convert", [nominal_rate, quoted_rate])
def test_a_nominal_quote_is_the_nominal_rate_to_the_bit_for_every_term(convert):
    rates = np.array([0.0599, 0.1299])
    table = convert(rates, np.array([[24], [36], [60]]), Convention.NOMINAL_ANNUAL)
    assert table.shape == (3, 2)
    assert (table == rates).all()


@pytest.mark.parametrize("term", [49, 98, 103])
def test_no_flat_interest_is_a_nominal_rate_of_exactly_zero(term):
    assert nominal_from_addon(0.0, term) == 0


def test_the_nominal_rate_of_a_loan_does_not_depend_on_the_loans_beside_it():
    addon = np.arange(325, 1475) / 1e4
    together = nominal_from_addon(addon, 12)
    assert together.tolist() == [float(nominal_from_addon(rate, 12)) for rate in addon]


@pytest.mark.parametrize("rate", [1.3e-6, 1e-5])
def test_the_apr_of_one_loan_is_as_exact_as_of_many(rate):
    alone, among = (apr(amount, 1 + rate / 12, 1) for amount in (1.0, np.array([1.0])))
    assert float(among[0]) == pytest.approx(rate, abs=1e-14)
    assert float(alone) == pytest.approx(rate, abs=1e-14)


def test_a_payment_of_a_true_half_cent_rounds_up():
    assert contract_payments(82.61, 0.0, 2) == (41.31, 82.61)
    assert [float(row.payment) for row in schedule(82.61, 0.0, 2)] == [41.31, 41.30]


@given(
    balance=st.integers(0, 10**9),
    level=st.integers(0, 10**8),
    points=st.integers(0, 100_000),
    term=TERMS,
)
def test_the_compiled_sum_of_a_contract_is_the_plain_one(balance, level, points, term):
    if cashflow.compiled_total is None:
        pytest.skip("the core was built without a compiler: there is only the plain one")
    asked = balance, level, points * 10**8, term
    assert cashflow.compiled_total(*asked) == cashflow._contract_total(*asked)


@given(rate=st.floats(0, 5), fee=st.floats(0, 0.2), term=TERMS)
def test_the_compiled_rate_of_a_loan_is_the_plain_one(rate, fee, term):
    if cashflow.compiled_rate is None:
        pytest.skip("the core was built without a compiler: there is only the plain one")
    asked = float(monthly_payment(1.0, rate, term)), 1 - fee, float(term)
    assert cashflow.compiled_rate(*asked) == cashflow._one_monthly_rate(*asked)
