import csv

import pyarrow as pa
import pytest

from batch.offers import COLUMNS, REJECTS, Part
from batch.output import Output
from finntelligence.errors import InvalidDataError

MADE_OF = {"book": "b", "pair": "p", "partition_rows": 10}


def part(rows, rejects=()):
    columns = {name: [None] * len(rows) for name in COLUMNS.names} | {"row": rows}
    return Part(pa.table(columns, schema=COLUMNS), list(rejects))


def test_what_is_finished_is_found_again(tmp_path):
    first = Output.open(tmp_path / "offers", MADE_OF)
    first.write(2, part([20, 21]))
    first.write(0, part([]))
    assert Output.open(tmp_path / "offers", MADE_OF).done() == {0: 0, 2: 2}


@pytest.mark.parametrize(("name", "words"), [("pair", "pair"), ("partition_rows", "partition")])
def test_what_another_job_has_made_is_not_added_to(tmp_path, name, words):
    Output.open(tmp_path / "offers", MADE_OF)
    with pytest.raises(InvalidDataError, match=f"was made of another {words}"):
        Output.open(tmp_path / "offers", MADE_OF | {name: "other"})


def test_a_part_that_was_not_finished_does_not_count(tmp_path, monkeypatch):
    output = Output.open(tmp_path / "offers", MADE_OF)
    monkeypatch.setattr("pyarrow.parquet.write_table", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        output.write(0, part([1]))
    assert output.done() == {}


def test_a_disk_that_is_full_is_told_and_leaves_nothing_behind(tmp_path, monkeypatch):
    output = Output.open(tmp_path / "offers", MADE_OF)

    def write(_, path):
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.write_table", write)
    with pytest.raises(InvalidDataError, match=r"part-00003.*cannot be written: No space left"):
        output.write(3, part([30]))
    assert not list(output.path.glob("*part*"))


def test_a_part_that_was_damaged_later_is_told_by_its_name(tmp_path):
    output = Output.open(tmp_path / "offers", MADE_OF)
    output.write(0, part([1]))
    (output.path / "part-00000.parquet").write_bytes(b"")
    with pytest.raises(InvalidDataError, match=r"part-00000\.parquet: is no such part"):
        output.done()


def test_all_rejects_are_in_one_file_however_often_the_job_ends(tmp_path):
    output = Output.open(tmp_path / "offers", MADE_OF)
    output.write(1, part([11], [(10, "k", "fico", "must be"), (10, "k", "home", "is, or not")]))
    output.write(0, part([], [(3, None, "fico", "must be")]))
    assert output.finish(2) == output.finish(2) == 2
    with (tmp_path / "offers" / "_rejects.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            list(REJECTS),
            ["3", "", "fico", "must be"],
            ["10", "k", "fico", "must be"],
            ["10", "k", "home", "is, or not"],
        ]
    assert Output.open(tmp_path / "offers", MADE_OF).done() == {0: 0, 1: 1}


def test_a_folder_of_other_files_is_left_alone(tmp_path):
    (tmp_path / "else.parquet").touch()
    with pytest.raises(InvalidDataError, match="that no such job has made"):
        Output.open(tmp_path, MADE_OF)
    (tmp_path / "file").touch()
    with pytest.raises(InvalidDataError, match="cannot be written"):
        Output.open(tmp_path / "file", MADE_OF)
