"""The terminal's front door: `finnt`. Each command calls one function of a package below."""

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from finntelligence.errors import FinntelligenceError, InvalidDataError, InvalidDeclarationError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
data_app = typer.Typer(no_args_is_help=True, help="The portfolios' data.")
app.add_typer(data_app, name="data")

out, err = Console(), Console(stderr=True)

ROOT = Path(__file__).resolve().parent
PortfolioOption = Annotated[str, typer.Option(envvar="PORTFOLIO", help="A declared portfolio.")]


@data_app.command("add")
def data_add(
    portfolio: Annotated[str, typer.Argument(help="A declared portfolio, e.g. kz2008.")],
    source: Annotated[
        Path, typer.Argument(help="The original file; data/sources.yaml says which.")
    ],
) -> None:
    """Check a source file and put it under DVC in data/raw/."""
    from training.ingest import add_source

    typer.echo(str(add_source(portfolio, source, ROOT)))


@app.command()
def pipeline(portfolio: PortfolioOption = "simulated") -> None:
    """Bring a portfolio from its data to a published pair of models."""
    from training.pipeline import run

    run(portfolio, ROOT)


@app.command()
def serve(
    portfolio: PortfolioOption = "simulated",
    host: Annotated[str, typer.Option(help="Loopback unless you mean it.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 3000,
) -> None:
    """Serve a published pair of models on this machine."""
    _refuse_undeclared(portfolio)
    _refuse_impossible_settings()
    from runners.store import ServedPair
    from serving.local import serve as serve_here
    from serving.openapi import curl

    declared = ServedPair(portfolio, ROOT).market()[0].portfolio

    def announce(url: str) -> None:
        out.print(f"\n[bold]{escape(declared.title)}[/bold]", highlight=False)
        for name, path in (("offers", "/v1/offers"), ("status", "/v1/status"), ("API", "/docs")):
            out.print(f"  {name:7} {url}{path}", highlight=False)
        out.print("\nTry:\n", highlight=False)
        typer.echo(f"{curl(declared, url)}\n")

    raise typer.Exit(serve_here(portfolio, host, port, ROOT, announce))


@app.command()
def offer(
    applicant: Annotated[Path, typer.Argument(help="A JSON file: the body of POST /v1/offers.")],
    portfolio: PortfolioOption = "simulated",
    explain: Annotated[bool, typer.Option("--explain", help="Say why the first offer.")] = False,
) -> None:
    """Decide on one applicant in this process, with the published models."""
    from runners.store import ServedPair
    from serving.handler import Engine, handle, in_process, log_decision, start_log
    from serving.wire import from_core, parsed, to_core

    _refuse_undeclared(portfolio)
    try:
        body = applicant.read_bytes()
    except OSError as error:
        raise InvalidDataError(f"{applicant}: {error.strerror}") from error
    asked = parsed(body)
    start_log()
    pair = ServedPair(portfolio, ROOT)
    market, scorers = pair.market()
    engine = Engine(
        market=market,
        versions=pair.all_versions(market),
        score_risk=in_process(scorers["risk"].coefficients),
        score_acceptance=in_process(scorers["acceptance"].coefficients),
        explain_risk=in_process(scorers["risk"].contributions),
        record=log_decision,
    )
    declared = market.portfolio
    explained = explain or asked.explain
    answer = asyncio.run(handle(to_core(asked, declared), engine, explain=explained))
    typer.echo(from_core(answer.decision, answer.decision_id, declared).model_dump_json(indent=2))


@app.command()
def status() -> None:
    """Show each declared portfolio: its data, its models, and what would be served."""
    from training.status import portfolio_rows

    table = Table("portfolio", "data", "published pair", "risk", "acceptance", "model store")
    with contextlib.chdir(ROOT):  # the registry's default file lies there
        for row in portfolio_rows(ROOT):
            table.add_row(*row)
    out.print(table)


def _refuse_undeclared(portfolio: str) -> None:
    declared = sorted(path.stem for path in (ROOT / "portfolios").glob("*.yaml"))
    if portfolio not in declared:
        known = ", ".join(declared)
        raise InvalidDeclarationError(f"no portfolio {portfolio!r} is declared; declared: {known}")


def _refuse_impossible_settings() -> None:
    from pydantic import ValidationError

    from runners.settings import RunnerSettings
    from serving.settings import FrontSettings

    for kind in (FrontSettings, RunnerSettings):
        prefix = kind.model_config["env_prefix"]
        try:
            kind()
        except ValidationError as error:
            wrong = (f"{prefix}{e['loc'][0]}".upper() + f": {e['msg']}" for e in error.errors())
            raise InvalidDeclarationError("; ".join(wrong)) from error


def main() -> None:
    """Run `finnt`; errors of ours are one clear line."""
    logging.basicConfig(level="WARNING", format="%(message)s")
    try:
        app(standalone_mode=True)
    except FinntelligenceError as error:
        err.print(
            f"[bold red]finnt:[/bold red] {escape(str(error))}", highlight=False, soft_wrap=True
        )
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
