import json
import subprocess

import pytest

from loadtests.bars import BARS, Measured, medians
from loadtests.contenders import CONTENDERS
from loadtests.report import code_of, machine, plot, write

FIGURES = {"p50_ms": 5.0, "p99_ms": 20.0, "cpu_s_per_1000": 2.0, "rss_mb": 900.0}


@pytest.fixture
def written(tmp_path):
    """A report of a round in which all are equally fast, but (f) was not measured."""
    rounds = [
        Measured(contender=each.name, tool="wrk", connections=n, round=0, rate=1000.0, **FIGURES)
        for each in CONTENDERS
        if each.name != "depends"
        for n in (1, 16, 64)
    ]
    trees = {"risk": 193, "acceptance": 40}
    about = {"machine": machine(), "rounds": 1, "seconds": 2, "applicants": 100, "trees": trees}
    about["minutes"] = 3.2
    values = write(rounds, about, tmp_path)
    return tmp_path, values


def test_the_figures_are_under_the_keys_of_the_bars(written):
    folder, values = written
    content = json.loads((folder / "report.json").read_text())
    assert content["ratios"] == {key: ratio.value for key, ratio in values.items()}
    assert (content["rounds"], content["minutes"]) == (1, 3.2)
    verdicts = {bar["key"]: bar["holds"] for bar in content["bars"]}
    assert verdicts.keys() == values.keys()
    assert not verdicts["separate_over_rival_16"]
    assert verdicts["separate_over_limit_64"]
    assert verdicts["separate_p50_1_over_rival"]
    assert len(content["readings"]) == len(content["medians"]) == 15


def test_a_missed_bar_is_told_and_so_is_one_that_was_not_measured(written):
    page = (written[0] / "report.md").read_text()
    rows = {line.split(" | ")[0].strip("| "): line for line in page.splitlines()}
    assert all(bar.key in rows for bar in BARS)
    assert "MISSED" in rows["separate_over_rival_16"]
    assert "holds" in rows["separate_over_limit_64"]
    assert "not measured" in rows["separate_over_depends_16"]


def test_the_page_has_every_contender_beside_the_rival_and_the_limit(tmp_path):
    """(a) is twice as fast as the faster variant of the rival, for the CPU of the thriftier."""
    of_rival = {**FIGURES, "cpu_s_per_1000": 4.0}
    figures = {
        "separate": {"rate": 1000.0, **FIGURES},
        "rival_1": {"rate": 500.0, **of_rival},
        "rival_2": {"rate": 400.0, **FIGURES},
        "limit": {"rate": 8000.0, **FIGURES},
    }
    readings = [
        Measured(contender=name, tool="wrk", connections=16, round=0, **each)
        for name, each in figures.items()
    ]
    trees = {"risk": 0, "acceptance": 0}
    about = {"machine": machine(), "rounds": 1, "seconds": 2, "minutes": 1.0, "trees": trees}
    write(readings, about, tmp_path)
    lines = (tmp_path / "report.md").read_text().splitlines()
    assert "| (a) separate | 16 | 2.00 | 1.00 | 1.00 | 1.00 | 0.12 |" in lines
    assert "| (d) rival 1 | 16 | 1.00 | 1.00 | 2.00 | 1.00 | 0.06 |" in lines


def test_the_page_says_what_python_it_was_measured_with(written):
    content = json.loads((written[0] / "report.json").read_text())
    on = content["machine"]
    said = f"{on['compiler']}; a loop of 100,000 calls takes {on['loop_ms']} ms"
    assert said in (written[0] / "report.md").read_text()


def test_the_plot_is_a_picture(written):
    assert (written[0] / "report.png").read_bytes().startswith(b"\x89PNG")


def test_a_report_says_what_it_was_measured_on():
    found = machine()
    assert found["cores"] >= 1
    assert found["packages"]["uvloop"]
    assert 1 < found["loop_ms"] < 10_000


def test_the_plot_has_both_doors_that_one_generator_drove():
    tools = ("wrk", "h2load", "h2load gRPC")
    key = {"contender": "separate", "connections": 16, "round": 0}
    found = medians([Measured(**key, tool=tool, rate=9.0, **FIGURES) for tool in tools])
    (axes,) = plot(found).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "(a) separate",
        "(a) by h2load",
        "(c) gRPC by h2load",
    ]


def test_a_report_names_the_commit_and_whether_files_differ_from_it(tmp_path, monkeypatch):
    def git(*words):
        who = ("-c", "user.name=tests", "-c", "user.email=tests@example.org")
        done = subprocess.run(["git", *who, *words], cwd=tmp_path, capture_output=True, check=True)
        return done.stdout.decode().strip()

    assert code_of(tmp_path) == "of no commit"
    git("init", "--quiet")
    (tmp_path / "loadtests").mkdir()
    for name in ("service.py", "loadtests/report.md"):
        (tmp_path / name).write_text("")
    git("add", "--all")
    git("commit", "--quiet", "--message", "all of it")
    commit = git("rev-parse", "--short", "HEAD")
    assert code_of(tmp_path) == commit
    (tmp_path / "loadtests" / "report.md").write_text("this run's")
    assert code_of(tmp_path) == commit
    (tmp_path / "service.py").write_text("changed")
    assert code_of(tmp_path) == f"{commit}-dirty"
    monkeypatch.setenv("PATH", "")
    assert code_of(tmp_path) == "of no commit"
