import copy
import gzip
import logging
import zipfile

import numpy as np
import pandas as pd
import pytest

from finntelligence.errors import InvalidDataError, InvalidDeclarationError
from finntelligence.offers import application
from finntelligence.portfolio import Capability, Portfolio
from tests.lending_club import compact, full, made_loans
from training.books import lending_club
from training.books.lending_club import LEAKS, RATES, SUB_GRADES
from training.tables import quotes_schema

SHAPES = {"compact": compact, "full": full}
OUTCOME = {"compact": "outcome", "full": "loan_status"}
DATING = ["period", "state"]  # what the compact shape does not have
CENTS = 2e-4 + 1e-12  # what an instalment in whole cents may blur of a rate


@pytest.fixture(params=SHAPES)
def shape(request):
    return request.param


@pytest.fixture
def source(shape):
    """Made-up loans in each of the published shapes."""
    return SHAPES[shape](made_loans())


@pytest.fixture
def load(tmp_path, lender):
    def loaded(source, portfolio=lender):
        path = tmp_path / "loans.csv"
        source.to_csv(path, index=False)
        return lending_club.tables(portfolio, path)

    return loaded


def changed(lender, **sections):
    """Return the portfolio with other sections in its declaration."""
    return Portfolio.from_mapping(copy.deepcopy(dict(lender.declaration)) | sections)


def with_field(lender, name, **entry):
    """Return the portfolio with one more field."""
    number = {"type": "number", "minimum": 0, "maximum": 1e9, "meaning": "m", "reason": "r"}
    return changed(lender, fields=lender.declaration["fields"] | {name: {**number, **entry}})


# The two shapes


def test_the_same_loans_are_the_same_in_either_shape(load):
    ours, theirs = (
        load(write(made_loans())).loans.drop(columns=DATING) for write in (compact, full)
    )
    rates = ["quoted_rate", "list_rate"]
    pd.testing.assert_frame_equal(ours.drop(columns=rates), theirs.drop(columns=rates))
    pd.testing.assert_frame_equal(ours[rates], theirs[rates], rtol=0, atol=CENTS)


def test_only_the_full_shape_knows_when_and_where(load):
    told = load(full(made_loans())).loans
    assert told["period"].tolist() == [201112, 201201] * 120
    assert set(told["state"]) == {"AZ", "GA", "CA", "NY"}
    untold = load(compact(made_loans())).loans
    assert untold["period"].nunique() == 1
    assert untold["state"].isna().all()


def test_a_loan_is_what_its_source_says(load, source):
    made, loans = made_loans(), load(source).loans
    assert loans["quote_id"].tolist() == list(range(len(made)))
    for ours, theirs in (
        ("annual_income", "income"),
        ("dti", "dti"),
        ("open_accounts", "accounts"),
        ("revolving_balance", "balance"),
        ("utilisation", "utilisation"),
        ("risk_grade", "grade"),
        ("principal", "principal"),
        ("requested_principal", "principal"),
        ("term_months", "term"),
        ("requested_term_months", "term"),
    ):
        assert loans[ours].tolist() == made[theirs].tolist(), ours
    assert loans["defaulted"].tolist() == made["bad"].tolist()
    assert (loans["delinquent"] == "yes").tolist() == (made["delinquencies"] > 0).tolist()
    assert (loans["public_record"] == "yes").tolist() == (made["records"] > 0).tolist()
    assert loans["home"].tolist() == made["home"].str.lower().tolist()
    assert (
        loans["purpose"].tolist() == made["purpose"].replace("renewable_energy", "other").tolist()
    )


def test_years_in_employment_are_absent_where_unknown(load, source):
    years = load(source).loans["employment_years"]
    assert years[:4].tolist() == [0, 1, 5, 10]
    assert years.isna().tolist() == (made_loans()["length"] == 4).tolist()


