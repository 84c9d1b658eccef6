from datetime import date
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from finntelligence.cashflow import apr as level_apr
from finntelligence.cashflow import (
    capped_payment,
    contract_payments,
    monthly_payment,
    nominal_from_addon,
    schedule,
)
from finntelligence.regulation_z import (
    Flow,
    UnitPeriod,
    amount_financed,
    apr_of_flows,
    disclosed,
    level_flows,
    max_nominal_rate,
    noted_principal,
    single_payment_apr,
    unit_period_fraction,
)

PRINCIPALS = st.integers(100, 10_000_000).map(lambda cents: cents / 100)
RATES = st.just(0.0) | st.floats(1e-6, 1.0)
TERMS = st.integers(1, 120)
FEES = st.floats(0, 0.2)
FRACTIONS = st.just(0.0) | st.floats(0, 0.99)
UNITS = st.sampled_from(UnitPeriod)
TICKS = st.sampled_from([1e-4, 2.5e-4, 1e-3, 0.00125, 0.01])


class Example(NamedTuple):
    """One published example of Appendix J(c); dates are of 1978."""

    paragraph: str
    advance: float
    payments: list[float]
    unit: UnitPeriod
    whole: int  # unit periods to the first payment
    odd: int  # days of a further one
    start: str
    first: str
    exact: float  # percent, six decimals
    printed: float

    @property
    def apr(self):
        part = self.odd / self.unit.days
        payments = [
            Flow(amount=amount, periods=t, fraction=part)
            for t, amount in enumerate(self.payments, start=self.whole)
        ]
        advances = [Flow(amount=self.advance, periods=0)]
        return apr_of_flows(advances, payments, self.unit.periods_per_year)


U = UnitPeriod
EXAMPLES = [
    Example("(1)(i)", 5000, [230] * 24, U.MONTH, 1, 0, "01-10", "02-10", 9.685708, 9.69),
    Example("(1)(ii)", 6000, [200] * 36, U.MONTH, 1, 19, "02-10", "04-01", 11.816508, 11.82),
    Example("(1)(iii)", 5000, [219.17] * 24, U.SEMIMONTH, 0, 6, "02-23", "03-01", 10.337903, 10.34),
    Example("(1)(iv)", 10_000, [385] * 40, U.QUARTER, 1, 39, "05-23", "10-01", 8.970770, 8.97),
    Example("(1)(v)", 500, [17.60] * 30, U.WEEK, 4, 4, "03-20", "04-21", 14.962223, 14.96),
    Example("(2)(i)", 5000, [250] + [230] * 23, U.MONTH, 1, 0, "01-10", "02-10", 10.082890, 10.08),
    Example("(2)(ii)", 400, [39.50] + [38.31] * 11, U.FOUR_WEEKS, 1, 5, "03-18", "04-20",
            28.497940, 28.50),
    Example("(3)(i)", 5000, [230] * 23 + [280], U.MONTH, 1, 0, "01-10", "02-10", 10.500469, 10.50),
    Example("(3)(ii)", 200, [9.50] * 19 + [30], U.TWO_WEEKS, 0, 8, "04-03", "04-11",
            12.224857, 12.22),
    Example("(4)(i)", 5000, [250] + [230] * 22 + [280], U.MONTH, 1, 0, "01-10", "02-10",
            10.895549, 10.90),
    Example("(4)(ii)", 8000, [449.36] + [465] * 18 + [200], U.TWO_MONTHS, 0, 52, "01-10", "03-01",
            7.301765, 7.30),
]  # fmt: skip

FEE_CASES = [  # principal, nominal rate, term, fee; percent with exact payments and with cents
    (10_000, 0.10, 36, 0.05, 13.562366, 13.562353),
    (15_000, 0.1299, 60, 0.06, 15.777420, 15.777393),
    (10_000, 0.3599, 36, 0.05, 40.168489, None),
    (5_000, 0.0, 24, 0.03, 2.941468, None),
    (5_000, 0.12, 1, 0.02, 36.734694, None),
    (10_000, 0.24, 36, 0.08, 30.351638, None),
]


