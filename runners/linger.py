"""How processes that are told to end do so: the front first, with all that it has begun answered.

A runner outlives the front: told to end, it answers until nobody has asked for a while.

BentoML tells all processes of a service to end at once. The front then ends what it has begun, and
for that it still needs its runners: their processes, and the paths of their sockets, which BentoML
would remove before anything else.
"""

import asyncio
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from bentoml._internal.utils import circus
from circus.arbiter import Arbiter  # type: ignore[import-untyped]
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runners.guard import PROBES

__all__ = ["Leave", "Linger", "mind_processes"]

QUIET_S = 3.0  # a front that ends asks again sooner, if it has anything left to ask
LEAVE_S = 1.0  # in which a caller who has a connection sends its next request, if ever
MOST_S = 20.0  # a front then has time for its gRPC door and its record before it is killed
_LOOK_EVERY_S = 0.05
_MISSED_AFTER_S = 0.5  # a process that died

Handler = Callable[[int, FrameType | None], Any]


class Linger:
    """ASGI middleware: puts off the end of a process until it is quiet.

    Each answer from then on says that it is the last one of its connection, so that whoever has
    somebody else to ask does. A second Ctrl-C ends it at once. A second SIGTERM does not: who tells
    the whole process group to end tells it once, and BentoML once more.
    """

    def __init__(self, app: ASGIApp, quiet_s: float = QUIET_S, most_s: float = MOST_S) -> None:
        self._app, self._quiet_s, self._most_s = app, quiet_s, most_s
        self._open = 0
        self._asked_at = 0.0
        self._interrupted = False
        self._ending: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; know how many requests are open, and when the last one ended."""
        if scope["type"] == "lifespan":
            self._take_over(asyncio.get_running_loop())
        if scope["type"] != "http" or scope["path"] in PROBES:  # who only looks is not waited for
            await self._app(scope, receive, send)
            return

        async def last(message: Message) -> None:
            if message["type"] == "http.response.start" and self._ending is not None:
                headers = [*message.get("headers", ()), (b"connection", b"close")]
                message = {**message, "headers": headers}
            await send(message)

        self._open += 1
        try:
            await self._app(scope, receive, last)
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
            if number == signal.SIGINT and self._interrupted:
                end(number, frame)
                return
            self._interrupted |= number == signal.SIGINT
            if self._ending is not None:
                return
            self._ending = loop.create_task(self._end_when_quiet(end, number))
            loop.call_soon_threadsafe(lambda: None)  # wakes a loop that waits

        return told

    def _begin_to_end(self, server: Any) -> None:
        """Do what is to be done as soon as the process is told."""

    async def _end_when_quiet(self, end: Handler, number: int) -> None:
        self._begin_to_end(getattr(end, "__self__", None))
        told_at = time.monotonic()
        while (now := time.monotonic()) < told_at + self._most_s:
            if not self._open and now > max(self._asked_at, told_at) + self._quiet_s:
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        end(number, None)


class Leave(Linger):
    """ASGI middleware of the front: told to end, it takes no more connections.

    Those that are open get one more answer. Who sends a request just as an idle connection is
    closed would not know whether it was read.
    """

    def __init__(self, app: ASGIApp, quiet_s: float = LEAVE_S, most_s: float = MOST_S) -> None:
        super().__init__(app, quiet_s, most_s)

    def _begin_to_end(self, server: Any) -> None:
        for each in getattr(server, "servers", ()):
            each.close()


def mind_processes() -> None:
    """Have a dead process replaced at once, and runners' sockets go when all processes have ended.

    For the parent of a service, before it starts anything. BentoML's arbiter looks for dead
    processes every ten seconds only, and in a container replaces none. It removes the sockets'
    folder as it is told to end, and whoever then needs one more connection to a runner finds no
    path.
    """
    circus.Arbiter.start = _start  # type: ignore[method-assign, assignment]
    circus.Arbiter.stop = Arbiter.stop  # type: ignore[method-assign]


def _start(arbiter: circus.Arbiter, cb: Callable[[Any], Any] | None = None) -> None:
    arbiter.ctrl.check_delay = 1000 * _MISSED_AFTER_S
    for watcher in arbiter.watchers:
        watcher.respawn = True
    with arbiter.exit_stack:  # what was put there goes when `start` returns: at the end
        future = Arbiter.start(arbiter, cb)
    if error := future.exception():
        raise error
