import gzip
import io
import zipfile

import pytest

from finntelligence.errors import InvalidDataError
from training.books import stata
from training.books.stata import read_stata

MEMBER = "kz_demandelasts_aer08.dta"
COLUMNS = ("wave", "risk", "offer4")


def zipped(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return stream.getvalue()


@pytest.fixture
def content(dta):
    return dta.read_bytes()


@pytest.fixture
def refused(tmp_path):
    """Return the one message with which some bytes are refused."""

    def message(content, name="a.file"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InvalidDataError) as caught:
            read_stata(path, MEMBER, COLUMNS)
        assert str(caught.value).startswith(f"{path}: ")
        return str(caught.value).removeprefix(f"{path}: ")

    return message


@pytest.mark.parametrize("version", [114, 117, 118])
def test_plain_gzipped_and_zipped_files_hold_the_same_under_any_name(
    tmp_path, offers, as_stata, version
):
    content = as_stata(offers, version)
    forms = {
        "plain.csv": content,
        "gzipped.zip": gzip.compress(content),
        "zipped": zipped(**{"readme.txt": "x", f"113240-V1__data__{MEMBER}": content}),
    }
    for name, form in forms.items():
        (tmp_path / name).write_bytes(form)
        frame = read_stata(tmp_path / name, MEMBER, COLUMNS)
        assert list(frame) == list(COLUMNS)
        assert frame["offer4"].tolist() == offers["offer4"].tolist()
        assert frame["risk"].tolist() == offers["risk"].tolist()


@pytest.mark.parametrize("version", [114, 118])
def test_a_file_cut_anywhere_is_refused(refused, offers, as_stata, version):
    content = as_stata(offers.head(5)[list(COLUMNS)], version)
    for length in range(3, len(content) - 1, 97):
        message = refused(content[:length])
        assert "truncated or broken" in message or "not a Stata file" in message
    assert "truncated or broken" in refused(content[:-12])


def test_a_truncated_gzip_is_refused(refused, content):
    assert "truncated or broken" in refused(gzip.compress(content)[:-100])


def test_a_corrupt_gzip_is_refused(refused, content):
    damaged = bytearray(gzip.compress(content))
    damaged[len(damaged) // 2] ^= 0xFF
    assert "truncated or broken" in refused(bytes(damaged))


def test_a_truncated_or_corrupt_zip_is_refused(refused, content):
    whole = zipped(**{MEMBER: content})
    assert "truncated or broken" in refused(whole[:-100])
    damaged = bytearray(whole)
    damaged[len(damaged) // 2] ^= 0xFF
    assert "truncated or broken" in refused(bytes(damaged))


def test_a_zip_without_the_file_is_refused(refused, content):
    assert refused(zipped(**{"other.dta": content})) == f"the zip holds no {MEMBER}"
    assert refused(zipped()) == f"the zip holds no {MEMBER}"


@pytest.mark.parametrize(
    ("content", "held"),
    [
        (b"wave,risk,offer4\n1,LOW,7.75\n", "text (a CSV?)"),
        (b"", "nothing"),
        (b"PAR1\x00\x01\x02", "other data"),
        (b"n\x02", "text (a CSV?)"),
    ],
)
def test_what_is_no_stata_file_is_refused_saying_what_it_holds(refused, content, held):
    assert refused(content).startswith(f"holds {held}, not a Stata file")
    assert refused(gzip.compress(content)).startswith(f"holds {held}, not a Stata file")


def test_missing_columns_are_all_named(refused, offers, as_stata):
    content = as_stata(offers.drop(columns=["wave", "offer4"]))
    assert refused(content).endswith(f"but not {MEMBER}: missing column(s) wave, offer4")


def test_a_file_without_rows_is_refused(refused, offers, as_stata):
    assert refused(as_stata(offers.head(0))) == "the Stata file holds no rows"


def test_a_folder_and_a_missing_path_are_refused(tmp_path):
    with pytest.raises(InvalidDataError, match="is not a file"):
        read_stata(tmp_path, MEMBER, COLUMNS)
    with pytest.raises(InvalidDataError, match=r"none\.dta: no such file"):
        read_stata(tmp_path / "none.dta", MEMBER, COLUMNS)


def test_an_archive_that_unfolds_without_end_is_refused(refused, content, monkeypatch):
    monkeypatch.setattr(stata, "HIGHEST_BYTES", len(content) - 1)
    assert "holds more than" in refused(gzip.compress(content))
    assert "holds more than" in refused(zipped(**{MEMBER: content}))
