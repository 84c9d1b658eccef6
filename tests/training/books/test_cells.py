import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finntelligence.errors import InvalidDataError
from training.books import cells
from training.books.cells import read_cells
from training.books.layout import UNITS, Column, TableLayout
from training.tables import quotes_schema

PLAIN = {"value": None, "factor": 1.0, "values": {}, "absent": frozenset(), "date": "", "per": ""}


def column(name, **changes):
    return Column(name=name, **{"column": name, **PLAIN, **changes})


@pytest.fixture(scope="module")
def read(simulated):
    """Return a function that reads one laid-out column of a CSV."""
    schema = quotes_schema(simulated)

    def values(laid_out, text, **changes):
        table = TableLayout(
            table="quotes",
            file="quotes.csv",
            **{"separator": ";", "decimal": ".", "encoding": "utf-8", **changes},
            columns=(laid_out,),
        )
        frame = read_cells(io.StringIO(text), "quotes.csv", table, schema)
        return frame[laid_out.name]

    return values


def told(read, laid_out, text, **changes):
    """Return what is said of a file that cannot be read."""
    with pytest.raises(InvalidDataError) as refused:
        read(laid_out, text, **changes)
    return str(refused.value)


@given(st.floats(0, 1), st.sampled_from([".", ","]), st.sampled_from(["fraction", "percent"]))
@settings(max_examples=30, deadline=None)
def test_a_number_is_read_as_it_was_written_in_its_unit(read, value, sign, unit):
    written = f"{value / UNITS[unit]:.12f}".replace(".", sign)
    laid_out = column("quoted_rate", factor=UNITS[unit])
    (found,) = read(laid_out, f"quoted_rate\n{written}\n", decimal=sign)
    assert found == pytest.approx(value, abs=1e-9)


@given(st.text(st.characters(codec="utf-8"), max_size=12))
@settings(max_examples=100, deadline=None)
def test_any_cell_is_a_number_that_the_contract_permits_or_is_named(read, text):
    cell = '"' + text.replace('"', '""') + '"'
    try:
        found, said = read(column("fico"), f"fico\n700\n{cell}\n").iloc[1], ""
    except InvalidDataError as error:
        found, said = 300, str(error)
    assert 300 <= found <= 850
    assert not said or "column fico holds" in said
    assert not said or "must be a number from 300 to 850" in said


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_per_cent_are_the_very_fraction_without_dust(read, points):
    cell = f"{points // 100}.{points % 100:02d}"
    laid_out = column("quoted_rate", factor=0.01)
    assert read(laid_out, f"quoted_rate\n{cell}\n").tolist() == [float(f"{points / 1e4:.4f}")]


@pytest.mark.parametrize("cell", ["1.234", "1.234,5"])
def test_a_point_is_no_thousands_sign_where_the_decimal_sign_is_a_comma(read, cell):
    message = told(read, column("principal"), f"principal\n{cell}\n", decimal=",")
    assert f"holds '{cell}'; principal must be an amount above 0" in message
    assert message.endswith("written like 1234,5")


@pytest.mark.parametrize(
    ("per", "period"), [("day", 20250314), ("month", 202503), ("quarter", 20251), ("year", 2025)]
)
def test_a_date_is_in_its_period(read, per, period):
    laid_out = column("period", date="%d.%m.%Y", per=per)
    assert read(laid_out, "period\n14.03.2025\n").tolist() == [period]


@given(st.lists(st.dates(), min_size=2, max_size=2), st.sampled_from(["day", "month", "quarter"]))
@settings(max_examples=30, deadline=None)
def test_a_later_date_is_never_in_an_earlier_period(read, dates, per):
    text = "".join(f"{day.isoformat()}\n" for day in sorted(dates) if day.year >= 1900)
    if text.count("\n") == 2:
        first, second = read(column("period", date="%Y-%m-%d", per=per), f"period\n{text}")
        assert first <= second


