import json
from types import SimpleNamespace

import pytest
from typer import Typer
from typer.testing import CliRunner

from loadtests import compare, report
from loadtests.bars import Measured
from loadtests.contenders import CONTENDERS


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Return what runs the command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    command = Typer()
    command.command()(compare.main)
    return lambda *words: CliRunner().invoke(command, words, env={"COLUMNS": "200"})


def test_a_name_that_no_contender_has_is_refused_before_anything_is_done(asked, tmp_path):
    done = asked("--only", "seperate")
    assert done.exit_code == 2
    assert "'seperate' is no contender; there are separate, embedded" in done.output
    assert list(tmp_path.iterdir()) == []


class Measures:
    """Stands for a comparison: it measures nobody, and reads every contender as equally fast."""

    def __init__(self):
        self.found, self.asked = [], []

    def prepared(self, folder, applicants, seconds):
        return self

    def measure(self, contender, place):
        self.asked.append((contender.name, place))
        figures = {"p50_ms": 5.0, "p99_ms": 9.0, "cpu_s_per_1000": 2.0, "rss_mb": 900.0}
        key = {"contender": contender.name, "tool": "wrk", "connections": 16, "round": place}
        self.found.append(Measured(**key, rate=100.0, **figures))


@pytest.fixture
def bench(monkeypatch):
    found = Measures()
    monkeypatch.setattr(compare, "Bench", found)
    monkeypatch.setattr(compare, "refuse_missing_tools", lambda: None)
    pair = SimpleNamespace(market=lambda: (None, {}))
    monkeypatch.setattr(compare, "ServedPair", lambda book: pair)
    monkeypatch.setattr(report, "page", lambda readings, about: "")
    return found


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        ((), "loadtests"),
        (("--only", "limit"), "build/speed"),
        (("--only", "limit", "--folder", "mine"), "mine"),
    ],
)
def test_the_whole_comparisons_report_is_not_replaced_by_a_partial_one(
    asked, bench, tmp_path, words, folder
):
    done = asked("--rounds", "2", *words)
    assert done.exit_code == 0, done.output
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("report.json")}
    assert written == {f"{folder}/report.json"}
    content = json.loads((tmp_path / folder / "report.json").read_text())
    names = ["limit"] if words else [each.name for each in CONTENDERS]
    assert bench.asked == [(name, 0) for name in names] + [
        (name, 1) for name in [*names[1:], *names[:1]]
    ]
    assert (content["rounds"], len(content["readings"])) == (2, len(bench.asked))


def test_a_missing_generator_leaves_no_folder(asked, tmp_path, monkeypatch):
    def missing():
        raise compare.CannotDriveError("wrk is missing")

    monkeypatch.setattr(compare, "refuse_missing_tools", missing)
    done = asked()
    assert (done.exit_code, done.output.strip()) == (1, "wrk is missing")
    assert list(tmp_path.iterdir()) == []


def test_each_contender_is_first_once_in_as_many_rounds():
    orders = [compare.in_turn(CONTENDERS, place) for place in range(len(CONTENDERS))]
    assert [order[0] for order in orders] == list(CONTENDERS)
    assert all(set(order) == set(CONTENDERS) for order in orders)