def months_and_days(start, first):
    """Whole months back from the later date, then the days left; for days 1 to 28 of a month."""
    months = 12 * (first.year - start.year) + first.month - start.month - (first.day < start.day)
    year, month = divmod(12 * first.year + first.month - 1 - months, 12)
    return months, (date(year, month + 1, first.day) - start).days


def loan_apr(financed, payment, term):
    return apr_of_flows([Flow(amount=financed, periods=0)], level_flows(payment, term, 1), 12)


def worth(flows, unit_rate):
    """What flows are worth at a rate a unit period, in exact arithmetic (but for 40 digits)."""
    return sum(
        Decimal(f.amount) / (1 + Decimal(f.fraction) * unit_rate) / (1 + unit_rate) ** f.periods
        for f in flows
    )


def exact_gap(advances, payments, periods_per_year, apr):
    """How much more the payments than the advances are worth, at an APR."""
    with localcontext() as context:
        context.prec = 40
        unit_rate = Decimal(apr) / periods_per_year
        return worth(payments, unit_rate) - worth(advances, unit_rate)


@st.composite
def irregular_loans(draw):
    """One to three advances, then payments of any size after gaps that sum to more."""
    advances = [
        Flow(amount=draw(st.floats(1, 1e9)), periods=k, fraction=draw(FRACTIONS) if k else 0.0)
        for k in range(draw(st.integers(1, 3)))
    ]
    weights = draw(st.lists(st.floats(0.1, 10), min_size=1, max_size=8))
    owed = sum(f.amount for f in advances) * draw(st.floats(1.0001, 4)) / sum(weights)
    fraction, gap = draw(FRACTIONS), draw(st.integers(1, 9))
    payments = [
        Flow(amount=owed * w, periods=len(advances) + k * gap, fraction=fraction)
        for k, w in enumerate(weights)
    ]
    return advances, payments, draw(UNITS).periods_per_year


# --- published examples and known loans --------------------------------------------------------


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.paragraph)
def test_the_apr_is_the_one_that_appendix_j_prints(example):
    assert disclosed(example.apr) == Decimal(str(example.printed))
    assert 100 * example.apr == pytest.approx(example.exact, abs=5.01e-7)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.paragraph)
def test_the_dates_that_appendix_j_prints_give_its_unit_periods(example):
    start, first = (date.fromisoformat(f"1978-{day}") for day in (example.start, example.first))
    months, days = months_and_days(start, first)
    if "WEEK" in example.unit.name:
        months, days = 0, (first - start).days
    found = unit_period_fraction(example.unit, days, months)
    assert found == (example.whole, example.odd / example.unit.days)


def test_the_apr_of_one_payment_is_the_one_that_appendix_j_prints():
    term = date(1978, 9, 15) - date(1978, 1, 3)
    apr = single_payment_apr(1000, 1080, term.days)
    assert disclosed(apr) == Decimal("11.45")  # (c)(5)(i)
    assert 100 * apr == pytest.approx(11.450980, abs=5.01e-7)


@pytest.mark.parametrize(("principal", "rate", "term", "fee", "exact", "cents"), FEE_CASES)
def test_the_apr_of_a_loan_with_a_fee_is_known(principal, rate, term, fee, exact, cents):
    financed = float(amount_financed(principal, fee))
    found = loan_apr(financed, float(monthly_payment(principal, rate, term)), term)
    assert 100 * found == pytest.approx(exact, abs=5.01e-7)
    if cents is not None:
        rows = schedule(principal, rate, term)
        payments = [Flow(amount=float(row.payment), periods=row.month) for row in rows]
        found = apr_of_flows([Flow(amount=financed, periods=0)], payments, 12)
        assert 100 * found == pytest.approx(cents, abs=5.01e-7)


# --- the rate that solves the equation ---------------------------------------------------------


@given(loan=irregular_loans())
def test_the_exact_apr_is_within_1e_12(loan):
    found = apr_of_flows(*loan)
    width = 1e-12 * max(1.0, found)
    assert exact_gap(*loan, found - width) > 0 > exact_gap(*loan, found + width)