@pytest.mark.parametrize(
    ("number", "grade"),
    [(6.2, "A1"), (7.0, "A5"), (5.2, "B1"), (2.8, "E4"), (0.2, "G1"), (1, "G5")],
)
def test_the_compact_grade_rises_with_the_letter_and_within_it_with_risk(load, number, grade):
    loans = load(compact(made_loans()).assign(grade=number)).loans
    assert set(loans["risk_grade"]) == {SUB_GRADES[grade]}
    assert sorted(SUB_GRADES, key=SUB_GRADES.get) == sorted(SUB_GRADES)


# The price


def test_the_contract_rate_is_recovered_from_the_instalment(load):
    made = made_loans(rows=1_000)
    assert load(compact(made)).loans["quoted_rate"].tolist() == pytest.approx(
        made["rate"].tolist(), abs=CENTS
    )


def test_the_rate_tells_nothing_but_risk(load, source):
    loans = load(source).loans
    assert loans["list_rate"].equals(loans["quoted_rate"])
    assert not loans["is_randomised"].any()


def test_loans_whose_rate_is_out_of_range_are_left_out_and_counted(load, caplog):
    source = compact(made_loans())
    source.loc[[3, 8], "loan_amnt"] *= 2  # funded only in part
    source.loc[11, "payment_inc_ratio"] = 0
    loans = load(source).loans
    assert not {3, 8, 11} & set(loans["quote_id"])
    assert len(loans) == len(source) - 3
    assert loans["quoted_rate"].between(*RATES).all()
    assert "left out 3 of 240 loans that lack a usable value: quoted_rate 3" in caplog.text


# What is left out


def test_there_are_no_quotes_but_the_table_is_valid(load, source, lender):
    quotes = load(source).quotes
    assert quotes.empty
    assert list(quotes) == list(quotes_schema(lender).columns)


def test_loans_without_an_outcome_are_left_out_and_counted(load, caplog):
    source = full(made_loans())
    source.loc[:2, "loan_status"] = ["Current", "Late (31-120 days)", "Issued"]
    source.loc[5, "loan_status"] = "Does not meet the credit policy. Status:Charged Off"
    source.loc[7, "loan_status"] = "Default"
    with caplog.at_level(logging.INFO):
        loans = load(source).loans
    assert not {0, 1, 2, 5} & set(loans["quote_id"])
    assert loans.set_index("quote_id")["defaulted"][7]
    assert (
        "240 loans; left out 3 still running, 1 outside the lender's credit policy" in caplog.text
    )


def test_a_rare_loan_without_a_required_value_is_left_out_and_counted(load, source, caplog):
    source["annual_inc"] = source["annual_inc"].astype(float)
    source.loc[4, ["annual_inc", "open_acc"]] = np.nan
    assert 4 not in set(load(source).loans["quote_id"])
    assert "annual_income 1, open_accounts 1" in caplog.text


def test_an_odd_optional_value_becomes_absent(load, source, caplog):
    source.loc[4, "revol_util"] = 892.3
    with caplog.at_level(logging.INFO):
        assert np.isnan(load(source).loans["utilisation"][4])
    assert "utilisation: 1 odd values taken as absent" in caplog.text


def test_no_leak_enters_the_loans(load, source):
    assert LEAKS & set(load(source).loans) == {"defaulted"}


def test_the_loans_do_not_move_with_what_came_after(load):
    source = full(made_loans())
    later = ["total_pymnt", "recoveries", "out_prncp"]
    moved = source.assign(last_pymnt_d="Feb-2016", **{name: source[name] + 1 for name in later})
    pd.testing.assert_frame_equal(load(moved).loans, load(source).loans)


# What is refused


def test_a_wrong_outcome_is_named(load, source, shape):
    source.loc[6, OUTCOME[shape]] = "lost"
    expected = rf"column {OUTCOME[shape]} must hold .*; row 6 .* holds 'lost'"
    with pytest.raises(InvalidDataError, match=expected):
        load(source)


