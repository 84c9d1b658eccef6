"""Who is compared, and how each is started, watched and stopped on this machine."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx
import psutil

from serving.parts import free_ports

__all__ = ["CONTENDERS", "CannotStartError", "Contender", "Running", "running"]

_HOST = "127.0.0.1"
_READY_WITHIN_S = 120
_STOP_WITHIN_S = 30


class CannotStartError(Exception):
    """A contender did not get ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A service to be measured; words of its command may name {port} and {folder}.

    `letter` and `said` are the report's. `answers` are the engine's, which are recorded too; those
    of other models, held to the policy alone; or the same to everybody. `grpc` tells that its
    second door is measured too.
    """

    name: str
    letter: str
    said: str
    command: tuple[str, ...]
    answers: Literal["engine", "policy", "fixed"] = "engine"
    grpc: bool = False


_SERVE = ("-m", "cli", "serve", "--port", "{port}")


def _bento(service: str) -> tuple[str, ...]:
    return ("-m", "bentoml", "serve", service, "--host", _HOST, "--port", "{port}")


def _rival(processes: int) -> tuple[str, ...]:
    words = ("{folder}/rival", "--port", "{port}", "--processes", str(processes))
    return ("-m", "loadtests.rival", *words)


CONTENDERS = (
    Contender(
        name="separate",
        letter="a",
        said="this service, models in runners of their own (the default); (c) is its gRPC door",
        command=(*_SERVE, "--topology", "separate"),
        grpc=True,
    ),
    Contender(
        name="embedded",
        letter="b",
        said="this service, models in the front's process",
        command=(*_SERVE, "--topology", "embedded"),
    ),
    Contender(
        name="rival_1",
        letter="d",
        said="FastAPI, uvicorn and XGBoost in one process over a grid of 1,200 candidates",
        command=_rival(1),
        answers="policy",
    ),
    Contender(
        name="rival_2",
        letter="d",
        said="the same in two processes",
        command=_rival(2),
        answers="policy",
    ),
    Contender(
        name="limit",
        letter="e",
        said="our front, an endpoint that reads and answers and scores nothing",
        command=(*_bento("loadtests.limit:LimitService"), "--arg", "answer={folder}/answer.json"),
        answers="fixed",
    ),
    Contender(
        name="depends",
        letter="f",
        said="plain bentoml.depends, a call to each runner for each request",
        command=_bento("loadtests.plain_depends:PlainService"),
    ),
)
"""The contenders, in the order of a round."""


@dataclass(frozen=True, slots=True)
class Running:
    """A contender that is ready."""

    url: str
    grpc: str
    process: psutil.Process
    record: Path

    def cpu_s(self) -> float:
        """Return the CPU seconds that its processes have used, those that ended included."""
        used = 0.0
        for each in self._tree():
            with suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                used += times.user + times.system + times.children_user + times.children_system
        return used

    def rss_mb(self) -> float:
        """Return the resident memory of its processes; what they share counts for each."""
        sizes = []
        for each in self._tree():
            with suppress(psutil.NoSuchProcess):
                sizes.append(each.memory_info().rss)
        return sum(sizes) / 1e6

    def _tree(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@contextmanager
def running(contender: Contender, folder: Path) -> Iterator[Running]:
    """Run a contender while the context lasts, its record in a database of its own.

    Raises:
        CannotStartError: when it does not get ready; with the end of what it printed.
    """
    port, grpc_port = free_ports(2)
    own = folder / f"{contender.name}-{port}"
    own.mkdir()
    places = {"port": str(port), "folder": str(folder)}
    said = {
        "BENTOML_DO_NOT_TRACK": "True",
        "FINNT_AUTH_OFF": "yes",
        "FINNT_GRPC_PORT": str(grpc_port),
        "FINNT_RECORD_URL": f"sqlite:///{own}/decisions.db",
        "FINNT_RUNNER_SECRET": secrets.token_hex(32),
    }
    with (own / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *(word.format(**places) for word in contender.command)],
            env={**os.environ, **said},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us, who stop it
        )
    tree = psutil.Process(process.pid)
    try:
        url = f"http://{_HOST}:{port}"
        if not _is_ready(process, url):
            printed = (own / "log").read_text(encoding="utf-8", errors="replace")
            raise CannotStartError(f"{contender.name} did not get ready:\n{printed[-3000:]}")
        yield Running(url, f"{_HOST}:{grpc_port}", tree, own / "decisions.db")
    finally:
        _stop(process, tree)


def _is_ready(process: subprocess.Popen[bytes], url: str) -> bool:
    deadline = time.monotonic() + _READY_WITHIN_S
    with httpx.Client(timeout=5, trust_env=False) as client:
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(httpx.TransportError):
                if client.get(f"{url}/readyz").is_success:
                    return True
            time.sleep(0.1)
    return False


def _stop(process: subprocess.Popen[bytes], tree: psutil.Process) -> None:
    """End the process and all it started, the ones that outlive it included."""
    impatient = signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # a second Ctrl-C leaves nothing behind
    try:
        started = tree.children(recursive=True) if process.poll() is None else []
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_WITHIN_S)
        for each in (*started, tree):
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()
        psutil.wait_procs(started, timeout=_STOP_WITHIN_S)
    finally:
        signal.signal(signal.SIGINT, impatient)