@given(amount=st.floats(1, 1e9), rate=st.floats(1e-6, 0.01))
def test_one_day_of_a_large_loan_has_an_exact_apr(amount, rate):
    payment = amount * (1 + rate)
    exact = float(365 * (Fraction(payment) / Fraction(amount) - 1))
    found = apr_of_flows(level_flows(amount, 1, 0), level_flows(payment, 1, 1), 365)
    assert found == pytest.approx(exact, abs=2e-13)


@given(principal=PRINCIPALS, rate=RATES, term=TERMS, fee=FEES)
def test_a_regular_loan_has_the_apr_of_the_closed_form(principal, rate, term, fee):
    financed, payment = principal * (1 - fee), float(monthly_payment(principal, rate, term))
    closed = float(level_apr(financed, payment, term))
    assert loan_apr(financed, payment, term) == pytest.approx(closed, abs=1e-11)


@given(principal=PRINCIPALS, rate=RATES, term=TERMS)
def test_without_a_fee_a_regular_loan_has_its_nominal_rate_as_apr(principal, rate, term):
    payment = float(monthly_payment(principal, rate, term))
    assert loan_apr(principal, payment, term) == pytest.approx(rate, abs=2e-12)


@given(rate=RATES, term=TERMS, fee=FEES, more=st.floats(1e-6, 0.1), fraction=FRACTIONS)
def test_the_apr_rises_with_the_fee(rate, term, fee, more, fraction):
    payments = level_flows(float(monthly_payment(1000, rate, term)), term, 1, fraction)
    low, high = (
        apr_of_flows([Flow(amount=float(amount_financed(1000, f)), periods=0)], payments, 12)
        for f in (fee, fee + more)
    )
    assert high > low


@given(rate=st.floats(0.01, 1), term=TERMS, early=FRACTIONS, late=FRACTIONS)
def test_the_apr_falls_with_a_longer_first_period(rate, term, early, late):
    assume(late - early > 1e-6)
    advance, payment = [Flow(amount=1000, periods=0)], float(monthly_payment(1000, rate, term))
    soon, later = (
        apr_of_flows(advance, level_flows(payment, term, 1, part), 12) for part in (early, late)
    )
    assert later < soon


@given(loan=irregular_loans(), times=st.floats(1e-3, 1e3))
def test_scaling_every_flow_leaves_the_apr_unchanged(loan, times):
    *sides, periods_per_year = loan
    scaled = [
        [Flow(amount=f.amount * times, periods=f.periods, fraction=f.fraction) for f in side]
        for side in sides
    ]
    assert apr_of_flows(*scaled, periods_per_year) == pytest.approx(
        apr_of_flows(*loan), rel=1e-12, abs=1e-12
    )


@given(loan=irregular_loans(), parts=st.integers(2, 5))
def test_a_flow_paid_in_parts_at_one_time_is_one_flow(loan, parts):
    advances, payments, periods_per_year = loan
    first, *rest = payments
    part = Flow(amount=first.amount / parts, periods=first.periods, fraction=first.fraction)
    assert apr_of_flows(advances, [*[part] * parts, *rest], periods_per_year) == pytest.approx(
        apr_of_flows(*loan), rel=1e-12, abs=1e-12
    )


@given(amount=PRINCIPALS, more=st.floats(1, 3), days=st.integers(1, 365))
def test_one_payment_is_one_unit_period_of_its_term(amount, more, days):
    found = single_payment_apr(amount, amount * more, days)
    flows = [Flow(amount=amount, periods=0)], level_flows(amount * more, 1, 1)
    assert found == pytest.approx(apr_of_flows(*flows, 365 / days), rel=1e-12, abs=1e-12)


@given(addon=st.floats(0.001, 0.15), term=TERMS)
def test_an_addon_loan_has_its_nominal_rate_as_apr(addon, term):
    nominal = float(nominal_from_addon(addon, term))
    assert loan_apr(1000, 1000 / term + 1000 * addon, term) == pytest.approx(nominal, rel=1e-12)


@pytest.mark.parametrize(("addon", "term"), [(0.15, 1), (0.15, 60), (0.15, 480), (5, 3), (1e6, 1)])
def test_the_dearest_loans_still_have_an_apr(addon, term):
    payment = 1000 / term + 1000 * addon
    found = loan_apr(1000, payment, term)
    assert found == pytest.approx(float(level_apr(1000, payment, term)), rel=1e-12)
    if term == 1:
        assert found == pytest.approx(12 * addon, rel=1e-12)


