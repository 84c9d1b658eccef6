import copy
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import yaml

from finntelligence.cashflow import Convention
from finntelligence.errors import InvalidDeclarationError
from finntelligence.features import design_matrix, feature_names
from finntelligence.fields import Role
from finntelligence.offers import application
from finntelligence.policy import Policy
from finntelligence.portfolio import Capability, Portfolio

BOOKS = ("simulated", "kz2008")
DECLARED = {
    name: yaml.safe_load(
        (Path(__file__).parents[2] / "portfolios" / f"{name}.yaml").read_text(encoding="utf-8")
    )
    for name in BOOKS
}
# `policy` is read by Policy; `example` is an application; the rest may hold any key by design
READ_ELSEWHERE = ("policy", "example")


def walk(value, path=""):
    """Yield the path of every mapping and of every leaf that Portfolio reads."""
    for key, inner in value.items():
        here = f"{path}.{key}" if path else key
        if here in READ_ELSEWHERE:
            continue
        yield here, inner
        if isinstance(inner, dict):
            yield from walk(inner, here)


NODES = {name: list(walk(DECLARED[name])) for name in BOOKS}
OPTIONAL_OF_A_FIELD = {"unit", "required", "scale"}
OPTIONAL = {"clip", "cost_of_funds", "log_term", "existing_debt"}


def refusal(declaration):
    """What is said against a declaration, or None if it is taken."""
    try:
        Portfolio.from_mapping(declaration)
    except InvalidDeclarationError as error:
        return str(error)
    return None


def test_what_the_two_books_declare_can_be_asked_for(book):
    asked = application(book, **book.example)
    assert asked.requested_term_months in book.axes.terms
    assert Policy.from_mapping(book).terms


def test_the_two_books_quote_by_different_conventions(simulated, kz):
    assert simulated.price.convention is Convention.NOMINAL_ANNUAL
    assert kz.price.convention is Convention.ADDON_MONTHLY
    for book in (simulated, kz):
        assert book.capabilities == {Capability.RISK, Capability.ACCEPTANCE}


@pytest.mark.parametrize(
    ("said", "random"),
    [({}, False), ({"holdout": "latest"}, False), ({"holdout": "random"}, True)],
)
def test_a_book_is_judged_on_its_newest_part_unless_it_says_otherwise(changed, said, random):
    assert Portfolio.from_mapping(changed("simulated", said)).random_holdout is random


@pytest.mark.parametrize("name", BOOKS)
def test_a_key_nobody_knows_is_refused_wherever_it_stands(changed, name):
    mappings = [path for path, value in NODES[name] if isinstance(value, dict)]
    for path in ["surplus", *(f"{mapping}.surplus" for mapping in mappings)]:
        assert (refusal(changed(name, {path: 1})) or "").startswith(f"portfolio.{path}: "), path


@pytest.mark.parametrize("name", BOOKS)
def test_a_value_of_the_wrong_type_is_refused_wherever_it_stands(changed, name):
    for path, value in NODES[name]:
        wrong = "three" if isinstance(value, bool) else True
        assert (refusal(changed(name, {path: wrong})) or "").startswith(f"portfolio.{path}: "), path


@pytest.mark.parametrize("name", BOOKS)
def test_a_missing_key_is_refused_unless_it_is_optional(changed, name):
    for path, _ in NODES[name]:
        parent, _, key = path.rpartition(".")
        entry = parent in ("fields", "if_missing", "economics")
        if (
            entry
            or key in OPTIONAL
            or (parent.startswith("fields.") and key in OPTIONAL_OF_A_FIELD)
        ):
            continue
        said = path.replace(".table", ".polynomial") if key == "table" else path  # either will do
        assert (refusal(changed(name, {path: ...})) or "") == f"portfolio.{said}: is missing", path


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("axes.minimum_principal", 0),
        ("axes.maximum_principal", 999),
        ("axes.terms", [36, 24]),
        ("axes.terms", [24, 24]),
        ("axes.terms", [0, 24]),
        ("axes.terms", []),
        ("axes.reference_term", 0),
        ("axes.reference_term", 36.5),
        ("axes.reference_principal", -1),
        ("default.horizon", "never"),
        ("default.horizon", 0),
        ("price.convention", "yearly"),
        ("price.slope_floor", 0),
        ("price.risk_slope_prior.mean", -0.1),
        ("price.risk_slope_prior.sd", 0),
        ("affordability.per", "week"),
        ("affordability.income", "wages"),
        ("affordability.existing_debt", "debts"),
        ("economics.lgd.basis", "guessed"),
        ("if_missing.pti", "ask"),
        ("capabilities", ["magic"]),
        ("holdout", "oldest"),
        ("capabilities", ["risk", "risk"]),
    ],
)
def test_a_value_out_of_bounds_is_named_by_its_path(changed, path, value):
    with pytest.raises(InvalidDeclarationError) as caught:
        Portfolio.from_mapping(changed("simulated", {path: value}))
    assert str(caught.value).startswith(f"portfolio.{path}: ")


