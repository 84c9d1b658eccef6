"""What bounds an HTTP request from within: its body is read first, then it waits for its turn.

A caller who sends its body drop by drop holds up a connection, and nobody else's turn. A request
ends within its time, and what is said then is ours, not the server's.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from finntelligence.errors import FinntelligenceError
from serving.http_operations import problem_response
from serving.problems import TimedOutError
from serving.wire import BadRequestError

__all__ = ["Turns"]


class Turns:
    """ASGI middleware behind the gate: gives a POST its turn once its body is there.

    `admission` is a turn. A body is read up to `most_bytes`; what is larger is the operation's to
    refuse. It has `body_s` seconds to arrive, and the whole request `timeout_s` to be answered.
    """

    def __init__(
        self,
        app: ASGIApp,
        admission: AbstractAsyncContextManager[Any],
        most_bytes: int,
        body_s: float,
        timeout_s: float,
    ) -> None:
        self._app, self._admission, self._most_bytes = app, admission, most_bytes
        self._body_s, self._timeout_s = min(body_s, timeout_s), timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on within its time; answer with a problem where that is up."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        is_read = scope["method"] != "POST"
        start = asyncio.get_running_loop().time()
        limit = asyncio.timeout_at(start + (self._timeout_s if is_read else self._body_s))
        failed: FinntelligenceError
        try:
            async with limit:
                if not is_read:
                    receive = _again(await self._read(receive), receive)
                    is_read = True
                    limit.reschedule(start + self._timeout_s)
                await self._in_turn(scope, receive, noted)
            return
        except TimeoutError:
            if begun:
                raise
            failed = self._late(is_read)
        except FinntelligenceError as error:
            failed = error
        response = problem_response(failed)
        if isinstance(failed, TimedOutError):  # the rest of a body is not waited for
            response.headers["Connection"] = "close"
        await response(scope, receive, send)

    async def _in_turn(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        async with self._admission:
            await self._app(scope, receive, send)

    def _late(self, is_read: bool) -> TimedOutError:
        if is_read:
            return TimedOutError(f"no answer within {self._timeout_s:.3g} s")
        return TimedOutError(f"the body did not arrive within {self._body_s:.3g} s")

    async def _read(self, receive: Receive) -> list[Message]:
        """Read the body to its end, or until it is too large."""
        read, size = [], 0
        while size <= self._most_bytes:
            read.append(message := await receive())
            if message["type"] == "http.disconnect":  # the caller's doing, and no defect of ours
                raise BadRequestError("the body breaks off")
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        return read


def _again(read: Sequence[Message], receive: Receive) -> Receive:
    """Return what gives the messages again that were read, then those that follow."""
    ahead = iter(read)

    async def given() -> Message:
        for message in ahead:
            return message
        return await receive()

    return given