@given(principal=PRINCIPALS, term=TERMS)
def test_a_loan_without_interest_or_fee_has_an_apr_of_zero(principal, term):
    assert loan_apr(principal, float(monthly_payment(principal, 0.0, term)), term) == pytest.approx(
        0, abs=2e-12
    )
    assert loan_apr(1000, 1000, 1) == 0


@given(principal=st.integers(1000, 40_000), rate=st.floats(0, 0.36), fee=FEES)
def test_cents_leave_the_apr_within_the_legal_tolerance(principal, rate, fee):
    level, total = contract_payments(principal, rate, 36)
    payments = [*level_flows(level, 35, 1), Flow(amount=total - 35 * level, periods=36)]
    financed = principal * (1 - fee)
    assume(total >= financed)
    found = apr_of_flows([Flow(amount=financed, periods=0)], payments, 12)
    exact = float(level_apr(financed, monthly_payment(principal, rate, 36), 36))
    assert abs(found - exact) < 0.125 / 100  # 12 CFR 1026.22(a)(2)


@pytest.mark.parametrize("early", range(1, 10))
def test_an_advance_after_a_payment_still_has_a_rate_that_solves_the_equation(early):
    loan = [Flow(amount=100, periods=t) for t in (0, 10)], [Flow(amount=250, periods=early)], 12
    found = apr_of_flows(*loan)
    assert float(exact_gap(*loan, found)) == pytest.approx(0, abs=1e-9)
    assert found > 0


# --- what is refused ---------------------------------------------------------------------------


@given(loan=irregular_loans(), share=st.floats(0.01, 0.999))
def test_payments_below_the_advances_are_refused(loan, share):
    advances, payments, periods_per_year = loan
    paid = sum(f.amount for f in payments)
    advances = [Flow(amount=paid / share, periods=0), *advances[1:]]
    with pytest.raises(ValueError, match="payments below"):
        apr_of_flows(advances, payments, periods_per_year)


@pytest.mark.parametrize("sides", [([], [(9, 1)]), ([(9, 0)], []), ([], [])])
def test_a_loan_without_advances_or_payments_is_refused(sides):
    advances, payments = ([Flow(amount=a, periods=t) for a, t in side] for side in sides)
    with pytest.raises(ValueError, match="no advances"):
        apr_of_flows(advances, payments, 12)


@pytest.mark.parametrize("per_year", [0, -12, np.inf, np.nan])
def test_a_year_without_a_number_of_unit_periods_is_refused(per_year):
    with pytest.raises(ValueError, match="periods in a year"):
        apr_of_flows([Flow(amount=9, periods=0)], level_flows(10, 1, 1), per_year)


@pytest.mark.parametrize("periods", [(0, 0), (1, 0), (2, 1)])
def test_payments_that_do_not_follow_the_advances_have_no_rate(periods):
    advanced, paid = periods
    with pytest.raises(ValueError, match="no rate"):
        apr_of_flows([Flow(amount=9, periods=advanced)], [Flow(amount=10, periods=paid)], 12)


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 0.0},
        {"amount": -5.0},
        {"amount": np.inf},
        {"amount": np.nan},
        {"periods": -1},
        {"periods": 1.5},
        {"periods": np.inf},
        {"periods": np.nan},
        {"fraction": -0.1},
        {"fraction": 1.0},
        {"fraction": np.nan},
    ],
)
def test_money_that_does_not_change_hands_at_a_time_is_no_flow(wrong):
    with pytest.raises(ValueError, match="not an amount at a time"):
        Flow(**{"amount": 1.0, "periods": 1} | wrong)


@pytest.mark.parametrize(
    ("amount", "payment", "days"),
    [(1000, 1080, 0), (1000, 1080, 366), (1000, 999, 30), (0, 9, 30), (9, np.inf, 30)],
)
def test_one_payment_of_less_or_after_a_year_is_refused(amount, payment, days):
    with pytest.raises(ValueError, match=f"after {days} days"):
        single_payment_apr(amount, payment, days)


