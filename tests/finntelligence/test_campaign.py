from dataclasses import replace

import numpy as np
import pytest

from finntelligence.campaign import frontier, plan, totals
from finntelligence.errors import InvalidDeclarationError
from finntelligence.features import columns_of
from finntelligence.limits import Limits
from finntelligence.optimiser import optima
from finntelligence.shadow_prices import ShadowPrices
from finntelligence.value import default_hazard, loan_value

APPLICANTS = 120
COARSE = {"tick": 0.001, "menu_size": 1}


@pytest.fixture(scope="module")
def crowd(simulated, usual):
    """Applications, their market and both models' coefficients."""
    asked = [usual(simulated, seed, COARSE) for seed in range(APPLICANTS)]
    return (
        [each.application for each in asked],
        asked[0].market,
        np.stack([each.risk for each in asked]),
        np.stack([each.acceptance for each in asked]),
    )


@pytest.fixture(scope="module")
def under(crowd):
    applications, market, risk, acceptance = crowd
    columns = columns_of(applications)
    return lambda prices: totals(columns, replace(market, prices=prices), risk, acceptance)


def test_the_totals_are_those_of_everybodys_first_offer_alone(crowd, under):
    applications, market, risk, acceptance = crowd
    prices = ShadowPrices(principal=0.01, expected_loss=0.1, apr=0.05)
    priced = replace(market, prices=prices)
    offers = [f.offers[0] for f in optima(applications, priced, risk, acceptance) if f.offers]
    found = under(prices).times(APPLICANTS)
    assert found.profit == pytest.approx(sum(o.expected_profit for o in offers))
    assert found.loans == pytest.approx(sum(o.p_accept for o in offers))
    assert found.principal == pytest.approx(sum(o.p_accept * o.principal for o in offers))
    assert found.apr_sum == pytest.approx(sum(o.p_accept * o.principal * o.apr for o in offers))
    economics = market.policy.economics
    lost = 0.0
    for o in offers:
        h = default_hazard(o.pd_lifetime, o.term_months, economics.monthly_prepayment)
        value = loan_value(o.principal, o.nominal_rate, o.term_months, h, economics)
        lost += o.p_accept * float(value.expected_loss)
    assert found.expected_loss == pytest.approx(lost, rel=1e-6)


@pytest.mark.parametrize("share", [0.8, 0.4])
def test_a_budget_is_used_and_no_other_offers_earn_more(under, share):
    free = under(ShadowPrices())
    found = plan(under, Limits(budget=share * free.principal))
    assert found.free == free
    assert found.capital > 0
    assert found.expected.principal == pytest.approx(share * free.principal, rel=0.03)
    assert found.expected.profit <= free.profit
    # weak duality: at the price found, what is left of the budget is all that may be missing
    over = found.expected.principal - share * free.principal
    assert found.bound == pytest.approx(found.expected.profit - found.capital * over, rel=1e-6)


def test_every_kind_of_limit_is_kept_by_its_own_price(under):
    free = under(ShadowPrices())
    for limits, figure in (
        (Limits(expected_loss_ratio=0.9 * free.expected_loss_ratio), "expected_loss_ratio"),
        (Limits(average_apr=0.97 * free.average_apr), "average_apr"),
    ):
        found = plan(under, limits)
        assert found.duals[figure] > 0
        assert getattr(found.expected, figure) == pytest.approx(getattr(limits, figure), rel=0.01)
    more = plan(under, Limits(minimum_volume=1.02 * free.principal))
    assert more.capital < 0
    assert more.expected.principal == pytest.approx(1.02 * free.principal, rel=0.01)


def test_two_limits_are_kept_together(under):
    free = under(ShadowPrices())
    limits = Limits(budget=0.7 * free.principal, expected_loss_ratio=0.9 * free.expected_loss_ratio)
    found = plan(under, limits)
    assert min(found.duals.values()) > 0
    assert limits.excess(found.expected)[0] < 0.03 * free.principal
    assert found.expected.expected_loss_ratio < 0.92 * free.expected_loss_ratio


def test_limits_that_bind_nobody_cost_nothing(under):
    found = plan(under, Limits(budget=1e9, average_apr=5.0))
    assert found.prices == ShadowPrices()
    assert found.expected == found.free


@pytest.mark.parametrize(
    ("limits", "fact"),
    [(Limits(), "one at least"), (Limits(minimum_volume=1e9), "minimum_volume: no permitted")],
)
def test_what_cannot_be_planned_is_refused_by_name(under, limits, fact):
    with pytest.raises(InvalidDeclarationError, match=fact):
        plan(under, limits)


def test_limits_whose_prices_do_not_settle_are_refused(under, monkeypatch):
    monkeypatch.setattr("finntelligence.dual._STEPS", 1)
    with pytest.raises(InvalidDeclarationError, match="limits: the prices have not settled"):
        plan(under, Limits(budget=0.5 * under(ShadowPrices()).principal))


def test_along_the_frontier_less_is_lent_at_a_higher_yield(under):
    capitals = [-0.02, 0.0, 0.03, 0.08]
    points = [point for _, point in frontier(under, capitals)]
    principals = [point.principal for point in points]
    assert principals == sorted(principals, reverse=True)
    assert max(points, key=lambda point: point.profit) == points[1]
    yields = [point.profit / point.principal for point in points]
    assert yields == sorted(yields)


def test_the_frontier_of_a_plan_passes_through_it(under):
    free = under(ShadowPrices())
    limits = Limits(budget=0.7 * free.principal, expected_loss_ratio=0.9 * free.expected_loss_ratio)
    found = plan(under, limits)
    ((_, point),) = frontier(under, [found.capital], found)
    assert point.principal == pytest.approx(found.expected.principal, rel=1e-9)
