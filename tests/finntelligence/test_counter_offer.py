import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finntelligence.counter_offer import alternatives, approvable, counter_offer
from finntelligence.errors import InvalidApplicationError
from finntelligence.features import RowEncoder, application_columns, design_matrix
from finntelligence.offers import application
from finntelligence.optimiser import optimum

COARSE = {"tick": 0.002}
HARSH = {
    "own": {},
    "affordable": {"pti_cap": 0.06},
    "safe": {"pd_cutoff": 0.12},
    "profitable": {"economics": {"acquisition_cost": 300}},
}


def scored(market, requests):
    """Both models' coefficients of each request, scored anew."""
    matrix = np.concatenate(
        [design_matrix(market.portfolio, application_columns(request)) for request in requests]
    )
    return market.risk.coefficients(matrix), market.acceptance.coefficients(matrix)


def others(asked, most=64):
    return alternatives(asked.application, asked.market.portfolio, asked.market.policy, most)


def countered(asked, most=64):
    found = others(asked, most)
    return counter_offer(found, asked.market, *scored(asked.market, found)) if found else None


def answered(market, request):
    """The engine's answer to a request made afresh."""
    risk, acceptance = scored(market, [request])
    return optimum(request, market, risk[0], acceptance[0]).offers


def request_of(counter):
    return counter.requested_principal, counter.requested_term_months


def pair(request):
    return request.requested_principal, request.requested_term_months


def distance(request, applied):
    given_up = 1 - request.requested_principal / applied.requested_principal
    ratio = request.requested_term_months / applied.requested_term_months
    return given_up + abs(math.log(ratio))


# --- the other requests --------------------------------------------------------------------------


@settings(max_examples=40)
@given(data=st.data())
def test_alternatives_are_smaller_or_longer_requests_of_the_same_applicant(book, market, data):
    axes = book.axes
    applied = application(
        book,
        requested_principal=data.draw(st.floats(axes.minimum_principal, axes.maximum_principal)),
        requested_term_months=data.draw(st.sampled_from(axes.terms)),
        features=book.example["features"],
    )
    policy, most = market(book).policy, data.draw(st.integers(1, 80))
    found = alternatives(applied, book, policy, most)
    assert len(found) <= most
    assert pair(applied) not in {pair(request) for request in found}
    assert len({pair(request) for request in found}) == len(found)
    ends = {applied.requested_principal, policy.minimum_principal}
    for request in found:
        amount, term = pair(request)
        assert request.features == applied.features
        assert policy.minimum_principal <= amount <= applied.requested_principal
        steps = amount / policy.principal_step
        assert amount in ends or steps == pytest.approx(round(steps), abs=1e-6)
        assert term in policy.terms
        assert term >= applied.requested_term_months
        assert request == application(
            book, requested_principal=amount, requested_term_months=term, features=applied.features
        )


def test_alternatives_come_nearest_first(book, usual):
    for seed in range(20):
        asked = usual(book, seed)
        distances = [distance(request, asked.application) for request in others(asked)]
        assert distances == pytest.approx(sorted(distances), abs=1e-12)


def test_the_smallest_amount_and_the_longest_term_are_asked_for_too(book, usual):
    for seed in range(20):
        asked = usual(book, seed)
        pairs = {pair(request) for request in others(asked)}
        least, longest = asked.market.policy.minimum_principal, max(asked.market.policy.terms)
        wanted = (least, asked.application.requested_term_months), (least, longest)
        assert set(wanted) - {pair(asked.application)} <= pairs


def test_no_two_neighbouring_amounts_are_far_apart(book, usual):
    for seed in range(20):
        asked = usual(book, seed, {"terms": [book.axes.terms[-1]]})
        step = asked.market.policy.principal_step
        amounts = sorted({request.requested_principal for request in others(asked)})
        for smaller, larger in pairwise(amounts):
            assert smaller >= larger * 0.9 - 2 * step


def test_a_request_for_more_than_the_policy_lends_starts_at_what_it_lends(simulated, ask):
    asked = ask(simulated, {"maximum_principal": 20_000}, requested_principal=35_000)
    assert max(request.requested_principal for request in others(asked)) == 20_000


def test_a_request_for_less_than_the_policy_lends_may_only_be_longer(simulated, ask):
    asked = ask(simulated, {"minimum_principal": 5000}, requested_principal=2000)
    assert [pair(request) for request in others(asked)] == [(2000, 48), (2000, 60)]


def test_a_term_longer_than_the_policys_is_brought_down_to_its_longest(simulated, ask):
    asked = ask(simulated, {"terms": [24, 36]}, requested_term_months=60)
    assert {request.requested_term_months for request in others(asked)} == {36}


def test_the_least_and_longest_request_has_no_alternative(simulated, ask):
    asked = ask(simulated, requested_principal=1000, requested_term_months=60)
    assert not others(asked).requests


def test_no_alternatives_are_a_mistake_to_ask_for(simulated, ask):
    with pytest.raises(ValueError, match="at least 1"):
        others(ask(simulated), most=0)


def test_an_application_of_another_book_is_refused(simulated, kz, ask, market):
    with pytest.raises(InvalidApplicationError):
        alternatives(ask(simulated).application, kz, market(kz).policy)


