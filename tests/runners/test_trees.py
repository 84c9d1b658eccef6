"""What a booster is asked through XGBoost's C API, against what XGBoost's own Python says."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xgboost as xgb

from runners.trees import contributed, predicted

FEATURES = 7


@pytest.fixture(scope="module", params=[(1, 0), (1, 20), (3, 20)], ids=str)
def booster(request):
    outputs, rounds = request.param
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(300, FEATURES)).astype(np.float32)
    labels = rng.normal(size=(300, outputs))
    grown = xgb.train({"nthread": 1}, xgb.DMatrix(matrix, label=labels, nthread=1), rounds)
    return xgb.Booster({"nthread": 1}, model_file=bytearray(grown.save_raw("ubj")))


def some_rows(count, seed=5):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, FEATURES))
    rows[rng.random(rows.shape) < 0.2] = np.nan
    return rows


@pytest.mark.parametrize("count", [1, 2, 63, 700])
def test_it_says_what_xgboost_says(booster, count):
    rows = some_rows(count)
    expected = booster.inplace_predict(rows.astype(np.float32))
    np.testing.assert_array_equal(predicted(booster, rows), expected.ravel())
    turned = np.asfortranarray(rows)  # whatever the order in memory
    np.testing.assert_array_equal(predicted(booster, turned), expected.ravel())


@pytest.mark.parametrize("count", [1, 2, 63, 700])
def test_it_says_why_as_xgboost_does(booster, count):
    rows = some_rows(count)
    matrix = xgb.DMatrix(rows.astype(np.float32), nthread=1)
    expected = booster.predict(matrix, pred_contribs=True)
    np.testing.assert_array_equal(contributed(booster, rows), expected.ravel())
    turned = np.asfortranarray(rows)
    np.testing.assert_array_equal(contributed(booster, turned), expected.ravel())


@pytest.mark.parametrize("asked", [predicted, contributed])
def test_of_no_rows_it_says_nothing(booster, asked):
    assert asked(booster, some_rows(0)).shape == (0,)


@pytest.mark.parametrize("asked", [predicted, contributed])
@pytest.mark.parametrize("columns", [0, FEATURES - 1, FEATURES + 1])
def test_rows_of_another_width_are_refused(booster, columns, asked):
    with pytest.raises(xgb.core.XGBoostError, match="Number of columns"):
        asked(booster, np.zeros((2, columns)))


def test_what_was_refused_leaves_no_trace_in_the_next_answer(booster):
    with pytest.raises(xgb.core.XGBoostError):
        predicted(booster, np.zeros((9, FEATURES + 1)))
    expected = booster.inplace_predict(some_rows(2).astype(np.float32))
    np.testing.assert_array_equal(predicted(booster, some_rows(2)), expected.ravel())


def test_an_answer_stays_as_it_is_when_the_next_is_asked_for(booster):
    first, second = some_rows(5, seed=1), some_rows(5, seed=2)
    kept = predicted(booster, first)
    said = kept.copy()
    predicted(booster, second)
    np.testing.assert_array_equal(kept, said)


@pytest.mark.parametrize("asked", [predicted, contributed])
def test_threads_may_ask_one_booster(booster, asked):
    rows = [some_rows(9, seed) for seed in range(40)]
    alone = [asked(booster, each) for each in rows]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda each: asked(booster, each), rows))
    np.testing.assert_array_equal(together, alone)
