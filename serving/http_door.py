"""The HTTP door: its pages, its status, and how it tells what went wrong."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from finntelligence.errors import FinntelligenceError
from serving import console
from serving.handler import Engine
from serving.http_operations import on_error, routes
from serving.openapi import openapi
from serving.wire import Problem, problem_of_status

__all__ = ["Door", "PlainErrors", "http_door", "ready_within"]

_DOCS_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Finntelligence API</title>
<link rel="stylesheet" href="/static_content/swagger-ui.css">
</head>
<body>
<p><a href="/console">Console: offers, why, and what if</a></p>
<div id="swagger-ui"></div>
<script src="/static_content/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_DOCS_SCRIPT = "SwaggerUIBundle({url: '/openapi.json', dom_id: '#swagger-ui'});\n"
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What the HTTP door needs: the engine, its limits, and how to ask whether models answer.

    A request takes one door and keeps it, so that replacing the door never mixes two engines.
    `served_since` is a time in seconds, as `started_at`; `reload_refused` what the last attempt to
    serve a newly published pair said, None if nothing is wrong.
    """

    engine: Engine
    version: str
    max_body_bytes: int
    models_ready: Callable[[], Awaitable[Mapping[str, bool]]]
    started_at: float
    served_since: float
    reload_refused: str | None = None

    def serving(self, engine: Engine) -> Self:
        """Return the door with another engine from now on."""
        return replace(self, engine=engine, served_since=time.time(), reload_refused=None)


def http_door() -> Starlette:
    """Return the ASGI application.

    `app.state.door` and `app.state.operations` must be set before the first request.
    """
    return Starlette(
        routes=[
            *routes(),  # first: they are looked at in this order
            Route("/", _root),
            Route("/docs", _docs),
            Route("/docs/start.js", _docs_script),
            Route("/openapi.json", _openapi),
            Route("/v1/status", _status),
            *console.routes(),
        ],
        exception_handlers={
            FinntelligenceError: on_error,  # type: ignore[dict-item]
            HTTPException: _on_http_error,  # type: ignore[dict-item]
            Exception: _on_defect,
        },
    )


def _door(request: Request) -> Door:
    door: Door = request.app.state.door
    return door


async def _status(request: Request) -> Response:
    return JSONResponse(await _system_status(_door(request)))


async def _root(request: Request) -> Response:
    """Status as JSON; a browser gets the API page."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/docs")
    return JSONResponse(await _system_status(_door(request)))


async def _system_status(door: Door) -> dict[str, Any]:
    portfolio, policy = door.engine.market.portfolio, door.engine.market.policy
    ready = await door.models_ready()
    return {
        "service": "finntelligence",
        "version": door.version,
        "status": "ready" if all(ready.values()) else "degraded",
        "models": {
            name: {"version": door.engine.versions[name], "ready": is_ready}
            for name, is_ready in ready.items()
        },
        "pair": door.engine.versions["pair"],
        "alias": door.engine.versions["alias"],
        "served_since": datetime.fromtimestamp(door.served_since, UTC).isoformat(
            timespec="seconds"
        ),
        "reload_refused": door.reload_refused,
        "portfolio": {
            "name": portfolio.name,
            "title": portfolio.title,
            "digest": portfolio.digest,
            "currency": portfolio.currency,
            "convention": portfolio.price.convention.value,
        },
        "policy": {"digest": policy.digest},
        "uptime_s": round(time.time() - door.started_at, 1),
        "links": {
            "offers": "/v1/offers",
            "status": "/v1/status",
            "api": "/docs",
            "console": "/console",
        },
    }


async def _docs(_: Request) -> Response:
    return HTMLResponse(_DOCS_PAGE, headers=_PAGE_HEADERS)


async def _docs_script(_: Request) -> Response:
    return Response(_DOCS_SCRIPT, media_type="text/javascript", headers=_PAGE_HEADERS)


async def _openapi(request: Request) -> Response:
    door = _door(request)
    return JSONResponse(openapi(door.engine.market.portfolio, door.version))


async def _on_http_error(_: Request, error: HTTPException) -> Response:
    return _problem(problem_of_status(error.status_code, error.detail), error.headers)


async def _on_defect(_: Request, error: Exception) -> Response:
    """Answer a defect of ours without its details; Starlette re-raises it into the log."""
    detail = "Something went wrong on our side; the log has the details"
    return _problem(problem_of_status(500, detail))


def _problem(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        problem.model_dump_json(),
        status_code=problem.status,
        headers=headers,
        media_type="application/problem+json",
    )


async def ready_within(seconds: float, question: Awaitable[bool]) -> bool:
    """Whether a model says it is ready in time."""
    try:
        return await asyncio.wait_for(question, seconds)
    except (TimeoutError, OSError):
        return False


class PlainErrors:
    """ASGI middleware: an unknown path, which BentoML answers in plain text, becomes a problem."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on but a plain-text 404."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        replaced = False

        async def checked(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == 404:
                kind = dict(message.get("headers", ())).get(b"content-type", b"")
                replaced = kind.startswith(b"text/plain")
            if not replaced:
                await send(message)
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                response = _problem(problem_of_status(404, f"nothing is at {scope['path']}"))
                await response(scope, receive, send)

        await self._app(scope, receive, checked)
