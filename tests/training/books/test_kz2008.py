import copy
import logging

import numpy as np
import pandas as pd
import pytest

from finntelligence.errors import InvalidDataError, InvalidDeclarationError
from finntelligence.portfolio import Portfolio
from training.books import kz2008


@pytest.fixture
def load(tmp_path, kz, as_stata):
    def loaded(offers, portfolio=kz):
        path = tmp_path / "offers.dta"
        path.write_bytes(as_stata(offers))
        return kz2008.tables(portfolio, path)

    return loaded


@pytest.fixture
def tables(load, offers):
    return load(offers)


def with_field(kz, name, **changes):
    """Return the portfolio with one field added or changed."""
    declaration = copy.deepcopy(dict(kz.declaration))
    entry = {"type": "number", "minimum": 0, "maximum": 1e6, "meaning": "m", "role": "feature"}
    declaration["fields"][name] = {**declaration["fields"].get(name, entry), **changes}
    return Portfolio.from_mapping(declaration)


def test_every_offer_becomes_a_quote_and_every_taker_a_loan(tables, offers):
    assert len(tables.quotes) == len(offers)
    assert tables.quotes["accepted"].tolist() == (offers["tookup"] == 1).tolist()
    assert tables.loans["quote_id"].tolist() == np.flatnonzero(offers["tookup"]).tolist()


def test_codes_for_unknown_become_absent(load, offers):
    offers.loc[1, ["itczero", "appscore0"]] = 1  # the code rules, whatever the score says
    quotes = load(offers).quotes
    assert quotes["bureau_score"].isna().tolist() == (offers["itczero"] == 1).tolist()
    assert quotes["internal_score"].isna().tolist() == (offers["appscore0"] == 1).tolist()
    assert quotes["age"].isna().tolist() == (offers["age"] == 0).tolist()
    assert quotes["married"].isna().tolist() == offers["married"].isna().tolist()


def test_income_is_in_rand_a_month_and_the_absurd_is_absent(load, offers):
    offers.loc[0, "grossincome"] = 4500
    income = load(offers).quotes["gross_monthly_income"]
    assert np.isnan(income[0])
    assert income[1] == 3500
    assert income.isna().sum() == offers["grossincome"].isna().sum() + 1


def test_the_term_asked_for_is_the_one_shown_or_nearest_the_last(tables, offers):
    quotes = tables.quotes
    shown = offers["termshown"].notna()
    assert (quotes.loc[shown, "requested_term_months"] == 6).all()
    nearest = offers.loc[~shown, "lastterm"].map({4: 4, 1: 4, 5: 4, 9: 6, 12: 12})
    assert quotes.loc[~shown, "requested_term_months"].tolist() == nearest.tolist()
    assert (quotes["term_months"] == quotes["requested_term_months"]).all()


def test_rates_are_fractions_and_the_list_is_the_classs_standard(tables, offers):
    quotes = tables.quotes
    assert quotes["quoted_rate"].tolist() == pytest.approx((offers["offer4"] / 100).tolist())
    standard = quotes["risk_class"].map({"LOW": 0.0775, "MEDIUM": 0.0975, "HIGH": 0.1175})
    assert quotes["list_rate"].tolist() == standard.tolist()


def test_loans_carry_the_contracts_terms_not_the_offers(tables, offers):
    loans, taken = tables.loans, offers[offers["tookup"] == 1]
    assert loans["quoted_rate"].tolist() == pytest.approx((taken["final4"] / 100).tolist())
    assert (loans["principal"] == 1000).all()
    assert (loans["term_months"] == 4).all()
    assert loans["requested_principal"].tolist() == taken["lastamount"].tolist()


def test_bad_is_more_than_a_quarter_past_due(tables):
    assert tables.loans["defaulted"].tolist() == [True, False] * 20  # 251 and 250 of 1,000


def test_density_integrates_to_one_within_each_cell(tables):
    quotes = tables.quotes
    bins = np.floor(quotes["quoted_rate"] / 0.005 + 1e-9)
    per_bin = quotes.groupby(["risk_class", "period", bins])["propensity"]
    assert (per_bin.nunique() == 1).all()
    area = per_bin.first().groupby(["risk_class", "period"]).sum() * 0.005
    assert area.tolist() == pytest.approx([1.0] * len(area))


def test_no_leak_enters_the_quotes(tables, offers):
    leaks = set(offers) & (kz2008.LEAKS | {"sales_grossincome"})
    assert not leaks & set(tables.quotes)


