"""Commands about data and models: from a file to a pair in production, and back."""

import contextlib
import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from cli.terminal import ROOT, PortfolioArgument, PortfolioOption, out, refuse_undeclared
from finntelligence.errors import InvalidDataError

__all__ = [
    "data_add",
    "data_remove",
    "history",
    "judge",
    "lineage",
    "pipeline",
    "promote",
    "rollback",
    "status",
]


def data_add(
    portfolio: Annotated[str, typer.Argument(help="A declared portfolio, e.g. kz2008.")],
    source: Annotated[
        Path, typer.Argument(help="The original file or folder; data/sources.yaml says which.")
    ],
) -> None:
    """Check a book's source and put it under DVC in data/raw/."""
    from training.ingest import add_source

    typer.echo(str(add_source(portfolio, source, ROOT)))


def data_remove(
    portfolio: Annotated[str, typer.Argument(help="A portfolio whose source was added.")],
) -> None:
    """Take a book's source out again; its declaration and what was built of it stay."""
    from training.ingest import forget_source

    forget_source(portfolio, ROOT)
    out.print(f"{portfolio}: its source is out of data/raw/", highlight=False)


def pipeline(portfolio: PortfolioOption = "simulated") -> None:
    """Bring a portfolio from its data to a published pair of models."""
    refuse_undeclared(portfolio)
    from training.pipeline import run

    run(portfolio, ROOT)


def status() -> None:
    """Show each declared portfolio: its data, its models, and what would be served."""
    from training.status import portfolio_rows

    table = Table("portfolio", "data", "published pair", "risk", "acceptance", "model store")
    with contextlib.chdir(ROOT):  # the registry's default file lies there
        for row in portfolio_rows(ROOT):
            table.add_row(*row)
    out.print(table)


def judge(
    portfolio: PortfolioArgument = "simulated",
    quotes: Annotated[
        Path | None, typer.Option(help="A canonical Parquet table; else the held-out quotes.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything that was found.")] = False,
) -> None:
    """Estimate from logged quotes what other prices would have earned, or say why nobody can."""
    from training.judge import judge as judged
    from training.judge import judge_rows

    refuse_undeclared(portfolio)
    path = None if quotes is None else quotes.absolute()
    with contextlib.chdir(ROOT):
        found = judged(portfolio, Path(), path)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    header, rows = judge_rows(found)
    _show(header, rows)
    for sentence in (found["refused_because"], *found["assumptions"]):
        if sentence:
            out.print(f"- {escape(sentence)}", highlight=False)


def promote(
    portfolio: PortfolioArgument = "simulated",
    to: Annotated[
        Literal["production", "staging"], typer.Option(help="Production is behind the gate.")
    ] = "production",
    sign_off: Annotated[
        str, typer.Option(help="Who answers for what the fairness screens flag.")
    ] = "",
    reason: Annotated[str, typer.Option(help="Why a flagged pair may go to production.")] = "",
) -> None:
    """Bring the pair that the pipeline has trained to staging, or past the gate to production."""
    from training.lifecycle import SignOff, promote_to

    refuse_undeclared(portfolio)
    if bool(sign_off) != bool(reason):
        raise InvalidDataError("--sign-off and --reason: give both, or neither")
    if sign_off and to != "production":
        raise InvalidDataError("--sign-off: nothing is signed for staging, only for production")
    signed = SignOff(by=sign_off, reason=reason) if sign_off else None
    with contextlib.chdir(ROOT):
        pair = promote_to(portfolio, to, signed)
    out.print(f"{portfolio}: {to} is {pair}", highlight=False)


def rollback(portfolio: PortfolioArgument = "simulated") -> None:
    """Bring back the pair that was in production before, to the byte."""
    from training.lifecycle import rollback as rolled_back

    refuse_undeclared(portfolio)
    with contextlib.chdir(ROOT):
        pair = rolled_back(portfolio)
    out.print(f"{portfolio}: production is {pair} again", highlight=False)


def history(portfolio: PortfolioArgument = "simulated") -> None:
    """Show what was promoted, refused, staged and rolled back, and why."""
    from training.lifecycle import history_rows

    refuse_undeclared(portfolio)
    with contextlib.chdir(ROOT):
        rows = history_rows(portfolio)
    _show(["at (UTC)", "what", "alias", "pair", "former pair", "remarks"], rows)


def lineage(
    what: Annotated[
        str, typer.Argument(help="A decision's id or file, a pair, or a version of a model.")
    ],
) -> None:
    """Show what a decision or a model comes from: data, commit, parameters, verdicts."""
    from training.documents.lineage import tree
    from training.lineage import holds_an_answer
    from training.lineage import lineage as found

    asked = str(Path(what).absolute()) if holds_an_answer(what) else what
    with contextlib.chdir(ROOT):
        out.print(tree(found(asked)), soft_wrap=True, highlight=False)


def _show(header: list[str], rows: list[list[str]] | list[tuple[str, ...]]) -> None:
    table = Table(*header)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    out.print(table)
