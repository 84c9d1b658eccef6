from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finntelligence.curve import MOST_SHADOW_PRICE, POINTS, Assumptions, price_curves
from finntelligence.errors import InvalidApplicationError
from finntelligence.optimiser import PRICE_RANGE, optimum
from finntelligence.quote import quote

SHADOW = 0.02


@pytest.fixture(scope="module")
def applicant(ask, book):
    return ask(book)


def curves_of(applicant, **changes):
    asked = applicant.application.requested_principal
    return price_curves(*applicant.all, **{"principal": asked, **changes})


def test_there_is_a_curve_of_every_term_with_prices_rising(applicant):
    curves = curves_of(applicant)
    assert tuple(curve.term_months for curve in curves) == applicant.market.policy.terms
    for curve in curves:
        assert len(curve.quoted_rate) >= POINTS
        assert np.all(np.diff(curve.quoted_rate) > 0)


@pytest.mark.parametrize("shadow_price", [0, SHADOW])
def test_the_marked_price_is_the_engines_and_no_permitted_one_is_better(applicant, shadow_price):
    market = Assumptions(shadow_price=shadow_price).of(applicant.market)
    every = [applicant.application, market, *applicant.all[2:]]
    offered = {(offer.principal, offer.term_months): offer for offer in optimum(*every).offers}
    (amount,) = {max(principal for principal, _ in offered)}
    curves = price_curves(*every, amount)
    met = 0
    for curve in (curve for curve in curves if curve.best is not None):
        permitted = np.array([code is None for code in curve.broken])
        assert permitted[curve.best]
        assert curve.objective[curve.best] == curve.objective[permitted].max()
        offer = offered.get((amount, curve.term_months))
        if offer is not None:
            met += 1
            assert curve.quoted_rate[curve.best] == offer.quoted_rate
            assert curve.expected_profit[curve.best] == pytest.approx(offer.expected_profit)
    assert met


def test_every_point_is_what_a_quote_of_it_says(applicant):
    principal = applicant.application.requested_principal
    for curve in curves_of(applicant):
        for place in range(0, len(curve.quoted_rate), 24):
            rate = float(curve.quoted_rate[place])
            quoted = quote(*applicant.all, principal, curve.term_months, rate)
            for name in ("p_accept", "pd_lifetime", "npv", "expected_profit"):
                assert getattr(curve, name)[place] == pytest.approx(getattr(quoted, name)), name
            codes = [broken.code for broken in quoted.broken]
            assert (codes[0] if codes else None) == curve.broken[place]


def test_what_a_price_range_excludes_is_drawn_as_forbidden(applicant):
    for curve in curves_of(applicant):
        low, high = curve.price_range
        outside = (curve.quoted_rate < low) | (curve.quoted_rate > high)
        assert outside.any()
        assert {c for c, is_out in zip(curve.broken, outside, strict=True) if is_out} == {
            PRICE_RANGE
        }


def test_a_cap_is_the_last_price_its_rule_permits(simulated, ask):
    applicant = ask(simulated)
    strict = replace(applicant.market.policy, apr_cap=0.16, pti_cap=0.07, pd_cutoff=0.14)
    market = replace(applicant.market, policy=strict)
    every = [applicant.application, market, *applicant.all[2:]]
    met = set()
    for curve in price_curves(*every, applicant.application.requested_principal):
        for code, rate in curve.caps.items():
            place = int(np.searchsorted(curve.quoted_rate, rate))
            assert curve.quoted_rate[place] == rate
            met.add(code)
            for at, permits in ((rate, True), (rate + strict.tick, False)):
                quoted = quote(
                    *every,
                    applicant.application.requested_principal,
                    curve.term_months,
                    round(at, 10),
                )
                assert (code in {b.code for b in quoted.broken}) is not permits, (code, at)
    assert len(met) >= 2


def test_a_term_without_a_price_says_which_rule_leaves_it_none(simulated, ask):
    applicant = ask(simulated)
    strict = replace(applicant.market.policy, pd_cutoff=0.0001)
    curves = price_curves(
        applicant.application, replace(applicant.market, policy=strict), *applicant.all[2:], 12_000
    )
    assert {(curve.best, curve.blocked_by) for curve in curves} == {(None, "PD_CUTOFF")}


def test_a_term_that_only_a_shadow_price_leaves_none_says_so_at_every_price(simulated, ask):
    applicant = ask(simulated)
    dear = Assumptions(shadow_price=0.5).of(applicant.market)
    for curve in price_curves(applicant.application, dear, *applicant.all[2:], 12_000):
        assert (curve.best, curve.blocked_by) == (None, "PORTFOLIO_LIMIT")
        assert (curve.objective <= 0).all()
        assert None not in curve.broken


def test_assuming_what_the_policy_says_changes_nothing(applicant):
    economics = applicant.market.policy.economics
    same = Assumptions(cost_of_funds=economics.cost_of_funds, lgd=economics.lgd)
    assert same.of(applicant.market) is applicant.market


def test_dearer_defaults_earn_less_at_every_price(applicant):
    worse = Assumptions(lgd=1.0).of(applicant.market)
    amount = applicant.application.requested_principal
    then = price_curves(applicant.application, worse, *applicant.all[2:], amount)
    for now, dearer in zip(curves_of(applicant), then, strict=True):
        shared = np.isin(now.quoted_rate, dearer.quoted_rate)
        same = np.isin(dearer.quoted_rate, now.quoted_rate)
        assert shared.sum() >= POINTS
        assert np.all(dearer.npv[same] < now.npv[shared])
        assert np.array_equal(dearer.p_accept[same], now.p_accept[shared])


@given(st.floats(1.0001, 1e6), st.floats(max_value=-1e-9), st.just(float("nan")))
def test_assumptions_no_policy_could_make_are_named_together(high, low, nan):
    with pytest.raises(InvalidApplicationError) as caught:
        Assumptions(cost_of_funds=nan, lgd=high, shadow_price=low)
    fields = [problem.field for problem in caught.value.problems]
    assert fields == ["assume.cost_of_funds", "assume.lgd", "assume.shadow_price"]


def test_the_bounds_of_assumptions_may_be_assumed():
    Assumptions(cost_of_funds=0, lgd=1, shadow_price=MOST_SHADOW_PRICE)
