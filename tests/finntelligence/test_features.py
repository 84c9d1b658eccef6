from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finntelligence.features import (
    REQUEST_FEATURES,
    RowEncoder,
    application_columns,
    columns_of,
    design_matrix,
    feature_names,
    source_of,
)
from finntelligence.fields import Kind
from finntelligence.offers import application
from finntelligence.portfolio import Portfolio


def test_columns_are_the_features_by_name_then_what_was_requested(book):
    names = feature_names(book)
    assert len(set(names)) == len(names)
    assert names[-2:] == REQUEST_FEATURES
    sources = [source_of(name) for name in names[:-2]]
    assert sources == sorted(sources)
    assert set(sources) == {field.name for field in book.features}


def test_a_category_has_one_column_for_each_of_its_values_in_declared_order(simulated):
    homes = [name for name in feature_names(simulated) if source_of(name) == "home"]
    assert homes == ["home=rent", "home=own", "home=mortgage"]


def test_no_column_tells_a_protected_group_or_leaking_field(book):
    usable = {field.name for field in book.features} | set(REQUEST_FEATURES)
    assert {source_of(name) for name in feature_names(book)} == usable


def test_one_row_and_many_rows_have_the_same_bits(book, rows):
    columns = rows(book, 64)
    together = design_matrix(book, columns)
    assert together.dtype == np.float64
    assert together.shape == (64, len(feature_names(book)))
    for i in range(64):
        alone = design_matrix(book, {name: v[i : i + 1] for name, v in columns.items()})
        assert alone.tobytes() == together[i].tobytes()


@given(data=st.data())
def test_an_application_is_encoded_like_its_row_in_a_book(book, requests, data):
    asked = application(book, **data.draw(requests(book)))
    alone = application_columns(asked)
    row = design_matrix(book, alone)
    twice = design_matrix(book, {name: np.concatenate([v, v]) for name, v in alone.items()})
    assert row.tobytes() == twice[0].tobytes() == twice[1].tobytes()
    assert row.tobytes() == RowEncoder(book)(asked).tobytes()
    by_name = dict(zip(feature_names(book), row[0], strict=True))
    assert by_name["requested_principal"] == asked.requested_principal
    assert by_name["requested_term_months"] == asked.requested_term_months
    for field in book.features:
        value = asked.features[field.name]
        if field.kind is Kind.CATEGORY:
            flags = {v: by_name[f"{field.name}={v}"] for v in field.values}
            assert flags == {v: float(v == value) for v in field.values}
        else:
            expected = np.nan if value is None else float(value)
            np.testing.assert_equal(by_name[field.name], expected)


def test_a_number_that_is_absent_is_nan_and_nothing_else_is(kz, rows):
    columns = rows(kz, 200)
    matrix = design_matrix(kz, columns)
    names = feature_names(kz)
    for j, name in enumerate(names):
        source = columns[source_of(name)]
        gaps = np.isnan(source) if source.dtype == float else np.zeros(200, dtype=bool)
        np.testing.assert_array_equal(np.isnan(matrix[:, j]), gaps)
    assert np.isnan(matrix[:, names.index("bureau_score")]).any()


@pytest.mark.parametrize(
    "absent", [np.array([None]), np.array([np.nan]), np.array([np.nan], dtype=object)]
)
def test_a_category_that_is_absent_has_no_flag_up(changed, absent):
    book = Portfolio.from_mapping(changed("simulated", {"fields.home.required": False}))
    features = {k: v for k, v in book.example["features"].items() if k != "home"}
    columns = application_columns(application(book, **{**book.example, "features": features}))
    for column in (columns["home"], absent):
        row = design_matrix(book, {**columns, "home": column})[0]
        flags = [v for n, v in zip(feature_names(book), row, strict=True) if n.startswith("home=")]
        assert flags == [0.0, 0.0, 0.0]


def test_the_order_of_the_given_columns_does_not_matter(book, rows):
    columns = rows(book, 10)
    backwards = dict(reversed(columns.items()))
    np.testing.assert_array_equal(design_matrix(book, backwards), design_matrix(book, columns))


def test_columns_nobody_declared_are_left_alone(book, rows):
    columns = rows(book, 10)
    more = {**columns, "age": np.full(10, 40.0), "outcome": np.ones(10)}
    np.testing.assert_array_equal(design_matrix(book, more), design_matrix(book, columns))


def test_a_column_that_is_missing_is_named(book, rows):
    columns = rows(book, 3)
    for name in columns:
        with pytest.raises(KeyError, match=name):
            design_matrix(book, {k: v for k, v in columns.items() if k != name})


def test_applications_together_have_the_columns_that_each_has_alone(book, rows):
    matrix = rows(book, 1)
    example = application(book, **book.example)
    other = replace(
        example,
        requested_principal=example.requested_principal / 2,
        features={
            n: None if not book.field(n).required else v for n, v in example.features.items()
        },
    )
    assert set(matrix) == set(columns_of([example]))
    together = design_matrix(book, columns_of([example, other]))
    alone = [design_matrix(book, application_columns(each))[0] for each in (example, other)]
    np.testing.assert_array_equal(together, alone)


def test_no_applications_have_no_columns():
    with pytest.raises(ValueError, match="an application or more"):
        columns_of([])
