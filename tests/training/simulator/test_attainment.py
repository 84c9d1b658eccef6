import logging
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from training.simulator import attainment
from training.simulator.attainment import FOLDER, finished, full_plan, main, quick_plan
from training.simulator.contest import Contest
from training.stages import read_json, write_json

ROOT = Path(__file__).parents[3]
TINY = Contest(world="W1", seed=1, quotes=4_000, applicants=60)
OTHER = replace(TINY, world="W4")


def copy_settings(folder):
    shutil.copytree(ROOT / "portfolios", folder / "portfolios")
    shutil.copy(ROOT / "params.yaml", folder)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder in which two tiny contests were held, each in a process of its own."""
    root = tmp_path_factory.mktemp("worlds")
    copy_settings(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        main([TINY, OTHER])
    return root


@pytest.fixture
def project(done, tmp_path, monkeypatch):
    root = tmp_path / "project"
    shutil.copytree(done, root)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def nothing_starts(monkeypatch):
    started = []

    def refuse(contest):
        started.append(contest)
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])

    monkeypatch.setattr(attainment, "_started", refuse)
    return started


def test_the_plan_is_five_seeds_of_each_world_but_one_of_w3():
    counts = {world: 0 for world in ("W1", "W2", "W3", "W4")}
    for contest in full_plan():
        counts[contest.world] += 1
        assert (contest.quotes, contest.applicants) == (200_000, 1_000)
    assert counts == {"W1": 5, "W2": 5, "W3": 1, "W4": 5}
    assert len({contest.name for contest in full_plan()}) == 16


def test_the_quick_plan_is_part_of_the_full_one():
    """So that its parts need not be held again."""
    assert [contest.name for contest in quick_plan()] == ["W1-1", "W4-1"]
    assert set(quick_plan()) <= set(full_plan())


def test_the_reports_say_what_each_form_captures(done):
    found = read_json(done / FOLDER / "report.json")
    for world in ("W1", "W4"):
        for form in ("engine", "logit", "classifiers", "incumbent"):
            for region in ("trust", "free"):
                share = found[world][form][region]
                assert share["mean"] <= 100
                assert share["seeds"] == [share["mean"]]
        assert set(found[world]["engine"]["regret"]) == {"both", "risk", "acceptance"}
    assert "Simulated." in (done / FOLDER / "report.html").read_text()
    assert not list((done / FOLDER).rglob("*.partial"))


def test_what_is_finished_is_not_held_again(project, nothing_starts):
    parts = sorted((project / FOLDER / "parts").iterdir())
    before = [path.read_bytes() for path in parts]
    report = (project / FOLDER / "report.json").read_bytes()
    main([TINY, OTHER])
    assert nothing_starts == []
    assert [path.read_bytes() for path in parts] == before
    assert (project / FOLDER / "report.json").read_bytes() == report


def test_what_was_finished_by_other_code_is_held_again(project, nothing_starts):
    path = project / FOLDER / "parts" / "W1-1.json"
    write_json(path, read_json(path) | {"digest": "of other code"})
    assert finished(TINY) is None
    assert finished(OTHER) is not None
    with pytest.raises(SystemExit):
        main([TINY, OTHER])
    assert nothing_starts == [TINY]


def test_other_settings_hold_a_contest_again(project, nothing_starts):
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("slope_ridge: 300", "slope_ridge: 301"))
    assert finished(TINY) is None


def test_a_quick_run_reports_what_else_is_known(project, nothing_starts):
    main([TINY], known=[TINY, OTHER, replace(TINY, seed=9)])
    assert set(read_json(project / FOLDER / "report.json")) >= {"W1", "W4"}


def test_a_contest_that_fails_is_named_and_ends_the_run(project, nothing_starts):
    with pytest.raises(SystemExit, match="W2-7 failed"):
        main([replace(TINY, world="W2", seed=7)])


def test_nothing_runs_on_when_the_run_is_stopped(project, monkeypatch):
    started = []

    def sleeper(_):
        started.append(subprocess.Popen(["sleep", "60"]))
        return started[-1]

    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(attainment, "_started", sleeper)
    monkeypatch.setattr(attainment.time, "sleep", stop)
    with pytest.raises(KeyboardInterrupt):
        main([replace(TINY, seed=seed) for seed in (7, 8, 9)])
    assert [process.returncode for process in started] == [-signal.SIGKILL] * len(started)
    assert not (project / FOLDER / "parts" / "W1-7.json").exists()


def test_progress_says_what_is_done_and_what_remains(tmp_path, monkeypatch, caplog):
    copy_settings(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        attainment, "_started", lambda _: subprocess.Popen([sys.executable, "-c", ""])
    )
    monkeypatch.setattr(attainment, "report", lambda _: {})
    monkeypatch.setattr(attainment, "page", lambda _: "")
    with caplog.at_level(logging.INFO, "training.simulator.attainment"):
        main([TINY, OTHER])
    assert "0 of 2 parts are finished; 2 to go" in caplog.messages
    assert any("done: 2 of 2" in line and "about 0 min to go" in line for line in caplog.messages)


def test_ctrl_c_ends_in_one_line(tmp_path):
    copy_settings(tmp_path)
    command = [sys.executable, "-m", "training.simulator.attainment", "--quick"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        first = process.stderr.readline()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert first == "0 of 2 parts are finished; 2 to go\n"
    assert rest == "stopped; finished parts are kept: run again to go on\n"
    assert process.returncode == 130
