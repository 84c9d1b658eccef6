import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finntelligence.errors import InvalidApplicationError
from finntelligence.fields import Kind
from finntelligence.offers import application
from finntelligence.portfolio import Portfolio


def problems(book, features=None, **request):
    """What is wrong with the book's example, changed: field to problem (`...` removes)."""
    merged = {**book.example["features"], **(features or {})}
    asked = {
        **book.example,
        **request,
        "features": {k: v for k, v in merged.items() if v is not ...},
    }
    try:
        application(book, **asked)
    except InvalidApplicationError as error:
        return {problem.field: problem.problem for problem in error.problems}
    return {}


@given(data=st.data())
def test_every_request_inside_the_declaration_is_taken_as_it_is_to_the_cent(book, requests, data):
    request = data.draw(requests(book))
    asked = application(book, **request)
    assert asked.requested_principal == round(request["requested_principal"], 2)
    assert asked.requested_term_months == request["requested_term_months"]
    assert asked.features == request["features"]


def test_an_optional_field_left_out_is_absent_not_forgotten(kz):
    asked = application(kz, **{**kz.example, "features": dict(kz.example["features"])})
    assert problems(kz, {"bureau_score": ...}) == {}
    assert set(asked.features) == {field.name for field in kz.features}
    sparse = {k: v for k, v in kz.example["features"].items() if k != "bureau_score"}
    assert application(kz, **{**kz.example, "features": sparse}).features["bureau_score"] is None


def test_a_required_field_left_out_is_named_with_what_would_be_right(book):
    for field in book.features:
        for absent in (..., None):
            found = problems(book, {field.name: absent})
            known = {f"features.{field.name}": f"is required: {field.expected()}"}
            assert found == (known if field.required else {})


NOT_A_NUMBER = [math.nan, math.inf, -math.inf, True, "36", [36], {"value": 36}]


@pytest.mark.parametrize("value", NOT_A_NUMBER)
def test_what_is_no_number_is_named_with_what_would_be_right(book, value):
    for field in book.features:
        if field.kind is not Kind.CATEGORY:
            found = problems(book, {field.name: value})
            assert found == {f"features.{field.name}": f"must be {field.expected()}"}


def test_a_number_outside_its_bounds_is_named_with_what_would_be_right(book):
    for field in book.features:
        if field.kind is not Kind.CATEGORY:
            for value in (field.minimum - 1, field.maximum + 1):
                found = problems(book, {field.name: value})
                assert found == {f"features.{field.name}": f"must be {field.expected()}"}


@pytest.mark.parametrize("value", ["nowhere", "", 1, True, ["rent"], math.nan])
def test_a_category_outside_its_values_is_named_with_its_values(book, value):
    for field in book.features:
        if field.kind is Kind.CATEGORY:
            (problem,) = problems(book, {field.name: value}).values()
            assert problem == "must be one of " + ", ".join(field.values)


def test_an_unknown_feature_is_named_with_the_known_ones(book):
    found = problems(book, {"shoe_size": 43})
    known = ", ".join(field.name for field in book.features)
    assert found == {"features.shoe_size": f"is unknown; known: {known}"}


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("female", "yes", "protected"),
        ("age", 40, "protected"),
        ("age", None, "protected"),
        ("rural", "no", "fairness"),
        ("loan_size", 1000, "after the decision"),
        ("gross_interest", 0, "after the decision"),
    ],
)
def test_a_field_that_no_offer_may_use_is_refused_with_the_reason(kz, name, value, why):
    found = problems(kz, {name: value})
    assert list(found) == [f"features.{name}"]
    assert why in found[f"features.{name}"]
    assert "leave it out" in found[f"features.{name}"]


def test_the_simulated_group_is_never_taken(simulated):
    assert "protected" in problems(simulated, {"group": "a"})["features.group"]


@pytest.mark.parametrize("value", [*NOT_A_NUMBER, None, 999.99, 40_000.01, -12_000, 0, 10**400])
def test_an_amount_nobody_may_ask_for_is_named_with_the_bounds(simulated, value):
    found = problems(simulated, requested_principal=value)
    assert found == {"requested_principal": "must be a number from 1000 to 40000 USD"}


@pytest.mark.parametrize("value", [*NOT_A_NUMBER, None, 35, 36.5, 0, -36])
def test_a_term_nobody_may_ask_for_is_named_with_the_terms(simulated, value):
    found = problems(simulated, requested_term_months=value)
    assert found == {"requested_term_months": "must be one of 24, 36, 48, 60 months"}


def test_true_is_neither_an_amount_nor_a_month(changed):
    axes = {"axes.minimum_principal": 1, "axes.terms": [1, 4, 6, 12]}
    book = Portfolio.from_mapping(changed("kz2008", axes))
    assert problems(book, requested_principal=1, requested_term_months=1) == {}
    found = problems(book, requested_principal=True, requested_term_months=True)
    assert set(found) == {"requested_principal", "requested_term_months"}


def test_a_whole_number_may_come_as_a_float(book):
    term = float(book.example["requested_term_months"])
    asked = application(book, **{**book.example, "requested_term_months": term})
    assert asked.requested_term_months == term
    assert type(asked.requested_term_months) is int
    integers = [field.name for field in book.features if field.kind is Kind.INTEGER]
    assert integers
    assert problems(book, {n: float(book.example["features"][n]) for n in integers}) == {}


def test_an_integer_field_takes_no_fraction(book):
    for field in book.features:
        if field.kind is Kind.INTEGER:
            assert list(problems(book, {field.name: 1.5})) == [f"features.{field.name}"]


def test_all_problems_are_told_at_once(simulated):
    found = problems(
        simulated,
        {"fico": 900, "home": "tent", "dti": ..., "group": "a", "shoe_size": 43, "purpose": None},
        requested_principal="much",
        requested_term_months=37,
    )
    assert set(found) == {
        "requested_principal",
        "requested_term_months",
        "features.fico",
        "features.home",
        "features.dti",
        "features.group",
        "features.shoe_size",
        "features.purpose",
    }


@pytest.mark.parametrize("features", [{}, {"fico": None}])
def test_an_empty_request_names_every_required_field(simulated, features):
    with pytest.raises(InvalidApplicationError) as caught:
        application(
            simulated, requested_principal=1000, requested_term_months=24, features=features
        )
    named = [problem.field for problem in caught.value.problems]
    assert named == [f"features.{field.name}" for field in simulated.features]
