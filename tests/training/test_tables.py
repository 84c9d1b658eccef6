from pathlib import Path

import numpy as np
import pandas as pd
import pandera.errors
import pytest

from finntelligence.errors import InvalidDataError, InvalidDeclarationError
from finntelligence.fields import Role
from training.books import kz2008
from training.tables import (
    load_portfolio,
    loans_schema,
    quotes_schema,
    read_table,
    replacing,
    validated_loans,
    validated_quotes,
    write_table,
)

ROOT = Path(__file__).parents[2]

SIMULATED = [
    "quote_id",
    "annual_income",
    "fico",
    "dti",
    "employment_years",
    "home",
    "purpose",
    "delinquencies",
    "inquiries",
    "utilisation",
    "open_accounts",
    "group",
    "requested_principal",
    "requested_term_months",
    "principal",
    "term_months",
    "quoted_rate",
    "list_rate",
    "is_randomised",
    "propensity",
    "accepted",
    "period",
    "cost_of_funds",
]


@pytest.fixture(scope="module")
def simulated():
    return load_portfolio("simulated", ROOT)


@pytest.fixture
def quotes():
    return pd.DataFrame(
        {
            "quote_id": [3, 1, 2],
            "annual_income": [50_000, 60_000, 70_000],
            "fico": [700, 640, 810],
            "dti": [10.0, 20.0, 30.0],
            "employment_years": [0, 5, 10],
            "home": ["rent", "own", "mortgage"],
            "purpose": ["other", "medical", "credit_card"],
            "delinquencies": [0, 1, 2],
            "inquiries": [0, 1, 2],
            "utilisation": [10.0, 20.0, 30.0],
            "open_accounts": [5, 6, 7],
            "group": ["a", None, "b"],
            "requested_principal": [10_000, 5_000, 20_000],
            "requested_term_months": [36, 36, 60],
            "principal": [10_000, 5_000, 15_000],
            "term_months": [36, 24, 60],
            "quoted_rate": [0.12, 0.18, 0.09],
            "list_rate": [0.13, 0.17, 0.09],
            "is_randomised": [False, True, False],
            "propensity": [np.nan, 16.7, np.nan],
            "accepted": [1, 0, 1],
            "period": [0, 1, 2],
            "cost_of_funds": [0.04, 0.04, 0.05],
        },
        index=[7, 8, 9],
    )


@pytest.fixture
def as_kz_quotes(kz, dta):
    return kz2008.tables(kz, dta).quotes


@pytest.fixture
def loans(quotes):
    booked = quotes[quotes["accepted"] == 1].drop(columns=["propensity", "accepted"])
    return booked.assign(defaulted=[False, True])


def test_quotes_hold_exactly_the_simulators_columns(simulated):
    assert sorted(quotes_schema(simulated).columns) == sorted(SIMULATED)


def test_loans_hold_the_quotes_columns_and_the_outcome_instead_of_the_answer(simulated):
    quotes = list(quotes_schema(simulated).columns)
    expected = [name for name in quotes if name not in ("propensity", "accepted")]
    assert list(loans_schema(simulated).columns) == [*expected, "defaulted"]


@pytest.mark.parametrize("name", ["simulated", "kz2008"])
def test_leaks_have_no_column_and_protected_fields_do(name):
    portfolio = load_portfolio(name, ROOT)
    for field in portfolio.fields:
        assert (field.name in quotes_schema(portfolio).columns) == (field.role is not Role.LEAK)


def test_valid_quotes_come_back_in_canonical_order_and_dtypes(simulated, quotes):
    valid = validated_quotes(simulated, quotes[sorted(quotes)])
    fields = [field.name for field in simulated.fields]
    assert list(valid) == [SIMULATED[0], *fields, *SIMULATED[SIMULATED.index("group") + 1 :]]
    assert list(valid.index) == [0, 1, 2]
    dtypes = {str(valid[name].dtype) for name in ("fico", "employment_years", "principal")}
    assert dtypes == {"float64"}
    assert valid.dtypes[["quote_id", "term_months", "period"]].astype(str).eq("int64").all()
    assert valid.dtypes[["accepted", "is_randomised"]].eq(bool).all()
    assert valid["home"].dtype == "str"
    assert valid["group"].isna().tolist() == [False, True, False]


