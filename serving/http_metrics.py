"""What Prometheus sees of the HTTP door: BentoML's own series and the refusals.

BentoML labels its series with whatever path is asked for, so that any stranger, and every decision
that is read, would add series for good. Here a path is known by its route's template, and all that
no route has are one.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from time import perf_counter
from typing import Any

from bentoml import server_context
from bentoml._internal.server.http import instruments
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import metrics

__all__ = ["UNKNOWN", "BoundedTraffic", "bound_traffic", "endpoint_of"]

UNKNOWN = "other"
"""The endpoint of every path that is nowhere."""

_BENTOMLS = {"/livez", "/healthz", "/readyz", "/metrics", "/docs.json", "/schema.json"}
_NOTHING: Mapping[str, Any] = {"status": 500}  # of an application that fails before it answers
_REFUSED, _DEFECT = 400, 500
_PROBLEM = b"application/problem+json"
_CODES = {429: "overloaded", 503: "unavailable", 504: "timeout"}  # of what BentoML refuses


def bound_traffic(routes: Callable[[], Sequence[BaseRoute]], front: str) -> None:
    """Have BentoML, in this process, know paths by `routes`, and count refusals of `front`.

    To be called before its applications are made, and `routes` when the first request is there;
    those of other services than the front one, which are the runners', have their own routes too.
    """
    known = cache(lambda: endpoint_of(routes()))
    instruments.RunnerTrafficMetricsMiddleware = partial(  # type: ignore[misc,assignment]
        BoundedTraffic, known=known, front=front
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


class BoundedTraffic(instruments.RunnerTrafficMetricsMiddleware):
    """ASGI middleware: BentoML's series, each looked up by its labels once, not for each request.

    `known` returns what tells a path's endpoint; the refusals of service `front` are counted too.
    """

    def __init__(
        self, app: ASGIApp, known: Callable[[], Callable[[str], str]], front: str, **words: Any
    ) -> None:
        super().__init__(app, **words)
        self._known, self._front = known, front
        self._series = cache(self._found)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count and time a request; what is behind refuses a websocket."""
        if scope["type"] != "http" or scope["path"] == "/metrics":
            await self.app(scope, receive, send)
            return
        if not self._is_setup:
            self._setup()
        series, began, start = self._series(self._known()(scope["path"])), perf_counter(), _NOTHING

        async def told(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            elif not message.get("more_body"):
                series.answered(start["status"], perf_counter() - began)
                if start["status"] >= _REFUSED and series.is_of_front:
                    metrics.refused("http", _code(start, message.get("body", b"")))
            await send(message)

        series.asked()
        try:
            await self.app(scope, receive, told)
        finally:
            series.in_progress.dec()

    def _found(self, endpoint: str) -> "_Series":
        name = server_context.service_name
        bento = server_context.bento_name, server_context.bento_version
        is_probe = endpoint.startswith(tuple(self.skip_paths))

        def answers(status: int) -> tuple[Any, Any]:
            labels = endpoint, *bento, status, name
            return (
                self.metrics_request_total.labels(*labels),
                self.metrics_request_duration.labels(*labels),
            )

        return _Series(
            is_of_front=name == self._front,
            last=None if is_probe else self.metrics_last_request_timestamp.labels(*bento, name),
            in_progress=self.metrics_request_in_progress.labels(endpoint, *bento, name),
            answers=cache(answers),
        )


@dataclass(frozen=True, slots=True)
class _Series:
    """One endpoint's: when it was asked last, what is open, and by status count and duration."""

    is_of_front: bool
    last: Any
    in_progress: Any
    answers: Callable[[int], tuple[Any, ...]]

    def asked(self) -> None:
        if self.last is not None:
            self.last.set_to_current_time()
        self.in_progress.inc()

    def answered(self, status: int, seconds: float) -> None:
        count, duration = self.answers(status)
        count.inc()
        duration.observe(seconds)


def _code(start: Mapping[str, Any], body: bytes) -> str:
    if dict(start.get("headers", ())).get(b"content-type") == _PROBLEM:
        return str(json.loads(body)["type"]).rpartition(":")[2]
    status = int(start["status"])
    return _CODES.get(status, "internal" if status >= _DEFECT else "bad-request")
