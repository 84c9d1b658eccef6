"""Bring a real book in: recognise the published file, check it, put it under DVC, make its tables.

`python -m training.ingest <portfolio>`, the pipeline's stage, reads the one file in
`data/raw/<portfolio>/` and writes `data/interim/<portfolio>/{quotes,loans}.parquet`.
"""

import argparse
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from finntelligence.errors import (
    FinntelligenceError,
    InvalidDataError,
    InvalidDeclarationError,
)
from finntelligence.portfolio import Capability, Portfolio
from training.books import kz2008, lending_club
from training.stages import Paths, file_digest, start_log
from training.tables import Tables, load_portfolio, replacing, write_table

__all__ = [
    "LOADERS",
    "AddedSource",
    "Loaded",
    "add_source",
    "ingest",
    "ingested_portfolios",
    "load",
    "main",
]

logger = logging.getLogger("training.ingest")  # run as a module, `__name__` is `__main__`

Outcome = Literal["added", "replaced", "unchanged"]
Loader = Callable[[Portfolio, Path], Tables]
LOADERS: dict[str, Loader] = {"kz2008": kz2008.tables, "lending_club": lending_club.tables}

SOURCES = Path("data/sources.yaml")
BOOKS = Path("data/portfolios.yaml")
BOOKS_COMMENT = (
    "# The books that have data here. `finnt data add` adds a declared book to these lists.\n"
)
EMBEDDED = "simulated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A source file's tables, and which published file it is (None: not a listed one)."""

    tables: Tables
    sha256: str
    published: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedSource:
    """What `add_source` did; `path` is relative to the project's root."""

    portfolio: str
    path: Path
    sha256: str
    published: str | None
    outcome: Outcome
    quotes: int
    loans: int

    def __str__(self) -> str:
        did = {
            "added": f"added {self.path}",
            "replaced": f"replaced the former source by {self.path}",
            "unchanged": f"nothing to do, {self.path} is this very file",
        }[self.outcome]
        known = self.published or "not a published file we know"
        return f"{self.portfolio}: {did} ({known}): {self.quotes} quotes, {self.loans} loans"


def load(portfolio_name: str, file: Path, root: Path = Path()) -> Loaded:
    """Read a book's source file into its canonical tables, saying which published file it is.

    Raises:
        InvalidDataError: in one sentence, if the file is not what the book's loader reads.
        InvalidDeclarationError: if the book is not declared, has no loader, or asks for a leak.
    """
    portfolio = load_portfolio(portfolio_name, root)
    loader = _loader(portfolio_name)
    tables = loader(portfolio, file)
    sha256 = file_digest(file)
    published = _published_file(portfolio_name, sha256, root)
    if published is None:
        logger.warning(
            "%s: %s is not one of the published files in %s (sha256 %s); its columns fit, so we "
            "go on, but check where it came from",
            *(portfolio_name, file.name, SOURCES, sha256),
        )
    else:
        logger.info("%s: %s is the published %s", portfolio_name, file.name, published)
    return Loaded(tables=tables, sha256=sha256, published=published)


def add_source(portfolio_name: str, file: Path, root: Path = Path()) -> AddedSource:
    """Check `file` by loading it, copy it to `data/raw/<portfolio>/` and put it under DVC.

    The same file again changes nothing, and completes an addition that was interrupted; another
    file replaces the former one. A failure leaves the former file in place.

    Raises:
        InvalidDataError: if the file is not what the book's loader reads, or cannot be kept.
        InvalidDeclarationError: if the book has no loader, or the root is no DVC project.
    """
    # DVC takes a second to import, and no other function here needs it.
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo

    loaded = load(portfolio_name, file, root)
    folder = root / "data" / "raw" / portfolio_name
    former = _raw_names(folder)
    target = _target(folder, file, former, loaded.sha256)
    changed = not (target.is_file() and file_digest(target) == loaded.sha256)
    tracked = target.with_name(f"{target.name}.dvc").is_file()
    try:
        with Repo(str(root)) as repo, _restored_on_failure(folder):
            if changed:
                _copy(file, target, loaded.sha256)
            # DVC's own hint leaves out the list of books; ours, below, does not.
            logging.getLogger("dvc").setLevel(logging.WARNING)
            repo.add(str(target.absolute()))
            for name in former:
                if name != target.name:
                    _forget(repo, folder / name)
    except NotDvcRepoError as error:
        raise InvalidDeclarationError(
            f"{root}: is not a DVC project; run `dvc init` in it"
        ) from error
    except (DvcException, OSError) as error:
        raise InvalidDataError(f"{target}: could not be put under DVC: {error}") from error
    _register(portfolio_name, root)
    logger.info(
        "%s: commit %s and %s to keep this", portfolio_name, f"data/raw/{portfolio_name}", BOOKS
    )
    outcome: Outcome = "replaced" if former and changed else "added"
    if tracked and not changed:
        outcome = "unchanged"
    return AddedSource(
        portfolio=portfolio_name,
        path=target.relative_to(root),
        sha256=loaded.sha256,
        published=loaded.published,
        outcome=outcome,
        quotes=len(loaded.tables.quotes),
        loans=len(loaded.tables.loans),
    )


