"""`finnt` in a published copy of the project: what it says, and how it refuses."""

import json
import sys
from pathlib import Path

import pytest
import yaml

pytest_plugins = ["tests.e2e.project"]


@pytest.fixture(scope="module")
def finnt(project):
    """Return a function that runs `finnt` in the copy."""

    def run(*words, cwd=None, **environment):
        wide = {**project.environment, "COLUMNS": "160", **environment}
        return project.run("-m", "cli", *words, cwd=cwd, environment=wide)

    return run


@pytest.fixture
def example(project, tmp_path):
    """A file with the request that the book's declaration shows."""
    declared = yaml.safe_load((project.root / "portfolios" / "simulated.yaml").read_text())
    path = tmp_path / "example.json"
    path.write_text(json.dumps(declared["example"]))
    return path


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "broken.json"
    path.write_text("{")
    return path


def test_help_names_every_command(project):
    script = Path(sys.executable).with_name("finnt")
    done = project.run(str(script), "--help")
    assert done.returncode == 0
    for command in ("data", "pipeline", "serve", "offer", "status"):
        assert command in done.stdout


def test_an_offer_is_the_same_json_that_the_service_answers(finnt, example, project):
    done = finnt("offer", str(example))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    served = json.loads((project.root / "build" / "simulated" / "served.json").read_text())
    assert answer["outcome"] == "offers"
    assert {answer["versions"][name] for name in ("risk", "acceptance")} == {
        entry["tag"] for entry in served["models"].values()
    }


def rows(table):
    """Return the cells of each row of a printed table, by the first."""
    lines = [line.split("│")[1:-1] for line in table.splitlines() if line.startswith("│")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}


@pytest.fixture(scope="module")
def status(finnt):
    done = finnt("status")
    assert done.returncode == 0, done.stderr
    return rows(done.stdout)


def test_status_shows_each_declared_book_as_it_stands(status, project):
    pair = json.loads((project.root / "build" / "simulated" / "served.json").read_text())["pair"]
    assert status == {
        "kz2008": ["not added", "none", "none", "none", "none"],
        "lending_club": ["not added", "risk only", "none", "none", "none"],
        "simulated": ["here", pair, "version 1", "version 1", "whole"],
    }


def test_status_says_what_to_run_when_the_store_lacks_the_pair(finnt, tmp_path):
    done = finnt("status", BENTOML_HOME=str(tmp_path))
    assert "make pipeline" in rows(done.stdout)["simulated"][-1]


def test_status_is_the_same_from_any_folder(finnt, status, tmp_path):
    assert rows(finnt("status", cwd=tmp_path).stdout) == status
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (("offer", "nowhere.json"), "nowhere.json: No such file"),
        (("offer", "."), ".: Is a directory"),
        (("offer", "."), "Is a directory"),
        (("offer", "BROKEN"), "must be JSON"),
        (("offer", "EXAMPLE", "--portfolio", "unknown"), "declared: kz2008, lending_club, simul"),
        (("offer", "EXAMPLE", "--portfolio", "kz2008"), "make pipeline PORTFOLIO=kz2008"),
        (("serve", "--portfolio", "kz2008"), "make pipeline PORTFOLIO=kz2008"),
        (("pipeline", "--portfolio", "unknown"), "declared: kz2008, lending_club, simulated"),
        (("offer", "EXAMPLE", "--portfolio", "lending_club"), "teaches risk alone"),
        (("serve", "--portfolio", "lending_club"), "cannot price offers"),
        (("pipeline", "--portfolio", "kz2008"), "SOURCE=<file>"),
        (("data", "add", "kz2008", "nowhere.zip"), "no such file"),
    ],
)
def test_a_refusal_is_one_clear_line_on_stderr(finnt, example, broken, words, fact):
    files = {"EXAMPLE": str(example), "BROKEN": str(broken)}
    done = finnt(*(files.get(word, word) for word in words))
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert fact in line


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (("serve", "--port", "0"), "--port"),
        (("nonsense",), "nonsense"),
    ],
)
def test_wrong_usage_is_exit_2_without_a_traceback(finnt, words, fact):
    done = finnt(*words)
    assert done.returncode == 2
    assert fact in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["FINNT_FRONT_WORKERS", "FINNT_RUNNER_BATCH_ROWS"])
def test_an_impossible_setting_is_one_clear_line(finnt, name):
    done = finnt("serve", **{name: "0"})
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert name in line
    assert "greater than or equal to 1" in line
