"""The optimum is what valuing every tick finds: 2,000 random applicants under four policies."""

import numpy as np
import pytest

from finntelligence.cashflow import capped_payment
from finntelligence.features import REQUEST_FEATURES
from finntelligence.market import solve
from finntelligence.offers import OfferTerms
from finntelligence.response import PHI
from finntelligence.search import COMPILED
from finntelligence.value import default_hazard, loan_value

APPLICANTS = 2000
TICK = 0.0005
FREE = {"apr_cap": None, "pti_cap": None, "dti_cap": None, "pd_cutoff": None}
WIDE = {"trust_region": {"below": 0.5, "above": 0.5}}
NO_FEE = {"economics": {"origination_fee": 0.0}}
POLICIES = {
    "default": ({}, 0.0),
    "no caps, no fee, no trust region": (FREE | WIDE | NO_FEE, 0.0),
    "tight caps and a return hurdle, kinked demand": (
        {"apr_cap": 0.25, "pti_cap": 0.1, "pd_cutoff": 0.35, "minimum_raroc": 0.25},
        -0.15,
    ),
    "caps without a trust region, kinked demand": (WIDE, -0.2),
}


def every_tick(market, columns, coefficients, principal, term):
    """Value every tick of one (principal, term) of every applicant, from the formulas alone."""
    policy, portfolio = market.policy, market.portfolio
    economics, ticks = policy.economics, policy.ticks()[None]
    wide = {name: column[:, None] for name, column in columns.items()}
    lent = principal[:, None]
    terms = np.full_like(ticks, term)
    listed = portfolio.price.list_rate.rate(wide, term, economics.cost_of_funds)
    value_at = loan_value(lent, ticks, term, 0.0, economics)
    payment = value_at.payments * 0 + lent * np.nan_to_num(
        market.grid.factor[list(market.grid.terms).index(term)]
    )
    offered = OfferTerms(
        principal=lent,
        term_months=terms,
        quoted_rate=ticks,
        nominal_rate=ticks,
        payment=payment,
        benchmark=portfolio.price.benchmark.rate(wide, term, economics.cost_of_funds),
        requested_principal=wide["requested_principal"],
        requested_term_months=wide["requested_term_months"],
        monthly_income=wide["annual_income"] / 12,
    )
    p = {}
    for name, model in (("risk", market.risk), ("accept", market.acceptance)):
        logit = sum(
            coefficients[name][:, k, None] * PHI[head.phi](offered, model)
            for k, head in enumerate(model.heads)
        )
        p[name] = 1 / (1 + np.exp(-logit))
    hazard = default_hazard(p["risk"], term, economics.monthly_prepayment)
    value = loan_value(lent, ticks, term, hazard, economics)
    share = payment / offered.monthly_income
    permitted = (value.npv > 0) & (np.abs(ticks - listed) <= policy.trust_above + 1e-9)
    if policy.apr_cap is not None:
        financed = lent * (1 - economics.origination_fee)
        permitted &= payment <= capped_payment(financed, policy.apr_cap, term)
    if policy.pti_cap is not None:
        permitted &= share <= policy.pti_cap
    if policy.dti_cap is not None:
        permitted &= share + wide["dti"] / 100 <= policy.dti_cap
    if policy.pd_cutoff is not None:
        permitted &= p["risk"] <= policy.pd_cutoff
    if policy.minimum_raroc is not None:
        permitted &= value.raroc >= policy.minimum_raroc
    return np.where(permitted, p["accept"] * value.npv, -np.inf)


@pytest.mark.parametrize("name", POLICIES)
def test_the_optimum_of_every_cell_is_the_best_of_all_its_ticks(
    name, market, applicants, coefficients, capsys
):
    changes, hinge = POLICIES[name]
    under = market({"tick": TICK, **changes}, hinge)
    columns = applicants(APPLICANTS, seed=len(name))
    assert set(REQUEST_FEATURES) <= set(columns)
    risk, acceptance = coefficients(under, columns)
    found = solve(columns, under, risk, acceptance)
    shape = found.principal.shape
    tick, profit = found.optima.tick.reshape(shape), found.optima.profit.reshape(shape)
    same = worst = cells = 0
    for cell in range(shape[1]):
        principal = found.principal[:, cell]
        known = ~np.isnan(principal)
        scanned = every_tick(
            under,
            {key: column[known] for key, column in columns.items()},
            {"risk": risk[known], "accept": acceptance[known]},
            principal[known],
            float(found.term_months[0, cell]),
        )
        best = scanned.max(axis=1)
        at = tick[known, cell]
        offered = at >= 0
        assert np.array_equal(offered, np.isfinite(best))
        worst = max(worst, np.max(np.abs(profit[known, cell] - best)[offered], initial=0.0))
        same += np.sum(scanned.argmax(axis=1)[offered] == at[offered])
        cells += offered.sum()
    with capsys.disabled():
        print(  # noqa: T201  # the figure is the point of the test
            f"\n{name}: {cells} cells with an optimum, same tick in {same}, "
            f"largest difference {worst:.1e} USD (compiled: {COMPILED})"
        )
    assert cells > APPLICANTS
    assert worst < 0.005