def test_dates_of_several_time_zones_are_in_the_period_that_they_say(read):
    laid_out = column("period", date="%d.%m.%Y %H:%M %z", per="day")
    text = "period\n31.12.2024 23:30 -0500\n01.01.2025 00:30 +0100\n"
    assert read(laid_out, text).tolist() == [20241231, 20250101]


@pytest.mark.parametrize("cell", ["2025-03-14", "31.02.2025", "", "14.03.2025 10:00"])
def test_another_date_is_refused_with_one_that_is_right(read, cell):
    laid_out = column("period", date="%d.%m.%Y", per="month")
    message = told(read, laid_out, f"period;x\n{cell};1\n")
    assert message.startswith("quotes.csv, line 2: column period holds ")
    assert message.endswith("period must be a date written like 14.03.2025")


@pytest.mark.parametrize("words", [{}, {"ja": True, "nein": False}])
def test_a_flag_is_one_of_its_words(read, words):
    laid_out = column("is_randomised", values=words)
    said = words or {"YES": True, "0": False, "true": True}
    text = "".join(f"{word}\n" for word in said)
    assert read(laid_out, f"is_randomised\n{text}").tolist() == list(said.values())
    assert "must be true or false: one of " in told(read, laid_out, "is_randomised\nmaybe\n")


def test_words_may_change_places(read):
    laid_out = column("home", values={"own": "rent", "rent": "own", "casa": "mortgage"})
    found = read(laid_out, "home\nown\nrent\ncasa\nmortgage\n")
    assert found.tolist() == ["rent", "own", "mortgage", "mortgage"]


def test_what_says_nothing_is_absent_where_it_may_be_and_else_refused(read):
    group = read(column("group", absent=frozenset({"?"})), "group;x\na;1\n?;1\n;1\n")
    assert group.isna().tolist() == [False, True, True]
    assert "line 3: column home holds nothing" in told(read, column("home"), "home;x\nown;1\n;1\n")


def test_a_row_whose_outcome_is_not_known_is_left_out_unread(read):
    assert read(column("accepted"), "accepted;x\nyes;1\n;2\nno;3\n").tolist() == [True, False]
    assert "holds no row whose outcome is known" in told(
        read, column("accepted"), "accepted;x\n;2\n"
    )


def test_lines_are_the_files_own_whatever_a_text_holds(read):
    text = 'home;note\nown;"two\nlines"\n\nown;\ncave;\n'
    assert "quotes.csv, line 6: column home holds 'cave'" in told(read, column("home"), text)


def test_a_file_is_read_alike_in_blocks_of_any_size(read, monkeypatch):
    text = "fico\n" + "".join(f"{score}\n" for score in range(300, 320))
    whole = read(column("fico"), text)
    monkeypatch.setattr(cells, "BLOCK_ROWS", 7)
    assert read(column("fico"), text).equals(whole)
    assert "line 22: column fico holds '9'" in told(read, column("fico"), f"{text}9\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("home\nown;rent\n", "line 2: has 2 values, the header has 1; a text that holds ';' must"),
        ("home;x\nown\n", "line 2: has 1 values, the header has 2"),
        ("Home\nown\n", "column home, laid out as home, is not in the header; .* has: Home"),
        ("home;home\nown;own\n", "column home, laid out as home, is twice in the header"),
        ("", "is not in the header"),
        ('home\n"own\n', "is no table of values between ';': unexpected end of data"),
    ],
)
def test_what_is_no_table_is_refused(read, text, message):
    with pytest.raises(InvalidDataError, match=message):
        read(column("home"), text)


def test_a_column_may_serve_twice(simulated):
    both = (column("principal", column="sum"), column("requested_principal", column="sum"))
    table = TableLayout(
        table="quotes", file="", separator=",", decimal=".", encoding="utf-8", columns=both
    )
    frame = read_cells(io.StringIO("sum\n500\n"), "q.csv", table, quotes_schema(simulated))
    assert frame.to_numpy().tolist() == [[500, 500]]
