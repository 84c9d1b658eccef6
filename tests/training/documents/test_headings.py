import re
from pathlib import Path

import pytest
from markupsafe import Markup

from training.documents import headings
from training.documents.headings import AI_ACT, US_GUIDANCE, mapped

ROOT = Path(__file__).parents[3]
ALL = (*US_GUIDANCE, *AI_ACT)


@pytest.mark.parametrize("heading", ALL, ids=lambda heading: heading.title)
def test_a_heading_that_no_part_speaks_to_says_what_is_missing(heading):
    assert heading.parts or heading.missing


def test_the_annex_has_its_nine_points_in_order():
    assert [heading.number for heading in AI_ACT] == [str(n) for n in range(1, 10)]


def test_the_guidance_has_its_seven_sections_in_order():
    numbers = [h.number for h in US_GUIDANCE if not h.number.endswith(",")]
    assert numbers == ["I", "II", "III", "IV", "V", "VI", "VII"]


@pytest.mark.parametrize("heading", US_GUIDANCE, ids=lambda heading: heading.title)
def test_the_record_of_decisions_says_where_each_heading_was_checked(heading):
    path = ROOT / "docs" / "decisions" / "0009-model-risk-headings.md"
    text = re.sub(r"\s+", " ", path.read_text()).lower()
    named = heading.title.lower() in text
    ranged = heading.number == "III" and "iii to vii with their numbers" in text
    assert named or ranged


def test_every_heading_stands_in_the_map_with_its_links_and_how_it_was_checked():
    links = {headings.CARDS: [Markup("<a>risk</a>"), Markup("<a>acceptance</a>")]}
    section = mapped(links)
    rows = [row for table in section.tables for row in table.rows]
    assert len(rows) == len(ALL)
    for heading, row in zip(ALL, rows, strict=True):
        assert heading.title in row[0]
        assert (row[1] != "none") is (headings.CARDS in heading.parts)
        assert row[3] == heading.checked
