import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.books.dates import PERIODS, numbered, shown


@given(st.dates(min_value=pd.Timestamp("1900-01-01").date()), st.sampled_from(PERIODS))
@settings(max_examples=50, deadline=None)
def test_a_date_has_the_same_number_however_it_is_written(date, per):
    forms = ("%d/%m/%Y", "%Y%j", "%d/%m/%Y %z")
    found = {numbered(pd.Series([f"{date:{form}}"]), form, per)[0] for form in forms[:2]}
    found.add(numbered(pd.Series([f"{date:%d/%m/%Y} +0530"]), forms[2], per)[0])
    assert len(found) == 1


def test_a_period_can_be_read_off_its_number():
    date = pd.Series(["14/03/2025"])
    found = [numbered(date, "%d/%m/%Y", per)[0] for per in PERIODS]
    assert found == [20250314, 202503, 20251, 2025]


def test_what_is_not_written_so_has_no_number_in_one_zone_or_in_several():
    cells = pd.Series(["31/03/2025 +0100", "soon", "", "01/04/2025 +0200"], index=[2, 3, 5, 8])
    found = numbered(cells, "%d/%m/%Y %z", "month")
    assert found.dropna().to_dict() == {2: 202503, 8: 202504}
    assert list(found.index) == list(cells.index)
    assert numbered(cells[:3], "%d/%m/%Y %z", "month").dropna().to_dict() == {2: 202503}


@pytest.mark.parametrize("per", PERIODS)
@pytest.mark.parametrize("written", ["%d.%m.%y", "%Y-%m-%d %H:%M", "%d/%m/%Y %z", "%G-W%V-%u"])
def test_the_date_that_is_shown_is_one_that_can_be_read(written, per):
    assert numbered(pd.Series([shown(written, per)]), written, per).notna().all()


@pytest.mark.parametrize(
    ("written", "per"),
    [
        ("%Q", "year"),
        ("%", "year"),
        ("%-d/%m/%Y", "month"),
        ("DD/MM/YYYY", "year"),
        ("mixed", "month"),
        ("%d/%m", "month"),
        ("%Y", "quarter"),
        ("%Y%m", "day"),
    ],
)
def test_a_form_that_cannot_be_read_or_does_not_say_the_period_is_refused(written, per):
    with pytest.raises(ValueError, match=r"directive|stray|does not say which"):
        shown(written, per)
