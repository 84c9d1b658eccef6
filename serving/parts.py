"""The processes of a service on this machine: started, watched, started again, ended in order.

A service is one command, or in parts that are each started by itself, as an orchestrator would
start them: every runner on a loopback port of its own, and the front, which is told where they are.
A part that ends is started again. One that ends soon after its start would end again: what it said
on its way out is for a person to read, and the whole service ends.
"""

import contextlib
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]

__all__ = ["Part", "Parts", "free_ports", "split", "whole"]

SOON_S = 10.0
STOP_WITHIN_S = 50  # what a front may need; an orchestrator waits longer
_LOOK_EVERY_S = 0.1
_LOOPBACK = "127.0.0.1"
_START = (sys.executable, "-m", "bentoml_cli._internal.start", "start-http-server")
_MARK = "FINNT_PART"  # by which the processes of a part are known when their parent is gone
_ENDED = (0, -signal.SIGINT, -signal.SIGTERM)

Environment = Mapping[str, str]


@dataclass(slots=True)
class Part:
    """A command that runs for as long as the service does; `address` is where it answers."""

    name: str
    words: Sequence[str]
    address: str
    _mark: str = field(default_factory=lambda: uuid.uuid4().hex, init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _started_at: float = field(default=0.0, init=False)

    def start(self, folder: Path, environment: Environment) -> None:
        """Start it, in a session of its own, so that Ctrl-C reaches it once, through us."""
        self._process = subprocess.Popen(
            self.words,
            cwd=folder,
            env={**environment, _MARK: self._mark},
            start_new_session=True,
        )
        self._started_at = time.monotonic()

    def status(self) -> int | None:
        """Return its exit status; None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def is_young(self) -> bool:
        """Whether it was started a short time ago."""
        return time.monotonic() < self._started_at + SOON_S

    def tell(self) -> None:
        """Tell it to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def ended(self) -> None:
        """Wait for its end, and kill what it leaves behind."""
        if self._process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_WITHIN_S)
        for left in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if left.environ().get(_MARK) == self._mark:
                    left.kill()
        self._process.wait()


class Parts:
    """All parts of a service, the front last; `say` gets a line for a person now and then."""

    def __init__(
        self,
        parts: Sequence[Part],
        folder: Path,
        environment: Environment,
        say: Callable[[str], None],
    ) -> None:
        self.parts, self._folder, self._environment = tuple(parts), folder, environment
        self._say = say
        self._is_told = False

    def start(self) -> None:
        """Start all of them."""
        for part in self.parts:
            part.start(self._folder, self._environment)

    def tell(self, *_: object) -> None:
        """Have `look` end them; a signal handler."""
        self._is_told = True

    def look(self) -> int | None:
        """Start again what has ended; return the service's exit status once it is to end."""
        if self._is_told:
            return self.end()
        for part in self.parts:
            status = part.status()
            if status is None:
                continue
            if len(self.parts) == 1:
                return self.end()
            if part.is_young:
                self._say(f"{part.name} has ended with status {status}; the service ends")
                return self.end()
            part.ended()
            self._say(f"{part.name} has ended with status {status} and is started again")
            part.start(self._folder, self._environment)
        return None

    def watch(self) -> int:
        """Look until the service is to end; return its exit status."""
        while (status := self.look()) is None:
            time.sleep(_LOOK_EVERY_S)
        return status

    def end(self) -> int:
        """End the front, which answers what it has begun, then its runners; return the status."""
        *runners, front = self.parts
        for parts in ([front], runners):
            for part in parts:
                part.tell()
            for part in parts:
                part.ended()
        statuses = [part.status() or 0 for part in self.parts]
        return max(0 if status in _ENDED else abs(status) for status in statuses)


def whole(service: str, host: str, port: int) -> Part:
    """Return a service as one command, which starts and scales the runners that it needs."""
    words = (sys.executable, "-m", "bentoml", "serve", service)
    return Part("service", (*words, *_at(host, port)), _url(host, port))


def split(service: str, host: str, port: int, replicas: Mapping[str, int]) -> list[Part]:
    """Return a service in parts, in the words of a Bento's entrypoint: runners, then the front."""
    ports = iter(free_ports(sum(replicas.values())))
    parts: list[Part] = []
    depends: list[str] = []
    for runner, count in replicas.items():
        own = []
        for number in range(1, count + 1):
            at = next(ports)
            words = (*_START, service, "--service-name", runner, *_at(_LOOPBACK, at))
            name = f"{runner} {number}" if count > 1 else runner
            own.append(Part(name, words, f"tcp://{_LOOPBACK}:{at}"))
        parts += own
        depends += ["--depends", f"{runner}={','.join(part.address for part in own)}"]
    words = (*_START, service, *_at(host, port), *depends)
    return [*parts, Part("front", words, _url(host, port))]


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _at(host: str, port: int) -> tuple[str, ...]:
    return "--host", host, "--port", str(port)


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nothing listens on."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((_LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]
