"""The folder `data/raw/<portfolio>/`: one source, a file or a folder of them, and its pointer."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from finntelligence.declaration import content_digest
from finntelligence.errors import InvalidDataError
from training.stages import file_digest

__all__ = ["copy_source", "forget", "raw_names", "restored_on_failure", "source_digest", "target"]


def source_digest(source: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's file names and theirs."""
    if source.is_file():
        return file_digest(source)
    return content_digest({p.name: file_digest(p) for p in source.iterdir() if _visible(p)})


def raw_names(folder: Path) -> list[str]:
    """Return the names of the sources in `folder`, those known to DVC but absent included."""
    visible = filter(_visible, folder.glob("*"))
    return sorted({path.stem if path.suffix == ".dvc" else path.name for path in visible})


def target(folder: Path, source: Path, former: Sequence[str], sha256: str) -> Path:
    """Return where `source` belongs: where its very content lies already, or under its own name."""
    name = source.resolve().name  # of `.` too
    if name.startswith(".") or source.suffix == ".dvc":
        raise InvalidDataError(f"{source}: give it a name that is neither hidden nor .dvc")
    for known in former:
        if (folder / known).exists() and source_digest(folder / known) == sha256:
            return folder / known
    return folder / name


@contextmanager
def restored_on_failure(folder: Path) -> Iterator[None]:
    """Put `folder` back as it was if the body fails, be it by an interrupt."""
    former, existed = folder.with_name(f".{folder.name}.former"), folder.exists()
    shutil.rmtree(former, ignore_errors=True)
    try:
        if existed:
            shutil.copytree(folder, former)
        try:
            yield
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            if existed:
                former.replace(folder)
            raise
    finally:
        shutil.rmtree(former, ignore_errors=True)


def copy_source(source: Path, place: Path, sha256: str) -> None:
    """Copy the source that was checked, and no other.

    A folder cannot be replaced in one step: `restored_on_failure` must be around this.
    """
    unfinished = place.with_name(f".{place.name}.part")
    place.parent.mkdir(parents=True, exist_ok=True)
    _delete(unfinished)
    try:
        if source.is_file():
            shutil.copyfile(source, unfinished)
        else:
            shutil.copytree(source, unfinished, ignore=shutil.ignore_patterns(".*"))
        if source_digest(unfinished) != sha256:
            raise InvalidDataError(f"{source}: changed while it was being read; try again")
        if unfinished.is_dir() or place.is_dir():
            _delete(place)
        unfinished.replace(place)
    finally:
        _delete(unfinished)


def forget(repo: Any, path: Path) -> None:  # DVC has no public types
    """Drop a source and its pointer."""
    pointer = path.with_name(f"{path.name}.dvc")
    if pointer.exists():
        repo.remove(str(pointer.absolute()))
    _delete(path)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _visible(path: Path) -> bool:
    return not path.name.startswith(".")