@pytest.mark.parametrize("lacking", [["dti"], ["term", "home_ownership"]])
def test_missing_columns_are_named(load, source, lacking):
    with pytest.raises(InvalidDataError, match=rf"missing column\(s\) {', '.join(lacking)}$"):
        load(source.drop(columns=lacking))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("dti", "much", "column dti must hold numbers"),
        ("purpose", 3, "column purpose must hold text"),
        ("purpose", "yacht", "of 240 loans 240 lack a usable value: purpose 240"),
        ("term", "a while", "lack a usable value: term_months 240"),
        ("dti", 9999, "lack a usable value: dti 240"),
    ],
)
def test_a_file_whose_values_do_not_fit_is_refused(load, source, column, value, message):
    with pytest.raises(InvalidDataError, match=message):
        load(source.assign(**{column: value}))


def test_a_file_in_which_too_much_is_unusable_is_refused(load, source):
    source.loc[:12, "open_acc"] = 999
    with pytest.raises(InvalidDataError, match="13 lack a usable value: open_accounts 13"):
        load(source)


def test_a_file_without_a_resolved_loan_is_refused(load):
    source = full(made_loans()).assign(loan_status="Current")
    with pytest.raises(InvalidDataError, match="holds no resolved loan"):
        load(source)


@pytest.mark.parametrize("name", sorted(LEAKS))
def test_a_declaration_that_makes_a_leak_a_feature_is_refused_by_name(lender, load, source, name):
    portfolio = with_field(lender, name, role="feature")
    with pytest.raises(InvalidDeclarationError, match=rf"fields\.{name}: .*its role must be leak"):
        load(source, portfolio)


def test_a_field_the_file_does_not_give_is_refused_by_name(lender, load, source):
    portfolio = with_field(lender, "fico", role="feature")
    with pytest.raises(InvalidDeclarationError, match=r"fields\.fico: the file does not give it"):
        load(source, portfolio)


def test_a_declaration_that_would_learn_acceptance_is_refused(lender, load, source):
    with pytest.raises(InvalidDeclarationError, match=r"capabilities: must be \[risk\]"):
        load(source, changed(lender, capabilities=["risk", "acceptance"]))


# The file


def test_a_file_is_recognised_by_its_bytes_and_not_its_name(tmp_path, lender, source):
    text = source.to_csv(index=False).encode()
    plain, gzipped, zipped = (tmp_path / name for name in ("a.gz", "b.csv", "c"))
    plain.write_bytes(text)
    gzipped.write_bytes(gzip.compress(text))
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("inside.csv", text)
    expected = lending_club.tables(lender, plain).loans
    for path in (gzipped, zipped):
        pd.testing.assert_frame_equal(lending_club.tables(lender, path).loans, expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(bytes(range(256)) * 99)[:-30], "truncated or broken"),
        (b"PK\x03\x04 and no more", "truncated or broken"),
        (b"", "holds no table"),
        (b"\xff\xfe\x00", "holds no table"),
        (b"<html>not here</html>", "missing column"),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_one_line(tmp_path, lender, content, message):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InvalidDataError, match=message) as refused:
        lending_club.tables(lender, path)
    assert "\n" not in str(refused.value)


def test_a_path_that_is_no_file_is_refused(tmp_path, lender):
    with pytest.raises(InvalidDataError, match="Is a directory"):
        lending_club.tables(lender, tmp_path)
    with pytest.raises(InvalidDataError, match="No such file"):
        lending_club.tables(lender, tmp_path / "nowhere")


# The declaration


def test_the_book_teaches_risk_alone_and_is_judged_at_random(lender):
    assert lender.capabilities == {Capability.RISK}
    assert lender.random_holdout
    assert application(lender, **lender.example).requested_term_months in lender.axes.terms


