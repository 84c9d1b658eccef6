"""What stands before every front, in order: headers, plain errors, the gate, and turns."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.settings import FrontSettings

if TYPE_CHECKING:
    from serving.gate import Gate

__all__ = ["Straight", "stand_before"]


class Straight:
    """ASGI middleware: a request for one of a door's own pages goes to it by the shortest way.

    The way through BentoML's own application and router leads to the same place, and takes as long
    as to validate and record a request. Patterns and what is BentoML's go it still. BentoML's CORS
    middleware, which is off by default, is on that way: no other site's pages are answered.
    """

    def __init__(self, app: ASGIApp, door: Starlette) -> None:
        self._app, self._door = app, door
        self._own: frozenset[str] = frozenset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if not self._own:  # when the first request comes the door has all its pages
            routes = (each.path for each in self._door.routes if isinstance(each, Route))
            self._own = frozenset(path for path in routes if "{" not in path)
        is_own = scope["type"] == "http" and scope["path"] in self._own
        await (self._door if is_own else self._app)(scope, receive, send)


def stand_before(
    service: Any, door: Starlette, gate: "Callable[[], Gate]", settings: FrontSettings
) -> None:
    """Put them before a Bento service; what it already has stays outermost, what comes is unseen.

    `door` is the ASGI application that the service mounts. Only a process that answers for the
    service makes them, and its gate.
    """
    service.add_asgi_middleware(_before, door=door, gate=gate, settings=settings)


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
