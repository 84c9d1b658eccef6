import io
from dataclasses import replace

import pytest
from rich.console import Console

from training.documents.lineage import section, tree, verdict_table
from training.documents.model_card import as_json


def printed(found):
    stream = io.StringIO()
    Console(width=400, file=stream).print(tree(found))
    return stream.getvalue()


@pytest.fixture
def found(about):
    return about.lineage


def test_the_tree_holds_every_digest_parameter_and_command_whole(found):
    text = printed(found)
    for model in found.models:
        told = (model.version, model.run_id, model.artefact_sha256, *model.data.values())
        for each in (*told, *model.restore, *(f"{k}: {v}" for k, v in model.params.items())):
            assert each in text


def test_commands_of_one_folder_of_data_are_printed_once(found):
    text = printed(found)
    assert text.count(found.models[0].restore[0]) == 1


def test_what_looks_like_markup_is_printed_as_it_is(found):
    odd = replace(found.models[0], recorded="[bold]kept[/bold]")
    assert "[bold]kept[/bold]" in printed(replace(found, models=(odd,)))


def test_what_is_not_known_is_said(found):
    text = printed(replace(found, pair=None))
    assert "pair: never judged as one" in text
    assert "gate: no verdict is recorded" in text
    assert "sources: none recorded" in text
    again = replace(found.models[0], logged_again=True)
    assert printed(replace(found, models=(again,))).count("of logging again, not of training") == 2
    assert "history: nothing is recorded of the pair" in text


def test_what_happened_to_the_pair_is_told_with_its_time_and_who_signed_for_it(found):
    signed = {"AIR of group b": {"by": "A. Person", "reason": "seen"}}
    line = {"alias": "production", "verdicts": []}
    history = (
        {
            **line,
            "at": "2026-11-22",
            "action": "promoted",
            "pair": found.pair,
            "signed_off": signed,
        },
        {**line, "at": "2026-11-23", "action": "rolled back", "pair": "f", "signed_off": {}},
    )
    past = replace(found, history=history)
    (table,) = (t for t in section(past).tables if t.header[0] == "when")
    assert table.rows == [
        ["2026-11-22", "promoted, production", "AIR of group b: A. Person, seen"],
        ["2026-11-23", "gave way to f (rolled back, production)", ""],
    ]
    for row in table.rows:
        assert f"{row[0]}: {row[1]}{row[2] and f'; signed off: {row[2]}'}" in printed(past)


def test_the_section_says_what_the_tree_says(found):
    text = str(as_json([section(found)]))
    for model in found.models:
        for told in (model.version, model.run_id, *model.data.values()):
            assert told in text


@pytest.mark.parametrize(
    ("verdict", "row"),
    [
        ({"criterion": "value", "passed": False}, ["value", "FAILED", "", "", ""]),
        (
            {"criterion": "slope", "passed": True, "figure": 1.0, "interval": [0.9, 1.1]},
            ["slope", "passed", "1.0000 [0.9000, 1.1000]", "", ""],
        ),
        (
            {"criterion": "slope", "passed": True, "outcome": "not testable", "why": "no prices"},
            ["slope", "not testable", "", "", "no prices"],
        ),
        (
            {"criterion": "turns", "passed": True, "figure": 0, "interval": None, "bound": "0"},
            ["turns", "passed", "0", "0", ""],
        ),
    ],
)
def test_a_verdict_is_told_as_the_gate_found_it(verdict, row):
    assert verdict_table([verdict]).rows == [row]