def test_what_the_declaration_calls_measured_is_what_the_file_says(lender, lending_club_files):
    raw = pd.read_csv(lending_club_files["full"])
    lost = raw[raw["loan_status"].isin(["Charged Off", "Default"])]
    owed = lost["funded_amnt"] - lost["total_rec_prncp"]
    recovered = lost["recoveries"] - lost["collection_recovery_fee"]
    assert lender.economics["lgd"] == pytest.approx(1 - recovered.sum() / owed.sum(), abs=0.005)
    paid, made = (pd.to_datetime(raw[c], format="%b-%Y").dt for c in ("last_pymnt_d", "issue_d"))
    months = (12 * (paid.year - made.year) + paid.month - made.month).clip(lower=0)
    term = raw["term"].str.extract(r"(\d+)")[0].astype(int)
    early = (raw["loan_status"] == "Fully Paid") & (months < term - 1)
    yearly = 1 - (1 - early.sum() / months.sum()) ** 12
    assert lender.economics["prepayment_rate"] == pytest.approx(yearly, abs=0.005)
    measured = {k for k, v in lender.declaration["economics"].items() if v["basis"] == "measured"}
    assert measured == {"lgd", "prepayment_rate"}


# The published files


@pytest.fixture(scope="module")
def real(lender, lending_club_files):
    return {name: lending_club.tables(lender, path) for name, path in lending_club_files.items()}


def test_the_real_files_give_the_known_counts(real):
    found = {
        name: (len(t.quotes), len(t.loans), t.loans["defaulted"].sum()) for name, t in real.items()
    }
    assert found == {"compact": (0, 88_618, 17_161), "full": (0, 907, 177)}
    assert set(real["full"].loans["period"]) == {201112}
    assert real["compact"].loans["quoted_rate"].between(*RATES).all()


def test_the_rates_of_the_real_loans_follow_from_their_instalments(load, lending_club_files):
    """The 1,000 loans with a known rate, rewritten in the compact shape."""
    raw = pd.read_csv(lending_club_files["full"])
    assert len(raw) == 1_000
    source = raw.assign(
        loan_amnt=raw["funded_amnt"],
        payment_inc_ratio=1200 * raw["installment"] / raw["annual_inc"],
        outcome="paid off",
        grade=6.2,
        emp_length=0,
        delinq_2yrs_zero=1,
        pub_rec_zero=1,
    )[["loan_status", *(c for s in lending_club.SHAPES[:1] for c in (*s.texts, *s.numbers))]]
    rates = load(source).loans["quoted_rate"]
    assert (rates - raw["int_rate"] / 100).abs().max() <= CENTS


def test_real_loans_in_both_files_are_the_same_loans(real):
    key = ["annual_income", "dti", "revolving_balance", "open_accounts", "principal"]
    both = real["compact"].loans.merge(real["full"].loans, on=key, suffixes=("", "_full"))
    assert len(both) > 800
    for name in ("home", "purpose", "risk_grade", "delinquent", "public_record", "utilisation"):
        assert both[name].equals(both[f"{name}_full"]), name
    for name in ("term_months", "defaulted", "employment_years"):
        assert both[name].equals(both[f"{name}_full"]), name
    assert ((both["quoted_rate"] - both["quoted_rate_full"]).abs() <= CENTS).all()


def test_real_default_rises_with_the_grade_and_the_list_price_follows_it(real, lender):
    loans = real["compact"].loans
    by_letter = loans.groupby((loans["risk_grade"] - 1) // 5)["defaulted"].mean()
    assert by_letter[:6].is_monotonic_increasing  # G has too few loans to tell
    grades = loans.groupby("risk_grade")["quoted_rate"].agg(["median", "size"])
    known = grades[grades["size"] >= 300]
    columns = {"risk_grade": known.index.to_numpy()}
    listed = lender.price.list_rate.rate(columns, 36, 0.03)
    assert np.abs(listed - known["median"]).max() < 0.006
