import math

import numpy as np
import pytest

from finntelligence.features import application_columns
from finntelligence.list_price import at_list_price, list_price_optimum, no_answer
from finntelligence.policy import TICK_SLACK
from finntelligence.quote import quote

MENU = 3


def offered(asked, menu_size=MENU):
    applied, market, risk, _ = asked.all
    return list_price_optimum(applied, at_list_price(market), risk, menu_size)


def listed_rate(asked, term_months):
    applied, market, *_ = asked.all
    rule, funds = market.portfolio.price.list_rate, market.policy.economics.cost_of_funds
    return float(rule.rate(application_columns(applied), np.array([term_months]), funds)[0])


def test_each_offer_is_at_the_highest_quotable_rate_up_to_the_list_price(book, usual):
    seen = 0
    for seed in range(20):
        asked = usual(book, seed)
        tick = asked.all[1].policy.tick
        for offer in offered(asked).offers:
            below = listed_rate(asked, offer.term_months) - offer.quoted_rate
            assert -TICK_SLACK * tick <= below < tick
            seen += 1
    assert seen


def test_no_offer_breaks_a_rule_of_the_policy(book, ask):
    asked = ask(book)
    for offer in offered(asked).offers:
        terms = offer.principal, offer.term_months, offer.quoted_rate
        assert quote(*asked.all, *terms).permitted


def test_what_nobody_knows_is_not_told(book, ask):
    for offer in offered(ask(book)).offers:
        assert math.isnan(offer.p_accept)
        assert math.isnan(offer.expected_profit)
        assert (offer.p_choice, offer.binding) == (None, None)


def test_the_offer_nearest_to_what_was_asked_for_stands_first(book, ask):
    applied, market, risk, acceptance = ask(book).all
    listed = at_list_price(market)
    assert no_answer(listed).shape == acceptance.shape
    terms = [
        (abs(o.principal - applied.requested_principal), abs(o.term_months - wanted))
        for wanted in [applied.requested_term_months]
        for o in list_price_optimum(applied, listed, risk, 99).offers
    ]
    assert terms == sorted(terms)
    assert terms[0] == (0, 0)


@pytest.mark.parametrize("most", [1, 2])
def test_the_menu_is_as_long_as_the_policy_says(simulated, ask, most):
    assert len(offered(ask(simulated), most).offers) == most


def test_a_list_price_that_the_policy_forbids_is_a_decline_with_its_rule(simulated, ask):
    found = offered(ask(simulated, {"pd_cutoff": 0.001}))
    assert found.offers == ()
    assert set(found.broken) == {"PD_CUTOFF"}