def ingest(portfolio_name: str, root: Path = Path()) -> None:
    """Write the canonical tables of the file in `data/raw/<portfolio>/`."""
    _loader(portfolio_name)
    folder = root / "data" / "raw" / portfolio_name
    names = _raw_names(folder)
    if not names:
        raise InvalidDataError(
            f"{folder}: holds no source; get it (see data/README.md), then run "
            f"`finnt data add {portfolio_name} FILE`"
        )
    if len(names) > 1:
        raise InvalidDataError(
            f"{folder}: holds {len(names)} sources ({', '.join(names)}); run "
            f"`finnt data add {portfolio_name} FILE` with the one to keep"
        )
    if not (folder / names[0]).exists():
        raise InvalidDataError(f"{folder / names[0]}: is known to DVC but absent; run `dvc pull`")
    tables = load(portfolio_name, folder / names[0], root).tables
    for name, table in tables._asdict().items():
        path = Paths(portfolio_name, root).interim / f"{name}.parquet"
        write_table(table, path)
        logger.info("%s: wrote %d %s to %s", portfolio_name, len(table), name, path)
    outcomes = ((tables.quotes, "accepted"), (tables.loans, "defaulted"))
    shares = [f"{100 * table[name].mean():.1f} % {name}" for table, name in outcomes if len(table)]
    logger.info("%s: %s", portfolio_name, ", ".join(shares))


def ingested_portfolios(root: Path = Path()) -> tuple[str, ...]:
    """Return the books in `data/portfolios.yaml`."""
    content = _yaml(root / BOOKS) if (root / BOOKS).exists() else {"ingested": []}
    names = content.get("ingested") if isinstance(content, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidDeclarationError(f"{BOOKS}: must hold `ingested`, a list of portfolios")
    return tuple(names)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the stage from the project's root."""
    parser = argparse.ArgumentParser(prog="python -m training.ingest", description=ingest.__doc__)
    parser.add_argument("portfolio", help=f"one of {', '.join(LOADERS)}")
    portfolio_name = parser.parse_args(arguments).portfolio
    start_log()
    try:
        ingest(portfolio_name)
    except FinntelligenceError as error:
        raise SystemExit(f"training.ingest: {error}") from error


def _loader(portfolio_name: str) -> Loader:
    if portfolio_name not in LOADERS:
        raise InvalidDeclarationError(
            f"portfolio {portfolio_name!r} has no loader; books from a file: {', '.join(LOADERS)}"
        )
    return LOADERS[portfolio_name]


def _published_file(portfolio_name: str, sha256: str, root: Path) -> str | None:
    source = (_yaml(root / SOURCES) or {}).get(portfolio_name, {})
    for entry in ({**source, **file} for file in source.get("files", ())):
        if entry["sha256"] == sha256:
            return f"{entry['file']} of {entry['url']}, {entry['licence']}"
    return None


def _yaml(path: Path) -> Any:  # what YAML holds is for the caller to judge
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidDeclarationError(f"{path}: cannot be read as YAML: {error}") from error


def _raw_names(folder: Path) -> list[str]:
    """Return the names of the sources in `folder`, those known to DVC but absent included."""
    visible = [path for path in folder.glob("*") if not path.name.startswith(".")]
    return sorted({path.stem if path.suffix == ".dvc" else path.name for path in visible})


def _target(folder: Path, file: Path, former: Sequence[str], sha256: str) -> Path:
    """Return where `file` belongs: where its very content lies already, or under its own name."""
    if file.name.startswith(".") or file.suffix == ".dvc":
        raise InvalidDataError(f"{file}: give the file a name that is neither hidden nor .dvc")
    for name in former:
        if (folder / name).is_file() and file_digest(folder / name) == sha256:
            return folder / name
    return folder / file.name


@contextmanager
def _restored_on_failure(folder: Path) -> Iterator[None]:
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


def _copy(file: Path, target: Path, sha256: str) -> None:
    """Copy the file that was checked, and no other."""
    with replacing(target) as temporary:
        shutil.copyfile(file, temporary)
        if file_digest(temporary) != sha256:
            raise InvalidDataError(f"{file}: changed while it was being read; try again")


def _forget(repo: Any, path: Path) -> None:  # DVC has no public types
    """Drop a former source and its pointer."""
    pointer = path.with_name(f"{path.name}.dvc")
    if pointer.exists():
        repo.remove(str(pointer.absolute()))
    path.unlink(missing_ok=True)


def _register(portfolio_name: str, root: Path) -> None:
    """List the book among those the pipeline ingests, models (`present`) and prices or cannot."""
    ingested = sorted({*ingested_portfolios(root), portfolio_name})
    present = [EMBEDDED, *ingested]
    abilities = {name: load_portfolio(name, root).capabilities for name in present}
    priced = [name for name in present if Capability.ACCEPTANCE in abilities[name]]
    risk_only = [name for name in present if name not in priced]
    lists = {"ingested": ingested, "present": present, "priced": priced, "risk_only": risk_only}
    content = BOOKS_COMMENT + yaml.safe_dump(lists, default_flow_style=None, sort_keys=False)
    with replacing(root / BOOKS) as temporary:
        temporary.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
