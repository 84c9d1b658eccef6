import asyncio
import signal
import time

import pytest

from runners.linger import Linger

QUIET_S = 0.5
MOST_S = 3.0


class Server:
    """A server's process as signals see it: its own handler, a lifespan, and requests."""

    def __init__(self):
        self.ended_at = None
        self.app = Linger(self._answer, quiet_s=QUIET_S, most_s=MOST_S)

    async def _answer(self, scope, receive, send):
        await asyncio.sleep(scope.get("takes", 0))

    def end(self, *_):
        self.ended_at = self.ended_at or time.monotonic()

    async def start(self):
        await self.app({"type": "lifespan"}, None, None)

    async def asked(self, takes=0.0):
        await self.app({"type": "http", "takes": takes}, None, None)
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
def server(number):
    server = Server()
    kept = {each: signal.signal(each, server.end) for each in (signal.SIGTERM, signal.SIGINT)}
    yield server
    for each, handler in kept.items():
        signal.signal(each, handler)


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


def test_a_runner_that_is_told_twice_ends_at_once(server, number):
    async def told():
        await server.start()
        signal.raise_signal(number)
        signal.raise_signal(number)
        return server.ended_at

    assert asyncio.run(told()) is not None
