from dataclasses import replace

import numpy as np
import pytest

from finntelligence.offers import terms_of
from finntelligence.policy import Policy
from finntelligence.value import default_hazard, loan_value
from training.evidence.subject import repriced
from training.fitting.price_response import columns_of, quoted_terms
from training.judging.proposals import (
    engine_prices,
    list_prices,
    lowest_prices,
    within_rules,
)


@pytest.fixture(scope="module")
def some(tested):
    return tested[0][:400].reset_index(drop=True)


def under(market, **changes):
    return replace(market, policy=Policy.from_mapping(market.portfolio, changes))


def profits(market, both, quotes, rates):
    """Return what the models expect each quote to earn at rates (n, m), one by one."""
    terms = repriced(market.portfolio, quoted_terms(market.portfolio, quotes), rates)
    economics = market.policy.economics
    pd_lifetime = market.risk.probability(both[0][:, None], terms)
    hazard = default_hazard(pd_lifetime, terms.term_months, economics.monthly_prepayment)
    booked = loan_value(
        *(terms.principal, terms.nominal_rate, terms.term_months, hazard, economics),
        quotes["cost_of_funds"].to_numpy()[:, None],
    )
    return market.acceptance.probability(both[1][:, None], terms) * booked.npv


def test_the_list_price_is_the_list_price(quotes):
    assert np.array_equal(list_prices(quotes), quotes["list_rate"])


def test_the_lowest_price_was_tested_on_someone_alike(simulated, quotes):
    lowest = lowest_prices(simulated, quotes)
    offset = lowest - quotes["list_rate"]
    assert (lowest >= quotes["quoted_rate"].min()).all()
    assert (offset >= (quotes["quoted_rate"] - quotes["list_rate"]).min() - 1e-12).all()
    assert np.isnan(lowest_prices(simulated, quotes.assign(is_randomised=False))).all()


def test_the_engines_price_is_the_best_of_all_permitted_ones(engine, some):
    market, both = engine
    free = under(market, apr_cap=None, pti_cap=None, dti_cap=None, pd_cutoff=None)
    found = engine_prices(free, some, both(some))
    offered = np.isfinite(found)
    assert offered.mean() > 0.7  # others earn nothing at any price
    offsets = np.round(np.arange(-0.045, 0.0451, 0.005), 4)
    rates = np.round(some["list_rate"].to_numpy()[:, None] + offsets, 4)
    lowest, highest = 0.0599, 0.3599
    inside = (rates >= lowest) & (rates <= highest)
    rivals = np.where(inside, profits(free, both(some), some, np.clip(rates, lowest, highest)), 0)
    own = profits(free, both(some), some, np.where(offered, found, 0.1)[:, None])[:, 0]
    assert (own[offered] >= rivals.max(axis=1)[offered] - 0.01).mean() > 0.97


def test_the_engine_prices_within_its_policy_and_what_was_tested(engine, some, simulated):
    market, both = engine
    narrow = under(market, trust_region={"below": 0.01, "above": 0.01})
    offset = engine_prices(narrow, some, both(some)) - some["list_rate"]
    assert np.nanmax(np.abs(offset)) <= 0.01 + 1e-9
    wide = under(market, trust_region={"below": 0.3, "above": 0.3})
    offset = engine_prices(wide, some, both(some)) - some["list_rate"]
    assert np.nanmax(np.abs(offset)) <= 0.05 + 1e-4


def test_rules_decline_as_in_the_engine(engine, some):
    market, both = engine
    priced = engine_prices(market, some, both(some))
    strict = engine_prices(under(market, pd_cutoff=0.1), some, both(some))
    assert 0 < np.isnan(priced).sum() < np.isnan(strict).sum() < len(some)
    kept = np.isfinite(strict)
    columns = {name: column[kept] for name, column in columns_of(market.portfolio, some).items()}
    names = ("principal", "term_months", "cost_of_funds")
    principal, term, funds = (some[name].to_numpy(dtype=float)[kept] for name in names)
    terms = terms_of(market.portfolio, columns, principal, term, strict[kept], funds)
    assert market.risk.probability(both(some)[0][kept], terms).max() <= 0.1 + 1e-9
    poor = some.assign(annual_income=1.0)
    assert np.isnan(engine_prices(market, poor, both(poor))).all()


def test_terms_outside_the_policy_get_no_offer(engine, some):
    market, both = engine
    short = under(market, terms=[36])
    priced = np.isfinite(engine_prices(short, some, both(some)))
    assert not priced[some["term_months"] != 36].any()
    assert priced[some["term_months"] == 36].any()
    small = under(market, maximum_principal=9000)
    priced = np.isfinite(engine_prices(small, some, both(some)))
    assert not priced[some["principal"] > 9000].any()


def test_a_price_list_is_bound_by_the_rules_that_bind_the_engine(engine, some):
    market, both = engine
    listed = list_prices(some)
    free = under(market, apr_cap=None, pti_cap=None, dti_cap=None, pd_cutoff=None)
    assert np.array_equal(within_rules(free, some, both(some), listed), listed)
    bound = within_rules(market, some, both(some), listed)
    kept = np.isfinite(bound)
    assert 0 < kept.sum() < len(some)
    assert np.array_equal(bound[kept], listed[kept])
    terms = repriced(market.portfolio, quoted_terms(market.portfolio, some), listed)
    p = market.risk.probability(both(some)[0], terms)
    assert p[kept].max() <= market.policy.pd_cutoff
    assert (terms.payment / terms.monthly_income)[kept].max() <= market.policy.pti_cap
    poor = some.assign(annual_income=1.0)
    assert np.isnan(within_rules(market, poor, both(poor), listed)).all()
    assert np.isnan(within_rules(market, some, both(some), np.full(len(some), np.nan))).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"terms": [36]},
        {"maximum_principal": 9000},
        {"minimum_principal": 9000},
        {"minimum_rate": 0.15},
        {"maximum_rate": 0.12},
        {"minimum_raroc": 0.1},
    ],
)
def test_what_the_policy_never_permits_is_permitted_on_no_price_list(engine, some, changes):
    market, both = engine
    free = {"apr_cap": None, "pti_cap": None, "dti_cap": None, "pd_cutoff": None}
    bound = under(market, **free, **changes)
    listed = within_rules(bound, some, both(some), list_prices(some))
    kept = np.isfinite(listed)
    assert 0 < kept.sum() < len(some)
    at_list = under(market, **free, **changes, trust_region={"below": 0.0001, "above": 0.0001})
    priced = np.isfinite(engine_prices(at_list, some, both(some)))
    assert not (priced & ~kept).any()  # the engine offers at the list price to nobody else


def test_a_price_outside_the_trust_region_is_permitted_on_no_price_list(engine, some, simulated):
    market, both = engine
    lowest = lowest_prices(simulated, some)
    narrow = under(market, trust_region={"below": 0.01, "above": 0.01})
    assert np.isnan(within_rules(narrow, some, both(some), lowest)).mean() > 0.9


def test_terms_that_acceptance_never_saw_are_permitted_on_no_price_list(engine, some):
    market, both = engine
    heads = tuple(
        replace(head, supported=head.phi in ("one", "gap", "gap_hinge"))
        for head in market.acceptance.heads
    )
    blind = replace(market, acceptance=replace(market.acceptance, heads=heads))
    unknown = np.isnan(within_rules(blind, some, both(some), list_prices(some)))
    assert unknown.any()
    assert (unknown >= np.isnan(within_rules(market, some, both(some), list_prices(some)))).all()
    assert np.isnan(engine_prices(blind, some, both(some)))[unknown].all()
