"""An open loop: requests are sent when they are due, however long the answers take.

A closed loop waits with its next request for the last answer, and so leaves out what a stall would
have kept waiting. Here arrivals are a Poisson process, and each latency counts from the moment its
request was due, also where no connection was free then.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from urllib.parse import urlsplit

import numpy as np
import uvloop

from loadtests.drive import OFFERS, CannotDriveError, Reading

__all__ = ["open_loop"]

_SEED = 1
_DRAIN_S = 20
_END = b"\r\n\r\n"
_OK = b"HTTP/1.1 200 "
_LENGTH = b"content-length:"


def open_loop(
    url: str, rate: float, seconds: float, bodies: Sequence[bytes], connections: int = 64
) -> Reading:
    """Send requests at `rate` a second on average, over kept connections of which all may be busy.

    Raises:
        CannotDriveError: when an answer is not a success, does not come, or a connection breaks.
    """
    return uvloop.run(_Loop(url, bodies).run(rate, seconds, connections))


class _Loop:
    """What the connections share: who is free, who waits, and how it ends."""

    def __init__(self, url: str, bodies: Sequence[bytes]) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname, parts.port
        head = f"POST {OFFERS} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        head += "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n"
        self._requests = [head.format(len(body)).encode() + body for body in bodies]
        self._free: deque[_Connection] = deque()
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._taken_ms: list[float] = []
        self._count = 0

    async def run(self, rate: float, seconds: float, connections: int) -> Reading:
        loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = loop.create_future()
        made = [
            await loop.create_connection(lambda: _Connection(self), *self._address)
            for _ in range(connections)
        ]
        self._free.extend(connection for _, connection in made)
        self._count = max(1, round(rate * seconds))
        gaps = np.random.default_rng(_SEED).exponential(1 / rate, size=self._count)
        began = loop.time()
        sending = loop.create_task(self._send(began + np.cumsum(gaps)))
        try:
            async with asyncio.timeout(2 * seconds + _DRAIN_S):
                await self._over
            taken = loop.time() - began
        except TimeoutError as error:
            left = self._count - len(self._taken_ms)
            raise CannotDriveError(f"open loop: {left} answers did not come") from error
        finally:
            sending.cancel()
            for transport, _ in made:
                transport.abort()
        p50, p99 = np.percentile(self._taken_ms, (50, 99))
        return Reading(requests=self._count, seconds=taken, p50_ms=float(p50), p99_ms=float(p99))

    async def _send(self, due: Sequence[float]) -> None:
        loop = asyncio.get_running_loop()
        for place, at in enumerate(due):
            if at > loop.time():
                await asyncio.sleep(at - loop.time())
            request = self._requests[place % len(self._requests)]
            if self._free:  # the one that rested longest: a server closes what rests too long
                self._free.popleft().send(at, request)
            else:
                self._waiting.append((at, request))

    def answered(self, connection: "_Connection", latency_ms: float) -> None:
        self._taken_ms.append(latency_ms)
        if len(self._taken_ms) == self._count and not self._over.done():
            self._over.set_result(None)
        if self._waiting:
            connection.send(*self._waiting.popleft())
        else:
            self._free.append(connection)

    def closed(self, connection: "_Connection") -> None:
        """Do without a connection that rested; one that was at work fails the run."""
        if connection in self._free and len(self._free) > 1:
            self._free.remove(connection)
        else:
            self.fail("a connection broke")

    def fail(self, said: str) -> None:
        if not self._over.done():
            self._over.set_exception(CannotDriveError(f"open loop: {said}"))


class _Connection(asyncio.Protocol):
    """One kept connection with one request on its way at most."""

    def __init__(self, owner: _Loop) -> None:
        self._owner, self._loop = owner, asyncio.get_running_loop()
        self._due, self._buffer = 0.0, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def send(self, due: float, request: bytes) -> None:
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(_END)
        if not end or len(body) < _length(head):
            return
        self._buffer = b""
        if head.startswith(_OK):
            self._owner.answered(self, 1e3 * (self._loop.time() - self._due))
        else:
            self._owner.fail(f"an answer was {head.partition(_END[:2])[0].decode('latin-1')}")

    def connection_lost(self, _: Exception | None) -> None:
        self._owner.closed(self)


def _length(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return next((int(line[len(_LENGTH) :]) for line in lines if line.startswith(_LENGTH)), 0)
