import math

import numpy as np
import pytest

from finntelligence.explain import reference
from finntelligence.features import application_columns, design_matrix
from finntelligence.optimiser import optimum, terms_at
from finntelligence.why_not import why_not
from finntelligence.why_this import NEIGHBOURS, WATERFALL, why_this


def explained(asked):
    """Return the first offer and its explanation; (None, None) where there is no offer."""
    applied, under, risk, acceptance = asked.all
    offers = optimum(*asked.all).offers
    if not offers:
        return None, None
    row = design_matrix(under.portfolio, application_columns(applied))
    parts = under.risk.contributions(row)[0]
    return offers[0], why_this(applied, under, offers[0], (risk, acceptance), parts)


@pytest.fixture(params=range(12))
def asked(request, book, usual):
    """Usual applicants who get an offer."""
    found = usual(book, request.param)
    if not optimum(*found.all).offers:
        found = usual(book, 100 + request.param)
    return found


def test_the_effects_lead_from_the_approved_mean_to_the_offers_own_risk(asked):
    offer, why = explained(asked)
    total = why.approved_logit + sum(effect.effect for effect in why.effects) + why.floor
    assert total == pytest.approx(why.pd_logit, abs=1e-5)
    assert why.pd_logit == pytest.approx(math.log(offer.pd_lifetime / (1 - offer.pd_lifetime)))
    assert why.approved_logit == pytest.approx(sum(reference(asked.market.risk).values()))


def test_the_waterfall_falls_to_the_value_that_the_offer_expects(asked):
    offer, why = explained(asked)
    parts = dict(why.waterfall)
    assert tuple(parts) == WATERFALL
    npv = parts.pop("npv")
    gained = parts.pop("interest") + parts.pop("fee")
    assert gained - sum(parts.values()) == pytest.approx(npv, abs=1e-6)
    assert offer.p_accept * npv == pytest.approx(offer.expected_profit, rel=1e-6)


def test_neighbours_are_valued_as_any_terms_are(asked):
    offer, why = explained(asked)
    assert why.neighbours
    for beside in why.neighbours:
        other = why_not(*asked.all, offer.principal, offer.term_months, beside.quoted_rate)
        assert beside.p_accept == pytest.approx(other.p_accept, rel=1e-12)
        assert beside.npv == pytest.approx(other.npv, rel=1e-9, abs=1e-9)
        assert beside.expected_profit == pytest.approx(other.expected_profit, rel=1e-9, abs=1e-9)


def test_neighbours_are_in_the_price_range_and_no_permitted_one_earns_more(asked):
    offer, why = explained(asked)
    for beside in why.neighbours:
        step = (beside.quoted_rate - offer.quoted_rate) / 1e-4
        assert round(step) in NEIGHBOURS
        assert step == pytest.approx(round(step), abs=1e-6)
        other = why_not(*asked.all, offer.principal, offer.term_months, beside.quoted_rate)
        assert not {"TICK", "PRICE_RANGE"} & {rule.code for rule in other.broken}
        assert beside.broken == (other.broken[0].code if other.broken else None)
        if beside.broken is None:
            assert beside.expected_profit <= offer.expected_profit * (1 + 1e-9)


def test_a_neighbour_that_a_rule_forbids_says_which(simulated, ask):
    offer, why = explained(ask(simulated, {"apr_cap": 0.14}))
    assert offer.binding == "APR_CAP"
    for beside in why.neighbours:
        assert beside.broken == ("APR_CAP" if beside.quoted_rate > offer.quoted_rate else None)
    assert {beside.broken for beside in why.neighbours} == {"APR_CAP", None}


def test_rates_between_two_ticks_are_no_neighbours(simulated, ask):
    _, why = explained(ask(simulated, {"tick": 0.005}))
    offer, _ = explained(ask(simulated, {"tick": 0.005}))
    steps = {round((n.quoted_rate - offer.quoted_rate) / 1e-4) for n in why.neighbours}
    assert steps == {-100, -50, 50, 100}


def test_an_offer_at_the_end_of_its_price_range_has_neighbours_on_one_side(kz, ask):
    offer, why = explained(ask(kz))
    assert {n.quoted_rate < offer.quoted_rate for n in why.neighbours} == {True}
    assert why.binding == offer.binding == "PRICE_RANGE"


def test_the_price_slope_is_that_of_the_acceptance_at_the_offer(asked):
    offer, why = explained(asked)
    applied, under, _, acceptance = asked.all
    rates = offer.quoted_rate + np.array([0.0, 1e-6])
    terms = terms_at(
        applied, under, np.full(2, offer.principal), np.full(2, float(offer.term_months)), rates
    )
    p = under.acceptance.probability(acceptance, terms)
    rise = np.diff(np.log(p / (1 - p)))[0] / 1e-4  # of a price unit
    assert why.price_slope == pytest.approx(rise, rel=1e-4)
    assert why.price_slope < 0
