import pytest
from typer import Typer
from typer.testing import CliRunner

from loadtests import compare
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


@pytest.mark.parametrize(
    ("words", "folder"), [((), "loadtests"), (("--only", "limit"), "build/speed")]
)
def test_the_whole_comparisons_report_is_not_replaced_by_a_partial_one(
    asked, tmp_path, monkeypatch, words, folder
):
    def missing():
        raise compare.CannotDriveError("wrk is missing")

    monkeypatch.setattr(compare, "refuse_missing_tools", missing)
    done = asked(*words)
    assert (done.exit_code, done.output.strip()) == (1, "wrk is missing")
    assert (tmp_path / folder).is_dir()
    assert len(list(tmp_path.iterdir())) == 1


def test_each_contender_is_first_once_in_as_many_rounds():
    orders = [compare.in_turn(CONTENDERS, place) for place in range(len(CONTENDERS))]
    assert [order[0] for order in orders] == list(CONTENDERS)
    assert all(set(order) == set(CONTENDERS) for order in orders)
