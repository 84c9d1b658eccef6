from functools import partial

import numpy as np
import pandas as pd
import pytest

from finntelligence.features import design_matrix
from finntelligence.market import Market, solve
from finntelligence.policy import Policy
from finntelligence.portfolio import Capability
from training.fitting.hyperparameters import FitParams
from training.fitting.price_response import columns_of, quoted_terms
from training.fitting.rivals import LogitRival, PlainClassifier
from training.simulate import simulate
from training.simulator.shelf import Shelf, best_choice, booked_value

NO_CAPS = {"apr_cap": None, "pti_cap": None, "dti_cap": None, "pd_cutoff": None}
FREE = {**NO_CAPS, "trust_region": {"below": 10, "above": 10}}
APPLICANTS = 12


@pytest.fixture(scope="module")
def book():
    return simulate("W1", quotes=4_000, seed=5)


@pytest.fixture(scope="module")
def fresh(simulated):
    frame = simulate("W1", quotes=APPLICANTS, seed=6).quotes
    frame.loc[0, "requested_principal"] = 1_000.0  # two ratios of it round to one amount
    return columns_of(simulated, frame)


@pytest.fixture(scope="module", params=["trust", "free"])
def shelf(request, simulated, fresh):
    policy = Policy.from_mapping(simulated, NO_CAPS if request.param == "trust" else FREE)
    return Shelf.of(simulated, policy, fresh)


def fitted(kind, portfolio, book):
    """Return acceptance and risk, in the order in which `best_choice` takes them."""
    return (
        kind(portfolio, Capability.ACCEPTANCE).fit(book.quotes, book.quotes["accepted"]),
        kind(portfolio, Capability.RISK).fit(book.loans, book.loans["defaulted"]),
    )


@pytest.fixture(scope="module")
def logits(simulated, book):
    return fitted(partial(LogitRival, params=FitParams()), simulated, book)


@pytest.fixture(scope="module")
def classifiers(simulated, book):
    return fitted(PlainClassifier, simulated, book)


