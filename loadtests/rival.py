"""What one would build otherwise: FastAPI under uvicorn, the models in its process.

    python -m loadtests.rival FOLDER --port 3200 --processes 2

uvloop and httptools, no access log, orjson. Each process listens on a socket of its own that
shares the port, made as TCP by name: the kernel then has TCP_NODELAY on what is accepted, which
uvicorn's own sockets for several workers lack. It keeps no record of what it decides.
"""

import multiprocessing
import signal
import socket
import uuid
from pathlib import Path
from typing import Annotated

import orjson
import typer
import uvicorn
from fastapi import FastAPI, Response
from pydantic import BaseModel, ConfigDict, Field

from loadtests.grid_pricer import GridPricer
from runners.heap import settle

__all__ = ["Asked", "rival"]

_HOST = "127.0.0.1"


class Applicant(BaseModel):
    """An applicant of the simulated book."""

    model_config = ConfigDict(extra="forbid")

    annual_income: float = Field(ge=0, le=10_000_000)
    fico: float = Field(ge=300, le=850)
    dti: float = Field(ge=0, le=100)
    employment_years: int = Field(ge=0, le=60)
    home: str
    purpose: str
    delinquencies: int = Field(ge=0, le=50)
    inquiries: int = Field(ge=0, le=50)
    utilisation: float = Field(ge=0, le=200)
    open_accounts: int = Field(ge=0, le=200)
    group: str | None = None


class Asked(BaseModel):
    """A request for offers, as the service takes it."""

    model_config = ConfigDict(extra="forbid")

    requested_principal: float = Field(ge=1000, le=40_000)
    requested_term_months: int = Field(ge=24, le=60)
    features: Applicant


def rival(folder: Path) -> FastAPI:
    """Return the application, on the models of a folder."""
    app = FastAPI(openapi_url=None)
    pricer = GridPricer.of("simulated", folder)

    @app.post("/v1/offers")
    async def offers(asked: Asked) -> Response:  # computes: a thread would only add a switch
        found = pricer.offers(
            asked.requested_principal, asked.requested_term_months, dict(asked.features)
        )
        content = {
            "decision_id": uuid.uuid4().hex,
            "outcome": "offers" if found else "decline",
            "currency": "USD",
            "offers": found,
        }
        return Response(orjson.dumps(content), media_type="application/json")

    @app.get("/readyz")
    async def ready() -> Response:
        return Response()

    return app


def _listening(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    for level, option in (
        (socket.SOL_SOCKET, socket.SO_REUSEADDR),
        (socket.SOL_SOCKET, socket.SO_REUSEPORT),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    ):
        listening.setsockopt(level, option, 1)
    listening.bind((_HOST, port))
    return listening


def _serve(folder: Path, port: int) -> None:
    config = uvicorn.Config(
        rival(folder),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        lifespan="off",
    )
    settle()  # as our own processes do
    uvicorn.Server(config).run(sockets=[_listening(port)])


def main(
    folder: Annotated[Path, typer.Argument(help="Where `grid_pricer.train` kept the models.")],
    port: Annotated[int, typer.Option()] = 3200,
    processes: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Serve until told to end."""
    make = multiprocessing.get_context("spawn").Process
    others = [make(target=_serve, args=(folder, port), daemon=True) for _ in range(processes - 1)]
    for each in others:
        each.start()
    try:
        _serve(folder, port)
    finally:
        for each in others:
            each.terminate()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until uvicorn listens to it
    typer.run(main)
