import gzip
import shutil
import zipfile
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest

from finntelligence.errors import InvalidDataError
from finntelligence.portfolio import Portfolio
from tests.own_book import LOANS, QUOTES, declaration, source, written
from training.books.layout import Layout
from training.books.own_files import tables


@pytest.fixture(scope="module")
def sierra():
    return Portfolio.from_mapping(declaration())


@pytest.fixture(scope="module")
def layout(sierra):
    return Layout.read(source()["layout"], sierra)


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "export"
    written(folder, quotes=200)
    return folder


@pytest.fixture
def folder(export, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(export, tmp_path / "export")


@pytest.fixture(scope="module")
def found(sierra, layout, export):
    return tables(sierra, export, layout)


@pytest.fixture(scope="module")
def raw(export):
    """What the two files say, as text."""
    return {name: pd.read_csv(export / name, dtype=str) for name in (QUOTES, LOANS)}


def spoilt(folder, name, old, new):
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")


def test_every_quote_is_there_in_the_engines_words_and_units(found, raw):
    quotes, theirs = found.quotes, raw[QUOTES]
    assert len(quotes) == len(theirs)
    assert np.allclose(quotes["quoted_rate"] * 100, theirs["tasa"].astype(float))
    assert set(quotes["sector"]) == {"trade", "manufacturing", "services", "government"}
    assert (quotes["accepted"] == (theirs["aceptada"] == "Sí")).all()
    assert (quotes["period"] == 202500 + theirs["fecha"].str[3:5].astype(int)).all()
    drawn = quotes["is_randomised"]
    assert np.allclose(quotes["propensity"][drawn], 1 / 0.018, rtol=1e-5)
    assert quotes["propensity"][~drawn].isna().all()


def test_a_list_price_that_is_not_exported_is_the_declared_rules(found, sierra):
    quotes = found.quotes
    columns = {"bureau_score": quotes["bureau_score"].to_numpy()}
    assert np.allclose(quotes["list_rate"], sierra.price.list_rate.rate(columns, 9, 0.11))
    assert np.allclose(
        quotes["quoted_rate"][~quotes["is_randomised"]],
        quotes["list_rate"][~quotes["is_randomised"]],
    )


def test_a_loan_has_its_quotes_applicant_and_its_own_outcome(found, raw):
    quotes, loans = found.quotes.set_index("quote_id"), found.loans
    assert (loans["defaulted"] == (raw[LOANS]["impago"] == "1")).all()
    its = quotes.loc[loans["quote_id"]].reset_index()
    for name in ("bureau_score", "sector", "quoted_rate", "term_months", "period"):
        assert (its[name] == loans[name]).all()
    assert its["accepted"].all()


@pytest.fixture
def settled(folder, raw):
    """The loans' own rates: every other was settled a tenth of a point below the quoted one."""
    loans, quoted = raw[LOANS], raw[QUOTES].set_index("folio")["tasa"].astype(float)
    own = quoted[loans["folio"]].to_numpy() - 0.1 * (np.arange(len(loans)) % 2)
    drawn = np.where(np.arange(len(loans)) % 3, "Sí", "No")
    changed = loans.assign(tasa=[f"{rate:.2f}" for rate in own], prueba=drawn)
    changed.to_csv(folder / LOANS, index=False)
    return folder


def test_a_loans_own_rate_was_drawn_only_if_it_is_the_quoted_one(sierra, settled, found):
    content = deepcopy(source()["layout"])
    content["loans"]["columns"]["quoted_rate"] = {"column": "tasa", "unit": "percent"}
    loans = tables(sierra, settled, Layout.read(content, sierra)).loans
    as_quoted = np.arange(len(loans)) % 2 == 0
    assert np.isclose(loans["quoted_rate"], found.loans["quoted_rate"]).tolist() == list(as_quoted)
    assert (loans["is_randomised"] == (found.loans["is_randomised"] & as_quoted)).all()
    assert found.loans["is_randomised"][~as_quoted].any()


def test_a_loan_that_says_whether_its_own_rate_was_drawn_is_believed(sierra, settled):
    content = deepcopy(source()["layout"])
    content["loans"]["columns"] |= {
        "quoted_rate": {"column": "tasa", "unit": "percent"},
        "is_randomised": {"column": "prueba", "values": {"Sí": True, "No": False}},
    }
    loans = tables(sierra, settled, Layout.read(content, sierra)).loans
    assert loans["is_randomised"].tolist() == (np.arange(len(loans)) % 3 > 0).tolist()


@pytest.mark.parametrize("kind", ["zip", "nested zip", "gzipped"])
def test_however_the_files_are_packed_they_say_the_same(sierra, layout, folder, found, kind):
    path = folder
    if kind == "gzipped":
        for name in (QUOTES, LOANS):
            (folder / name).write_bytes(gzip.compress((folder / name).read_bytes()))
    else:
        path = folder.with_suffix(".zip")
        with zipfile.ZipFile(path, "w") as archive:
            for name in (QUOTES, LOANS):
                archive.write(folder / name, f"a/b/{name}" if "nested" in kind else name)
    again = tables(sierra, path, layout)
    assert again.quotes.equals(found.quotes)
    assert again.loans.equals(found.loans)


def test_another_decimal_sign_separator_and_encoding_say_the_same(sierra, folder, found, raw):
    content = deepcopy(source()["layout"])
    for name, table in ((QUOTES, content["quotes"]), (LOANS, content["loans"])):
        table |= {"separator": ";", "decimal": ",", "encoding": "cp1252"}
        text = (folder / name).read_text(encoding="utf-8").replace(",", ";").replace(".", ",")
        (folder / name).write_text(text, encoding="cp1252")
    again = tables(sierra, folder, Layout.read(content, sierra))
    assert again.quotes.equals(found.quotes)
    assert again.loans.equals(found.loans)


def test_whole_numbers_stay_the_ids_and_others_are_numbered(sierra, layout, folder, found):
    assert found.quotes["quote_id"].tolist() == list(range(200))
    for name in (QUOTES, LOANS):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace("C-000", "77"), encoding="utf-8")
    numbered = tables(sierra, folder, layout)
    assert numbered.quotes["quote_id"].tolist() == list(range(77_001, 77_201))
    assert set(numbered.loans["quote_id"]) <= set(numbered.quotes["quote_id"])


