import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr

from training.fitting.base_logit import ridge_logit
from training.judging.outcome_model import OutcomeModel
from training.simulator.truth import truth_at
from training.simulator.worlds import Terms

SEED = 3


@pytest.fixture(scope="module")
def model(simulated, tested):
    return OutcomeModel.fitted(simulated, tested[0], folds=4, seed=SEED)


def test_every_row_is_predicted_by_a_fit_on_the_others(simulated, quotes, model):
    assert (np.sum([fold.rows for fold in model.folds], axis=0) == 1).all()
    first = model.folds[0].rows
    flipped = quotes.assign(accepted=quotes["accepted"] ^ first)
    other = OutcomeModel.fitted(simulated, flipped, folds=4, seed=SEED)
    for before, after in zip(model.lines(), other.lines(), strict=True):
        assert np.array_equal(before[first], after[first])
        assert not np.array_equal(before[~first], after[~first])


def test_the_model_is_near_the_simulators_truth_at_any_price(quotes, model):
    lines = model.lines()
    for offset in (-0.03, 0.0, 0.03):
        rates = quotes["list_rate"].to_numpy() + offset
        terms = {name: quotes[name].to_numpy() for name in ("principal", "term_months")}
        truth = truth_at("W1", quotes, Terms(**terms, nominal_rate=rates)).p_accept
        found = model.p_accept(lines, rates)
        assert found.mean() == pytest.approx(truth.mean(), abs=0.02)
        assert pearsonr(found, truth).statistic > 0.85


def test_no_rate_is_no_prediction(quotes, model):
    assert np.isnan(model.p_accept(model.lines(), np.full(len(quotes), np.nan))).all()


def test_counting_each_row_once_refits_nothing(model):
    once = model.lines(np.ones((2, len(model.outcome))))
    for lines, alone in zip(once, model.lines(), strict=True):
        assert lines == pytest.approx(np.stack([alone, alone]), abs=1e-6)


def test_a_draws_refit_is_the_fit_of_its_rows(model):
    rows = len(model.outcome)
    drawn = np.random.default_rng(0).integers(0, rows, (2, rows))
    counts = np.stack([np.bincount(each, minlength=rows) for each in drawn]).astype(float)
    constant, slope = model.lines(counts)
    design = np.concatenate([model.fixed, model.moving * model.gap[:, None]], axis=1)
    split, prior = model.fixed.shape[1], np.zeros(design.shape[1])
    for place, count in enumerate(counts):
        for fold in model.folds:
            learned = np.repeat(np.flatnonzero(~fold.rows), count[~fold.rows].astype(int))
            refit, _ = ridge_logit(design[learned], model.outcome[learned], model.penalty, prior)
            logit = constant[place, fold.rows] + slope[place, fold.rows] * model.gap[fold.rows]
            expected = design[fold.rows] @ refit
            moved = model.lines()[0][fold.rows] - model.fixed[fold.rows] @ refit[:split]
            assert np.abs(logit - expected).max() < 0.05 * max(np.abs(moved).max(), 0.1)


def test_terms_never_varied_ask_for_nothing(kz, kz_quotes):
    wave = kz_quotes[kz_quotes["period"] == 2][:3000].reset_index(drop=True)
    model = OutcomeModel.fitted(kz, wave, folds=2, seed=SEED)
    assert np.linalg.matrix_rank(model.moving) > 1
    assert model.p_accept(model.lines(), wave["list_rate"].to_numpy()).mean() == pytest.approx(
        wave["accepted"].mean(), abs=0.05
    )
    assert pd.Series(model.lines()[1]).mean() < 0
