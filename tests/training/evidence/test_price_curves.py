from dataclasses import replace

import numpy as np
import pytest

from finntelligence.portfolio import Capability
from training.evidence.price_curves import (
    Prices,
    observed_prices,
    price_curves,
    slopes,
    violations,
)
from training.evidence.subject import Subject, repriced
from training.fitting.price_response import columns_of, quoted_terms
from training.stages import Paths, load_policy


@pytest.fixture(scope="module", params=Capability)
def subject(request, trained, simulated):
    return Subject.read(Paths("simulated", trained), request.param, simulated)


@pytest.fixture(scope="module")
def prices(trained, simulated):
    return Prices.quotable(load_policy(simulated, trained))


# Monotone


def test_no_probability_turns_the_wrong_way_on_any_tick(subject, prices):
    found = violations(subject.probability, subject, subject.holdout[:50], prices)
    assert found["violations"] == found["violating_applicants"] == 0
    assert (found["applicants"], found["ticks"]) == (50, len(prices.ticks))


def test_every_wrong_turn_is_counted(subject, prices):
    sign = -1 if subject.model is Capability.ACCEPTANCE else 1

    def bent(columns, terms):
        found = 0.5 + sign * terms.quoted_rate / 2
        found[0, 10] += sign  # one applicant's step down again, and nobody else's
        return found

    found = violations(bent, subject, subject.holdout[:3], prices)
    assert (found["violations"], found["violating_applicants"], found["flat_steps"]) == (1, 1, 0)


def test_a_price_that_changes_nothing_is_flat_and_not_wrong(subject, prices):
    found = violations(
        lambda _, terms: np.full(terms.quoted_rate.shape, 0.2), subject, subject.holdout[:3], prices
    )
    assert found["violations"] == 0
    assert found["flat_steps"] == 3 * (len(prices.ticks) - 1)


# Curves


def test_curves_run_through_the_trust_region_of_every_segment(subject, prices):
    curves = price_curves(subject, prices, sample=40, seed=1)
    assert list(curves) == list(subject.holdout["segment"].cat.categories)
    for curve in curves.values():
        assert curve["offset"][0] >= -100 * prices.below
        assert curve["offset"][-1] == pytest.approx(100 * prices.above)


def test_a_curves_band_holds_its_median_and_moves_the_right_way(subject, prices):
    sign = -1 if subject.model is Capability.ACCEPTANCE else 1
    for curve in price_curves(subject, prices, sample=40, seed=1).values():
        low, median, high = (np.array(curve[name]) for name in ("low", "median", "high"))
        assert (low <= median).all()
        assert (median <= high).all()
        assert (sign * np.diff(curve["mean"]) > 0).all()


def test_where_all_are_shown_the_mean_is_theirs(subject, prices):
    rows = subject.holdout[subject.holdout["segment"] == subject.holdout["segment"].iloc[0]]
    curve = price_curves(subject, prices, sample=10**6, seed=1)[rows["segment"].iloc[0]]
    rates = rows["list_rate"].to_numpy()[:, None] + np.array(curve["offset"][-1:]) / 100
    terms = repriced(subject.portfolio, quoted_terms(subject.portfolio, rows), rates)
    found = subject.probability(columns_of(subject.portfolio, rows), terms)
    assert curve["mean"][-1] == pytest.approx(found.mean())


def test_the_prices_seen_are_those_of_the_table(subject):
    found, rates = Prices.seen(subject.train), subject.train["quoted_rate"]
    assert rates.min() <= found.ticks[0] < rates.quantile(0.02)
    assert rates.quantile(0.98) < found.ticks[-1] <= rates.max()
    np.testing.assert_allclose(np.diff(found.ticks), 1e-4)


# Observed


def test_what_is_observed_is_at_randomised_prices_only(subject):
    found = observed_prices(subject)
    drawn = subject.holdout[subject.holdout["is_randomised"]]
    assert sum(row["rows"] for rows in found.values() for row in rows) == len(drawn)
    events = sum(row["rows"] * row["observed"] for rows in found.values() for row in rows)
    assert events == pytest.approx(drawn["outcome"].sum())


def test_a_book_without_an_experiment_says_so(subject):
    chosen = replace(subject, holdout=subject.holdout.assign(is_randomised=False))
    assert observed_prices(chosen) == {"absent": "no held-out price was randomised"}


def test_an_experiment_with_one_price_says_so(subject):
    frame = subject.holdout.assign(is_randomised=True, offset=0.0)
    assert observed_prices(replace(subject, holdout=frame)) == {
        "absent": "the randomised price never varied"
    }


# Slopes


def test_slopes_are_those_of_the_coefficients(subject):
    found = slopes(subject, sample=10**6, seed=1)
    assert found["applicants"] == len(subject.holdout)
    assert found["low"] <= found["median"] <= found["high"]
    response = subject.artefact.response
    gap = response.evidence["estimates"]["gap"] * response.calibration[1]
    if subject.model is Capability.ACCEPTANCE:
        assert found["mean"] == pytest.approx(gap, abs=0.02)
    else:  # the payment's share of income rises with the price too
        assert found["mean"] > gap
