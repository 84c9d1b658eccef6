"""Commands about the decision record: whether it is whole, what it holds, and what leaves it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
import yaml
from rich.markup import escape
from rich.table import Table

from cli.terminal import ROOT, PortfolioOption, err, out, refuse_undeclared, settings_of
from finntelligence.errors import InvalidDataError

if TYPE_CHECKING:  # `finnt --help` needs no database
    import sqlalchemy as sa

    from finntelligence.portfolio import Portfolio
    from serving.record.replay import Models

__all__ = ["export", "migrate", "prune", "replay", "show", "verify"]

DecisionId = Annotated[str, typer.Argument(help="As it stands in the answer.")]


def verify(
    portfolio: PortfolioOption = "simulated",
    anchors: Annotated[
        Path | None, typer.Option(help="Heads that an earlier verification wrote.")
    ] = None,
    heads: Annotated[
        Path | None, typer.Option(help="Write the chains' heads here; keep them elsewhere.")
    ] = None,
) -> None:
    """Walk the whole record: nothing tampered with, deleted, reordered or inserted."""
    from serving.record.verify import verify as walked

    known = None if anchors is None else _heads(anchors)
    with _record(portfolio) as engine:
        found = walked(engine, known)
    out.print(
        f"{found.records} records in {found.chains} chains, {found.pruned} of them pruned",
        highlight=False,
    )
    if not found.is_whole:
        _print_rows(("writer", "number", "problem", "why"), found.rows())
        raise typer.Exit(1)
    out.print("the record is whole")
    if heads is not None:
        content = {writer: list(head) for writer, head in found.heads.items()}
        heads.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def show(decision_id: DecisionId, portfolio: PortfolioOption = "simulated") -> None:
    """Show one decision as it is recorded, and what became of it."""
    from serving.record.reader import shown

    with _record(portfolio) as engine:
        typer.echo(json.dumps(shown(engine, decision_id).to_json(), indent=2))


def replay(decision_id: DecisionId, portfolio: PortfolioOption = "simulated") -> None:
    """Compute a decision again with what decided then; say what came out otherwise."""
    from serving.record.replay import replay as computed_again

    def load(versions: Any) -> "Models":
        from runners.store import ServedPair
        from serving.record.replay import Models

        return Models.of_scorers(*ServedPair(portfolio, ROOT).recorded(versions))

    with _record(portfolio) as engine:
        found = computed_again(engine, decision_id, load)
    for note in found.notes:
        out.print(f"note: {escape(note)}", highlight=False, soft_wrap=True)
    if not found.agrees:
        _print_rows(("field", "recorded", "recomputed"), found.rows())
        raise typer.Exit(1)
    out.print(f"agrees: {', '.join(found.compared)}", highlight=False, soft_wrap=True)


def export(
    path: Annotated[Path, typer.Argument(help="The file to write; .parquet or .csv for quotes.")],
    portfolio: PortfolioOption = "simulated",
    kind: Annotated[
        Literal["quotes", "jsonl"],
        typer.Option("--as", help="A book's quotes with known answers, or all decisions."),
    ] = "quotes",
) -> None:
    """Write the record as data: what the next acceptance model learns from, or every decision."""
    from serving.record.export import as_jsonl, as_quotes

    with _record(portfolio) as engine:
        if kind == "quotes":
            rows = as_quotes(engine, _declared(portfolio), path)
        else:
            rows = as_jsonl(engine, portfolio, path)
    out.print(f"{rows} rows in {escape(str(path))}", highlight=False, soft_wrap=True)


def prune(
    portfolio: PortfolioOption = "simulated",
    before: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Instead of --keep-months; UTC.")
    ] = None,
    keep_months: Annotated[
        int | None, typer.Option(min=1, max=1200, help="FINNT_RECORD_KEEP_MONTHS by default, 25.")
    ] = None,
) -> None:
    """Remove what a book's applicants said from decisions older than we must keep.

    The chains still hold.
    """
    from serving.record.retention import months_before
    from serving.record.retention import prune as pruned
    from serving.record.settings import RecordSettings

    if before is not None and keep_months is not None:
        raise typer.BadParameter("--before and --keep-months exclude each other")
    months = keep_months or settings_of(RecordSettings).keep_months
    limit = before.replace(tzinfo=UTC) if before else months_before(months, datetime.now(UTC))
    with _record(portfolio) as engine:
        found = pruned(engine, limit, portfolio)
    out.print(
        f"{found.records} records from before {found.before.date()} were emptied, "
        f"{found.keys} idempotency keys forgotten",
        highlight=False,
    )


def migrate(portfolio: PortfolioOption = "simulated") -> None:
    """Bring the record's database to this engine's schema."""
    from serving.record.database import migrate as migrated
    from serving.record.database import opened
    from serving.record.settings import RecordSettings

    refuse_undeclared(portfolio)
    engine = opened(settings_of(RecordSettings).database(portfolio, ROOT))
    try:
        out.print(f"the record's schema is {migrated(engine)}", highlight=False)
    finally:
        engine.dispose()


@contextmanager
def _record(portfolio: str) -> Iterator["sa.Engine"]:
    from serving.record.database import connected
    from serving.record.settings import RecordSettings

    refuse_undeclared(portfolio)
    with connected(settings_of(RecordSettings).database(portfolio, ROOT)) as engine:
        yield engine


def _declared(name: str) -> "Portfolio":
    from finntelligence.portfolio import Portfolio

    path = ROOT / "portfolios" / f"{name}.yaml"
    return Portfolio.from_mapping(yaml.safe_load(path.read_text(encoding="utf-8")))


def _heads(path: Path) -> dict[str, tuple[int, str]]:
    """Read the heads that `verify --heads` wrote."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(writer): (int(seq), str(digest)) for writer, (seq, digest) in content.items()}
    except OSError as error:
        raise InvalidDataError(f"{path}: {error.strerror}") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidDataError(f"{path}: must hold heads that `verify --heads` wrote") from error


def _print_rows(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = Table(*columns)
    for row in rows:
        table.add_row(*map(escape, row))
    err.print(table)
