"""Connections to one address of a runner, as its front uses them: one question at a time on each.

HTTP/1.1 over httptools, the parser that the runner's own server reads with. A client for all of
HTTP takes several times as long for a question as the question itself does (decision 14).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httptools
from bentoml._internal.utils.uri import uri_to_path
from bentoml.exceptions import BentoMLException

__all__ = ["BrokenOffError", "Connections", "Reply"]

_PORTS = {"tcp": 80, "http": 80, "https": 443}


class BrokenOffError(ConnectionError):
    """A connection ended, or said what is no HTTP, before an answer was whole."""


class Reply(NamedTuple):
    """An answer; names of headers are in lower case, and `lasts` is whether its connection does."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    lasts: bool


class Connections:
    """As many connections to an address as there are questions at a time; idle ones are kept.

    One that was idle for `idle_s` seconds is not used again: the other side may drop it any moment.
    One event loop uses them.
    """

    def __init__(self, address: str, *, idle_s: float, connect_within_s: float) -> None:
        """Take tcp://host:port, http:// and https:// likewise, or file:// of a socket.

        Raises:
            BentoMLException: when it is none of them.
        """
        self._idle_s, self._connect_within_s = idle_s, connect_within_s
        self._idle: deque[tuple[float, _Connection]] = deque()
        self._connect, self._host = _way_to(address)

    async def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        within_s: float,
    ) -> Reply:
        """Return the answer to one request.

        Raises:
            TimeoutError: when it does not come within so many seconds.
            OSError: when nobody answers, or not to the end.
        """
        asked = _written(method, path, {"Host": self._host, **headers}, body)
        async with asyncio.timeout(within_s):
            connection = self._rested() or await self._connected()
            try:
                reply = await connection.ask(asked)
            except BaseException:  # what is still to come on it answers nobody
                connection.abort()
                raise
        if reply.lasts and headers.get("Connection") != "close":
            self._idle.append((asyncio.get_running_loop().time(), connection))
        else:
            connection.abort()
        return reply

    def close(self) -> None:
        """Drop the connections that are idle."""
        while self._idle:
            self._idle.pop()[1].abort()

    def _rested(self) -> "_Connection | None":
        """Return the idle connection that was used last, if any will do."""
        oldest = asyncio.get_running_loop().time() - self._idle_s
        while self._idle and self._idle[0][0] < oldest:
            self._idle.popleft()[1].abort()
        while self._idle:
            _, connection = self._idle.pop()
            if connection.is_open:
                return connection
        return None

    async def _connected(self) -> "_Connection":
        try:
            async with asyncio.timeout(self._connect_within_s):
                return await self._connect()
        except TimeoutError as error:
            raise OSError(f"no connection within {self._connect_within_s:.3g} s") from error


class _Connection(asyncio.Protocol):
    """One connection: what was asked last, and what has come of its answer."""

    def __init__(self) -> None:
        self.is_open = False
        self._transport: Any = None
        self._answer: asyncio.Future[Reply] | None = None
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []

    def ask(self, request: bytes) -> "asyncio.Future[Reply]":
        """Send a request; return what becomes its answer."""
        self._answer = asyncio.get_running_loop().create_future()
        if self.is_open:
            self._transport.write(request)
        else:
            self._fail("the connection was closed")
        return self._answer

    def abort(self) -> None:
        """Drop it at once."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    # what the event loop tells

    def connection_made(self, transport: Any) -> None:  # uvloop's is no asyncio.Transport
        self._transport, self.is_open = transport, True

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, UnicodeDecodeError) as error:
            self.abort()
            self._fail(f"what came is no HTTP answer: {type(error).__name__}")

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        self._fail("the connection broke off" if error is None else str(error))

    # what the parser tells

    def on_message_begin(self) -> None:
        if self._waiting() is None:  # unasked for: what follows would be too
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        answer, parser = self._waiting(), self._parser
        reply = Reply(
            parser.get_status_code(),
            self._headers,
            b"".join(self._parts),
            parser.should_keep_alive(),
        )
        self._begin()
        if answer is not None:
            answer.set_result(reply)

    def _fail(self, said: str) -> None:
        answer = self._waiting()
        if answer is not None:
            answer.set_exception(BrokenOffError(said))

    def _waiting(self) -> "asyncio.Future[Reply] | None":
        """Return what becomes the answer that is waited for, if one is."""
        return None if self._answer is None or self._answer.done() else self._answer


def _written(method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a request's bytes.

    Raises:
        ValueError: when a header would be more than one.
    """
    lines = [f"{method} {path} HTTP/1.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join(lines)
    if head.count("\n") >= len(lines) or head.count("\r") >= len(lines):
        raise ValueError("a header of one line was expected")
    return f"{head}\r\n\r\n".encode() + body


def _way_to(address: str) -> tuple[Callable[[], Awaitable[_Connection]], str]:
    """Return what connects to an address, and what a request names as its host."""

    async def to_socket() -> _Connection:
        loop = asyncio.get_running_loop()
        return (await loop.create_unix_connection(_Connection, uri_to_path(address)))[1]

    async def to_host() -> _Connection:
        loop, is_tls = asyncio.get_running_loop(), parts.scheme == "https"
        return (await loop.create_connection(_Connection, host, port, ssl=is_tls or None))[1]

    try:
        parts = urlsplit(address)
        if parts.scheme == "file":
            return to_socket, "runner"
        usual = _PORTS[parts.scheme]
        host, port = parts.hostname or "", parts.port or usual
    except (KeyError, ValueError):  # another scheme, or no port
        host = ""
    if not host:
        said = f"a runner is at tcp://host:port or file:// of a socket, not {address!r}"
        raise BentoMLException(said)
    return to_host, parts.netloc
