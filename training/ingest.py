"""Bring a real book in: recognise the source, check it, put it under DVC, make its tables.

`python -m training.ingest <portfolio>`, the pipeline's stage, reads the one source in
`data/raw/<portfolio>/`, a file or a folder of files, and writes
`data/interim/<portfolio>/{quotes,loans}.parquet`. With `--forget` it undoes `finnt data add`.
"""

import argparse
import logging
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import yaml

from finntelligence.errors import (
    FinntelligenceError,
    InvalidDataError,
    InvalidDeclarationError,
)
from finntelligence.portfolio import Capability, Portfolio
from training.books import kz2008, lending_club, own_files
from training.books.layout import Layout
from training.books.raw import (
    copy_source,
    forget,
    raw_names,
    restored_on_failure,
    source_digest,
    target,
)
from training.stages import Paths, start_log
from training.tables import Tables, load_portfolio, replacing, write_table

__all__ = [
    "LOADERS",
    "AddedSource",
    "Loaded",
    "add_source",
    "forget_source",
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
OWN = "the lender's own files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A source's tables, and what it is: which published file, `OWN`, or None for unlisted ones."""

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
    """Read a book's source into its canonical tables, saying which published file it is.

    A book whose entry in `data/sources.yaml` has a `layout` is read from the lender's own files.

    Raises:
        InvalidDataError: in one sentence, if the file is not what the book's loader reads.
        InvalidDeclarationError: if the book is not declared, has no loader, or asks for a leak.
    """
    portfolio = load_portfolio(portfolio_name, root)
    tables = _loader(portfolio, root)(portfolio, file)
    sha256 = source_digest(file)
    published = _published_file(portfolio_name, sha256, root)
    if published is None:
        logger.warning(
            "%s: %s is not one of the published files in %s (sha256 %s); its columns fit, so we "
            "go on, but check where it came from",
            *(portfolio_name, file.name, SOURCES, sha256),
        )
    elif published != OWN:
        logger.info("%s: %s is the published %s", portfolio_name, file.name, published)
    return Loaded(tables=tables, sha256=sha256, published=published)


def add_source(portfolio_name: str, file: Path, root: Path = Path()) -> AddedSource:
    """Check a file or folder by loading it, copy it to `data/raw/<portfolio>/`, put it under DVC.

    The same again changes nothing, and completes an addition that was interrupted; another
    source replaces the former one. A failure leaves the former file in place.

    Raises:
        InvalidDataError: if the file is not what the book's loader reads, or cannot be kept.
        InvalidDeclarationError: if the book has no loader, or the root is no DVC project.
    """
    # DVC takes a second to import, and no other function here needs it.
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo

    loaded = load(portfolio_name, file, root)
    folder = root / "data" / "raw" / portfolio_name
    former = raw_names(folder)
    place = target(folder, file, former, loaded.sha256)
    changed = not (place.exists() and source_digest(place) == loaded.sha256)
    tracked = place.with_name(f"{place.name}.dvc").is_file()
    try:
        with Repo(str(root)) as repo, restored_on_failure(folder):
            if changed:
                copy_source(file, place, loaded.sha256)
            # DVC's own hint leaves out the list of books; ours, below, does not.
            logging.getLogger("dvc").setLevel(logging.WARNING)
            repo.add(str(place.absolute()))
            for name in former:
                if name != place.name:
                    forget(repo, folder / name)
    except NotDvcRepoError as error:
        raise InvalidDeclarationError(
            f"{root}: is not a DVC project; run `dvc init` in it"
        ) from error
    except (DvcException, OSError) as error:
        raise InvalidDataError(f"{place}: could not be put under DVC: {error}") from error
    _register({*ingested_portfolios(root), portfolio_name}, root)
    logger.info(
        "%s: commit %s and %s to keep this", portfolio_name, f"data/raw/{portfolio_name}", BOOKS
    )
    outcome: Outcome = "replaced" if former and changed else "added"
    if tracked and not changed:
        outcome = "unchanged"
    return AddedSource(
        portfolio=portfolio_name,
        path=place.relative_to(root),
        sha256=loaded.sha256,
        published=loaded.published,
        outcome=outcome,
        quotes=len(loaded.tables.quotes),
        loans=len(loaded.tables.loans),
    )


def forget_source(portfolio_name: str, root: Path = Path()) -> None:
    """Undo `add_source`: drop the source and DVC's pointer, and take the book off the lists.

    What was made of it (tables, models, the registry's versions) stays; DVC's cache keeps the
    source until `dvc gc`.

    Raises:
        InvalidDataError: if the book was never added.
    """
    from dvc.repo import Repo

    raw, listed = root / "data" / "raw", set(ingested_portfolios(root))
    # by name: a path such as "." would be a folder too, that of every book
    added = listed | {path.name for path in raw.glob("[!.]*") if path.is_dir()}
    if portfolio_name not in added:
        known = ", ".join(sorted(added)) or "none"
        raise InvalidDataError(f"{portfolio_name!r}: was not added; added: {known}")
    folder = raw / portfolio_name
    _register(listed - {portfolio_name}, root)  # first: a book without source stops the pipeline
    with Repo(str(root)) as repo:
        for name in raw_names(folder):
            forget(repo, folder / name)
    shutil.rmtree(folder, ignore_errors=True)
    logger.info("%s: forgotten; commit %s and %s to keep this", portfolio_name, folder, BOOKS)


def ingest(portfolio_name: str, root: Path = Path()) -> None:
    """Write the canonical tables of the source in `data/raw/<portfolio>/`."""
    _loader(load_portfolio(portfolio_name, root), root)
    folder = root / "data" / "raw" / portfolio_name
    names = raw_names(folder)
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
    parser.add_argument(
        "portfolio", help=f"{', '.join(LOADERS)}, or one with a layout in {SOURCES}"
    )
    parser.add_argument("--forget", action="store_true", help="take the source out of DVC instead")
    asked = parser.parse_args(arguments)
    start_log()
    try:
        (forget_source if asked.forget else ingest)(asked.portfolio)
    except FinntelligenceError as error:
        raise SystemExit(f"training.ingest: {error}") from error


def _loader(portfolio: Portfolio, root: Path) -> Loader:
    if portfolio.name in LOADERS:
        return LOADERS[portfolio.name]
    layout = _source(portfolio.name, root).get("layout")
    if layout is None:
        raise InvalidDeclarationError(
            f"portfolio {portfolio.name!r} has no loader; books from a file: {', '.join(LOADERS)}, "
            f"and those with a `layout` in {SOURCES}"
        )
    return partial(own_files.tables, layout=Layout.read(layout, portfolio))


def _source(portfolio_name: str, root: Path) -> dict[str, Any]:
    """Return the book's entry in the list of sources, empty where it has none."""
    listed = _yaml(root / SOURCES) or {}
    entry = listed.get(portfolio_name) if isinstance(listed, dict) else None
    return entry if isinstance(entry, dict) else {}


def _published_file(portfolio_name: str, sha256: str, root: Path) -> str | None:
    source = _source(portfolio_name, root)
    for entry in ({**source, **file} for file in source.get("files", ())):
        if entry["sha256"] == sha256:
            return f"{entry['file']} of {entry['url']}, {entry['licence']}"
    return OWN if "layout" in source and "files" not in source else None


def _yaml(path: Path) -> Any:  # what YAML holds is for the caller to judge
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidDeclarationError(f"{path}: cannot be read as YAML: {error}") from error


def _register(books: Collection[str], root: Path) -> None:
    """List the books that the pipeline ingests, models (`present`) and prices or cannot."""
    ingested = sorted(books)
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
