import math
from dataclasses import replace

import numpy as np
import pytest

from finntelligence import basis
from finntelligence.basis import Basis, BasisColumn
from finntelligence.errors import ModelMismatchError

X = np.array([0.0, 1.0, 4.0, 100.0, np.nan])


def test_a_score_is_clipped_then_standardised_and_an_absent_one_is_the_mean():
    column = BasisColumn(feature="x", kind="z", low=1, high=10, mean=4, sd=3)
    np.testing.assert_allclose(column.values(X), [-1, -1, 0, 2, 0])


def test_a_logarithm_is_taken_after_clipping_so_that_zero_is_no_trouble():
    column = BasisColumn(feature="x", kind="z", log=True, low=1, high=math.e, mean=0, sd=1)
    np.testing.assert_allclose(column.values(X), [0, 0, 1, 1, 0])


def test_a_square_is_zero_one_standard_deviation_away():
    column = BasisColumn(feature="x", kind="square", low=1, high=10, mean=4, sd=3)
    np.testing.assert_allclose(column.values(X), [0, 0, -0.5, 1.5, -0.5])


def test_a_flag_is_the_value_and_missing_tells_what_is_absent():
    flags = np.array([0.0, 1.0])
    np.testing.assert_array_equal(BasisColumn(feature="x", kind="flag").values(flags), flags)
    missing = BasisColumn(feature="x", kind="missing").values(X)
    np.testing.assert_array_equal(missing, [0, 0, 0, 0, 1])


def test_a_basis_finds_its_features_by_name():
    columns = (
        BasisColumn(feature="b", kind="flag"),
        BasisColumn(feature="a", kind="missing"),
        BasisColumn(feature="b", kind="flag"),
    )
    found = Basis.of(columns, ("a", "b")).values(np.array([[np.nan, 7.0], [1.0, 8.0]]))
    np.testing.assert_array_equal(found, [[7, 1, 7], [8, 0, 8]])
    assert Basis.of((), ("a", "b")).values(np.zeros((3, 2))).shape == (3, 0)


def test_a_logarithmic_column_never_takes_the_logarithm_of_nothing():
    with pytest.raises(ModelMismatchError):
        BasisColumn(feature="x", kind="z", log=True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "cubic"}, "unknown kind 'cubic'"),
        ({"sd": 0.0}, "sd must be above 0"),
        ({"sd": math.nan}, "sd must be above 0"),
        ({"log": True, "low": -1.0}, "a logarithm needs a low above 0"),
    ],
)
def test_a_column_that_cannot_be_computed_is_refused_by_name(wrong, message):
    with pytest.raises(ModelMismatchError, match=f"^basis of fico: {message}"):
        BasisColumn(**({"feature": "fico", "kind": "z"} | wrong))


def test_a_basis_of_a_feature_that_is_not_there_is_refused():
    with pytest.raises(KeyError, match="fico"):
        Basis.of((BasisColumn(feature="fico", kind="flag"),), ("a",))


COLUMNS = tuple(
    BasisColumn(feature=feature, kind=kind, log=log, low=0.5, high=90, mean=1.5, sd=0.7)
    for feature in ("a", "b", "c")
    for kind in ("z", "square", "flag", "missing")
    for log in (False, True)
)
BASIS = Basis.of(COLUMNS, ("b", "unused", "c", "a"))


@pytest.fixture
def given():
    rng = np.random.default_rng(1)
    matrix = rng.lognormal(0, 3, size=(700, 4)) * rng.choice([-1, 1, np.nan], size=(700, 4))
    return matrix, rng.normal(size=(1 + len(COLUMNS), 5))


@pytest.mark.parametrize("compiled", [True, False])
def test_a_weighted_sum_is_that_of_its_columns(given, compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr(basis, "compiled", None)
    elif not basis.COMPILED:
        pytest.skip("the sums are not compiled here")
    matrix, weights = given
    expected = weights[0] + BASIS.values(matrix) @ weights[1:]
    np.testing.assert_allclose(BASIS.weighted(matrix, weights), expected, rtol=1e-12, atol=1e-11)
    assert np.isnan(expected).any()  # a flag that is absent


@pytest.mark.skipif(not basis.COMPILED, reason="the sums are not compiled here")
def test_compiled_sums_have_the_bits_of_numpys(given, monkeypatch):
    matrix, weights = given
    plain = [k for k, column in enumerate(COLUMNS) if not column.whole_kind.startswith("log ")]
    columns = Basis.of(tuple(COLUMNS[k] for k in plain), ("b", "unused", "c", "a"))
    weights = weights[[0, *(k + 1 for k in plain)]]
    found = columns.weighted(matrix, weights)
    monkeypatch.setattr(basis, "compiled", None)
    np.testing.assert_array_equal(found, columns.weighted(matrix, weights))


def test_a_row_sums_to_the_same_bits_alone_and_among_others(given):
    matrix, weights = given
    together = BASIS.weighted(matrix, weights)
    for row in (0, 511, 512, 699):
        alone = BASIS.weighted(matrix[row : row + 1], weights)
        np.testing.assert_array_equal(alone[0], together[row])
    np.testing.assert_array_equal(BASIS.weighted(np.asfortranarray(matrix), weights), together)
    assert BASIS.weighted(matrix[:0], weights).shape == (0, 5)


@pytest.mark.skipif(not basis.COMPILED, reason="the sums are not compiled here")
def test_compiled_sums_refuse_what_does_not_fit(given):
    matrix, weights = given
    with pytest.raises(ValueError, match="basis column 0 is outside the matrix"):
        BASIS.weighted(matrix[:, :3], weights)
    with pytest.raises(ValueError, match="basis column 0 is outside the matrix"):
        replace(BASIS, kind=BASIS.kind + 6).weighted(matrix, weights)
    with pytest.raises(ValueError, match="arrays do not fit each other"):
        BASIS.weighted(matrix, weights[1:])
    with pytest.raises(ValueError, match="places must be int64, all else float64"):
        replace(BASIS, position=BASIS.scale[0]).weighted(matrix, weights)
