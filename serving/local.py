"""Serve on this machine: check first, start BentoML, say where it answers, stop cleanly."""

import errno
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import httpx

from finntelligence.errors import FinntelligenceError
from serving.gate import open_on_loopback
from serving.grpc_settings import GrpcSettings
from serving.parts import Parts, split, whole

__all__ = ["CannotServeError", "Topology", "refuse_busy_port", "serve"]

Topology = Literal["separate", "embedded", "split"]

READY_WITHIN_S = 120
_SERVICE = "service:OfferService"

log = logging.getLogger(__name__)


class CannotServeError(FinntelligenceError):
    """The service could not be started here."""


def refuse_busy_port(host: str, port: int, instead: str = "make serve PORT=<port>") -> None:
    """Check that nothing listens where we want to; `instead` is how to choose another port.

    Raises:
        CannotServeError: when the address is taken.
    """
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise CannotServeError(f"cannot listen on {host}:{port}: {error}") from error
            raise CannotServeError(
                f"{host}:{port} is not free; stop what listens there, or choose another port: "
                f"{instead}"
            ) from error


def serve(  # noqa: PLR0913 - what is served, and where
    portfolio: str,
    host: str,
    port: int,
    root: Path,
    announce: Callable[[str, Mapping[str, str]], None],
    *,
    alias: str = "production",
    grpc: GrpcSettings | None = None,
    topology: Topology = "separate",
    replicas: Mapping[str, int] | None = None,
) -> int:
    """Serve until the service ends or we are told to stop; return its exit status.

    What is served is the portfolio's pair under `alias`, with a gRPC door if `grpc` is given; in
    the topology `split`, with so many `replicas` of each runner. `announce` gets the base URL once,
    as soon as the service is ready, and the address of each part that has one of its own.

    Raises:
        CannotServeError: when the port is taken, or the service is not ready in time.
    """
    refuse_busy_port(host, port)
    if grpc is not None and not grpc.host.startswith("unix:"):
        refuse_busy_port(grpc.host, grpc.port, "--grpc-port <port>, or FINNT_GRPC_ENABLED=no")
    environment = {**open_on_loopback(host, root), "BENTOML_DO_NOT_TRACK": "True", **os.environ}
    environment |= {"FINNT_SERVED_PORTFOLIO": portfolio, "FINNT_SERVED_ALIAS": alias}
    environment["FINNT_TOPOLOGY"] = "embedded" if topology == "embedded" else "separate"
    environment["FINNT_GRPC_ENABLED"] = str(grpc is not None)
    if grpc is not None:
        environment["FINNT_GRPC_PORT"] = str(grpc.port)
    if topology == "split":
        environment.setdefault("FINNT_RUNNER_SECRET", secrets.token_hex(32))
        made = split(_SERVICE, host, port, replicas or {})
    else:
        made = [whole(_SERVICE, host, port)]
    parts = Parts(made, root, environment, log.warning)
    previous = {s: signal.signal(s, parts.tell) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        parts.start()
        url = made[-1].address
        status = _until_ready(parts, url)
        if status is None:
            announce(url, {part.name: part.address for part in made[:-1]})
            status = parts.watch()
        return status
    finally:
        parts.end()
        for number, handler in previous.items():
            signal.signal(number, handler)


def _until_ready(parts: Parts, url: str) -> int | None:
    """Wait until the service is ready; return its exit status if it ends first."""
    deadline = time.monotonic() + READY_WITHIN_S
    with httpx.Client(timeout=2, trust_env=False) as client:
        while (status := parts.look()) is None:
            if time.monotonic() > deadline:
                raise CannotServeError(f"the service is not ready after {READY_WITHIN_S} s")
            try:
                if client.get(f"{url}/readyz").is_success:
                    return None
            except httpx.TransportError:
                pass
            time.sleep(0.2)
    return status
