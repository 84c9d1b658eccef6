import base64

from training.evidence.page import Picture, Section, Table, cell, interval, page


def test_every_text_is_escaped_wherever_it_stands():
    evil = "<script>alert('&')</script>"
    made = page(
        evil,
        [evil],
        [
            Section(
                evil,
                texts=[evil],
                tables=[Table([evil], [[evil]])],
                pictures=[Picture(evil, "")],
            )
        ],
    )
    assert "<script>" not in made
    assert made.count("&lt;script&gt;alert") == 9  # titles, notice, heading, text, cells, picture


def test_a_page_needs_no_other_file(tmp_path):
    path = tmp_path / "plot.png"
    path.write_bytes(b"\x89PNG not really")
    made = page("Title", [], [Section("One", pictures=[Picture.of(path, "what it shows")])])
    encoded = base64.b64encode(path.read_bytes()).decode()
    assert f'src="data:image/png;base64,{encoded}"' in made
    for other in ("http:", "https:", "<link", "<script", "url("):
        assert other not in made


def test_sections_stand_in_their_order_at_their_level():
    made = page("Title", ["Careful"], [Section("First"), Section("Second", level=3)])
    places = [made.index(text) for text in ("Careful", "<h2>First</h2>", "<h3>Second</h3>")]
    assert places == sorted(places)


def test_a_figure_stands_with_its_interval_if_it_has_one():
    assert interval({"value": 0.5, "low": 0.25, "high": 1.0}) == "0.5000 [0.2500, 1.0000]"
    assert interval({"value": 0.5, "low": None, "high": None}) == "0.5000"
    assert interval({"value": None, "low": None, "high": None}) == interval(None) == ""


def test_counts_have_their_thousands_apart_and_flags_are_words():
    assert [cell(value) for value in (12_345, 0.5, True, "x")] == ["12,345", "0.5000", "True", "x"]
