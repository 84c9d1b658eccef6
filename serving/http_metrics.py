"""What Prometheus sees of the HTTP door: BentoML's own series and the refusals.

BentoML labels its series with whatever path is asked for, so that any stranger, and every decision
that is read, would add series for good. Here a path is known by its route's template, and all that
no route has are one.
"""

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from bentoml import server_context
from bentoml._internal.server.http import instruments
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import metrics

__all__ = ["UNKNOWN", "bound_traffic", "endpoint_of"]

UNKNOWN = "other"
"""The endpoint of every path that is nowhere."""

_BENTOMLS = {"/livez", "/healthz", "/readyz", "/metrics", "/docs.json", "/schema.json"}
_ASKED = "finnt.asked"  # where a labelled scope holds the one that was asked
_REFUSED, _DEFECT = 400, 500
_PROBLEM = b"application/problem+json"
_CODES = {429: "overloaded", 503: "unavailable", 504: "timeout"}  # of what BentoML refuses


def bound_traffic(routes: Callable[[], Sequence[BaseRoute]], front: str) -> None:
    """Have BentoML, in this process, know paths by `routes`, and count refusals of `front`.

    To be called before its applications are made, and `routes` when the first request is there;
    those of other services than the front one, which are the runners', have their own routes too.
    """
    known = cache(lambda: endpoint_of(routes()))
    instruments.RunnerTrafficMetricsMiddleware = _bounded(  # type: ignore[misc]
        instruments.RunnerTrafficMetricsMiddleware, known, front
    )


def endpoint_of(routes: Sequence[BaseRoute]) -> Callable[[str], str]:
    """Return what tells a path's endpoint: its route's template.

    >>> from starlette.routing import Route
    >>> known = endpoint_of([Route("/v1/decisions/{decision_id}", print)])
    >>> known("/v1/decisions/17"), known("/livez"), known("/wp-admin")
    ('/v1/decisions/{decision_id}', '/livez', 'other')
    """
    told = [(each.path_regex, each.path) for each in routes if isinstance(each, Route | Mount)]
    plain = {path for _, path in told if "{" not in path} | _BENTOMLS

    def endpoint(path: str) -> str:
        if path in plain or path in server_context.service_routes:
            return path
        return next((name for regex, name in told if regex.match(path)), UNKNOWN)

    return endpoint


def _bounded(kind: Any, known: Callable[[], Callable[[str], str]], front: str) -> Any:
    class BoundedTraffic(kind):  # type: ignore[misc]
        def __init__(self, app: ASGIApp, **words: Any) -> None:
            super().__init__(_asked_of(app), **words)

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if "path" in scope:
                scope = {**scope, "path": known()(scope["path"]), _ASKED: scope}
                if server_context.service_name == front:
                    send = _counted(send)
            await super().__call__(scope, receive, send)

    return BoundedTraffic


def _asked_of(app: ASGIApp) -> ASGIApp:
    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope.get(_ASKED, scope), receive, send)

    return asked


def _counted(send: Send) -> Send:
    """Return what counts an answer that is a refusal, whoever gives it, and sends it."""
    start: Message = {}

    async def counting(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
        elif start.get("status", 0) >= _REFUSED:
            metrics.refused("http", _code(start, message.get("body", b"")))
            start = {}
        await send(message)

    return counting


def _code(start: Message, body: bytes) -> str:
    if dict(start.get("headers", ())).get(b"content-type") == _PROBLEM:
        return str(json.loads(body)["type"]).rpartition(":")[2]
    status = int(start["status"])
    return _CODES.get(status, "internal" if status >= _DEFECT else "bad-request")
