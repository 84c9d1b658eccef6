"""A runner outlives the front: told to end, it answers until nobody has asked for a while.

BentoML tells all processes of a service to end at once. The front then ends what it has begun, and
for that it still needs its runners.
"""

import asyncio
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Linger"]

QUIET_S = 3.0  # a front that ends asks again sooner, if it has anything left to ask
MOST_S = 20.0  # below the 30 s after which BentoML kills
_LOOK_EVERY_S = 0.05

Handler = Callable[[int, FrameType | None], Any]


class Linger:
    """ASGI middleware: puts off the end of a process until it is quiet; told twice, it ends."""

    def __init__(self, app: ASGIApp, quiet_s: float = QUIET_S, most_s: float = MOST_S) -> None:
        self._app, self._quiet_s, self._most_s = app, quiet_s, most_s
        self._open = 0
        self._asked_at = 0.0
        self._ending: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; know how many requests are open, and when the last one ended."""
        if scope["type"] == "lifespan":
            self._take_over(asyncio.get_running_loop())
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._open += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._open -= 1
            self._asked_at = time.monotonic()

    def _take_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stand before the server's own handlers, which are there when the application starts."""
        for number in (signal.SIGTERM, signal.SIGINT):
            end = signal.getsignal(number)
            if callable(end):
                signal.signal(number, self._putting_off(end, loop))

    def _putting_off(self, end: Handler, loop: asyncio.AbstractEventLoop) -> Handler:
        def told(number: int, frame: FrameType | None) -> None:
            if self._ending is not None:
                end(number, frame)
                return
            self._ending = loop.create_task(self._end_when_quiet(lambda: end(number, None)))
            loop.call_soon_threadsafe(lambda: None)  # wakes a loop that waits

        return told

    async def _end_when_quiet(self, end: Callable[[], Any]) -> None:
        told_at = time.monotonic()
        while (now := time.monotonic()) < told_at + self._most_s:
            if not self._open and now > max(self._asked_at, told_at) + self._quiet_s:
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        end()