def test_the_quotes_do_not_move_with_what_came_after(load, offers, tables):
    """A change in what happened after the offer changes no column at all."""
    later = ["loansize", "term", "final4", "pstdue_average", "grossinterest", "lnloansize"]
    taken = offers["tookup"] == 1
    offers.loc[taken, later] = offers.loc[taken, later].to_numpy() + 1
    pd.testing.assert_frame_equal(load(offers).quotes, tables.quotes)


@pytest.mark.parametrize("name", sorted(kz2008.LEAKS | {"sales_netincome"}))
def test_a_declaration_that_makes_a_leak_a_feature_is_refused_by_name(kz, load, offers, name):
    portfolio = with_field(kz, name, role="feature", reason="r")
    with pytest.raises(InvalidDeclarationError, match=rf"fields\.{name}: .*its role must be leak"):
        load(offers, portfolio)


def test_a_field_the_file_does_not_give_is_refused_by_name(kz, load, offers):
    portfolio = with_field(kz, "shoe_size", reason="r")
    with pytest.raises(InvalidDeclarationError, match=r"fields\.shoe_size: the file does not give"):
        load(offers, portfolio)


def test_takers_without_a_repayment_record_are_left_out_and_counted(load, offers, caplog):
    offers.loc[0, "pstdue_average"] = np.nan
    offers.loc[3, "loansize"] = 0
    offers.loc[6, "term"] = 0
    with caplog.at_level(logging.INFO):
        loans = load(offers).loans
    assert len(loans) == 37
    assert "40 takers; left out 2 without amount or term, 1 without repayment" in caplog.text


def test_a_rare_offer_without_a_required_value_is_left_out_and_counted(load, offers, caplog):
    offers.loc[5, "lastamount"] = 0
    quotes = load(offers).quotes
    assert len(quotes) == len(offers) - 1
    assert 5 not in set(quotes["quote_id"])
    assert "1 offers lack a required value: principal 1" in caplog.text


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("risk", "NONE", r"quotes\.risk_class: must be one of LOW, MEDIUM, HIGH; row 0"),
        ("lastterm", 0, r"quotes\.last_term_months: must be a whole number from 1 to 60"),
        ("offer4", 775.0, r"quotes\.quoted_rate: must be .* a fraction .* row 0 .* holds 7.75"),
        ("tookup", 2, r"quotes\.accepted: must be true or false; row 0"),
        ("risk", 1, "column risk must hold text"),
        ("offer4", "7.75", "column offer4 must hold numbers"),
        ("tookup", 0, "no offer was taken up"),
    ],
)
def test_a_file_whose_values_do_not_fit_is_refused(load, offers, column, value, message):
    with pytest.raises(InvalidDataError, match=message):
        load(offers.assign(**{column: value}))


def test_a_missing_column_is_named(load, offers):
    with pytest.raises(InvalidDataError, match=r"missing column\(s\) offer4, pstdue_average$"):
        load(offers.drop(columns=["offer4", "pstdue_average"]))


def test_the_real_extract_gives_the_known_counts(kz, kz_file):
    quotes, loans = kz2008.tables(kz, kz_file)
    assert (len(quotes), len(loans), loans["defaulted"].sum()) == (24_557, 1_840, 217)
    assert quotes["accepted"].sum() == 1_840
    assert quotes.groupby("period").size().to_dict() == {1: 4_958, 2: 19_599}
    assert quotes.loc[quotes["period"] == 1, "gross_monthly_income"].isna().all()
    assert quotes.loc[quotes["period"] == 2, "gross_monthly_income"].notna().all()
    assert quotes["quoted_rate"].agg(["min", "max"]).tolist() == [0.0325, 0.1475]
    assert (quotes["propensity"] > 0).all()
    assert quotes["bureau_score"].isna().sum() == 4_919


def test_real_takeup_falls_as_the_rate_rises_within_risk_and_wave(kz, kz_file):
    """The experiment's point: the rate was random, so the mean difference is an effect."""
    quotes = kz2008.tables(kz, kz_file).quotes
    cell = [quotes["risk_class"], quotes["period"]]
    rate = quotes["quoted_rate"] - quotes.groupby(cell)["quoted_rate"].transform("mean")
    took = quotes["accepted"] - quotes.groupby(cell)["accepted"].transform("mean")
    slope = (rate * took).sum() / (rate**2).sum()
    assert -0.6 < slope < -0.1  # about 0.003 a percentage point in the paper
