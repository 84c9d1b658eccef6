import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finntelligence.declaration import Section
from finntelligence.errors import InvalidDeclarationError
from finntelligence.fields import Field, Kind, Role

NUMBER = {
    "type": "number",
    "unit": "points",
    "minimum": 300,
    "maximum": 850,
    "role": "feature",
    "meaning": "Credit bureau score",
    "reason": "Credit score",
}
CATEGORY = {
    "type": "category",
    "values": ["rent", "own"],
    "role": "feature",
    "meaning": "Housing",
    "reason": "Residential status",
}


def read(**entry):
    present = {key: value for key, value in entry.items() if value is not ...}
    return Field.read("fico", Section(present, "fields.fico"))


def number(**changes):
    return read(**{**NUMBER, **changes})


def category(**changes):
    return read(**{**CATEGORY, **changes})


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"type": "text"}, "type"),
        ({"type": ...}, "type"),
        ({"role": "target"}, "role"),
        ({"role": ...}, "role"),
        ({"unit": 3}, "unit"),
        ({"minimum": "low"}, "minimum"),
        ({"minimum": ...}, "minimum"),
        ({"maximum": math.inf}, "maximum"),
        ({"maximum": ...}, "maximum"),
        ({"maximum": 299}, "maximum"),
        ({"meaning": ...}, "meaning"),
        ({"reason": ...}, "reason"),
        ({"required": "no"}, "required"),
        ({"scale": "sqrt"}, "scale"),
        ({"values": ["a"]}, "values"),
        ({"minimun": 1}, "minimun"),
    ],
)
def test_a_wrong_key_of_a_number_is_named_by_its_path(changes, key):
    with pytest.raises(InvalidDeclarationError, match=rf"^fields\.fico\.{key}: "):
        number(**changes)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"values": ...}, "values"),
        ({"values": []}, "values"),
        ({"values": ["own", "own"]}, "values"),
        ({"values": [True, False]}, "values"),  # YAML reads a bare yes and no so
        ({"minimum": 1}, "minimum"),
        ({"maximum": 1}, "maximum"),
    ],
)
def test_a_wrong_key_of_a_category_is_named_by_its_path(changes, key):
    with pytest.raises(InvalidDeclarationError, match=rf"^fields\.fico\.{key}: "):
        category(**changes)


def test_only_a_feature_needs_a_reason():
    assert number(role="protected", reason=...).reason == ""
    with pytest.raises(InvalidDeclarationError, match=r"^fields\.fico\.reason: unknown key"):
        number(role="leak")


def test_what_is_not_said_is_required_linear_and_without_unit():
    field = category()
    assert (field.required, field.scale, field.unit) == (True, "linear", "")
    assert (field.kind, field.role) == (Kind.CATEGORY, Role.FEATURE)


@given(value=st.floats(300, 850) | st.integers(300, 850))
def test_every_number_within_the_bounds_is_fine(value):
    assert number().problem(value) is None


@given(value=st.floats(max_value=300, exclude_max=True) | st.floats(850, exclude_min=True))
def test_no_number_outside_the_bounds_is_fine(value):
    assert number().problem(value) == "must be a number from 300 to 850 points"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "700", [700], {}, b"700"])
def test_what_only_looks_like_a_number_is_no_number(value):
    assert number().problem(value) == "must be a number from 300 to 850 points"
    assert number(type="integer").problem(value) == "must be a whole number from 300 to 850 points"


@pytest.mark.parametrize("kind", ["number", "integer"])
def test_true_is_not_one(kind):
    field = number(type=kind, minimum=0, maximum=1)
    assert field.problem(1) is None
    assert field.problem(True) is not None


@given(value=st.integers(300, 850))
def test_an_integer_may_come_as_a_float_that_is_whole(value):
    assert number(type="integer").problem(float(value)) is None


@given(value=st.floats(300, 850).filter(lambda v: v != int(v)))
def test_an_integer_has_no_fraction(value):
    assert number(type="integer").problem(value) is not None


@pytest.mark.parametrize("value", ["Rent", "", "rent ", 0, True, None, ["rent"], math.nan])
def test_a_category_takes_its_values_and_nothing_else(value):
    assert category().problem("rent") is None
    assert "one of rent, own" in category().problem(value)


def test_only_an_optional_field_may_be_absent():
    assert number().problem(None) == "is required: a number from 300 to 850 points"
    assert number(required=False).problem(None) is None
    assert category(required=False).problem(None) is None


def test_the_bounds_a_field_tells_are_the_bounds_it_has():
    field = number(maximum=1_234_567)
    assert "1234567" in field.expected().replace(",", "")