# --- the counter-offer ---------------------------------------------------------------------------


@pytest.mark.parametrize("policy", HARSH)
def test_every_counter_offer_is_approved_when_it_is_asked_for(book, usual, policy):
    declined = countered_ = 0
    for seed in range(60):
        asked = usual(book, seed, COARSE | HARSH[policy])
        if optimum(*asked.all).offers:
            continue
        declined += 1
        counter = countered(asked)
        if counter is not None:
            countered_ += 1
            (request,) = (r for r in others(asked) if pair(r) == request_of(counter))
            assert answered(asked.market, request)[0] == counter.offer
    assert declined >= 1
    assert countered_ >= (1 if policy in ("affordable", "safe") else 0)


@pytest.mark.parametrize("policy", HARSH)
def test_no_nearer_alternative_would_be_approved(book, usual, policy):
    for seed in range(24):
        asked = usual(book, seed, COARSE | HARSH[policy])
        found = others(asked, most=12)
        approved = [pair(r) for r in found if answered(asked.market, r)]
        counter = countered(asked, most=12)
        assert (counter and request_of(counter)) == (approved[0] if approved else None)


@settings(max_examples=40)
@given(data=st.data())
def test_any_valid_applicant_is_countered_with_what_is_approved_or_not_at_all(
    book, market, requests, data
):
    under = market(book, COARSE)
    applied = application(book, **data.draw(requests(book)))
    found = alternatives(applied, book, under.policy, 8)
    counter = counter_offer(found, under, *scored(under, found)) if found else None
    if counter is not None:
        (request,) = (r for r in found if pair(r) == request_of(counter))
        assert answered(under, request)[0] == counter.offer


def test_each_alternative_is_judged_by_its_own_coefficients(simulated, ask):
    asked = ask(simulated, {"pti_cap": 0.06})
    found = others(asked)
    risk, acceptance = scored(asked.market, found)
    asked_again = counter_offer(found, asked.market, risk, acceptance)
    worse = risk.copy()
    worse[:3, 0] += 20
    later = counter_offer(found, asked.market, worse, acceptance)
    pairs = [pair(request) for request in found]
    assert pairs.index(request_of(asked_again)) == 0
    assert pairs.index(request_of(later)) == 3


@settings(max_examples=40)
@given(data=st.data())
def test_rows_and_columns_are_those_of_requests_made_afresh(book, market, requests, data):
    applied = application(book, **data.draw(requests(book)))
    found = alternatives(applied, book, market(book, COARSE).policy)
    if not found:
        return
    rows = found.rows(RowEncoder(book)(applied))
    columns = found.columns()
    for place, request in enumerate(found):
        own = application_columns(request)
        np.testing.assert_array_equal(rows[[place]], design_matrix(book, own))
        for name, column in columns.items():
            np.testing.assert_array_equal(np.broadcast_to(column, len(found))[[place]], own[name])


@pytest.mark.parametrize("harsh", HARSH)
@settings(max_examples=20)
@given(data=st.data())
def test_only_what_risk_allows_has_offers_and_all_of_it(book, market, requests, harsh, data):
    under = market(book, COARSE | HARSH[harsh])
    applied = application(book, **data.draw(requests(book)))
    found = alternatives(applied, book, under.policy, 12)
    if not found:
        return
    risk, acceptance = scored(under, found)
    approved = [place for place, request in enumerate(found) if answered(under, request)]
    places = approvable(found, under, risk)
    assert places == approved
    few = counter_offer(found.at(places), under, risk[places], acceptance[places])
    assert few == counter_offer(found, under, risk, acceptance)


def test_nothing_is_countered_where_nothing_would_be_approved(ask, simulated):
    assert countered(ask(simulated, None, {"annual_income": 0})) is None


def test_without_alternatives_there_is_no_counter_offer(ask, simulated):
    asked = ask(simulated)
    heads = np.empty((0, len(asked.risk))), np.empty((0, len(asked.acceptance)))
    assert counter_offer((), asked.market, *heads) is None


def test_coefficients_of_other_requests_are_refused(ask, simulated):
    asked = ask(simulated)
    found = others(asked)
    risk, acceptance = scored(asked.market, found)
    for wrong in ((risk[:1], acceptance), (risk, acceptance[:-1]), (risk[:0], acceptance)):
        with pytest.raises(ValueError, match="as many rows of coefficients"):
            counter_offer(found, asked.market, *wrong)


def test_a_counter_offer_says_what_to_ask_for_and_that_it_is_no_promise(kz, ask):
    counter = countered(ask(kz, {"pti_cap": 0.2, "terms": [4]}))
    assert counter.requested_principal == counter.offer.principal
    assert counter.sentence == (
        "An estimate, not a promise: asking for "
        f"{counter.requested_principal:,.2f} ZAR over 4 months would be approved today"
    )


def test_a_first_offer_of_other_terms_than_those_to_ask_for_is_said_to_be_so(simulated, ask):
    half = {"principal_ratios": [0.5], "terms": [60]}
    counter = countered(ask(simulated, half, requested_term_months=60))
    assert counter.offer.principal < counter.requested_principal
    assert counter.sentence.endswith(
        f"over 60 months would be approved today, "
        f"with {counter.offer.principal:,.2f} USD over 60 months as the first offer"
    )
