from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from finntelligence import optimiser
from finntelligence.decision import decide
from finntelligence.errors import InvalidDeclarationError
from finntelligence.experiment import (
    CONTROL,
    EXPERIMENT,
    TEST,
    applicant_key,
    permitted,
    tried,
    uniform,
)
from finntelligence.features import application_columns, design_matrix
from finntelligence.market import solve
from finntelligence.menu import choice_probabilities
from finntelligence.offers import application
from finntelligence.policy import Experiment, Policy
from finntelligence.quote import quote
from finntelligence.rules import RULES

ALL = {"experiment": {"share": 1, "salt": "spring"}}
NARROW = {"experiment": {"share": 1, "salt": "spring", "width": 0.01}}
COARSE = {"tick": 0.0025}
HARSH = {
    "default": {},
    "affordable": {"pti_cap": 0.04},
    "cheap": {"apr_cap": 0.20},
    "safe": {"pd_cutoff": 0.12},
    "profitable": {"minimum_raroc": 0.2},
}


def shown(asked, key=None):
    applied, market, *pair = asked.all
    best = optimiser.optimum(*asked.all).offers
    return best, tried(applied, market, tuple(pair), best, key)


def rates_of(asked, offer):
    applied, market, *pair = asked.all
    return permitted(applied, market, tuple(pair), offer)


def keys(count):
    return [f"applicant {i}" for i in range(count)]


def test_without_an_experiment_offers_are_the_best_ones(book, ask):
    best, trial = shown(ask(book))
    assert trial.offers is best
    assert (trial.arm, trial.propensity) == (None, None)


def test_the_numbers_of_keys_are_uniform_and_those_of_two_uses_independent():
    one, other = (
        np.array([uniform("spring", use, key) for key in keys(20_000)])
        for use in ("share", "price")
    )
    assert kstest(one, "uniform").pvalue > 0.01
    assert kstest(other, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(one, other)[0, 1]) < 3 / np.sqrt(len(one))


def test_no_two_texts_are_run_together():
    assert uniform("a", "bc", "d") != uniform("ab", "c", "d") != uniform("a", "b", "cd")


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 1])
def test_the_share_is_tested_and_the_others_get_the_best_price(simulated, ask, share):
    asked = ask(simulated, {"experiment": {"share": share, "salt": "autumn"}} | COARSE)
    best = optimiser.optimum(*asked.all).offers
    applied, market, *pair = asked.all
    trials = [tried(applied, market, tuple(pair), best, key) for key in keys(1000)]
    tested = [trial for trial in trials if trial.arm == TEST]
    assert abs(len(tested) / 1000 - share) <= 3 * np.sqrt(share * (1 - share) / 1000)
    assert all(trial.propensity for trial in tested)
    for trial in trials:
        if trial not in tested:
            assert (trial.arm, trial.propensity, trial.offers) == (CONTROL, None, best)


def test_prices_are_uniform_on_the_permitted_ticks(book, ask):
    asked = ask(book, NARROW)
    best = optimiser.optimum(*asked.all).offers
    applied, market, *pair = asked.all
    trials = [tried(applied, market, tuple(pair), best, key) for key in keys(3000)]
    rates = rates_of(asked, best[0])
    drawn = np.array([trial.offers[0].quoted_rate for trial in trials])
    assert np.isin(drawn, rates).all()
    expected = 3000 / len(rates)
    assert expected >= 5
    counts = (drawn[:, None] == rates).sum(axis=0)
    chi2 = ((counts - expected) ** 2 / expected).sum()
    degrees = len(rates) - 1
    assert abs(chi2 - degrees) < 3 * np.sqrt(2 * degrees)


def test_one_key_always_meets_one_price_and_another_salt_another(simulated, ask):
    again = [shown(ask(simulated, ALL), "applicant 3")[1] for _ in range(2)]
    assert again[0] == again[1]
    other = {"experiment": {"share": 1, "salt": "summer"}}
    assert shown(ask(simulated, other), "applicant 3")[1].offers[0] != again[0].offers[0]


