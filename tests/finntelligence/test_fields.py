import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from finntelligence.declaration import Section
from finntelligence.errors import InvalidDeclarationError
from finntelligence.fields import Field, Kind, Role, prohibited_basis
from finntelligence.portfolio import Portfolio

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


PORTFOLIOS = sorted((Path(__file__).parents[2] / "portfolios").glob("*.yaml"))


def read(name="fico", **entry):
    present = {key: value for key, value in entry.items() if value is not ...}
    return Field.read(name, Section(present, f"fields.{name}"))


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


# What must not become a feature

PROHIBITED = {
    "race or color": "race applicant_race race_code color skin_colour",
    "religion": "religion religious_affiliation",
    "national origin": "national_origin nationality ethnicity country_of_birth native_country "
    "is_hispanic",
    "sex": "sex Sex gender female is_male applicantSex genders",
    "childbearing": "pregnant",
    "marital status": "marital_status married is_married maritalStatus divorced",
    "age": "age Age AGE applicant_age age_years age_band age2 age_at_application date_of_birth dob "
    "age_months age_in_months coapplicant_age co_applicant_age borrowers_age age_squared",
    "public assistance": "public_assistance receives_public_assistance welfare_income",
    "exercise of rights under the Consumer Credit Protection Act": "ccpa_dispute",
    "where somebody lives": "zip ZIP zip5 zip_code zipCode ZIPCode home_zip postcode census_tract",
    "what somebody is called": "name first_name lastname_or_last_name surname borrower_name",
    "language": "language preferred_language",
    "an e-mail address": "email email_domain e_mail eMail",
}
HARMLESS = (
    "age_of_oldest_account account_age average_age_months employer_name mortgage package_deal "
    "homeowner gracious sexton zipper marriage_loan dependants citizen manage percentage colorado"
)


@pytest.mark.parametrize(
    ("basis", "name"),
    [(basis, name) for basis, names in PROHIBITED.items() for name in names.split()],
)
def test_a_feature_named_like_a_prohibited_basis_is_refused_with_its_path(basis, name):
    with pytest.raises(InvalidDeclarationError) as refused:
        read(name, **NUMBER)
    assert str(refused.value).startswith(f"fields.{name}.role: must not be feature")
    assert f"tells of {basis}:" in str(refused.value)
    assert "12 CFR 1002.6(b)" in str(refused.value)
    assert "make the role protected or group" in str(refused.value)


@pytest.mark.parametrize("role", ["protected", "group", "leak"])
@pytest.mark.parametrize("name", ["sex", "age", "zip_code", "email"])
def test_a_prohibited_basis_may_be_kept_for_tests(name, role):
    assert read(name, **{**NUMBER, "role": role, "reason": ...}).role is Role(role)


@pytest.mark.parametrize("name", HARMLESS.split())
def test_a_name_that_only_looks_alike_is_fine(name):
    assert prohibited_basis(name) is None
    assert read(name, **NUMBER).name == name


def test_a_declared_proxy_is_no_feature():
    with pytest.raises(InvalidDeclarationError, match=r"^fields\.fico\.proxy_of: .* religion"):
        number(proxy_of="religion")


def test_a_declared_proxy_may_be_kept_for_tests():
    assert number(role="group", reason=..., proxy_of="race").proxy_of == "race"
    assert number().proxy_of == ""


def test_a_proxy_must_be_of_something():
    with pytest.raises(InvalidDeclarationError, match=r"^fields\.fico\.proxy_of: must be text"):
        number(proxy_of=3)


@pytest.mark.parametrize("path", PORTFOLIOS, ids=lambda path: path.stem)
def test_every_declared_book_keeps_prohibited_bases_from_its_models(path):
    book = Portfolio.from_mapping(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert [f.name for f in book.features if f.proxy_of or prohibited_basis(f.name)] == []
