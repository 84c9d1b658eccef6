"""Commands that make offers: a service on this machine, or one decision in this process."""

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from cli.terminal import ROOT, PortfolioOption, out, refuse_undeclared
from finntelligence.errors import InvalidDataError, InvalidDeclarationError

__all__ = ["offer", "serve"]


def serve(
    portfolio: PortfolioOption = "simulated",
    host: Annotated[str, typer.Option(help="Loopback unless you mean it.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 3000,
    alias: Annotated[
        Literal["production", "staging"], typer.Option(help="Which of its pairs.")
    ] = "production",
) -> None:
    """Serve a published pair of models on this machine."""
    refuse_undeclared(portfolio)
    _refuse_impossible_settings()
    from runners.store import ServedPair
    from serving.local import serve as serve_here
    from serving.openapi import curl

    pair = ServedPair(portfolio, ROOT, alias)
    declared = pair.market()[0].portfolio

    def announce(url: str) -> None:
        out.print(f"\n[bold]{escape(declared.title)}[/bold]", highlight=False)
        out.print(f"  {alias:7} pair {pair.pair}", highlight=False)
        for name, path in (("offers", "/v1/offers"), ("status", "/v1/status"), ("API", "/docs")):
            out.print(f"  {name:7} {url}{path}", highlight=False)
        out.print("\nTry:\n", highlight=False)
        typer.echo(f"{curl(declared, url)}\n")

    raise typer.Exit(serve_here(portfolio, host, port, ROOT, announce, alias))


def offer(
    applicant: Annotated[Path, typer.Argument(help="A JSON file: the body of POST /v1/offers.")],
    portfolio: PortfolioOption = "simulated",
    explain: Annotated[bool, typer.Option("--explain", help="Say why the first offer.")] = False,
) -> None:
    """Decide on one applicant in this process, with the published models."""
    from runners.store import ServedPair
    from serving.handler import Engine, handle, in_process, log_decision, start_log
    from serving.wire import from_core, parsed, to_core

    refuse_undeclared(portfolio)
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