def test_validation_changes_a_valid_table_no_more(simulated, quotes, loans):
    valid = validated_quotes(simulated, quotes)
    pd.testing.assert_frame_equal(validated_quotes(simulated, valid), valid)
    valid = validated_loans(simulated, loans)
    pd.testing.assert_frame_equal(validated_loans(simulated, valid), valid)


def test_the_callers_frame_is_left_alone(simulated, quotes):
    before = quotes.copy(deep=True)
    validated_quotes(simulated, quotes)
    pd.testing.assert_frame_equal(quotes, before)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("fico", [700, 900, 810], "must be a number from 300 to 850 points; row 1 .* holds 900"),
        ("fico", [700, None, 810], "a number from 300 to 850 points; row 1 .* holds nothing"),
        ("fico", [700, 640, "high"], "from 300 to 850 points; row 2 .* holds 'high'"),
        ("employment_years", [0, 1, 2.5], "must be a whole number from 0 to 60 .*holds 2.5"),
        ("home", ["rent", "rent", "tent"], "one of rent, own, mortgage; row 2 .*holds 'tent'"),
        ("home", ["rent", None, "own"], "one of rent, own, mortgage; row 1 .*holds nothing"),
        ("home", ["rent", "own", 3], "one of rent, own, mortgage; row 2 .*holds 3"),
        ("group", ["a", "b", "c"], "must be one of a, b; row 2 .*holds 'c'"),
        ("quote_id", [1, 2, 2], "each only once; row 1 .*holds 2"),
        ("quote_id", [1, 2, None], "a whole number, each only once; row 2 .*holds nothing"),
        ("principal", [0, 1, 1], "an amount above 0, up to 1e.09; row 0 .*holds 0"),
        ("principal", [1, np.inf, 1], "an amount above 0, up to 1e.09; row 1 .*holds inf"),
        ("term_months", [36, 36.5, 24], "whole months from 1 to 600; row 1 .*holds 36.5"),
        ("term_months", [36, 24, 0], "whole months from 1 to 600; row 2 .*holds 0"),
        ("quoted_rate", [0.1, 0.1, 12.5], "as a fraction from 0 to 1 .*; row 2 .*holds 12.5"),
        ("propensity", [np.nan, 0, 1], "a density above 0 .*; row 1 .*holds 0.0"),
        ("propensity", [np.nan, 1, np.inf], "a density above 0 .*; row 2 .*holds inf"),
        ("accepted", [0, 1, 2], "must be true or false; row 2 .*holds 2"),
        ("accepted", [True, None, False], "must be true or false; row 1 .*holds nothing"),
        ("is_randomised", ["yes", "no", "no"], "must be true or false; row 0 .*holds 'yes'"),
        ("period", [0, 1, np.nan], "a whole number, higher is later; row 2 .*holds nothing"),
        ("cost_of_funds", [0.04, 4, 0.04], "a yearly rate as a fraction .*; row 1 .*holds 4.0"),
    ],
)
def test_a_bad_value_is_refused_by_column_expectation_and_first_row(
    simulated, quotes, column, values, message
):
    quotes[column] = pd.Series(values, index=quotes.index)
    with pytest.raises(InvalidDataError, match=rf"^quotes\.{column}: .*{message}$"):
        validated_quotes(simulated, quotes)


def test_a_missing_column_is_refused_by_name(simulated, quotes):
    with pytest.raises(InvalidDataError, match=r"^quotes\.dti: column is missing.*per cent"):
        validated_quotes(simulated, quotes.drop(columns="dti"))


def test_an_unknown_column_is_refused_by_name(simulated, quotes):
    with pytest.raises(InvalidDataError, match=r"^quotes\.fica: unknown column"):
        validated_quotes(simulated, quotes.assign(fica=1))


def test_a_column_given_twice_is_refused(simulated, quotes):
    with pytest.raises(InvalidDataError, match=r"^quotes\.fico: column given twice"):
        validated_quotes(simulated, pd.concat([quotes, quotes[["fico"]]], axis=1))


