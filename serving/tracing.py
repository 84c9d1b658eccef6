"""OpenTelemetry traces of a request, from the door through its stages to the runners and back.

On where the environment names a collector: OTEL_EXPORTER_OTLP_ENDPOINT or its TRACES_ENDPOINT, or
OTEL_TRACES_EXPORTER=otlp; off with OTEL_SDK_DISABLED=true or OTEL_TRACES_EXPORTER=none. All other
OTEL_ variables have their standard meaning; the protocol is http/protobuf.

Spans hold nothing of an applicant: a path, a status, the type of an error. BentoML makes spans of
each request of its own, recorded even where nobody collects them and without an outbound end; ours
replace them. `runners.remote` passes the trace on.
"""

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from threading import Thread
from types import TracebackType
from typing import Any, Self

import grpc
from opentelemetry import context as contexts
from opentelemetry import propagate
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from finntelligence.errors import FinntelligenceError
from serving import metrics

__all__ = ["CannotTraceError", "TracedCalls", "TracedRequests", "interceptors", "stage", "watch"]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
_PROTOCOL = "http/protobuf"
_PROBES = frozenset(("/metrics", "/healthz", "/livez", "/readyz"))
_DECISION = re.compile(r"[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}")
_SERVICE = "finntelligence."  # of gRPC's own services there are no spans
_FLUSH_WITHIN_S = 2
_SERVER_ERROR = 500
_NOT_FOUND = 404


class CannotTraceError(FinntelligenceError):
    """The environment asks for traces that cannot be sent."""


class stage:  # noqa: N801 - read as a word: `with stage("score"):`
    """Time a stage of a request, as a metric and, where traces are on, as a span.

    >>> with stage("validate"):
    ...     pass
    """

    __slots__ = ("_began", "_name", "_span")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> Self:
        tracer = _tracer()
        self._span = None if tracer is None else _span(tracer, self._name, SpanKind.INTERNAL)
        if self._span is not None:
            self._span.__enter__()
        self._began = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        metrics.took(self._name, time.perf_counter() - self._began)
        if self._span is not None:
            self._span.__exit__(kind, error, traceback)


def watch(*services: Any) -> None:
    """Trace the requests of BentoML services, ours in place of BentoML's own spans.

    Raises:
        CannotTraceError: when the environment asks for another protocol than http/protobuf.
    """
    from opentelemetry.instrumentation import asgi

    asgi.OpenTelemetryMiddleware = _as_it_is  # type: ignore[misc,assignment]
    if _is_on(os.environ):
        for service in services:
            service.add_asgi_middleware(TracedRequests, component=service.name)


def _as_it_is(app: ASGIApp, **_: Any) -> ASGIApp:
    """Return an application without BentoML's spans."""
    return app


def interceptors() -> tuple[grpc.aio.ServerInterceptor, ...]:
    """Return what traces the calls of a gRPC server: nothing where traces are off."""
    return (TracedCalls(),) if _is_on(os.environ) else ()


class TracedRequests:
    """ASGI middleware: a span for each request but probes, and the last ones sent at the end."""

    def __init__(self, app: ASGIApp, component: str = "finntelligence") -> None:
        self._app, self._component = app, component

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer inside a span that continues the caller's trace."""
        tracer = _tracer()
        if tracer is None or scope["type"] != "http" or scope["path"] in _PROBES:
            await self._app(scope, receive, send)
            if scope["type"] == "lifespan":
                await _flushed()
            return
        carrier = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        with _continued(carrier), _span(tracer, scope["method"], SpanKind.SERVER) as span:

            async def told(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _tell_request(span, scope, message["status"])
                await send(message)

            span.set_attribute("finnt.component", self._component)
            await self._app(scope, receive, told)


class TracedCalls(grpc.aio.ServerInterceptor):
    """A span for each call of our own gRPC service."""

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], call: Any
    ) -> Any:
        """Return the handler of a call, inside a span that continues the caller's trace."""
        handler, tracer = await continuation(call), _tracer()
        name = call.method.lstrip("/")
        if handler is None or tracer is None or not name.startswith(_SERVICE):
            return handler

        async def behave(request: Any, context: Any) -> Any:
            pairs = context.invocation_metadata() or ()
            carrier = {key: value for key, value in pairs if isinstance(value, str)}
            with _continued(carrier), _span(tracer, name, SpanKind.SERVER) as span:
                span.set_attribute("rpc.system", "grpc")
                try:
                    return await handler.unary_unary(request, context)
                finally:
                    span.set_attribute("rpc.grpc.status_code", _code(context))

        return grpc.unary_unary_rpc_method_handler(
            behave, handler.request_deserializer, handler.response_serializer
        )


def _is_on(environment: Mapping[str, str]) -> bool:
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    named = exporter == "otlp" or any(environment.get(name) for name in _ENDPOINTS)
    if disabled or exporter == "none" or not named:
        return False
    for name in _PROTOCOLS:
        if environment.get(name, _PROTOCOL) != _PROTOCOL:
            raise CannotTraceError(f"{name} must be {_PROTOCOL}, is {environment[name]!r}")
    return True


@cache  # made when a worker is first asked: the process that starts workers has no exporter
def _tracer() -> Tracer | None:
    provider = _provider()
    return None if provider is None else provider.get_tracer("finntelligence")


@cache
def _provider() -> Any:
    if not _is_on(os.environ):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    ours = Resource.create({"service.name": "finntelligence", "process.pid": os.getpid()})
    provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


@contextmanager
def _continued(carrier: Mapping[str, str]) -> Iterator[None]:
    """Continue the trace that a caller's headers name."""
    token = contexts.attach(propagate.extract(carrier))
    try:
        yield
    finally:
        contexts.detach(token)


@contextmanager
def _span(tracer: Tracer, name: str, kind: SpanKind) -> Iterator[Span]:
    """Open a span; of an error it has the type alone, whose message may repeat an applicant."""
    words: dict[str, Any] = {"record_exception": False, "set_status_on_exception": False}
    with tracer.start_as_current_span(name, kind=kind, **words) as span:
        try:
            yield span
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR))
            raise


def _tell_request(span: Span, scope: Scope, status: int) -> None:
    path = _DECISION.sub("{decision_id}", scope["path"])
    span.set_attribute("http.request.method", scope["method"])
    span.set_attribute("http.response.status_code", status)
    if status != _NOT_FOUND:  # whatever anybody may ask for is no name
        span.set_attribute("url.path", path)
        span.update_name(f"{scope['method']} {path}")
    if status >= _SERVER_ERROR:
        span.set_status(Status(StatusCode.ERROR))


def _code(context: Any) -> int:
    code = context.code() or grpc.StatusCode.OK
    return int(code if isinstance(code, int) else code.value[0])


async def _flushed() -> None:
    """Send what is left, for as long as a stop may take; a process that is told to ends at once."""
    sending = Thread(target=_provider().shutdown, daemon=True) if _provider() else None
    if sending is not None:
        sending.start()
        await asyncio.to_thread(sending.join, _FLUSH_WITHIN_S)
