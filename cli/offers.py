"""Commands that make offers: a service on this machine, or one decision in this process."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

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
    topology: Annotated[
        Literal["separate", "embedded", "split"],
        typer.Option(
            envvar="FINNT_TOPOLOGY",
            help="Runners in processes of their own, models in the front's, or each part apart.",
        ),
    ] = "separate",
) -> None:
    """Serve a published pair of models on this machine, over HTTP and gRPC."""
    refuse_undeclared(portfolio)
    _refuse_impossible_settings()
    from runners.settings import RunnerSettings
    from runners.store import ServedPair
    from serving.gate import said_of_keys
    from serving.grpc_settings import GrpcSettings
    from serving.local import serve as serve_here
    from serving.openapi import curl

    host = host.strip("[]")  # of an IPv6 address, as an address of the web has it
    pair = ServedPair(portfolio, ROOT, alias)
    declared = pair.market()[0].portfolio
    settings = GrpcSettings()
    moved = settings if grpc_port is None else settings.model_copy(update={"port": grpc_port})
    grpc = moved if settings.enabled else None
    _refuse_unusable_record(portfolio)

    def announce(url: str, parts: Mapping[str, str]) -> None:
        out.print(f"\n[bold]{escape(declared.title)}[/bold]", highlight=False)
        out.print(f"  {alias:7} pair {pair.pair}", highlight=False)
        for name, path in (("offers", "/v1/offers"), ("status", "/v1/status"), ("API", "/docs")):
            out.print(f"  {name:7} {url}{path}", highlight=False)
        if grpc is not None:
            out.print(f"  gRPC    {grpc.address}", highlight=False)
        for part, address in parts.items():
            out.print(f"  {part} {address}", highlight=False)
        out.print(f"  keys    {said_of_keys(host, ROOT)}", highlight=False)
        out.print("\nTry:\n", highlight=False)
        typer.echo(f"{curl(declared, url)}\n")

    runners = RunnerSettings()
    replicas = {
        "RiskRunner": runners.risk_replicas,
        "AcceptanceRunner": runners.acceptance_replicas,
    }
    raise typer.Exit(
        serve_here(
            *(portfolio, host, port, ROOT, announce),
            alias=alias,
            grpc=grpc,
            topology=topology,
            replicas=replicas,
        )
    )


def offer(
    applicant: Annotated[Path, typer.Argument(help="A JSON file: the body of POST /v1/offers.")],
    portfolio: PortfolioOption = "simulated",
    explain: Annotated[bool, typer.Option("--explain", help="Say why the first offer.")] = False,
) -> None:
    """Decide on one applicant in this process, and record the decision as the service would."""
    refuse_undeclared(portfolio)
    content = _content(applicant)  # a wrong path is told before anything large is imported
    from runners.store import ServedPair
    from serving.decision_log import DecisionLog
    from serving.handler import Engine
    from serving.json_log import start_log
    from serving.operations import Call, Operations
    from serving.record.documents import documents_of
    from serving.record.settings import RecordSettings

    start_log()
    pair = ServedPair(portfolio, ROOT)
    market, scorers = pair.market()

    async def decided() -> str:
        log = DecisionLog.open(settings_of(RecordSettings), portfolio, ROOT)
        try:
            kept = await log.keep(documents_of(market, pair.policies()))
            engine = Engine.of_scorers(market, pair.all_versions(market), scorers, kept)
            operations = Operations(engine=lambda: engine, log=log)
            asked = {**content, "explain": True} if explain else content
            answer = await operations.optimise(asked, Call(channel="cli"))
        finally:
            await log.close()
        return answer.model_dump_json(indent=2)

    typer.echo(asyncio.run(decided()))


def _content(applicant: Path) -> dict[str, Any]:
    try:
        body = applicant.read_bytes()
    except OSError as error:
        raise InvalidDataError(f"{applicant}: {error.strerror}") from error
    from serving.validation import json_object

    return json_object(body)


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
    from serving.settings import CoalesceSettings, FrontSettings

    for kind in (CoalesceSettings, FrontSettings, GrpcSettings, RecordSettings, RunnerSettings):
        settings_of(kind)
