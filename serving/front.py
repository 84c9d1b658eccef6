"""What stands before every front, in order: headers, plain errors, the gate, and turns."""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from bentoml import server_context
from bentoml._internal.server.http import traffic
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.settings import FrontSettings

if TYPE_CHECKING:
    from serving.gate import Gate

__all__ = ["Straight", "stand_before"]

Page = Callable[[Request], Awaitable[Response]]


class Straight:
    """ASGI middleware: a request for one of a door's own pages goes to it by the shortest way.

    The way through BentoML's own application and router, and through the door's, leads to the same
    page, and takes as long as to validate and record a request. Patterns and what is BentoML's go
    it still. BentoML's CORS middleware, which is off by default, is on that way: no other site's
    pages are answered.
    """

    def __init__(self, app: ASGIApp, door: Starlette) -> None:
        self._app, self._door = app, door
        self._pages: dict[tuple[str, str], Page] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; what goes wrong on a page is answered as the door would."""
        if not self._pages:  # when the first request comes the door has all its pages
            self._pages = dict(_pages(self._door))
        # what is no HTTP request has no method
        page = self._pages.get((scope.get("method", ""), scope.get("path", "")))
        if page is None:
            await self._app(scope, receive, send)
            return
        scope["app"] = self._door
        request = Request(scope, receive, send)
        try:
            answer = await page(request)
        except Exception as error:
            kinds = (kind for kind in type(error).__mro__ if kind in self._door.exception_handlers)
            kind = next(kinds, None)
            if kind is None:
                raise
            told: Any = self._door.exception_handlers[kind]
            await (await told(request, error))(scope, receive, send)
            if kind is Exception:  # a defect, which the server logs
                raise
            return
        await answer(scope, receive, send)


def _pages(door: Starlette) -> Iterator[tuple[tuple[str, str], Page]]:
    """Return the door's coroutine functions by method and path; the first of a path is asked."""
    for route in reversed(door.routes):
        if not isinstance(route, Route) or "{" in route.path:
            continue
        if iscoroutinefunction(route.endpoint):
            for method in route.methods or ():
                yield (method, route.path), route.endpoint


def stand_before(
    service: Any, door: Starlette, gate: "Callable[[], Gate]", settings: FrontSettings
) -> None:
    """Put them before a Bento service; what it already has stays outermost, what comes is unseen.

    `door` is the ASGI application that the service mounts. Only a process that answers for the
    service makes them, and its gate.
    """
    service.add_asgi_middleware(_before, door=door, gate=gate, settings=settings)
    traffic.TimeoutMiddleware = partial(  # type: ignore[misc,assignment]
        _timed, service.name, traffic.TimeoutMiddleware
    )


def _timed(front: str, timed: Any, app: ASGIApp, timeout: float) -> ASGIApp:
    """Return an application as BentoML bounds its requests' time, but a front's as it is.

    There `Turns` does so, without a task and a timer of each request that nobody cancels.
    """
    return app if server_context.service_name == front else timed(app, timeout)


def _before(
    app: ASGIApp, door: Starlette, gate: "Callable[[], Gate]", settings: FrontSettings
) -> ASGIApp:
    from serving.gate import HttpGate
    from serving.http_door import PlainErrors
    from serving.security_headers import SecurityHeaders
    from serving.turns import Turns

    opened = gate()
    turns = Turns(
        Straight(app, door),
        admission=opened.admission,
        most_bytes=settings.max_body_bytes,
        body_s=settings.body_s,
        timeout_s=settings.timeout_s,
    )
    return SecurityHeaders(PlainErrors(HttpGate(turns, gate=opened)))