def test_the_schema_alone_refuses_an_unknown_column_too(simulated, quotes):
    valid = validated_quotes(simulated, quotes)
    with pytest.raises(pandera.errors.SchemaErrors, match="fica"):
        quotes_schema(simulated).validate(valid.assign(fica=1))


@pytest.mark.parametrize("dtype", ["uint64", "Int64", "object", "str"])
def test_no_digit_of_an_identifier_is_lost(simulated, quotes, dtype):
    exact = [2**53 + 1, 2**53 + 3, 2**53 + 5]
    quotes["quote_id"] = pd.array(exact if dtype != "str" else list(map(str, exact)), dtype=dtype)
    assert validated_quotes(simulated, quotes)["quote_id"].tolist() == exact


@pytest.mark.parametrize("dtype", ["float32", "Float64", "Int64", "object"])
def test_an_absent_number_stays_absent_whatever_held_it(kz, as_kz_quotes, dtype):
    frame = as_kz_quotes
    frame["prior_loans"] = pd.Series([1, None, 3] * 40, dtype=dtype)
    assert validated_quotes(kz, frame)["prior_loans"].isna().tolist() == [False, True, False] * 40


def test_a_leak_is_refused_by_name(kz):
    with pytest.raises(InvalidDataError, match=r"^loans\.past_due_average: is a leak"):
        validated_loans(kz, pd.DataFrame({"past_due_average": [1.0]}))


def test_the_answer_may_not_enter_loans_nor_the_outcome_quotes(simulated, quotes, loans):
    with pytest.raises(InvalidDataError, match=r"^quotes\.defaulted: unknown column"):
        validated_quotes(simulated, quotes.assign(defaulted=False))
    with pytest.raises(InvalidDataError, match=r"^loans\.accepted: unknown column"):
        validated_loans(simulated, loans.assign(accepted=True))


def test_optional_fields_may_be_absent(kz):
    optional = {f.name for f in kz.fields if not f.required and f.role is not Role.LEAK}
    nullable = {name for name, column in quotes_schema(kz).columns.items() if column.nullable}
    assert nullable == optional | {"propensity"}


def test_a_table_survives_the_disk(tmp_path, simulated, quotes):
    valid = validated_quotes(simulated, quotes)
    path = tmp_path / "deep" / "quotes.parquet"
    write_table(valid, path)
    pd.testing.assert_frame_equal(read_table(path), valid)
    assert [p.name for p in path.parent.iterdir()] == ["quotes.parquet"]


def test_equal_tables_make_equal_files(tmp_path, simulated, quotes):
    for name in ("a", "b"):
        write_table(validated_quotes(simulated, quotes), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_interrupted_write_leaves_the_former_file_and_no_other(tmp_path):
    path = tmp_path / "quotes.parquet"
    path.write_text("former")

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("ha")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "former"
    assert list(tmp_path.iterdir()) == [path]


def test_a_table_that_is_not_there_or_broken_is_named(tmp_path):
    path = tmp_path / "quotes.parquet"
    with pytest.raises(InvalidDataError, match=r"quotes\.parquet: no such table"):
        read_table(path)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(InvalidDataError, match=r"quotes\.parquet: is not a readable Parquet"):
        read_table(path)


def test_an_undeclared_portfolio_is_refused_with_the_declared_ones():
    with pytest.raises(
        InvalidDeclarationError, match=r"'none' is not declared; .*kz2008, lending_club, simul"
    ):
        load_portfolio("none", ROOT)
    with pytest.raises(InvalidDeclarationError, match="is not declared"):
        load_portfolio("../portfolios/kz2008", ROOT)


def test_without_any_declaration_the_message_says_none(tmp_path):
    with pytest.raises(InvalidDeclarationError, match="declared: none"):
        load_portfolio("kz2008", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [("name: [", "is not YAML"), ("", "must be a mapping"), (None, "portfolio.name must be")],
)
def test_a_broken_declaration_is_refused(tmp_path, content, message):
    folder = tmp_path / "portfolios"
    folder.mkdir()
    if content is None:
        content = (ROOT / "portfolios" / "kz2008.yaml").read_text()
    (folder / "mine.yaml").write_text(content)
    with pytest.raises(InvalidDeclarationError, match=message):
        load_portfolio("mine", tmp_path)
