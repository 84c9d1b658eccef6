from dataclasses import replace

import numpy as np
import pytest

from finntelligence.portfolio import Capability
from tests.challengers import stretched
from training.gate.losses import beats_a_constant, beats_the_champion, incomparable

RISK, ACCEPTANCE = Capability.RISK, Capability.ACCEPTANCE


@pytest.mark.parametrize("model", [RISK, ACCEPTANCE])
def test_a_fitted_model_beats_a_constant_on_every_part(pair, heldout, model):
    found = beats_a_constant(pair, model, heldout, 0.0)
    assert [v.criterion.rpartition(", ")[2] for v in found] == ["holdout rows", "randomised rows"]
    assert all(v.passed and v.interval[0] <= v.figure <= v.interval[1] for v in found)


def test_a_gain_must_exceed_the_minimum(pair, heldout):
    (found, _) = beats_a_constant(pair, RISK, heldout, 0.0)
    assert not beats_a_constant(pair, RISK, heldout, found.figure)[0].passed


def test_shuffled_outcomes_are_beaten_by_no_model(pair, heldout):
    quotes = heldout.tables[ACCEPTANCE]
    labels = np.random.default_rng(1).permutation(quotes["accepted"].to_numpy())
    tables = {**heldout.tables, ACCEPTANCE: quotes.assign(accepted=labels)}
    found, _ = beats_a_constant(pair, ACCEPTANCE, replace(heldout, tables=tables), 0.0)
    assert not found.passed


@pytest.mark.parametrize("model", [RISK, ACCEPTANCE])
def test_a_challenger_worse_beyond_noise_fails_and_a_better_one_passes(
    pair, changed, heldout, model
):
    worse = changed(model, stretched)
    found = beats_the_champion(worse, pair, model, heldout)
    assert (found.passed, found.figure < 0) == (False, True)
    back = beats_the_champion(pair, worse, model, heldout)
    assert back.passed
    assert back.figure == pytest.approx(-found.figure)


def test_acceptance_is_compared_on_randomised_quotes_where_there_are_any(
    pair, heldout, discretionary
):
    for rows, words in ((heldout, "randomised quotes"), (discretionary, "held-out quotes")):
        assert beats_the_champion(pair, pair, ACCEPTANCE, rows).criterion.endswith(words)


def test_what_cannot_be_compared_goes_by_the_same_name_with_its_reason(pair, heldout):
    told = incomparable(RISK, heldout, "it is of another declaration")
    assert told.criterion == beats_the_champion(pair, pair, RISK, heldout).criterion
    assert (told.outcome, told.why) == (
        "not testable",
        "not testable: it is of another declaration",
    )
