import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from batch.book import Book
from finntelligence.errors import InvalidDataError


@pytest.fixture
def frame(applicants):
    return applicants(57)


@pytest.mark.parametrize("groups", [3, 20, 1000])
def test_blocks_are_the_same_whatever_the_files_row_groups(frame, portfolio, tmp_path, groups):
    path = tmp_path / "book.parquet"
    frame.to_parquet(path, index=False, row_group_size=groups)
    book = Book(path, portfolio, "applicant")
    blocks = list(book.blocks(10))
    assert [len(block.table) for block in blocks] == [10] * 5 + [7]
    assert [block.first for block in blocks] == [0, 10, 20, 30, 40, 50]
    whole = pa.concat_tables(block.table for block in blocks)
    assert whole["applicant"].to_pylist() == frame["applicant"].tolist()
    assert whole["fico"].to_pylist() == frame["fico"].tolist()
    assert "group" not in whole.column_names
    assert book.rows == 57


def test_a_csv_file_has_the_same_blocks_as_text(frame, portfolio, tmp_path):
    path = tmp_path / "book.csv"
    frame.to_csv(path, index=False)
    book = Book(path, portfolio, "applicant")
    blocks = list(book.blocks(25))
    assert [len(block.table) for block in blocks] == [25, 25, 7]
    assert all(block.is_text for block in blocks)
    assert blocks[1].table["fico"].to_pylist() == frame["fico"].astype(str).tolist()[25:50]
    assert book.rows == 57


def test_a_line_of_another_length_is_told_by_its_place(frame, portfolio, tmp_path):
    path = tmp_path / "book.csv"
    text = frame.to_csv(index=False).splitlines()
    text[3] += ",more"
    text[5] = "alone"
    path.write_text("\n".join(text) + "\n\n", encoding="utf-8")
    (block,) = Book(path, portfolio).blocks(100)
    assert block.wrong == {2: "must have 14 values, has 15", 4: "must have 14 values, has 1"}
    assert len(block.table) == 57


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_column_that_is_there_twice_is_refused(frame, portfolio, tmp_path, suffix):
    path = tmp_path / f"book{suffix}"
    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.append_column("fico", table["fico"])
    (pa.csv.write_csv if suffix == ".csv" else pq.write_table)(table, path)
    with pytest.raises(InvalidDataError, match="has twice the column fico"):
        Book(path, portfolio)


def test_equal_files_and_no_others_have_one_digest(frame, portfolio, tmp_path):
    digests = []
    for name, some in (("one", frame), ("same", frame), ("other", frame[1:])):
        some.to_csv(tmp_path / f"{name}.csv", index=False)
        digests.append(Book(tmp_path / f"{name}.csv", portfolio).digest)
    assert digests[0] == digests[1] != digests[2]


def test_a_file_that_is_damaged_further_on_is_told(frame, portfolio, tmp_path):
    path = tmp_path / "book.csv"
    path.write_bytes(frame.to_csv(index=False).encode() * 2000 + b"\xff,1\n")
    book = Book(path, portfolio)
    with pytest.raises(InvalidDataError, match="cannot be read"):
        assert book.rows
    with pytest.raises(InvalidDataError, match="cannot be read"):
        assert list(book.blocks(1000))


@pytest.mark.parametrize(
    ("name", "content", "fact"),
    [
        ("book.txt", b"", "must end in .parquet or .csv"),
        ("nowhere.csv", None, "No such file"),
        ("nowhere.parquet", None, "nowhere.parquet"),
        ("book.parquet", b"no parquet", "cannot be read"),
        ("book.csv", b"fico\n700\n", "lacks the column annual_income"),
        ("book.csv", b"", "lacks the column"),
        ("book.csv", b"\xff\xfe\xff", "cannot be read"),
        ("whole.csv", pd.DataFrame, "lacks the column who"),
    ],
)
def test_what_is_no_book_is_refused_by_its_name(frame, portfolio, tmp_path, name, content, fact):
    path = tmp_path / name
    if content is pd.DataFrame:
        frame.to_csv(path, index=False)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidDataError, match=fact):
        Book(path, portfolio, "who" if content is pd.DataFrame else None)
