import pytest

from finntelligence.errors import InvalidDataError
from training.books.raw import (
    copy_source,
    raw_names,
    restored_on_failure,
    source_digest,
    target,
)


@pytest.fixture
def export(tmp_path):
    """A folder of two files, and what a desktop hides in it."""
    folder = tmp_path / "export"
    folder.mkdir()
    for name in ("quotes.csv", "loans.csv", ".DS_Store"):
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def raw(tmp_path):
    return tmp_path / "raw" / "book"


def test_a_folder_is_its_visible_files_names_and_contents(export):
    first = source_digest(export)
    (export / ".DS_Store").write_text("moved")
    assert source_digest(export) == first
    (export / "loans.csv").rename(export / "loan.csv")
    renamed = source_digest(export)
    (export / "loan.csv").write_text("more")
    assert len({first, renamed, source_digest(export)}) == 3


@pytest.mark.parametrize("former", [None, "file", "folder"])
def test_a_copied_folder_is_whole_and_replaces_what_was_there(export, raw, former):
    place = raw / "export"
    raw.mkdir(parents=True)
    if former == "file":
        place.write_text("former")
    elif former == "folder":
        place.mkdir()
        (place / "old.csv").write_text("former")
    copy_source(export, place, source_digest(export))
    assert sorted(path.name for path in place.iterdir()) == ["loans.csv", "quotes.csv"]
    assert raw_names(raw) == ["export"]
    assert sorted(path.name for path in raw.iterdir()) == ["export"]


def test_a_folder_that_changed_since_it_was_checked_is_not_copied(export, raw):
    checked = source_digest(export)
    (export / "loans.csv").write_text("more")
    with pytest.raises(InvalidDataError, match="changed while it was being read"):
        copy_source(export, raw / "export", checked)
    assert list(raw.iterdir()) == []


def test_what_an_interrupted_copy_left_is_cleared_by_the_next(export, raw):
    unfinished = raw / ".export.part"
    unfinished.mkdir(parents=True)
    (unfinished / "half.csv").touch()
    copy_source(export, raw / "export", source_digest(export))
    assert sorted(path.name for path in raw.iterdir()) == ["export"]


def test_a_failure_brings_the_former_folder_back(export, raw):
    copy_source(export, raw / "export", source_digest(export))
    before = source_digest(raw / "export")

    def interrupted():
        with restored_on_failure(raw):
            (raw / "export" / "loans.csv").unlink()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert source_digest(raw / "export") == before
    assert [path.name for path in raw.parent.iterdir()] == ["book"]


def test_the_same_content_stays_where_it_lies(export, raw):
    copy_source(export, raw / "first", source_digest(export))
    assert target(raw, export, raw_names(raw), source_digest(export)) == raw / "first"
    assert target(raw, export, raw_names(raw), "another") == raw / "export"


def test_the_folder_one_stands_in_has_its_own_name(export, raw, monkeypatch):
    monkeypatch.chdir(export)
    assert target(raw, export.relative_to(export), [], "") == raw / "export"
