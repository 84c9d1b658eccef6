import numpy as np
import pytest
from bentoml.exceptions import InvalidArgument
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ConfigDict, TypeAdapter

from finntelligence.errors import ModelUnavailableError
from runners.envelope import Sealed, answered, opened, sealed

LARGEST_ID = float(2**48 - 1)
# id of a model -> its number of columns, and the shape of its answer to one row
MODELS = {7.0: (3, (2,)), 8.0: (5, (4,)), LARGEST_ID: (3, (9,))}


def answer_of(model_id, asked=None):
    """Return a model whose answer to a row depends on the row, the model, and the place in it."""
    columns, shape = MODELS[model_id]

    def answer(rows):
        if asked is not None:
            asked.append((model_id, len(rows)))
        total = rows[:, :columns].sum(axis=1)
        return total.reshape(-1, *(1 for _ in shape)) * (1 + np.arange(shape[0])) + model_id % 97

    return answer


def known(model_id):
    return answer_of(model_id) if model_id in MODELS else None


def rows_of(model_id, count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, MODELS[model_id][0]))


@given(st.lists(st.sampled_from([*MODELS, 9.0]), min_size=1, max_size=12))
def test_in_any_batch_each_row_gets_what_its_own_model_answers_to_it_alone(ids):
    rows = [rows_of(i if i in MODELS else 7.0, 1, seed) for seed, i in enumerate(ids)]
    batch = np.concatenate([sealed(row, i) for row, i in zip(rows, ids, strict=True)])
    answers = answered(batch, known)
    for place, (row, model_id) in enumerate(zip(rows, ids, strict=True)):
        mine = answers[place : place + 1]
        if model_id not in MODELS:
            assert np.isnan(mine).all()
            continue
        shape = MODELS[model_id][1]
        alone = answer_of(model_id)(row)
        np.testing.assert_array_equal(opened(mine, shape, "risk"), alone)


def test_a_batch_of_one_model_is_scored_in_one_call_and_a_mixed_one_once_a_model():
    for ids, calls in (((7.0, 7.0), [(7.0, 4)]), ((8.0, 7.0), [(7.0, 2), (8.0, 2)])):
        asked = []
        batch = np.concatenate([sealed(rows_of(i, 2), i) for i in ids])
        answered(batch, lambda model_id, asked=asked: answer_of(model_id, asked))
        assert asked == calls


def test_missing_values_of_a_row_reach_its_model_as_they_are():
    seen = []

    def model(rows):
        seen.append(rows)
        return np.zeros((len(rows), 1))

    row = np.array([[np.nan, 1.0, -0.0]])
    answered(sealed(row, 7.0), lambda _: model)
    np.testing.assert_array_equal(seen[0][:, :3], row)


@pytest.mark.parametrize("model_id", [*MODELS, 0.0])
def test_an_id_survives_the_journey_to_the_last_bit(model_id):
    assert sealed(np.zeros((2, 3)), model_id)[:, 0].tolist() == [model_id, model_id]


def test_rows_of_a_few_columns_more_or_less_fit_into_one_batch():
    assert len({sealed(np.zeros((1, width)), 7.0).shape for width in range(1, 64)}) == 1
    assert sealed(np.zeros((1, 64)), 7.0).shape[1] > 64


def test_answers_with_more_axes_are_told_apart_too():
    def model(model_id):
        return lambda rows: np.full((len(rows), int(model_id), 3), model_id)

    batch = np.concatenate([sealed(np.zeros((1, 2)), i) for i in (1.0, 2.0)])
    answers = answered(batch, model)
    for place, model_id in enumerate((1.0, 2.0)):
        own = opened(answers[place : place + 1], (int(model_id), 3), "risk")
        np.testing.assert_array_equal(own, np.full((1, int(model_id), 3), model_id))


@pytest.mark.parametrize("shape", [(4,), (9,), (2, 21)])
def test_an_unknown_model_is_worth_a_retry_whatever_was_asked(shape):
    answers = answered(sealed(np.zeros((3, 2)), 9.0), known)
    with pytest.raises(ModelUnavailableError, match="the risk model"):
        opened(answers, shape, "risk")


def test_one_row_without_an_answer_leaves_no_answer():
    batch = np.concatenate([sealed(np.zeros((1, 2)), i) for i in (7.0, 9.0)])
    with pytest.raises(ModelUnavailableError):
        opened(answered(batch, known), MODELS[7.0][1], "risk")


SEALED = TypeAdapter(Sealed, config=ConfigDict(arbitrary_types_allowed=True))


def test_sealed_rows_may_share_a_batch():
    rows = sealed(np.ones((3, 70)), 7.0)
    assert SEALED.validate_python(rows) is rows


@pytest.mark.parametrize(
    "rows",
    [
        np.ones((1, 63)),
        np.ones((1, 65)),
        np.ones((0, 64)),
        np.ones((1, 0)),
        np.ones(64),
        np.ones((1, 1, 64)),
        np.ones((1, 64), "f4"),
    ],
)
def test_a_misfit_is_refused_before_it_meets_others_and_its_values_are_not_told(rows):
    with pytest.raises(InvalidArgument) as caught:
        SEALED.validate_python(rows)
    assert "64 columns" in str(caught.value)
    assert "[1." not in str(caught.value)
