import numpy as np
import pandas as pd
import pytest

from finntelligence.features import design_matrix, feature_names
from finntelligence.heads import Head
from finntelligence.market import Market
from finntelligence.optimiser import optimum
from finntelligence.policy import Policy
from finntelligence.portfolio import Capability
from finntelligence.response import PriceResponse
from training.books import kz2008
from training.evidence.decisions import applications
from training.evidence.offered import best_offers, list_offers, offered
from training.fitting.price_response import columns_of
from training.simulate import simulate

ARRAYS = ("principal", "term_months", "apr", "break_even_apr", "list_risk", "p_accept", "npv")
RISK = (
    Head(name="base", phi="one"),
    Head(name="gap", phi="gap", sign=1),
    Head(name="pti", phi="pti", sign=1, floor=0.001),
)
ACCEPTANCE = (
    Head(name="base", phi="one"),
    Head(name="gap", phi="gap", sign=-1, floor=0.003),
    Head(name="shortfall", phi="shortfall", sign=-1),
)
SLOPES = {"simulated": -0.25, "kz2008": -0.1}


def model(portfolio, kind, heads, coefficients):
    return PriceResponse(
        model=kind,
        portfolio=portfolio,
        features=feature_names(portfolio),
        basis=(),
        heads=heads,
        linear=np.array(coefficients)[:, None],
        calibration=(0.0, 1.0),
        income_fill=4_000.0,
        evidence={},
    )


def hand_made(portfolio, changes=None):
    """A market whose models know only the price, the payment and the amount."""
    acceptance = [-0.8, SLOPES[portfolio.name], -2.0]
    return Market(
        portfolio=portfolio,
        policy=Policy.from_mapping(portfolio, changes),
        risk=model(portfolio, Capability.RISK, RISK, [-2.2, 0.02, 0.5]),
        acceptance=model(portfolio, Capability.ACCEPTANCE, ACCEPTANCE, acceptance),
    )


def coefficients(market, frame, spread=1.0):
    """The models' coefficients, with bases that differ between applicants."""
    matrix = design_matrix(market.portfolio, columns_of(market.portfolio, frame))
    both = market.risk.coefficients(matrix), market.acceptance.coefficients(matrix)
    rng = np.random.default_rng(1)
    for each in both:
        each[:, 0] += spread * rng.normal(size=len(frame))
    return both


@pytest.fixture(scope="module")
def quotes():
    return simulate("W1", 600, seed=3).quotes


@pytest.fixture(scope="module")
def market(simulated):
    return hand_made(simulated)


@pytest.fixture(params=["simulated", "kz2008"])
def case(request, market, quotes, kz, dta):
    """Each book with its own convention: market, 60 applicants and their coefficients."""
    if request.param == "kz2008":
        market, quotes = hand_made(kz), kz2008.tables(kz, dta).quotes
    frame = quotes.head(60)
    return market, frame, coefficients(market, frame, spread=2.5)


def test_the_best_offer_is_the_one_the_engine_lists_first(case):
    market, frame, both = case
    found = best_offers(frame, market, both)
    asked = applications(market.portfolio, frame)
    first = []
    for i, applicant in enumerate(asked):
        shown = optimum(applicant, market, both[0][i], both[1][i]).offers
        assert bool(shown) == found.approved[i]
        if shown:
            first.append((i, shown[0]))
    assert 5 < len(first) < len(frame)
    for i, offer in first:
        assert found.principal[i] == offer.principal
        assert found.term_months[i] == offer.term_months
        assert found.apr[i] == pytest.approx(offer.apr, rel=1e-9)
        assert found.p_accept[i] == pytest.approx(offer.p_accept, rel=1e-9)
        profit = found.p_accept[i] * found.npv[i]
        assert profit == pytest.approx(offer.expected_profit, rel=1e-6)


def test_who_gets_nothing_has_no_figure_at_all(case):
    market, frame, both = case
    found = best_offers(frame, market, both)
    for name in ARRAYS:
        assert np.isfinite(getattr(found, name)).tolist() == found.approved.tolist(), name


def test_an_offer_earns_exactly_above_its_break_even_apr(case):
    market, frame, both = case
    found = list_offers(frame, market, both, pd_cutoff=1.0)
    assert found.approved.all()
    earns = found.npv > 0
    assert 0 < earns.sum() < len(frame)
    assert (earns == (found.apr > found.break_even_apr)).all()


def test_the_engine_never_offers_below_break_even(market, quotes):
    found = best_offers(quotes, market, coefficients(market, quotes))
    given = found.approved
    assert (found.apr[given] > found.break_even_apr[given]).all()
    assert (found.npv[given] > 0).all()


def test_the_list_policy_gives_what_was_asked_for_at_the_nearest_quotable_price(market, quotes):
    both = coefficients(market, quotes)
    found = list_offers(quotes, market, both, pd_cutoff=1.0)
    assert found.principal.tolist() == quotes["requested_principal"].tolist()
    assert found.term_months.tolist() == quotes["requested_term_months"].tolist()
    listed = market.portfolio.price.list_rate.rate(
        columns_of(market.portfolio, quotes), found.term_months, 0.025
    )
    again = offered(
        quotes,
        market,
        both,
        principal=found.principal,
        term_months=found.term_months,
        quoted_rate=listed,
    )
    assert found.apr == pytest.approx(again.apr, abs=1e-4)


@pytest.mark.parametrize("cutoff", [0.05, 0.2, 0.45])
def test_the_list_policy_declines_above_the_cut_off_and_nobody_else(market, quotes, cutoff):
    both = coefficients(market, quotes)
    pd_at_list = 1 / (1 + np.exp(-list_offers(quotes, market, both, 1.0).list_risk))
    found = list_offers(quotes, market, both, cutoff)
    clear = abs(pd_at_list - cutoff) > 1e-3  # the quotable price is not the list price itself
    assert (found.approved == (pd_at_list < cutoff))[clear].all()
    assert 0 < found.approved.sum() < len(quotes)


def test_a_capped_jurisdiction_caps_the_price(simulated, quotes):
    declaration = {**simulated.declaration, "fields": {**simulated.declaration["fields"]}}
    declaration["fields"]["state"] = {
        "type": "category",
        "values": ["X", "Y"],
        "role": "jurisdiction",
        "meaning": "State",
    }
    book = type(simulated).from_mapping(declaration)
    caps = {"jurisdictions": {"field": "state", "apr_caps": {"X": 0.15}}}
    market = hand_made(book, caps)
    frame = quotes.assign(state=pd.Series(["X", "Y"] * 300, dtype="str"))
    found = best_offers(frame, market, coefficients(market, frame))
    capped = (frame["state"] == "X").to_numpy() & found.approved
    assert found.apr[capped].max() <= 0.15 + 1e-9
    assert found.apr[~capped & found.approved].max() > 0.2


def test_where_nobody_may_borrow_nobody_is_offered_anything(simulated, quotes):
    market = hand_made(simulated, {"pd_cutoff": 0.0001})
    found = best_offers(quotes, market, coefficients(market, quotes))
    assert not found.approved.any()
