"""Commands that make offers: a service on this machine, or one decision in this process."""

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from cli.terminal import ROOT, PortfolioOption, out, refuse_undeclared, settings_of
from finntelligence.errors import InvalidDataError

__all__ = ["offer", "serve"]


def serve(
    portfolio: PortfolioOption = "simulated",
    host: Annotated[str, typer.Option(help="Loopback unless you mean it.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 3000,
    alias: Annotated[
        Literal["production", "staging"], typer.Option(help="Which of its pairs.")
    ] = "production",
    grpc_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="FINNT_GRPC_PORT by default, 50051.")
    ] = None,
) -> None:
    """Serve a published pair of models on this machine, over HTTP and gRPC."""
    refuse_undeclared(portfolio)
    _refuse_impossible_settings()
    from runners.store import ServedPair
    from serving.gate import said_of_keys
    from serving.grpc_settings import GrpcSettings
    from serving.local import serve as serve_here
    from serving.openapi import curl

    pair = ServedPair(portfolio, ROOT, alias)
    declared = pair.market()[0].portfolio
    settings = GrpcSettings()
    moved = settings if grpc_port is None else settings.model_copy(update={"port": grpc_port})
    grpc = moved if settings.enabled else None
    _refuse_unusable_record(portfolio)

    def announce(url: str) -> None:
        out.print(f"\n[bold]{escape(declared.title)}[/bold]", highlight=False)
        out.print(f"  {alias:7} pair {pair.pair}", highlight=False)
        for name, path in (("offers", "/v1/offers"), ("status", "/v1/status"), ("API", "/docs")):
            out.print(f"  {name:7} {url}{path}", highlight=False)
        if grpc is not None:
            out.print(f"  gRPC    {grpc.address}", highlight=False)
        out.print(f"  keys    {said_of_keys(host)}", highlight=False)
        out.print("\nTry:\n", highlight=False)
        typer.echo(f"{curl(declared, url)}\n")

    raise typer.Exit(serve_here(portfolio, host, port, ROOT, announce, alias, grpc))


def offer(
    applicant: Annotated[Path, typer.Argument(help="A JSON file: the body of POST /v1/offers.")],
    portfolio: PortfolioOption = "simulated",
    explain: Annotated[bool, typer.Option("--explain", help="Say why the first offer.")] = False,
) -> None:
    """Decide on one applicant in this process, and record the decision as the service would."""
    from runners.store import ServedPair
    from serving.decision_log import DecisionLog
    from serving.handler import Engine, in_process
    from serving.json_log import start_log
    from serving.operations import Call, Operations
    from serving.record.documents import documents_of
    from serving.record.settings import RecordSettings
    from serving.validation import json_object

    refuse_undeclared(portfolio)
    try:
        content = json_object(applicant.read_bytes())
    except OSError as error:
        raise InvalidDataError(f"{applicant}: {error.strerror}") from error
    start_log()
    pair = ServedPair(portfolio, ROOT)
    market, scorers = pair.market()

    async def decided() -> str:
        log = DecisionLog.open(settings_of(RecordSettings), portfolio, ROOT)
        try:
            engine = Engine(
                market=market,
                versions=pair.all_versions(market),
                score_risk=in_process(scorers["risk"].coefficients),
                score_acceptance=in_process(scorers["acceptance"].coefficients),
                explain_risk=in_process(scorers["risk"].contributions),
                documents=await log.keep(documents_of(market, pair.policies())),
            )
            operations = Operations(engine=lambda: engine, log=log)
            asked = {**content, "explain": True} if explain else content
            answer = await operations.optimise(asked, Call(channel="cli"))
        finally:
            await log.close()
        return answer.model_dump_json(indent=2)

    typer.echo(asyncio.run(decided()))


def _refuse_unusable_record(portfolio: str) -> None:
    """Say what is wrong with the record's database before anything is started."""
    from serving.record.database import connected
    from serving.record.settings import RecordSettings

    with connected(settings_of(RecordSettings).database(portfolio, ROOT)):
        pass


def _refuse_impossible_settings() -> None:
    from runners.settings import RunnerSettings
    from serving.grpc_settings import GrpcSettings
    from serving.record.settings import RecordSettings
    from serving.settings import FrontSettings

    for kind in (FrontSettings, GrpcSettings, RecordSettings, RunnerSettings):
        settings_of(kind)
