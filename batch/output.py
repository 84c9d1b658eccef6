"""A folder of Parquet parts that grows until a book is answered, however often it is interrupted.

    part-00000.parquet ...   the answers to one block each; a part is there whole or not at all
    _rejects/, _rejects.csv  what is set aside of each block, and all of it when the job is done
    _manifest.json           what the parts were made of, and of how many the whole consists

A part is there once its name is, which the file system changes in one step, and its rejects before
it: a job that is killed leaves finished blocks behind and nothing else that counts. What another
book, pair of models, policy or size of blocks has made is not added to.
"""

import csv
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from batch.offers import REJECTS, Part
from finntelligence.errors import InvalidDataError

__all__ = ["Output", "replacing"]

_FORMAT = "finntelligence.offers/1"


@dataclass(frozen=True, slots=True)
class Output:
    """One folder; `open` makes it or goes on with it."""

    path: Path

    @classmethod
    def open(cls, path: Path, made_of: Mapping[str, object]) -> "Output":
        """Return the folder of what is made of this and nothing else.

        Raises:
            InvalidDataError: when there is something else, or it cannot be written.
        """
        output, wanted = cls(path), {"format": _FORMAT, **made_of}
        try:
            (path / "_rejects").mkdir(parents=True, exist_ok=True)
            if output._manifest.exists():
                output._refuse_other(wanted)
            elif any(path.glob("*.parquet")):
                raise InvalidDataError(f"{path}: holds Parquet files that no such job has made")
            else:
                _write_json(output._manifest, wanted)
        except (OSError, ValueError) as error:
            raise InvalidDataError(f"{path}: cannot be written: {error}") from error
        return output

    @property
    def _manifest(self) -> Path:
        return self.path / "_manifest.json"

    def _refuse_other(self, wanted: Mapping[str, object]) -> None:
        known = json.loads(self._manifest.read_text(encoding="utf-8"))
        other = [name for name in wanted if known.get(name) != wanted[name]]
        if other:
            raise InvalidDataError(
                f"{self.path}: was made of another {', '.join(other).replace('_', ' ')}; "
                "name another output, or remove this one"
            )

    def done(self) -> dict[int, int]:
        """Return the rows of each finished part, by its number.

        Raises:
            InvalidDataError: when one cannot be read.
        """
        found = {}
        for path in sorted(self.path.glob("part-*.parquet")):
            try:
                found[int(path.stem.partition("-")[2])] = pq.read_metadata(path).num_rows
            except (OSError, ValueError) as error:
                raise InvalidDataError(f"{path}: is no such part, remove it: {error}") from error
        return found

    def write(self, number: int, part: Part) -> None:
        """Keep the answers to one block.

        Raises:
            InvalidDataError: when they cannot be written; so does `finish`.
        """
        with replacing(self.path / "_rejects" / f"part-{number:05}.csv") as temporary:
            _write_rejects(temporary, part.rejects)
        with replacing(self.path / f"part-{number:05}.parquet") as temporary:
            pq.write_table(part.offers, temporary)

    def finish(self, parts: int) -> int:
        """Write all rejects to one file, and that the job is done; return the rejected rows."""
        rejected = 0
        with (
            replacing(self.path / "_rejects.csv") as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(REJECTS)
            for number in range(parts):
                lines = _rejects(self.path / "_rejects" / f"part-{number:05}.csv")
                writer.writerows(lines)
                rejected += len({line[0] for line in lines})
        known = json.loads(self._manifest.read_text(encoding="utf-8"))
        _write_json(self._manifest, {**known, "parts": parts, "rejected": rejected})
        return rejected


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` on success, on the disk before it has the name.

    Raises:
        InvalidDataError: when it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InvalidDataError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _write_rejects(path: Path, rows: list[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def _rejects(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))
