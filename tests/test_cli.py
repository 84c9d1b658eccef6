"""`finnt` in a published copy of the project: what it says, and how it refuses."""

import json
import sqlite3
import sys
from contextlib import closing
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
        (("offer", "BROKEN"), "must be JSON"),
        (("offer", "EXAMPLE", "--portfolio", "unknown"), "declared: kz2008, lending_club, simul"),
        (("offer", "EXAMPLE", "--portfolio", "kz2008"), "make pipeline PORTFOLIO=kz2008"),
        (("serve", "--portfolio", "kz2008"), "make pipeline PORTFOLIO=kz2008"),
        (("pipeline", "--portfolio", "unknown"), "declared: kz2008, lending_club, simulated"),
        (("offer", "EXAMPLE", "--portfolio", "lending_club"), "teaches risk alone"),
        (("serve", "--portfolio", "lending_club"), "cannot price offers"),
        (("pipeline", "--portfolio", "kz2008"), "SOURCE=<file>"),
        (("data", "add", "kz2008", "nowhere.zip"), "no such file"),
        (("campaign", "frontier", "--book", "b.csv", "--plot", "f.gif"), "end in .png or .svg"),
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


@pytest.mark.parametrize(
    ("name", "least"),
    [("FINNT_FRONT_WORKERS", 0), ("FINNT_RUNNER_BATCH_ROWS", 2), ("FINNT_RECORD_QUEUE", 1)],
)
def test_an_impossible_setting_is_one_clear_line(finnt, name, least):
    done = finnt("serve", **{name: str(least - 1)})
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert name in line
    assert f"greater than or equal to {least}" in line


@pytest.fixture(scope="module")
def decided(finnt, project, tmp_path_factory):
    """The id of a decision that was made, and recorded, in a terminal."""
    declared = yaml.safe_load((project.root / "portfolios" / "simulated.yaml").read_text())
    path = tmp_path_factory.mktemp("decided") / "example.json"
    path.write_text(json.dumps(declared["example"]))
    done = finnt("offer", str(path), "--explain")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["decision_id"]


def test_an_offer_in_a_terminal_is_recorded_as_such(finnt, decided):
    shown = json.loads(finnt("decisions", "show", decided).stdout)
    assert (shown["decision_id"], shown["channel"]) == (decided, "cli")
    assert shown["answer"]["explanation"]


def test_a_decision_comes_out_again(finnt, decided):
    done = finnt("decisions", "replay", decided)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("agrees: ")
    assert "heads" in done.stdout


def test_the_record_is_whole_until_somebody_changes_it(finnt, decided, project, tmp_path):
    url = "sqlite:///build/simulated/copied.db"
    heads = tmp_path / "heads.json"
    assert finnt("decisions", "verify", "--heads", str(heads)).returncode == 0
    assert finnt("decisions", "verify", "--anchors", str(heads)).returncode == 0
    folder = project.root / "build" / "simulated"
    with (
        closing(sqlite3.connect(folder / "decisions.db")) as source,
        closing(sqlite3.connect(folder / "copied.db")) as copy,
    ):
        source.backup(copy)
        for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            copy.execute(f"DROP TRIGGER {name}")
        changed = "UPDATE records SET content = replace(content, '\"cli\"', '\"http\"')"
        copy.execute(changed)
        copy.commit()
    done = finnt("decisions", "verify", FINNT_RECORD_URL=url)
    assert done.returncode == 1
    assert "tampered" in done.stderr


def test_the_record_leaves_as_lines_and_as_quotes(finnt, decided, tmp_path):
    lines, quotes = tmp_path / "all.jsonl", tmp_path / "quotes.csv"
    assert finnt("decisions", "export", "--as", "jsonl", str(lines)).returncode == 0
    assert decided in lines.read_text(encoding="utf-8")
    assert finnt("decisions", "export", str(quotes)).returncode == 0
    assert "is_randomised" in quotes.read_text(encoding="utf-8").splitlines()[0]


def test_what_is_not_due_is_not_pruned(finnt, decided):
    done = finnt("decisions", "prune")
    assert done.returncode == 0
    assert done.stdout.startswith("0 records from before ")
    assert finnt("decisions", "show", decided).returncode == 0


def test_the_schema_is_brought_up_to_date_as_often_as_one_likes(finnt):
    for _ in range(2):
        assert "schema is" in finnt("decisions", "migrate").stdout


def test_a_key_is_made_listed_and_revoked(finnt, tmp_path):
    where = {"FINNT_AUTH_KEYS_FILE": str(tmp_path / "keys.json")}
    made = finnt("keys", "add", "bank", "--scope", "offer, read", **where)
    key = made.stdout.strip()
    assert key.startswith("finnt_")
    listed = finnt("keys", "list", **where).stdout
    assert "offer, read" in listed
    assert key not in listed + (tmp_path / "keys.json").read_text(encoding="utf-8")
    assert "is revoked" in finnt("keys", "revoke", "bank", **where).stdout
    again = finnt("keys", "revoke", "bank", **where)
    assert (again.returncode, again.stdout) == (1, "")


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (("decisions", "show", "nobodys"), "no decision is recorded"),
        (("decisions", "replay", "nobodys"), "no decision is recorded"),
        (("decisions", "verify", "--anchors", "nowhere.json"), "nowhere.json: No such file"),
        (("decisions", "export", "quotes.txt"), "must end in .parquet or .csv"),
        (("decisions", "verify", "--portfolio", "unknown"), "declared: kz2008"),
        (("keys", "add", "bank", "--scope", "everything"), "scope: must be of"),
    ],
)
def test_what_the_record_and_the_keys_refuse_is_one_clear_line(finnt, words, fact):
    done = finnt(*words)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert fact in line
