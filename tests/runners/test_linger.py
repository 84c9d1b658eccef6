import asyncio
import contextlib
import signal
import subprocess
import sys
import time

import pytest

from runners.linger import Leave, Linger

QUIET_S = 0.5
MOST_S = 3.0


async def nobody(message):
    """Whom an answer is sent to that no test looks at."""


class Listening:
    """A socket that takes connections until it is closed."""

    closed = False

    def close(self):
        self.closed = True


class Server:
    """A server's process as signals see it: its own handler, a lifespan, and requests."""

    def __init__(self, kind=Linger):
        self.ended_at = None
        self.app = kind(self._answer, quiet_s=QUIET_S, most_s=MOST_S)
        self.servers = [Listening()]

    async def _answer(self, scope, receive, send):
        await asyncio.sleep(scope.get("takes", 0))
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})

    def end(self, *_):
        self.ended_at = self.ended_at or time.monotonic()

    async def start(self):
        await self.app({"type": "lifespan"}, None, None)

    async def asked(self, takes=0.0, path="/coefficients"):
        await self.app({"type": "http", "path": path, "takes": takes}, None, nobody)
        return time.monotonic()

    async def ended(self):
        deadline = time.monotonic() + 20
        while self.ended_at is None:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        return self.ended_at


@pytest.fixture(params=[signal.SIGTERM, signal.SIGINT])
def number(request):
    return request.param


@pytest.fixture
def taking_signals():
    """Return a function that has a server take the process's signals, for this test."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    kept = {each: signal.getsignal(each) for each in numbers}

    def take(server):
        for each in numbers:
            signal.signal(each, server.end)
        return server

    yield take
    for each, handler in kept.items():
        signal.signal(each, handler)


@pytest.fixture
def server(taking_signals):
    return taking_signals(Server())


@pytest.fixture
def front(taking_signals):
    return taking_signals(Server(Leave))


def test_a_quiet_runner_ends_after_a_while(server, number):
    async def told():
        await server.start()
        at = time.monotonic()
        signal.raise_signal(number)
        return await server.ended() - at

    assert QUIET_S <= asyncio.run(told()) < MOST_S


def test_a_request_in_hand_and_those_that_follow_are_answered_first(server, number):
    async def told():
        await server.start()
        first = asyncio.create_task(server.asked(0.15))
        await asyncio.sleep(0)
        signal.raise_signal(number)
        await first
        await asyncio.sleep(QUIET_S / 2)
        last = await server.asked(0.05)
        assert server.ended_at is None
        return await server.ended() - last

    assert asyncio.run(told()) >= QUIET_S


def test_a_runner_that_never_gets_quiet_ends_all_the_same(server, number):
    async def told():
        await server.start()
        at = time.monotonic()
        busy = asyncio.create_task(server.asked(60))
        signal.raise_signal(number)
        ended = await server.ended()
        busy.cancel()
        return ended - at

    assert MOST_S <= asyncio.run(told()) < 20


@pytest.mark.parametrize("path", ["/readyz", "/metrics"])
def test_a_runner_does_not_wait_for_those_who_only_look_whether_it_is_there(server, number, path):
    async def told():
        await server.start()
        at = time.monotonic()
        looking = asyncio.create_task(server.asked(60, path))
        signal.raise_signal(number)
        ended = await server.ended()
        looking.cancel()
        return ended - at

    assert asyncio.run(told()) < MOST_S


def ended_when_told(server, *numbers):
    """Return when a server ended that is told so, without a turn of its loop in between."""

    async def told():
        await server.start()
        for number in numbers:
            signal.raise_signal(number)
        return server.ended_at

    return asyncio.run(told())


def test_a_second_interrupt_ends_a_runner_at_once(server):
    assert ended_when_told(server, signal.SIGINT, signal.SIGTERM, signal.SIGINT) is not None


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_the_service_telling_what_its_group_was_told_already_ends_no_runner(server, first):
    assert ended_when_told(server, first, signal.SIGTERM) is None


async def headers_of(server):
    sent = []

    async def send(message):
        sent.append(message)

    await server.app({"type": "http", "path": "/v1/offers"}, None, send)
    return sent[0]["headers"]


async def before_and_after(server, number):
    """Return the headers of an answer before a server is told to end, and of one after that."""
    await server.start()
    before = await headers_of(server)
    signal.raise_signal(number)
    assert not server.ended_at
    await asyncio.sleep(0)
    after = await headers_of(server)
    await server.ended()
    return before, after


@pytest.mark.parametrize("kind", [Linger, Leave])
def test_who_is_told_to_end_says_which_answers_are_last(taking_signals, number, kind):
    before, after = asyncio.run(before_and_after(taking_signals(Server(kind)), number))
    assert before == [(b"a", b"b")]
    assert after == [(b"a", b"b"), (b"connection", b"close")]


def test_a_front_takes_no_more_connections_once_it_is_told_to_end(front, number):
    async def told():
        await front.start()
        signal.raise_signal(number)
        while not front.servers[0].closed:
            assert not front.ended_at
            await asyncio.sleep(0)
        await front.ended()

    asyncio.run(told())


def test_a_runner_stays_open_to_connections_until_it_ends(server, number):
    async def told():
        await server.start()
        signal.raise_signal(number)
        await server.ended()

    asyncio.run(told())
    assert not server.servers[0].closed


SERVED = """
import sys
from bentoml._internal.utils.circus import create_standalone_arbiter
from circus.watcher import Watcher
from pathlib import Path
from runners.linger import mind_processes

mind_processes()
folder, child = Path(sys.argv[1]), sys.argv[2]
watcher = Watcher("child", sys.executable, ["-c", child, str(folder)], respawn=False)
arbiter = create_standalone_arbiter([watcher])
arbiter.exit_stack.callback((folder / "uds").rmdir)
arbiter.start()
"""
TOLD = """
import signal, sys, time, pathlib
folder = pathlib.Path(sys.argv[1])
said = lambda *_: sys.exit((folder / "seen").write_text(str((folder / "uds").exists())))
signal.signal(signal.SIGTERM, said)
(folder / "ready").touch()
time.sleep(60)
"""
DYING = """
import os, sys, time, pathlib
folder = pathlib.Path(sys.argv[1])
(folder / ("ready" if (folder / "died").exists() else "died")).touch()
time.sleep(60 if (folder / "ready").exists() else 0)
"""


@contextlib.contextmanager
def serving(folder, child):
    """Run a service of one process until the context ends; it is ready on entry."""
    (folder / "uds").mkdir()
    with subprocess.Popen([sys.executable, "-c", SERVED, str(folder), child]) as parent:
        try:
            deadline = time.monotonic() + 60
            while not (folder / "ready").exists():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield
        finally:
            parent.terminate()


def test_a_service_that_ends_removes_its_sockets_after_its_processes(tmp_path):
    with serving(tmp_path, TOLD):
        pass
    assert (tmp_path / "seen").read_text() == "True"
    assert not (tmp_path / "uds").exists()


def test_a_process_that_dies_is_replaced_in_a_container_too(tmp_path):
    with serving(tmp_path, DYING):
        assert (tmp_path / "died").exists()
