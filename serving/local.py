"""Serve on this machine: check first, start BentoML, say where it answers, stop cleanly."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from finntelligence.errors import FinntelligenceError
from serving.gate import open_on_loopback
from serving.grpc_settings import GrpcSettings

__all__ = ["CannotServeError", "refuse_busy_port", "serve"]

READY_WITHIN_S = 120
STOP_WITHIN_S = 30


class CannotServeError(FinntelligenceError):
    """The service could not be started here."""


def refuse_busy_port(host: str, port: int, instead: str = "make serve PORT=<port>") -> None:
    """Check that nothing listens where we want to; `instead` is how to choose another port.

    Raises:
        CannotServeError: when the address is taken.
    """
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
    announce: Callable[[str], None],
    alias: str = "production",
    grpc: GrpcSettings | None = None,
) -> int:
    """Run `bentoml serve` until it ends or we are told to stop; return its exit status.

    What is served is the portfolio's pair under `alias`, with a gRPC door if `grpc` is given.
    `announce` gets the base URL once, as soon as the service is ready.

    Raises:
        CannotServeError: when the port is taken, or the service is not ready in time.
    """
    refuse_busy_port(host, port)
    if grpc is not None and not grpc.host.startswith("unix:"):
        refuse_busy_port(grpc.host, grpc.port, "--grpc-port <port>, or FINNT_GRPC_ENABLED=no")
    command = [sys.executable, "-m", "bentoml", "serve", "service:OfferService"]
    command += ["--host", host, "--port", str(port)]
    command += ["--arg", f"portfolio={portfolio}", "--arg", f"alias={alias}"]
    environment = {**open_on_loopback(host), "BENTOML_DO_NOT_TRACK": "True", **os.environ}
    environment["FINNT_GRPC_ENABLED"] = str(grpc is not None)
    if grpc is not None:
        environment["FINNT_GRPC_PORT"] = str(grpc.port)
    # a session of its own, so that Ctrl-C reaches the service once, through us
    child = subprocess.Popen(command, cwd=root, env=environment, start_new_session=True)
    previous = {s: signal.signal(s, _forward(child)) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        url = f"http://{host}:{port}"
        if _wait_until_ready(child, url):
            announce(url)
        status = child.wait()
        return 0 if status in (0, -signal.SIGINT, -signal.SIGTERM) else status
    finally:
        _stop(child)
        for number, handler in previous.items():
            signal.signal(number, handler)


def _forward(child: subprocess.Popen[bytes]) -> Callable[[int, object], None]:
    def stop(_: int, __: object) -> None:
        child.send_signal(signal.SIGTERM)

    return stop


def _wait_until_ready(child: subprocess.Popen[bytes], url: str) -> bool:
    """Return whether the service got ready; False if it ended first."""
    deadline = time.monotonic() + READY_WITHIN_S
    with httpx.Client(timeout=2, trust_env=False) as client:
        while child.poll() is None:
            if time.monotonic() > deadline:
                raise CannotServeError(f"the service is not ready after {READY_WITHIN_S} s")
            try:
                if client.get(f"{url}/readyz").is_success:
                    return True
            except httpx.TransportError:
                pass
            time.sleep(0.2)
    return False


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
