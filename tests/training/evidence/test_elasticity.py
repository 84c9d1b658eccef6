import numpy as np
import pandas as pd
import pytest

from training.evidence.elasticity import LEAST_EVENTS, semi_elasticities, semi_elasticity


@pytest.fixture(scope="module")
def experiment():
    """Prices drawn within two strata of other levels and other prices; the slope is -0.3."""
    rng = np.random.default_rng(3)
    strata = np.repeat([0, 1], 10_000)
    price = rng.uniform(-2, 2, 20_000) + 4 * strata  # the stratum with the higher price buys more
    p = 1 / (1 + np.exp(-(-2 + 3 * strata - 0.3 * price)))
    return (rng.random(20_000) < p).astype(float), price, strata, p


def table(outcome, price, strata, **columns):
    count = len(outcome)
    names = np.array(["low", "high"])[strata]
    given = {
        "outcome": outcome,
        "offset": price,
        "segment": pd.Categorical(names, categories=["low", "high"]),
        "period": np.zeros(count, dtype=int),
        "is_randomised": np.ones(count, dtype=bool),
    }
    return pd.DataFrame(given | columns)


def test_an_experiment_finds_the_effect_that_was_put_in(experiment):
    outcome, price, strata, p = experiment
    found = semi_elasticity(outcome, price, strata)
    truth = -0.3 * np.sum(p * (1 - p)) / np.sum(p)
    assert found["low"] < truth < found["high"]
    assert found["high"] < 0


def test_strata_keep_their_levels_out_of_the_effect(experiment):
    outcome, price, strata, _ = experiment
    naive = semi_elasticity(outcome, price, np.zeros_like(strata))
    assert naive["low"] > 0  # the wrong sign, and sure of it


def test_the_truths_own_probabilities_give_the_very_figure(experiment):
    _, price, strata, p = experiment
    expected = -0.3 * np.sum(p * (1 - p)) / np.sum(p)
    assert semi_elasticity(p, price, strata)["value"] == pytest.approx(expected, rel=1e-6)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng, inside = np.random.default_rng(5), 0
    strata = np.arange(600) % 6
    for _ in range(200):
        price = rng.normal(size=600)
        p = 1 / (1 + np.exp(-(-1 + 0.3 * strata - 0.4 * price)))
        found = semi_elasticity((rng.random(600) < p).astype(float), price, strata)
        inside += found["low"] < -0.4 * np.sum(p * (1 - p)) / np.sum(p) < found["high"]
    assert 180 <= inside <= 199


def test_every_segment_stands_beside_what_models_believe(experiment):
    outcome, price, strata, p = experiment
    frame = table(outcome, price, strata)
    found = semi_elasticities(frame, {"truth": p, "indifferent": np.full_like(p, 0.4)})
    assert list(found) == ["all", "low", "high"]
    for row in found.values():
        assert row["randomised"]["low"] < row["truth"] < row["randomised"]["high"]
        assert row["indifferent"] == pytest.approx(0, abs=1e-9)
    assert found["low"]["rows"] + found["high"]["rows"] == found["all"]["rows"] == 20_000


def test_discretionary_prices_are_no_experiment(experiment):
    outcome, price, strata, _ = experiment
    chosen = np.zeros(len(outcome), dtype=bool)
    found = semi_elasticities(table(outcome, price, strata, is_randomised=chosen), {})
    assert found == {"all": {"absent": "no price was randomised"}}


def test_one_price_for_all_is_no_experiment(experiment):
    outcome, price, strata, _ = experiment
    found = semi_elasticities(table(outcome, np.zeros_like(price), strata), {})
    assert found == {"all": {"absent": "only 0 events at randomised prices that differ"}}


def test_a_few_events_say_nothing(experiment):
    outcome, price, strata, _ = experiment
    few = np.zeros_like(outcome)
    few[: LEAST_EVENTS - 1] = 1
    found = semi_elasticities(table(few, price, strata), {})
    assert (
        found["all"]["absent"] == f"only {LEAST_EVENTS - 1} events at randomised prices that differ"
    )


def test_a_stratum_where_nobody_bought_changes_nothing(experiment):
    outcome, price, strata, _ = experiment
    frame = table(outcome, price, strata)
    silent = frame[frame["segment"] == "low"].assign(outcome=0.0, period=1)
    both = pd.concat([frame, silent], ignore_index=True)
    assert semi_elasticities(both, {})["all"] == semi_elasticities(frame, {})["all"]
