import numpy as np
import pandas as pd
import pytest

from finntelligence.errors import InvalidDeclarationError
from finntelligence.fields import Kind, Role
from training.books.canonical import check_fields, cleaned, permitted

AFTER = "the loan was granted"


@pytest.fixture
def names(kz):
    return [field.name for field in kz.fields if field.role is not Role.LEAK]


def test_what_the_file_gives_in_time_is_accepted_and_leaks_need_not_be_given(kz, names):
    assert len(names) < len(kz.fields)
    check_fields(kz, names, {"anything_else"}, AFTER)


def test_a_field_known_too_late_must_be_declared_a_leak(kz, names):
    with pytest.raises(InvalidDeclarationError) as error:
        check_fields(kz, names, {names[-1]}, AFTER)
    assert str(error.value) == (
        f"portfolio.fields.{names[-1]}: is known only after {AFTER}; its role must be leak"
    )


def test_a_field_the_file_does_not_give_is_named_with_what_it_gives(kz, names):
    with pytest.raises(InvalidDeclarationError) as error:
        check_fields(kz, names[:-1], (), AFTER)
    assert str(error.value) == (
        f"portfolio.fields.{names[-1]}: the file does not give it; it gives {', '.join(names[:-1])}"
    )


def field_of(portfolio, required, category):
    return next(
        field
        for field in portfolio.features
        if field.required == required and (field.kind is Kind.CATEGORY) == category
    )


@pytest.mark.parametrize("category", [True, False])
def test_only_declared_values_are_permitted_and_absence_is_not_one(kz, category):
    field = field_of(kz, required=category, category=category)
    good, bad = (field.values[0], "?") if category else (field.minimum, field.maximum + 1)
    values = pd.Series([good, bad, np.nan])
    assert permitted(field, values).tolist() == [True, False, False]


def test_an_odd_value_of_an_optional_field_is_absent_and_counted(kz, caplog):
    field = field_of(kz, False, False)
    values = pd.Series([field.minimum, field.maximum + 1, np.nan])
    with caplog.at_level("INFO", logger="training.books"):
        found = cleaned("kz2008", field, values)
    assert found.isna().tolist() == [False, True, True]
    assert caplog.messages == [f"kz2008: {field.name}: 1 odd values taken as absent"]


def test_an_odd_value_of_a_required_field_is_left_for_the_contract_to_refuse(kz):
    field = field_of(kz, True, True)
    values = pd.Series(["?", field.values[0]])
    pd.testing.assert_series_equal(cleaned("kz2008", field, values), values)
