from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from finntelligence.portfolio import Capability
from training.evidence.rivalry import compared, rivals
from training.evidence.scores import row_losses
from training.evidence.subject import Subject
from training.fitting.price_response import columns_of, quoted_terms
from training.stages import Paths

PARAMS = SimpleNamespace(bootstrap=40, seed=7)


@pytest.fixture(scope="module", params=Capability)
def subject(request, trained, simulated):
    return Subject.read(Paths("simulated", trained), request.param, simulated)


def test_every_rival_is_asked_about_the_same_rows(subject, fit_params):
    for rival in rivals(subject, fit_params, seed=7).values():
        found = compared(subject, rival, PARAMS)
        assert found["holdout"]["rows"] == len(subject.holdout)
        assert found["randomised"]["rows"] == subject.holdout["is_randomised"].sum()
        assert found["holdout"]["auc"]["value"] > 0.5


def test_the_logit_is_fitted_with_the_models_own_settings(subject, fit_params):
    stiff = replace(fit_params, ridge=1e9, slope_ridge=1e9)
    columns = columns_of(subject.portfolio, subject.holdout)
    terms = quoted_terms(subject.portfolio, subject.holdout)
    loose, flat = (
        rivals(subject, settings, seed=7)["logit"].probability(columns, terms).std()
        for settings in (fit_params, stiff)
    )
    assert flat < 0.8 * loose


def test_the_model_gains_nothing_over_itself(subject):
    found = compared(subject, subject, PARAMS)
    for part in found.values():
        assert part["model_gains"]["value"] == pytest.approx(0, abs=1e-12)


def test_the_gain_is_the_rivals_loss_less_the_models(subject):
    guess = SimpleNamespace(probability=lambda _, terms: np.full_like(terms.quoted_rate, 0.5))
    found = compared(subject, guess, PARAMS)["holdout"]
    outcome, ours = (subject.holdout[name].to_numpy() for name in ("outcome", "predicted"))
    expected = np.log(2) - row_losses(outcome, ours).mean()
    assert found["model_gains"]["value"] == pytest.approx(expected)
    assert found["model_gains"]["low"] > 0


def test_where_every_price_was_randomised_the_hold_out_says_it_all(subject):
    drawn = replace(subject, holdout=subject.holdout.assign(is_randomised=True))
    assert set(compared(drawn, drawn, PARAMS)) == {"holdout"}