# --- unit periods ------------------------------------------------------------------------------


@given(unit=UNITS, days=st.integers(0, 1000))
def test_whole_unit_periods_and_the_fraction_are_the_time(unit, days):
    whole, fraction = unit_period_fraction(unit, days)
    assert 0 <= fraction < 1
    assert (whole + fraction) * unit.days == pytest.approx(days)


@given(unit=UNITS, months=st.integers(1, 60), days=st.integers(0, 31))
def test_a_month_is_thirty_days_of_every_unit_that_months_count(unit, months, days):
    if unit.days % 15:
        with pytest.raises(ValueError, match="not counted"):
            unit_period_fraction(unit, days, months)
    else:
        assert unit_period_fraction(unit, days, months) == unit_period_fraction(
            unit, days + 30 * months
        )


@pytest.mark.parametrize(("days", "months"), [(-1, 0), (0, -1)])
def test_a_negative_time_is_refused(days, months):
    with pytest.raises(ValueError, match="not counted"):
        unit_period_fraction(UnitPeriod.MONTH, days, months)


@pytest.mark.parametrize("unit", UnitPeriod)
def test_the_unit_periods_of_a_year_last_a_year(unit):
    assert unit.days * unit.periods_per_year in (360, 364, 365)  # months, weeks, days


# --- fees --------------------------------------------------------------------------------------


@given(requested=PRINCIPALS, fee=FEES)
def test_the_note_leaves_what_was_requested_after_its_fee(requested, fee):
    note = noted_principal(requested, fee)
    assert float(amount_financed(note, fee)) == pytest.approx(requested, rel=1e-14)
    assert float(amount_financed(requested, fee, withheld=False)) == requested
    assert note >= requested


@given(requested=PRINCIPALS, rate=RATES, term=TERMS, fee=FEES)
def test_a_fee_costs_the_same_apr_withheld_or_added_to_the_note(requested, rate, term, fee):
    note = float(noted_principal(requested, fee))
    added = loan_apr(requested, float(monthly_payment(note, rate, term)), term)
    withheld = float(amount_financed(requested, fee))
    assert loan_apr(withheld, float(monthly_payment(requested, rate, term)), term) == pytest.approx(
        added, abs=1e-11
    )


@pytest.mark.parametrize("fee", [-0.01, 1.0, np.nan, [0.05, 1.5]])
def test_a_fee_that_is_no_share_of_the_note_is_refused(fee):
    for function in (amount_financed, noted_principal):
        with pytest.raises(ValueError, match="share of the note"):
            function(1000, fee)


# --- caps --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("term", "fee", "highest"),
    [(36, 0.05, 31.926483), (36, 0.08, 29.429103), (60, 0.05, 33.168590), (12, 0.05, 25.812616)],
)
def test_the_highest_rate_under_a_cap_is_known(term, fee, highest):
    found = 100 * float(max_nominal_rate(1000 * (1 - fee), 1000, 0.36, term))
    assert found == pytest.approx(highest, abs=5.01e-7)
    ticked = float(max_nominal_rate(1000 * (1 - fee), 1000, 0.36, term, tick=1e-4))
    assert ticked == int(highest * 100) / 1e4


@given(principal=PRINCIPALS, term=TERMS, fee=FEES, cap=st.floats(0, 4))
def test_the_loan_at_the_highest_rate_has_an_apr_at_the_cap(principal, term, fee, cap):
    financed = float(amount_financed(principal, fee))
    rate = float(max_nominal_rate(financed, principal, cap, term))
    if np.isnan(rate):
        assert monthly_payment(principal, 0.0, term) > capped_payment(financed, cap, term)
    else:
        payment = float(monthly_payment(principal, rate, term))
        assert loan_apr(financed, payment, term) == pytest.approx(cap, abs=1e-11)


