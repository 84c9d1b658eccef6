import math

import numpy as np
import pytest

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
