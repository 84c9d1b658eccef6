from copy import deepcopy
from dataclasses import replace

import pytest

from finntelligence.errors import InvalidDeclarationError
from finntelligence.portfolio import Capability
from training.books.layout import DEFAULTED, Layout
from training.tables import quotes_schema

ASKED = ("annual_income", "fico", "dti", "employment_years", "home", "purpose", "delinquencies")
CREDIT = ("inquiries", "utilisation", "open_accounts")
CONTENT = {
    "quotes": {
        "columns": {
            **{name: f"their {name}" for name in (*ASKED, *CREDIT, "principal", "term_months")},
            "quote_id": "id",
            "quoted_rate": {"column": "rate", "unit": "percent"},
            "period": {"column": "day", "date": "%Y-%m-%d"},
            "accepted": {"column": "taken", "values": {"ja": True, "nein": False}},
        }
    },
    "loans": {"columns": {"quote_id": "id", "defaulted": "bad"}},
}


@pytest.fixture
def content():
    return deepcopy(CONTENT)


def test_what_need_not_be_laid_out_is_not(content, simulated):
    layout = Layout.read(content, simulated)
    laid_out = {column.name for column in layout.quotes.columns}
    optional = {field.name for field in simulated.fields if not field.required}
    assert set(quotes_schema(simulated).columns) - laid_out == {*DEFAULTED, *optional}
    assert [column.name for column in layout.loans.columns] == ["quote_id", "defaulted"]


def test_files_and_signs_have_the_usual_names_if_nothing_is_said(content, simulated):
    layout = Layout.read(content, simulated)
    assert (layout.quotes.file, layout.loans.file) == ("quotes.csv", "loans.csv")
    assert (layout.quotes.separator, layout.quotes.decimal) == (",", ".")


@pytest.mark.parametrize("name", ["accepted", "fico", "period", "quote_id", "quoted_rate"])
def test_a_needed_column_that_is_not_laid_out_is_named_with_what_it_holds(content, simulated, name):
    del content["quotes"]["columns"][name]
    expected = quotes_schema(simulated).columns[name].description.split("(")[0]
    with pytest.raises(InvalidDeclarationError) as refused:
        Layout.read(content, simulated)
    path = "sources.yaml.simulated.layout.quotes.columns"
    assert str(refused.value).startswith(f"{path}.{name}: is missing; it holds {expected}")


def test_a_cell_that_says_nothing_of_the_table_says_nothing_of_its_columns(content, simulated):
    content["quotes"]["absent"] = ["NA"]
    content["quotes"]["columns"]["fico"] = {"column": "score", "absent": ["-1"]}
    columns = {column.name: column for column in Layout.read(content, simulated).quotes.columns}
    assert columns["fico"].absent == {"NA", "-1"}
    assert columns["dti"].absent == {"NA"}


def test_a_book_that_teaches_risk_alone_needs_no_quotes_but_all_of_its_applicants(
    content, simulated
):
    risk_only = replace(simulated, capabilities=frozenset({Capability.RISK}))
    loans = content.pop("quotes")
    del loans["columns"]["accepted"]
    with pytest.raises(InvalidDeclarationError, match=r"loans\.columns\.annual_income: is missing"):
        Layout.read(content, risk_only)
    loans["columns"]["defaulted"] = "bad"
    assert Layout.read({"loans": loans}, risk_only).quotes is None
    with pytest.raises(InvalidDeclarationError, match=r"layout\.quotes: is missing"):
        Layout.read({"loans": loans}, simulated)


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("fico", {"column": "score", "unit": "miles"}, r"fico\.unit: must be one of fraction, "),
        ("fico", {"column": "score", "values": {"a": "b"}}, r"fico\.values: unknown key"),
        ("fico", {"value": 700, "column": "score"}, r"column: unknown key; known: absent, value"),
        ("quote_id", {"value": 1}, r"quote_id\.column: is missing"),
        ("term_months", {"value": "nine"}, r"term_months\.value: must be a number, is str"),
        ("term_months", {"value": 9.5}, r"term_months\.value: must be .*, is 9\.5"),
        ("term_months", {"value": 0}, r"term_months\.value: must be .*, is 0"),
        ("home", {"value": 3}, r"home\.value: must be text, is int"),
        ("home", {"value": "cave"}, r"home\.value: must be one of .*, is 'cave'"),
        ("accepted", {"value": "yes"}, r"accepted\.value: must be true or false, is str"),
        ("fico", 7, "fico: must be a mapping, is int"),
        ("period", {"column": "day", "date": "%Y", "per": "week"}, "one of day, month, quarter"),
        ("home", {"column": "h", "values": {"ja": True}}, "must be text; put yes and no in quotes"),
        ("home", {"column": "h", "values": {True: "own"}}, "is no text to YAML; put it in quotes"),
        ("accepted", {"column": "t", "values": {"ja": "yes"}}, "ja: must be true or false"),
        ("group", {"value": "a", "unit": "percent"}, r"group\.unit: unknown key"),
        ("shoe_size", "shoe", "shoe_size: is no column of quotes; they are: quote_id, "),
    ],
)
def test_an_impossible_column_is_refused_with_what_would_be_right(
    content, simulated, name, spec, message
):
    content["quotes"]["columns"][name] = spec
    with pytest.raises(InvalidDeclarationError, match=message):
        Layout.read(content, simulated)


@pytest.mark.parametrize("date", ["%Q", "DD/MM/YYYY", "%d/%m", "%Y"])
def test_a_date_that_cannot_be_read_or_says_no_month_is_refused(content, simulated, date):
    content["quotes"]["columns"]["period"] = {"column": "day", "date": date}
    with pytest.raises(InvalidDeclarationError) as refused:
        Layout.read(content, simulated)
    path = "sources.yaml.simulated.layout.quotes.columns.period.date"
    right = "must say the month and its year as in %d/%m/%Y for 14/03/2025"
    assert str(refused.value).startswith(f"{path}: {right}, is {date!r}: ")


def test_what_is_known_only_after_the_decision_cannot_be_laid_out(content, lender):
    loans = {"columns": {"total_paid": "pymnt"}}
    with pytest.raises(InvalidDeclarationError, match=r"total_paid: is a leak, .* leave it out"):
        Layout.read({"loans": loans}, lender)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("separator", ";;", r"quotes\.separator: must be one character, is ';;'"),
        ("decimal", ",", r"quotes\.decimal: must not be the separator"),
        ("encoding", "klingon", r"quotes\.encoding: must be one that Python knows"),
        ("file", "loans.csv", r"loans\.file: must not be that of quotes"),
        ("header", 2, r"quotes\.header: unknown key"),
    ],
)
def test_an_impossible_file_is_refused_with_what_would_be_right(
    content, simulated, key, value, message
):
    content["quotes"][key] = value
    with pytest.raises(InvalidDeclarationError, match=message):
        Layout.read(content, simulated)