@given(principal=PRINCIPALS, term=TERMS, fee=FEES, cap=st.floats(0, 4), tick=TICKS)
def test_the_highest_tick_is_within_the_cap_and_the_next_breaks_it(principal, term, fee, cap, tick):
    financed = float(amount_financed(principal, fee))
    rate = float(max_nominal_rate(financed, principal, cap, term, tick))
    assume(not np.isnan(rate))
    assert rate >= 0
    assert rate / tick == pytest.approx(round(rate / tick), abs=1e-6)
    within, breaking = (monthly_payment(principal, r, term) for r in (rate, rate + tick))
    assert within <= capped_payment(financed, cap, term) < breaking
    assert level_apr(financed, breaking, term) > cap


@given(ticks=st.integers(0, 4000), term=TERMS, principal=PRINCIPALS, tick=TICKS)
def test_without_a_fee_the_highest_rate_is_the_cap(ticks, term, principal, tick):
    cap = round(ticks * tick, 10)
    assert float(max_nominal_rate(principal, principal, cap, term)) == pytest.approx(cap, abs=1e-12)
    assert float(max_nominal_rate(principal, principal, cap, term, tick)) == cap


@given(term=TERMS, principal=PRINCIPALS)
def test_a_cap_of_zero_leaves_a_free_loan(term, principal):
    assert 0 <= max_nominal_rate(principal, principal, 0.0, term) < 1e-12
    assert max_nominal_rate(principal, principal, 0.0, term, 1e-4) == 0


@given(term=TERMS, fee=FEES, cap=st.floats(0.01, 1), more=st.floats(1e-6, 0.1))
def test_the_highest_rate_falls_with_the_fee(term, fee, cap, more):
    low, high = (
        float(max_nominal_rate(1000 * (1 - f), 1000, cap, term)) for f in (fee + more, fee)
    )
    assert np.isnan(low) or low < high


def test_a_fee_that_alone_breaks_the_cap_leaves_no_rate():
    two_percent = 0.24 / 0.98  # the APR of a 2 % fee on one month without interest
    assert np.isnan(max_nominal_rate(980, 1000, two_percent - 1e-6, 1))
    assert np.isnan(max_nominal_rate(980, 1000, two_percent - 1e-6, 1, tick=1e-4))
    assert np.isnan(max_nominal_rate(10, 1000, 0.36, 36))
    assert float(max_nominal_rate(980, 1000, two_percent + 1e-6, 1, tick=1e-4)) == 0


def test_the_highest_rates_of_many_loans_are_those_of_each():
    fees, terms = np.array([0.0, 0.05, 0.08]), np.array([[1], [12], [60]])
    table = max_nominal_rate(1000 * (1 - fees), 1000, 0.36, terms, 1e-4)
    alone = [
        [float(max_nominal_rate(1000 * (1 - f), 1000, 0.36, n, 1e-4)) for f in fees]
        for n in (1, 12, 60)
    ]
    np.testing.assert_array_equal(table, alone)
    assert np.isnan(table).sum() == 2


@pytest.mark.parametrize(
    "wrong",
    [(0, 1000, 0.36, 36), (1001, 1000, 0.36, 36), (900, np.inf, 0.36, 36), (900, 1000, -0.1, 36),
     (900, 1000, np.inf, 36), (900, 1000, 0.36, 0), (900, 1000, np.nan, 36),
     (900, 1000, 0.36, 36, 0.0), ([900, -1], 1000, 0.36, 36)],
)  # fmt: skip
def test_a_cap_on_what_is_no_loan_is_refused(wrong):
    with pytest.raises(ValueError, match="out of range"):
        max_nominal_rate(*wrong)


# --- disclosure --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("apr", "points"),
    [(0.10125, "10.13"), (0.10895549, "10.90"), (0.0, "0.00"), (0.36, "36.00"), (2.5, "250.00")],
)
def test_an_apr_is_disclosed_to_two_decimals_and_halves_go_up(apr, points):
    assert str(disclosed(apr)) == points


@given(apr=st.floats(0, 100))
def test_disclosure_moves_an_apr_by_half_a_hundredth_of_a_point_at_most(apr):
    assert abs(disclosed(apr) - 100 * Decimal(repr(apr))) <= Decimal("0.005")


@pytest.mark.parametrize("apr", [np.nan, np.inf])
def test_what_is_no_number_is_not_disclosed(apr):
    with pytest.raises(ValueError, match="cannot be disclosed"):
        disclosed(apr)
