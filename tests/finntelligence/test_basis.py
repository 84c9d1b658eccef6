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
        ({"low": 2.0}, "low must not be above high"),
        ({"high": math.nan}, "low must not be above high"),
    ],
)
def test_a_column_that_cannot_be_computed_is_refused_by_name(wrong, message):
    with pytest.raises(ModelMismatchError, match=f"^basis of fico: {message}"):
        BasisColumn(**({"feature": "fico", "kind": "z"} | wrong))


def test_a_basis_of_a_feature_that_is_not_there_is_refused():
    with pytest.raises(KeyError, match="fico"):
        Basis.of((BasisColumn(feature="fico", kind="flag"),), ("a",))


NAMES = ("b", "unused", "c", "a")
COLUMNS = tuple(
    BasisColumn(feature=feature, kind=kind, log=log, low=0.5, high=90, mean=1.5, sd=0.7)
    for feature in ("a", "b")
    for kind in ("z", "square", "missing")
    for log in (False, True)
)
FLAGS = (
    BasisColumn(feature="c", kind="flag"),
    BasisColumn(feature="c", kind="flag", log=True, low=0.5),
)
BASIS = Basis.of((*COLUMNS, *FLAGS), NAMES)


@pytest.fixture
def given():
    rng = np.random.default_rng(1)
    matrix = rng.lognormal(0, 3, size=(700, len(NAMES)))
    matrix[:, [0, 3]] *= rng.choice([-1, 1, np.nan], size=(700, 2))
    return matrix, rng.normal(size=(1 + len(COLUMNS) + len(FLAGS), 5))


@pytest.fixture(params=["compiled", "numpy"])
def weighted(request, monkeypatch):
    if request.param == "numpy":
        monkeypatch.setattr(basis, "compiled", None)
    elif basis.compiled is None:
        pytest.skip("the sums are not compiled here")
    return Basis.weighted


def test_a_weighted_sum_is_that_of_its_columns(weighted, given):
    matrix, weights = given
    expected = weights[0] + BASIS.values(matrix) @ weights[1:]
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(weighted(BASIS, matrix, weights), expected, rtol=1e-12, atol=1e-10)


def test_a_flag_that_is_absent_makes_its_row_unknown(weighted, given):
    matrix, weights = given
    matrix[5, NAMES.index("c")] = np.nan
    unknown = np.isnan(weighted(BASIS, matrix, weights)).all(axis=1)
    assert np.flatnonzero(unknown).tolist() == [5]


def test_a_row_sums_to_the_same_bits_alone_and_among_others(weighted, given):
    matrix, weights = given
    together = weighted(BASIS, matrix, weights)
    for row in (0, 511, 512, 699):
        np.testing.assert_array_equal(weighted(BASIS, matrix[[row]], weights)[0], together[row])
    np.testing.assert_array_equal(weighted(BASIS, np.asfortranarray(matrix), weights), together)
    assert weighted(BASIS, matrix[:0], weights).shape == (0, 5)


@pytest.mark.skipif(basis.compiled is None, reason="the sums are not compiled here")
def test_compiled_sums_have_the_bits_of_numpys_but_for_logarithms(given, monkeypatch):
    matrix, weights = given
    plain = Basis.of(tuple(each for each in COLUMNS if not each.log) + FLAGS, NAMES)
    weights = weights[: 1 + len(plain.kind)]
    found = plain.weighted(matrix, weights)
    monkeypatch.setattr(basis, "compiled", None)
    np.testing.assert_array_equal(found, plain.weighted(matrix, weights))


@pytest.mark.skipif(basis.compiled is None, reason="the sums are not compiled here")
def test_compiled_sums_refuse_what_does_not_fit(given):
    matrix, weights = given
    with pytest.raises(ValueError, match="basis column 0 is outside the matrix"):
        BASIS.weighted(matrix[:, :3], weights)
    with pytest.raises(ValueError, match="basis column 0 is outside the matrix"):
        replace(BASIS, kind=BASIS.kind + 6).weighted(matrix, weights)
    with pytest.raises(ValueError, match="arrays do not fit each other"):
        BASIS.weighted(matrix, weights[1:])
    with pytest.raises(ValueError, match="arrays do not fit each other"):
        replace(BASIS, scale=BASIS.scale[:1]).weighted(matrix, weights)
    with pytest.raises(ValueError, match="position must hold contiguous int64"):
        replace(BASIS, position=BASIS.scale[0]).weighted(matrix, weights)