def test_a_loan_still_running_is_left_out(sierra, layout, folder, found):
    spoilt(folder, LOANS, ",0\n", ",\n")
    assert len(tables(sierra, folder, layout).loans) == len(found.loans) - 1


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            QUOTES,
            ("C-000003", "C-000002"),
            r"cotizaciones.csv, line 4: .*'C-000002' again; quote_id",
        ),
        (
            LOANS,
            ("C-000002", "C-9"),
            r"creditos.csv, line 2: .*'C-9'; quote_id must be that of a row",
        ),
        (LOANS, ("C-000002", "C-000001"), "line 2: .* must be that of an accepted quote"),
        (LOANS, ("C-000004", "C-000002"), "line 3: .* must be different in each row"),
        (QUOTES, (",602,", ",1602,"), "line 2: column buro .*'1602'; .* from 300 to 850 points"),
        (QUOTES, (",3.00,", ",NaN,"), "line 2: column tasa holds 'NaN'; quoted_rate must be"),
    ],
)
def test_what_contradicts_the_contract_is_named(sierra, layout, folder, name, change, message):
    spoilt(folder, name, *change)
    with pytest.raises(InvalidDataError, match=message):
        tables(sierra, folder, layout)


def test_rates_in_another_unit_are_refused_even_if_they_are_fractions(sierra, export):
    content = deepcopy(source()["layout"])
    content["quotes"]["columns"]["quoted_rate"]["unit"] = "basis_points"
    with pytest.raises(
        InvalidDataError, match=r"are 0\.01 times the list price .* check the `unit`"
    ):
        tables(sierra, export, Layout.read(content, sierra))


def test_one_value_may_stand_for_all_rows(sierra, export, found):
    content = deepcopy(source()["layout"])
    content["quotes"]["columns"]["cost_of_funds"] = {"value": 0.12}
    again = tables(sierra, export, Layout.read(content, sierra))
    assert set(again.quotes["cost_of_funds"]) == set(again.loans["cost_of_funds"]) == {0.12}
    assert set(found.quotes["cost_of_funds"]) == {0.11}


def test_a_book_without_quotes_is_one_file_of_loans(export, tmp_path, raw):
    alone = Portfolio.from_mapping(declaration() | {"capabilities": ["risk"]})
    content = deepcopy(source()["layout"])
    columns = content.pop("quotes")["columns"]
    for name in ("accepted", "propensity"):
        del columns[name]
    content["loans"]["columns"] = columns | {"defaulted": "impago"}
    path = tmp_path / "loans.csv"
    raw[QUOTES].merge(raw[LOANS], on="folio").to_csv(path, index=False)
    quotes, loans = tables(alone, path, Layout.read(content, alone))
    assert quotes.empty
    assert len(loans) == len(raw[LOANS])
    path.write_text(path.read_text().replace("C-000004", "C-000002"))
    with pytest.raises(InvalidDataError, match=r"loans\.csv, line 3: .* 'C-000002' again"):
        tables(alone, path, Layout.read(content, alone))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "notes.txt").touch(), "and nothing else, .*holds .*notes.txt"),
        (lambda f: (f / LOANS).unlink(), "must hold cotizaciones.csv and creditos.csv"),
        (lambda f: (f / LOANS).write_bytes(b"\x1f\x8b\x08broken"), "truncated or broken"),
        (lambda f: (f / LOANS).write_bytes("ñ".encode("cp1252")), "is not written in utf-8; say"),
        (shutil.rmtree, "no such file or folder"),
    ],
)
def test_what_is_not_the_two_files_is_refused(sierra, layout, folder, spoil, message):
    spoil(folder)
    with pytest.raises(InvalidDataError, match=message):
        tables(sierra, folder, layout)


def test_one_file_of_two_and_a_zip_of_one_are_refused(sierra, layout, folder, tmp_path):
    with pytest.raises(InvalidDataError, match="give the folder or the zip with"):
        tables(sierra, folder / QUOTES, layout)
    path = tmp_path / "half.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(folder / QUOTES, QUOTES)
    with pytest.raises(InvalidDataError, match=r"the zip must hold one creditos\.csv, holds 0"):
        tables(sierra, path, layout)
