import pytest

from finntelligence.offers import application
from finntelligence.policy import Policy
from finntelligence.value import default_hazard, loan_value
from loadtests.grid_pricer import CANDIDATES
from loadtests.heldout import outside_policy


def test_it_asks_both_models_about_1200_candidates(pricer):
    assert CANDIDATES == pricer._for_risk.reshape(-1, pricer._for_risk.shape[-1]).shape[0] == 1200


def test_every_offer_keeps_the_policy(priced, portfolio):
    class Priced:  # all of a market that the rules ask for
        policy = Policy.from_mapping(portfolio)

    Priced.portfolio = portfolio
    shown = [(offer, body) for body, offers in priced for offer in offers]
    assert len(shown) > len(priced)
    for offer, body in shown:
        assert outside_policy(offer, application(portfolio, **body), Priced) == []


def test_offers_are_ranked_and_none_is_of_the_same_amount_and_term(priced):
    for _, offers in priced:
        profits = [offer["expected_profit"] for offer in offers]
        assert profits == sorted(profits, reverse=True)
        assert len({(o["principal"], o["term_months"]) for o in offers}) == len(offers) <= 3


def test_an_offer_is_worth_what_the_core_says_it_is(priced, portfolio):
    economics = Policy.from_mapping(portfolio).economics
    for offer in (offers[0] for _, offers in priced if offers):
        term = offer["term_months"]
        hazard = default_hazard(offer["pd_lifetime"], term, economics.monthly_prepayment)
        value = loan_value(offer["principal"], offer["nominal_rate"], term, hazard, economics)
        worth = float(value.npv) * offer["p_accept"]
        assert offer["expected_profit"] == pytest.approx(worth, rel=1e-3, abs=0.05)


def test_nothing_is_left_of_the_applicants_before(priced, pricer):
    body, offers = next((body, offers) for body, offers in priced if offers)
    assert pricer.offers(*body.values()) == offers