@pytest.mark.parametrize("other", [{"requested_principal": 9_000}, {"requested_term_months": 60}])
def test_asking_for_another_amount_or_term_is_no_way_to_another_draw(simulated, ask, other):
    halves = ALL | COARSE | {"experiment": {"share": 0.5, "salt": "spring", "width": 0.01}}
    arms = set()
    for fico in range(690, 702):
        whole = ask(simulated, halves, {"fico": fico})
        terms = {"requested_principal": 12_000, "requested_term_months": 36} | other
        features = whole.application.features
        again = whole._replace(application=application(simulated, **terms, features=features))
        (_, first), (_, second) = shown(whole), shown(again)
        assert first.arm == second.arm
        arms.add(first.arm)
        if first.arm == TEST:
            drawn = [_share_of(*each) for each in ((whole, first), (again, second))]
            assert drawn[0] == pytest.approx(drawn[1], abs=0.15)  # a tick of few
    assert arms == {TEST, CONTROL}


def _share_of(asked, trial):
    """Return where the drawn price lies among the permitted ones, from 0 to 1."""
    best = optimiser.optimum(*asked.all).offers[0]
    rates = rates_of(asked, best).tolist()
    return rates.index(trial.offers[0].quoted_rate) / len(rates)


@given(ids=st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True))
def test_applicants_and_experiments_have_keys_of_their_own(simulated, ids):
    def key(salt, applicant_id):
        trial = {"experiment": {"share": 1, "salt": salt}}
        return applicant_key(Policy.from_mapping(simulated, trial), applicant_id)

    made = [key("spring", each) for each in ids]
    assert made == [key("spring", each) for each in ids]
    assert len({*made, *(key("summer", each) for each in ids)}) == 4
    assert {len(each) for each in made} == {32}


def test_where_nothing_is_tried_nobody_has_a_key(simulated):
    assert applicant_key(Policy.from_mapping(simulated), "customer 7") is None
    assert applicant_key(Policy.from_mapping(simulated, ALL), None) is None


def test_without_a_key_the_same_features_meet_the_same_price(simulated, ask):
    whole = ask(simulated, ALL, {"fico": 705})
    same = whole._replace(
        application=application(
            simulated,
            requested_principal=12_000.0,
            requested_term_months=36.0,
            features=dict(reversed({**whole.application.features, "fico": 705.0}.items())),
        )
    )
    assert shown(whole)[1] == shown(same)[1]
    other = ask(simulated, ALL, {"fico": 706})
    assert shown(other)[1].offers[0].quoted_rate != shown(whole)[1].offers[0].quoted_rate


@pytest.mark.parametrize("policy", HARSH)
@given(seed=st.integers(0, 10**6), wide=st.booleans())
def test_no_drawn_offer_breaks_a_rule_and_its_density_sums_to_one(book, usual, policy, seed, wide):
    asked = usual(book, seed, COARSE | HARSH[policy] | (ALL if wide else NARROW))
    best, trial = shown(asked)
    if not best:
        assert (trial.offers, trial.arm) == ((), None)
        return
    under, rates = asked.market.policy, rates_of(asked, best[0])
    if len(rates) < 2:
        assert (trial.arm, trial.propensity, trial.offers) == (TEST, None, best)
        return
    first = trial.offers[0]
    assert trial.propensity * under.tick * len(rates) == pytest.approx(1)
    assert first.quoted_rate in rates
    if not wide:
        assert abs(first.quoted_rate - best[0].quoted_rate) <= 0.01 + 1e-9
    terms = (first.principal, first.term_months, first.quoted_rate)
    assert terms[:2] == (best[0].principal, best[0].term_months)
    ruled = optimiser.terms_at(
        asked.application, asked.market, *(np.array([float(each)]) for each in terms)
    )
    valued = optimiser.candidates(*asked.all, ruled)
    assert [rule.code for rule in RULES if not np.all(rule.permits(valued, under))] == []
    columns = application_columns(asked.application)
    listed = asked.market.portfolio.price.list_rate.rate(
        columns, float(first.term_months), under.economics.cost_of_funds
    )
    assert -under.trust_below - 1e-9 <= first.quoted_rate - listed <= under.trust_above + 1e-9


