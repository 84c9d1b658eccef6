import json
from dataclasses import replace

import numpy as np
import pytest

from finntelligence.errors import InvalidDataError, InvalidDeclarationError
from training.judging.judge import BASELINE, ENGINE, ESTIMATORS, JudgeParams, judged, judgement
from training.judging.worth import worth_of
from training.simulate import simulate
from training.simulator.truth import truth_at
from training.simulator.worlds import WORLDS, Terms
from training.tables import validated_quotes

CHEAP = JudgeParams(replicates=40, folds=2)
DRAWS, ROWS = 100, 8_000


def truth(quotes, rates):
    terms = {name: quotes[name].to_numpy() for name in ("principal", "term_months")}
    return truth_at("W1", quotes, Terms(**terms, nominal_rate=rates))


def true_worth(quotes):
    """Return what the simulator itself holds an accepted quote to be worth."""

    def worth(rates):
        found = truth(quotes, rates)
        return found.value / found.p_accept

    return worth


def unit(rates):
    """Every accepted quote is worth 1."""
    return np.ones(len(rates))


def listed(quotes, offset=0.0):
    return quotes["list_rate"].to_numpy() + offset


def fico_policy(quotes):
    """Two points above the list price, less a point for each standard deviation of FICO."""
    return listed(quotes, 0.02) - 0.01 * (quotes["fico"].to_numpy() - 700) / 50


def test_the_truth_lies_within_the_interval_nineteen_times_in_twenty(simulated, monkeypatch):
    monkeypatch.setitem(WORLDS, "tested", replace(WORLDS["W1"], randomised_share=1.0))
    many = simulate("tested", 60_000, seed=9).quotes
    value = truth(many, fico_policy(many)).value.mean()
    covered, errors = [], []
    for draw in range(DRAWS):
        quotes = validated_quotes(simulated, simulate("tested", ROWS, seed=1000 + draw).quotes)
        params = JudgeParams(replicates=100, folds=2)
        given = {"fico": fico_policy(quotes)}
        found = judged(simulated, quotes, true_worth(quotes), given, params)
        dr = found["policies"]["fico"]["dr"]
        covered.append(dr["low"] <= value <= dr["high"])
        errors.append(dr["value"] - value)
    assert 90 <= sum(covered) <= 99
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(DRAWS)  # no bias to speak of


def test_confounded_quotes_are_refused(simulated):
    quotes = validated_quotes(simulated, simulate("W3", 3_000, seed=2).quotes)
    found = judged(simulated, quotes, unit, {"list": listed(quotes)}, CHEAP)
    assert "no price was drawn at random" in found["refused_because"]
    assert found["policies"] == {"list": {"refused_because": found["refused_because"]}}
    assert found["randomised_rows"] == 0


def test_discretionary_quotes_are_left_out_and_said_to_be(simulated):
    quotes = validated_quotes(simulated, simulate("W1", 12_000, seed=2).quotes)
    drawn = quotes["is_randomised"]
    worth = true_worth(quotes)
    mixed = judged(simulated, quotes, worth, {"list": listed(quotes)}, CHEAP)
    assert f"{(~drawn).sum():,} quotes at prices that staff" in mixed["left_out"]
    alone = quotes[drawn].reset_index(drop=True)
    pure = judged(simulated, alone, true_worth(alone), {"list": listed(alone)}, CHEAP)
    assert pure["left_out"] == "no quote was left out"
    assert pure["policies"] == mixed["policies"]
    discretionary = quotes[~drawn].reset_index(drop=True)
    refused = judged(simulated, discretionary, unit, {"list": listed(discretionary)}, CHEAP)
    assert refused["refused_because"]


def test_prices_whose_density_is_not_on_record_are_refused(simulated, quotes):
    found = judged(simulated, quotes.assign(propensity=np.nan), unit, {"l": listed(quotes)}, CHEAP)
    assert "density they were drawn from is not on record" in found["refused_because"]


def test_answers_that_are_all_alike_are_refused(simulated, quotes):
    found = judged(simulated, quotes.assign(accepted=False), unit, {"l": listed(quotes)}, CHEAP)
    assert found["refused_because"].startswith("0 of 8000 randomised quotes were accepted")


def test_a_price_that_was_not_tested_has_no_number_but_the_share_uncovered(simulated, quotes):
    far = np.where(np.arange(len(quotes)) % 10 == 0, listed(quotes, 0.09), listed(quotes))
    given = {"far": far, "list": listed(quotes)}
    found = judged(simulated, quotes, unit, given, CHEAP, baseline="list")
    refused = found["policies"]["far"]
    assert refused["uncovered_share"] == pytest.approx(0.1, abs=0.005)
    assert "10.0% of requests would get a price that was not tested" in refused["refused_because"]
    assert not set(ESTIMATORS) & set(refused)
    assert set(ESTIMATORS) <= set(found["policies"]["list"])
    assert found["differences"] == {}
    lenient = judged(simulated, quotes, unit, given, replace(CHEAP, uncovered_limit=0.2), "list")
    assert lenient["policies"]["far"]["refused_because"] is None


def test_too_few_rows_that_tell_are_refused(simulated, quotes):
    few = quotes[:700].reset_index(drop=True)
    found = judged(simulated, few, unit, {"list": listed(few)}, CHEAP)
    assert found["policies"]["list"]["ess"] < 200
    assert "effective sample size" in found["policies"]["list"]["refused_because"]


