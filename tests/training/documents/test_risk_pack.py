import json
import re
from html.parser import HTMLParser

import pytest

from training.documents.headings import AI_ACT, US_GUIDANCE
from training.documents.risk_pack import main, pack
from training.stages import Paths

PATHS = Paths("simulated")
PARTS = [
    "About this pack",
    "Model card: risk",
    "Model card: acceptance",
    "Gate verdicts and promotion history",
    "Lineage",
    "Policy in words",
    "Fair lending",
    "Monitoring plan",
    "Map to supervisory headings",
    "Evaluation report",
]


class Outline(HTMLParser):
    """Headings, addresses, links, images and what is loaded from elsewhere."""

    def __init__(self, html):
        super().__init__()
        self.levels, self.ids, self.links, self.images, self.bare_headers = [], [], [], [], 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if tag == "a":
            self.links.append(found["href"])
        if tag == "img":
            self.images.append(found)
        self.bare_headers += tag == "th" and found.get("scope") != "col"
        self.ids += [found["id"]] if "id" in found else []


@pytest.fixture
def html(registered):
    return pack("simulated")


def part(html, title):
    """What stands below one part's heading, as text."""
    below = html.split(f">{title}</h2>")[1].split("<h2")[0]
    return re.sub(r"<[^>]+>", " ", below)


def test_the_pack_has_every_part_once_and_in_order(html):
    assert re.findall(r"<h2 id=[^>]+>(.*?)</h2>", html) == PARTS


def test_every_link_leads_to_a_part_of_the_pack_and_nothing_is_loaded_from_elsewhere(html):
    outline = Outline(html)
    assert len(set(outline.ids)) == len(outline.ids)
    assert {link.removeprefix("#") for link in outline.links} == set(outline.ids)
    assert all(image["src"].startswith("data:image/png;base64,") for image in outline.images)
    assert "<script" not in html
    assert "<link" not in html


def test_headings_never_skip_a_level_pictures_have_texts_and_headers_a_scope(html):
    outline = Outline(html)
    assert outline.levels.count(1) == 1
    pairs = zip(outline.levels, outline.levels[1:], strict=False)
    assert all(below <= above + 1 for above, below in pairs)
    assert all(image["alt"] for image in outline.images)
    assert outline.bare_headers == 0


def test_the_pack_holds_the_evaluations_report_whole(html):
    report = (PATHS.build / "report.html").read_text()
    texts = re.findall(r"<t[dh]>([^<]+)<", report)
    below = part(html, "Evaluation report")
    assert all(text in below for text in texts)


def test_every_heading_of_both_texts_is_mapped(html):
    text = part(html, "Map to supervisory headings")
    assert all(heading.title in text for heading in (*US_GUIDANCE, *AI_ACT))
    assert "not a claim of compliance" in text


def test_a_pair_that_no_gate_has_judged_is_said_to_be_so(html):
    text = part(html, "Gate verdicts and promotion history")
    assert "No gate has judged this pair" in text
    assert "No promotion, refusal or rollback is recorded" in text


def test_verdicts_sign_offs_and_the_history_are_told_and_escaped(registered):
    verdict = {"criterion": "AIR <b>", "passed": False, "figure": 0.7, "interval": [0.6, 0.75]}
    signed = {"AIR": {"by": "A. Person", "reason": "<script>seen</script>"}}
    line = {"at": "2026-11-22", "action": "promoted", "alias": "production", "pair": registered}
    line |= {"former_pair": None, "verdicts": [verdict], "signed_off": signed}
    (PATHS.build / "history.jsonl").write_text(json.dumps(line) + "\n")
    html = pack("simulated")
    text = part(html, "Gate verdicts and promotion history")
    assert "0.7000 [0.6000, 0.7500]" in text
    assert "FAILED" in text
    assert "A. Person" in text
    assert "<script>" not in html
    assert "AIR &lt;b&gt;" in html


@pytest.mark.usefixtures("empty_server")
def test_what_is_missing_is_said_and_every_part_still_stands():
    for name in ("evaluation.json", "report.html"):
        (PATHS.build / name).unlink()
    html = pack("simulated")
    assert re.findall(r"<h2 id=[^>]+>(.*?)</h2>", html) == PARTS
    assert "was never registered" in html
    assert "The report of this pair is not on this machine." in html
    assert "this registry has no version of the pair" in html


def test_the_pack_is_written_beside_the_models(registered):
    main("simulated")
    assert (PATHS.build / "model-risk-pack.html").read_text() == pack("simulated")