def shuffled(value):
    if isinstance(value, dict):
        return {key: shuffled(inner) for key, inner in reversed(value.items())}
    return value


def test_the_digest_does_not_depend_on_the_order_of_keys(book):
    again = Portfolio.from_mapping(shuffled(book.declaration))
    assert again.digest == book.digest
    assert again.fields == book.fields


def altered(value):
    """Another value of the same type that most bounds still allow."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value + " "
    if isinstance(value, list):
        return [*value[:-1], altered(value[-1])]
    return value + 1 if isinstance(value, int | float) else value


@pytest.mark.parametrize("name", BOOKS)
def test_any_change_of_the_declaration_changes_the_digest(books, changed, name):
    digests = {books[name].digest}
    for path, value in NODES[name]:
        declaration = changed(name, {path: altered(value)})
        if not isinstance(value, dict) and refusal(declaration) is None:
            digest = Portfolio.from_mapping(declaration).digest
            assert digest not in digests, path
            digests.add(digest)
    assert len(digests) > 50


@pytest.mark.parametrize("path", ["policy.menu_size", "example.requested_principal"])
def test_the_digest_covers_policy_and_example_too(book, changed, path):
    assert Portfolio.from_mapping(changed(book.name, {path: 2})).digest != book.digest


def test_a_book_read_back_from_sorted_json_encodes_the_same_columns(book, rows, through_json):
    again = Portfolio.from_mapping(through_json(book.declaration))
    assert again.digest == book.digest
    assert again.fields == book.fields
    assert again.price == book.price
    assert feature_names(again) == feature_names(book)
    columns = rows(book, 50)
    np.testing.assert_array_equal(design_matrix(again, columns), design_matrix(book, columns))


def test_reading_changes_nothing_in_the_declaration(declarations, book):
    before = copy.deepcopy(declarations[book.name])
    Portfolio.from_mapping(declarations[book.name])
    assert declarations[book.name] == before


def test_no_model_sees_a_protected_group_or_leaking_field(book):
    assert {field.role for field in book.features} == {Role.FEATURE}
    hidden = [field.name for field in book.fields if field.role is not Role.FEATURE]
    assert hidden
    assert not set(hidden) & {field.name for field in book.features}


def test_fields_are_found_by_name(book):
    for field in book.fields:
        assert book.field(field.name) is field
    assert book.field("nobody") is None


def test_income_is_monthly_whatever_the_field_counts_in(simulated, kz):
    yearly = simulated.affordability.monthly_income({"annual_income": np.array([60_000, np.nan])})
    np.testing.assert_allclose(yearly, [5_000, np.nan])
    monthly = kz.affordability.monthly_income({"gross_monthly_income": np.array([3_500, np.nan])})
    np.testing.assert_allclose(monthly, [3_500, np.nan])


def test_existing_debt_is_a_share_of_income_and_none_where_the_book_has_no_field(simulated, kz):
    np.testing.assert_allclose(
        simulated.affordability.debt_share({"dti": np.array([17.5, 0.0])}), [0.175, 0.0]
    )
    columns = {"gross_monthly_income": np.array([3_500, np.nan])}
    np.testing.assert_array_equal(kz.affordability.debt_share(columns), [0.0, 0.0])


def test_default_within_the_term_has_no_horizon_of_its_own(simulated, changed):
    assert simulated.default.horizon_months is None
    yearly = Portfolio.from_mapping(changed("simulated", {"default.horizon": 12}))
    assert yearly.default.horizon_months == 12


def test_a_book_never_changes(book):
    with pytest.raises(FrozenInstanceError):
        book.name = "other"


def test_a_term_is_a_whole_number_of_months(changed):
    with pytest.raises(InvalidDeclarationError, match=r"^portfolio\.axes\.terms"):
        Portfolio.from_mapping(changed("simulated", {"axes.terms": [24.5, 36]}))


def test_what_to_do_if_missing_names_a_rule_that_can_miss_something(changed):
    with pytest.raises(InvalidDeclarationError, match=r"^portfolio\.if_missing\.ptii: "):
        Portfolio.from_mapping(changed("kz2008", {"if_missing": {"ptii": "skip"}}))


@pytest.mark.parametrize("field", ["past_due_average", "age", "risk_class"])
def test_income_is_a_number_that_an_application_may_carry(changed, field):
    with pytest.raises(InvalidDeclarationError, match=r"^portfolio\.affordability\.income: "):
        Portfolio.from_mapping(changed("kz2008", {"affordability.income": field}))


def test_an_example_that_json_cannot_say_is_refused_by_path(changed):
    with pytest.raises(InvalidDeclarationError, match=r"^portfolio\.example"):
        Portfolio.from_mapping(changed("simulated", {"example.requested_principal": float("nan")}))