def test_who_offers_nothing_has_no_estimate_and_who_declines_some_earns_less(simulated, quotes):
    nothing = np.full(len(quotes), np.nan)
    half = np.where(np.arange(len(quotes)) % 2 == 0, listed(quotes), np.nan)
    given = {"nothing": nothing, "half": half, "all": listed(quotes)}
    found = judged(simulated, quotes, unit, given, CHEAP, "all")["policies"]
    assert (
        found["nothing"]["refused_because"] == "it offers nothing to anybody, which earns nothing"
    )
    assert found["half"]["declined_share"] == 0.5
    for kind in ESTIMATORS:
        ratio = found["half"][kind]["value"] / found["all"][kind]["value"]
        assert ratio == pytest.approx(0.5, abs=0.06)


def test_one_policy_twice_differs_by_nothing(simulated, quotes):
    given = {"one": fico_policy(quotes), "same": fico_policy(quotes), "list": listed(quotes)}
    found = judged(simulated, quotes, true_worth(quotes), given, CHEAP, "one")["differences"]
    assert found["same"]["dr"] == {"value": 0, "low": 0, "high": 0}
    assert found["list"]["dr"]["low"] < found["list"]["dr"]["value"] < found["list"]["dr"]["high"]
    assert set(found) == {"same", "list"}


def test_a_policy_at_the_edge_is_told_of_by_prices_inside(simulated, quotes):
    given = {"inside": listed(quotes), "edge": listed(quotes, 0.05)}
    policies = judged(simulated, quotes, unit, given, CHEAP)["policies"]
    assert abs(policies["inside"]["price_shift"]) < 0.0005
    assert policies["edge"]["price_shift"] == pytest.approx(-0.01 * 3 / 8, abs=0.0008)
    assert policies["inside"]["raw_weight"] == pytest.approx(1, abs=0.06)
    assert policies["edge"]["raw_weight"] is None


def test_differences_are_surer_than_values(simulated, quotes):
    given = {"list": listed(quotes), "near": listed(quotes, 0.002)}
    found = judged(simulated, quotes, true_worth(quotes), given, CHEAP, "list")

    def width(interval):
        return interval["high"] - interval["low"]

    own = width(found["policies"]["near"]["dr"])
    assert width(found["differences"]["near"]["dr"]) < own / 2


def test_what_is_found_is_json_and_the_same_again(simulated, quotes):
    def once():
        given = {"fico": fico_policy(quotes)}
        return json.dumps(judged(simulated, quotes, unit, given, CHEAP), allow_nan=False)

    assert once() == once()


def test_a_proposal_is_of_the_quotes_and_the_baseline_a_proposal(simulated, quotes):
    with pytest.raises(InvalidDataError, match=r"proposals.short: must be one rate for each of"):
        judged(simulated, quotes, unit, {"short": np.ones(3)}, CHEAP)
    with pytest.raises(InvalidDataError, match="baseline 'none' is no proposal; proposals: list"):
        judged(simulated, quotes, unit, {"list": listed(quotes)}, CHEAP, baseline="none")


@pytest.mark.parametrize(
    "setting",
    [
        *({"bandwidth": 0.0}, {"bandwidth": np.nan}, {"bandwidth": "0.1"}, {"minimum_ess": np.inf}),
        *({"folds": 1}, {"folds": "5"}, {"folds": 2.5}, {"replicates": 1}, {"replicates": 99.5}),
        *({"uncovered_limit": 1.0}, {"uncovered_limit": "x"}, {"seed": -1}, {"seed": True}),
    ],
)
def test_an_impossible_setting_is_named(setting):
    with pytest.raises(InvalidDeclarationError, match=f"judge.{next(iter(setting))}: must be "):
        JudgeParams(**setting)


def test_a_count_written_with_a_point_is_a_count():
    params = JudgeParams(folds=5.0)
    assert (params.folds, type(params.folds)) == (5, int)


def test_the_engine_is_judged_against_the_list_price(simulated, engine, loans):
    market, both = engine
    fresh = validated_quotes(simulated, simulate("W1", 20_000, seed=4).quotes)
    found = judgement(market, fresh, loans, both(fresh), CHEAP)
    assert set(found["policies"]) == {BASELINE, "lowest price tested", ENGINE}
    assert found["policies"][ENGINE]["refused_because"] is None
    assert set(found["differences"]) == {"lowest price tested", ENGINE} - {
        name for name, policy in found["policies"].items() if policy["refused_because"]
    }
    assert found["differences"][ENGINE]["dr"]["high"] > 0


def test_three_policies_are_judged_on_the_real_experiment(kz, kz_tables, kz_engine):
    market, both, held = kz_engine
    quotes = kz_tables.quotes[held].reset_index(drop=True)
    found = judgement(market, quotes, kz_tables.loans, both(quotes), CHEAP)
    policies = found["policies"]
    assert found["refused_because"] is None
    for policy in policies.values():
        assert policy["refused_because"] is None
        assert policy["ess"] >= 200
        assert policy["raw_weight"] is None or policy["raw_weight"] == pytest.approx(1, abs=0.15)
    assert policies[BASELINE]["dr"]["low"] > 0
    assert found["differences"]["lowest price tested"]["dr"]["high"] < 0
    assert len(found["assumptions"]) >= 6


def test_the_worth_of_no_offer_is_not_asked_for(simulated, quotes, loans, engine):
    economics = engine[0].policy.economics
    half = np.where(np.arange(len(quotes)) % 2 == 0, listed(quotes), np.nan)
    worth = worth_of(simulated, loans, quotes, economics)
    asked = []

    def spied(rates):
        asked.append(np.isnan(rates).any())
        return worth(rates)

    judged(simulated, quotes, spied, {"half": half}, CHEAP)
    assert asked == [False, False]
