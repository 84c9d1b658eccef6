"""Read a Stata file, plain, gzipped or inside a zip, recognised by its bytes and not its name."""

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO

import pandas as pd

from finntelligence.errors import InvalidDataError

__all__ = ["read_stata"]

# Guards against an archive that unfolds without end; the published file is about 13 MB.
HIGHEST_BYTES = 512 * 2**20

GZIP, ZIP, EMPTY_ZIP = b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06"
MODERN, MODERN_END = b"<stata_dta>", b"</stata_dta>"
# An encrypted member is a RuntimeError, an unknown compression a NotImplementedError.
BROKEN = (EOFError, gzip.BadGzipFile, zlib.error, zipfile.BadZipFile, RuntimeError)


def read_stata(path: Path, member: str, columns: Sequence[str]) -> pd.DataFrame:
    """Return `columns` of the Stata file at `path`; in a zip it is the file called `member`.

    Raises:
        InvalidDataError: saying in one sentence why `path` cannot be it.
    """
    content = _content(path, member)
    broken = f"{path}: the Stata file is truncated or broken; get it again"
    if content.startswith(MODERN) and not content.rstrip().endswith(MODERN_END):
        raise InvalidDataError(broken)  # cut after the data, where pandas would not notice
    try:
        frame = pd.read_stata(io.BytesIO(content), convert_categoricals=False)
    except (ValueError, KeyError, IndexError, TypeError, OverflowError, struct.error) as error:
        raise InvalidDataError(broken) from error
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise InvalidDataError(
            f"{path}: is a Stata file, but not {member}: missing column(s) {', '.join(missing)}"
        )
    if frame.empty:
        raise InvalidDataError(f"{path}: the Stata file holds no rows")
    return frame[list(columns)]


def _content(path: Path, member: str) -> bytes:
    if not path.exists():
        raise InvalidDataError(f"{path}: no such file")
    if not path.is_file():
        raise InvalidDataError(f"{path}: is not a file; give {member}, its .gz, or the zip with it")
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
            stream.seek(0)
            if magic.startswith(GZIP):
                with gzip.GzipFile(fileobj=stream) as unzipped:
                    content = _bounded(unzipped, path)
            elif magic in (ZIP, EMPTY_ZIP):
                content = _zip_member(stream, path, member)
            else:
                content = _bounded(stream, path)
    except BROKEN as error:
        raise InvalidDataError(f"{path}: is truncated or broken ({error}); get it again") from error
    except OSError as error:
        raise InvalidDataError(f"{path}: cannot be read: {error.strerror}") from error
    if not _is_stata(content):
        raise InvalidDataError(
            f"{path}: holds {_kind(content)}, not a Stata file; "
            f"give {member}, its .gz, or the zip with it"
        )
    return content


def _zip_member(stream: IO[bytes], path: Path, member: str) -> bytes:
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            if PurePosixPath(info.filename).name.lower() == member.lower():
                with archive.open(info) as inner:
                    return _bounded(inner, path)
    raise InvalidDataError(f"{path}: the zip holds no {member}")


def _bounded(stream: IO[bytes] | gzip.GzipFile, path: Path) -> bytes:
    content = stream.read(HIGHEST_BYTES + 1)
    if len(content) > HIGHEST_BYTES:
        raise InvalidDataError(f"{path}: holds more than {HIGHEST_BYTES // 2**20} MB; is not it")
    return content


def _is_stata(content: bytes) -> bool:
    """Whether the bytes start as Stata's format 117 and later do, or formats 102 to 115."""
    if content.startswith(MODERN):
        return True
    if len(content) < 3:
        return False
    release, byte_order, file_type = content[:3]
    return 102 <= release <= 115 and byte_order in (1, 2) and file_type == 1


def _kind(content: bytes) -> str:
    if not content.strip():
        return "nothing"
    sample = content[:4096]
    return "other data" if b"\0" in sample else "text (a CSV?)"