@pytest.fixture(params=["logits", "classifiers"])
def pair(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def optima(shelf, logits):
    """The optimiser's answer to the same question."""
    acceptance, risk = logits
    market = Market(
        portfolio=shelf.portfolio,
        policy=shelf.policy,
        risk=risk.response,
        acceptance=acceptance.response,
    )
    matrix = design_matrix(shelf.portfolio, shelf.columns)
    coefficients = risk.coefficients(matrix), acceptance.coefficients(matrix)
    return solve(shelf.columns, market, *coefficients).optima


def every_tick(shelf):
    """Return cells and ticks of all that is on the shelf, (n, m), and whether it is."""
    cells, ticks = shelf.low.shape[1], len(shelf.rates)
    count = len(shelf.low)
    cell = np.tile(np.repeat(np.arange(cells), ticks), (count, 1))
    tick = np.tile(np.arange(ticks), (count, cells))
    low, high = (np.take_along_axis(each, cell, axis=1) for each in (shelf.low, shelf.high))
    return cell, tick, (tick >= low) & (tick <= high)


def profit_of(shelf, accept, default, cell, tick):
    terms = shelf.offers(cell, tick)
    value = booked_value(shelf, terms, default(shelf.columns, terms))
    return accept(shelf.columns, terms) * value.npv


def profit_at(shelf, pair, cell, tick):
    return profit_of(shelf, *(model.probability for model in pair), cell, tick)


def test_the_shelf_holds_the_optimisers_cells(shelf, optima, logits):
    """What the optimiser offers in a cell has the same terms and worth on the shelf."""
    tick = optima.tick.reshape(shelf.low.shape)
    rows, cells = np.nonzero(tick >= 0)
    assert len(rows) > APPLICANTS
    one = shelf.part(rows)
    at = cells[:, None], tick[rows, cells][:, None]
    profit = optima.profit.reshape(shelf.low.shape)[rows, cells]
    np.testing.assert_allclose(profit_at(one, logits, *at)[:, 0], profit, rtol=1e-6)
    assert (tick >= shelf.low)[rows, cells].all()
    assert (tick <= shelf.high)[rows, cells].all()


def test_the_shelf_ends_where_the_policy_does(shelf):
    """Every tick on it is within the trust region, and the next one is not or is no tick."""
    policy, on = shelf.policy, shelf.high >= shelf.low
    assert on.sum(axis=1).tolist() == [4] + [12] * (APPLICANTS - 1)
    rates = np.concatenate([[-np.inf], shelf.rates, [np.inf]])  # with what is beyond the ends
    low, high, listed = (each[on] for each in (shelf.low, shelf.high, shelf.list_rate))
    slack = 1e-9
    assert (listed - rates[low + 1] <= policy.trust_below + slack).all()
    assert (rates[high + 1] - listed <= policy.trust_above + slack).all()
    assert (listed - rates[low] > policy.trust_below - slack).all()
    assert (rates[high + 2] - listed > policy.trust_above - slack).all()


def test_best_choice_equals_a_scan_of_every_tick(shelf, pair):
    cell, tick, on = every_tick(shelf)
    profit = np.where(on, profit_at(shelf, pair, cell, tick), -np.inf)
    most = profit.max(axis=1)
    found = best_choice(shelf, *(model.probability for model in pair))
    offered = found.tick >= 0
    np.testing.assert_array_equal(offered, most > 0)
    chosen = profit_at(shelf, pair, found.cell[:, None], found.tick[:, None])[:, 0]
    np.testing.assert_allclose(chosen[offered], most[offered], rtol=1e-12)
    assert offered.sum() > APPLICANTS / 2


def test_the_bounded_search_finds_what_the_optimiser_finds(shelf, optima, logits):
    found = best_choice(shelf, *(model.probability for model in logits))
    best = optima.profit.reshape(shelf.low.shape).max(axis=1)
    ours = profit_at(shelf, logits, found.cell[:, None], found.tick[:, None])[:, 0]
    np.testing.assert_allclose(np.where(found.tick < 0, 0, ours), best, rtol=1e-6)
    np.testing.assert_array_equal(found.tick < 0, best <= 0)


def test_of_equal_profits_the_lowest_rate_wins(shelf):
    """Where acceptance undoes the value of the loan, every profitable offer earns the same."""

    def accept(_, terms):
        npv = booked_value(shelf, terms, np.full(terms.quoted_rate.shape, 0.01)).npv
        return 1 / np.maximum(npv, 1)

    def default(_, terms):
        return np.full(terms.quoted_rate.shape, 0.01)

    one = shelf.part(slice(1, 2)).asked()
    found = best_choice(one, accept, default)
    cell, tick, on = every_tick(one)
    profit = np.where(on, profit_of(one, accept, default, cell, tick), -np.inf)
    first = tick[profit >= profit.max()].min()
    assert profit_of(one, accept, default, found.cell[:, None], found.tick[:, None]) == 1
    assert found.tick[0] == first


def test_who_is_sure_to_default_is_declined(shelf, logits):
    certain = lambda _, terms: np.full(terms.quoted_rate.shape, 0.95)  # noqa: E731
    found = best_choice(shelf, logits[0].probability, certain)
    assert (found.tick == -1).all()


def test_asked_leaves_what_was_requested_and_nothing_else(shelf):
    asked = shelf.asked()
    left = asked.high >= asked.low
    assert (left.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(
        asked.principal[left], shelf.columns["requested_principal"].astype(float)
    )
    np.testing.assert_array_equal(asked.term_months[left], shelf.columns["requested_term_months"])
    np.testing.assert_array_equal(asked.high[left], shelf.high[left])


def test_nobodys_choice_depends_on_who_else_applies(shelf, pair):
    models = [model.probability for model in pair]
    together = best_choice(shelf, *models)
    for row in range(APPLICANTS):
        alone = best_choice(shelf.part([row]), *models)
        assert (alone.cell[0], alone.tick[0]) == (together.cell[row], together.tick[row])


@pytest.mark.parametrize("step", [1, 7, 40, 5_000])
def test_a_ladder_goes_from_the_lowest_tick_to_the_highest(step, shelf):
    few = shelf.part(slice(0, 2))
    rungs = few.ladder(step)[1].reshape(*few.low.shape, -1)
    there = few.high >= few.low
    np.testing.assert_array_equal(rungs[there][:, 0], few.low[there])
    np.testing.assert_array_equal(rungs[there][:, -1], few.high[there])
    assert set(np.unique(np.diff(rungs[there]))) <= set(range(step + 1))


def test_the_terms_of_an_offer_are_those_of_the_canonical_table(shelf, simulated):
    """The models see an offer priced here as they saw it in the log."""
    cell, tick = shelf.ladder(200)
    offers = shelf.offers(cell, tick)
    funds = shelf.policy.economics.cost_of_funds
    frame = pd.DataFrame(shelf.columns).assign(cost_of_funds=funds)
    for column in (0, cell.shape[1] // 2):
        table = frame.assign(
            principal=offers.principal[:, column],
            term_months=offers.term_months[:, column],
            quoted_rate=offers.quoted_rate[:, column],
        )
        known = quoted_terms(simulated, table)
        for name in ("nominal_rate", "payment", "benchmark"):
            np.testing.assert_array_equal(
                getattr(offers, name)[:, column], getattr(known, name), err_msg=name
            )
        np.testing.assert_array_equal(offers.monthly_income[:, 0], known.monthly_income)