@given(seed=st.integers(0, 10**6))
def test_every_permitted_tick_beside_a_rule_is_offered_by_the_optimiser_too(book, usual, seed):
    asked = usual(book, seed, COARSE | ALL)
    best = optimiser.optimum(*asked.all).offers
    if not best:
        return
    rates = rates_of(asked, best[0])
    applied, market, risk, acceptance = asked.all
    solution = solve(application_columns(applied), market, risk[None], acceptance[None])
    places = solution.optima.tick[: solution.shape[1] * solution.shape[2]]
    cell = next(
        solution.cell(0, place)
        for place in np.flatnonzero(places >= 0).tolist()
        if solution.cell(0, place).principal == best[0].principal
        and solution.cell(0, place).term_months == best[0].term_months
    )
    within = market.grid.ticks[cell.first : cell.last + 1]
    assert set(rates) <= set(within)
    assert best[0].quoted_rate in rates


@pytest.mark.parametrize("seed", range(5))
def test_a_drawn_offer_says_what_a_quote_of_its_terms_does(book, usual, seed):
    asked = usual(book, seed, ALL)
    best, trial = shown(asked)
    if not best:
        return
    first = trial.offers[0]
    terms = (first.principal, first.term_months, first.quoted_rate)
    found = quote(*asked.all, *terms)
    for name in ("apr", "monthly_payment", "total_cost", "p_accept", "pd_lifetime"):
        assert getattr(first, name) == pytest.approx(getattr(found, name), rel=1e-9)
    assert first.expected_profit <= best[0].expected_profit + 1e-9


def test_only_the_first_price_of_a_menu_is_drawn_and_choices_are_of_the_new_menu(simulated, ask):
    asked = ask(simulated, ALL | {"menu_size": 3, "demand_choice": True})
    best, trial = shown(asked)
    assert len(best) == len(trial.offers) == 3
    assert trial.offers[0].binding == EXPERIMENT
    assert trial.offers[0].quoted_rate != best[0].quoted_rate
    for before, after in zip(best[1:], trial.offers[1:], strict=True):
        assert replace(after, p_choice=before.p_choice) == before
        assert after.p_choice != before.p_choice
    p_choice, _ = choice_probabilities(
        [offer.p_accept for offer in trial.offers], asked.market.policy.dissimilarity
    )
    assert [offer.p_choice for offer in trial.offers] == p_choice.tolist()


def test_where_one_price_alone_is_permitted_nothing_is_drawn(simulated, ask):
    near = ALL | {"tick": 0.01, "trust_region": {"below": 0.005, "above": 0.0049}}
    best, trial = shown(ask(simulated, near))
    assert (trial.arm, trial.propensity, trial.offers) == (TEST, None, best)


def test_a_decision_carries_the_draw_and_explains_the_offer_that_is_shown(simulated, ask):
    asked = ask(simulated, ALL)
    applied, market, *pair = asked.all
    row = market.risk.contributions(design_matrix(market.portfolio, application_columns(applied)))
    found = optimiser.optimum(*asked.all)
    decision = decide(applied, market, tuple(pair), {}, found, row[0], applicant_key="k")
    trial = tried(applied, market, tuple(pair), found.offers, "k")
    assert decision.offers == trial.offers
    assert (decision.propensity, decision.arm) == (trial.propensity, TEST)
    first = decision.offers[0]
    assert decision.explanation.binding == EXPERIMENT
    shown_npv = decision.explanation.waterfall["npv"]
    assert first.p_accept * shown_npv == pytest.approx(first.expected_profit)


def test_an_experiment_is_off_by_default_and_part_of_the_digest_when_on(book):
    off, on = Policy.from_mapping(book), Policy.from_mapping(book, NARROW)
    assert off.experiment is None
    assert asdict(on.experiment) == asdict(Experiment(share=1.0, width=0.01, salt="spring"))
    assert off.digest != on.digest


@pytest.mark.parametrize(
    ("experiment", "path"),
    [
        ({"share": 1.1, "salt": "s"}, "share: must be from 0 to 1"),
        ({"share": 0.1}, "salt: is missing"),
        ({"share": 0.1, "salt": " "}, "salt: must be text"),
        ({"share": 0.1, "salt": "s", "width": 0}, "width: must be from 0.0001 to 10"),
        ({"share": 0.1, "salt": "s", "widht": 0.1}, "widht: unknown key"),
    ],
)
def test_an_impossible_experiment_is_refused_by_path(simulated, experiment, path):
    with pytest.raises(InvalidDeclarationError, match=rf"^policy\.experiment\.{path}"):
        Policy.from_mapping(simulated, {"experiment": experiment})
