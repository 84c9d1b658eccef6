"""The gRPC door: translate a message, call the operation, translate back."""

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn, Self

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from pydantic import BaseModel

from finntelligence.errors import FinntelligenceError
from serving import metrics
from serving.grpc_metrics import GrpcMetrics
from serving.grpc_metrics import metrics as grpc_metrics
from serving.grpc_problems import DETAILS, short, to_status
from serving.grpc_settings import GrpcSettings
from serving.grpc_streams import MOST_STREAMS, Tamed
from serving.messages import from_message, to_message
from serving.operations import Call, Operations
from serving.problems import (
    ClosingError,
    OverloadedError,
    TimedOutError,
    defect,
    kind_of,
    problem_of,
    retry_after_s,
)
from serving.stubs import offers_pb2 as pb
from serving.wire import BadRequestError

__all__ = ["SERVICE", "Authorise", "CannotListenError", "GrpcDoor"]

log = logging.getLogger(__name__)

SERVICE = "finntelligence.v1.Offers"

Authorise = Callable[[Mapping[str, str], str], Awaitable[str | None]]
"""Takes the request's headers (names in small letters) and the scope it needs (offer, read or
outcome); returns the caller's id, or raises `UnauthenticatedError` or `ForbiddenError`."""

_READY_EVERY_S = 1.0
_READY_WITHIN_S = 2.0
_FLUSH_S = 0.25
_LOOK_EVERY_S = 0.02
_ROOM = 64  # calls beyond the limits: to be told the health, and to be told of a limit


class CannotListenError(FinntelligenceError):
    """The gRPC door cannot be opened: its address is taken, or a TLS file cannot be read."""


class _Method(NamedTuple):
    asked: type[Message]
    answered: type[Message]
    scope: str
    ask: Callable[[Operations, dict[str, Any], Call], Awaitable[BaseModel]]


def _decision(operations: Operations, asked: dict[str, Any], call: Call) -> Awaitable[BaseModel]:
    return operations.decision(asked.get("decision_id", ""), call)


def _outcome(operations: Operations, asked: dict[str, Any], call: Call) -> Awaitable[BaseModel]:
    said = {name: value for name, value in asked.items() if name != "decision_id" and value != ""}
    return operations.outcome(asked.get("decision_id", ""), said, call)


_METHODS: Mapping[str, _Method] = {
    "OptimiseOffers": _Method(
        pb.OptimiseOffersRequest, pb.OptimiseOffersResponse, "offer", Operations.optimise
    ),
    "QuoteOffer": _Method(pb.QuoteOfferRequest, pb.QuoteOfferResponse, "offer", Operations.quote),
    "GetDecision": _Method(pb.GetDecisionRequest, pb.DecisionRecord, "read", _decision),
    "RecordOutcome": _Method(pb.RecordOutcomeRequest, pb.RecordedOutcome, "outcome", _outcome),
}


async def anybody(_: Mapping[str, str], __: str) -> None:
    """Let everybody do everything: for a door on loopback."""


@dataclass(slots=True, kw_only=True)
class GrpcDoor:
    """A gRPC server in this process's event loop; `open` it, and `close` it in the same loop.

    `models_ready` says of each model whether it answers, as for the HTTP door. `interceptors` come
    before the door's own; a call is answered within `admission`, which may refuse it.
    """

    operations: Operations
    settings: GrpcSettings
    models_ready: Callable[[], Awaitable[Mapping[str, bool]]]
    authorise: Authorise = anybody
    admission: AbstractAsyncContextManager[Any] = field(default_factory=nullcontext)
    interceptors: Sequence[Any] = ()
    port: int = field(default=0, init=False)
    _server: Any = field(init=False)
    _health: Any = field(init=False)
    _closing: asyncio.Event = field(init=False)
    _following: asyncio.Task[None] = field(init=False)
    _metrics: GrpcMetrics = field(init=False)
    _open: int = field(default=0, init=False)

    async def open(self, *, shared: bool = False) -> Self:
        """Listen; `shared` lets other processes listen on the same port.

        Raises:
            CannotListenError: when that is not possible.
        """
        settings, self._closing, self._metrics = self.settings, asyncio.Event(), grpc_metrics()
        self._server = grpc.aio.server(
            interceptors=(*self.interceptors, Tamed(self._closing)),
            options=(
                ("grpc.so_reuseport", int(shared)),
                ("grpc.max_receive_message_length", settings.max_message_bytes),
            ),
            maximum_concurrent_rpcs=settings.max_concurrent + MOST_STREAMS + _ROOM,
        )
        handlers: dict[str, Any] = {
            name: grpc.unary_unary_rpc_method_handler(self._behaviour(name)) for name in _METHODS
        }
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, handlers),)
        )
        self._health = health.aio.HealthServicer()
        await self._say_ready(False)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self.port = self._bound()
        await self._server.start()
        self._following = asyncio.create_task(self._follow_readiness())
        log.info("gRPC on %s", settings.model_copy(update={"port": self.port}).address)
        return self

    async def close(self, grace_s: float | None = None) -> None:
        """Answer the calls in flight, tell new ones to ask elsewhere, and end."""
        ends = time.monotonic() + (self.settings.grace_s if grace_s is None else grace_s)
        self._following.cancel()
        self._closing.set()
        await self._health.enter_graceful_shutdown()
        # a stopping server cancels what arrives just then, so it stops when nothing is open
        while self._open and time.monotonic() < ends:
            await asyncio.sleep(_LOOK_EVERY_S)
        await self._server.stop(max(ends - time.monotonic(), 0))
        # the last answers may still be on their way out of the transport, which ends with us
        await asyncio.sleep(_FLUSH_S)

    def _bound(self) -> int:
        settings = self.settings
        try:
            credentials = _credentials(settings)
            if credentials is None:
                return int(self._server.add_insecure_port(settings.address))
            return int(self._server.add_secure_port(settings.address, credentials))
        except (OSError, RuntimeError) as error:
            said = f"cannot listen for gRPC on {settings.address}: {error}"
            raise CannotListenError(said) from error

    async def _follow_readiness(self) -> None:
        while True:
            await self._say_ready(await self._is_ready())
            await asyncio.sleep(_READY_EVERY_S)

    async def _is_ready(self) -> bool:
        try:
            async with asyncio.timeout(_READY_WITHIN_S):
                return all((await self.models_ready()).values())
        except Exception as error:  # noqa: BLE001 - whatever it is, they are not ready
            log.warning("whether the models are ready is not known: %s", type(error).__name__)
            return False

    async def _say_ready(self, ready: bool) -> None:
        status = health_pb2.HealthCheckResponse
        for name in ("", SERVICE):
            await self._health.set(name, status.SERVING if ready else status.NOT_SERVING)

    def _behaviour(self, name: str) -> Callable[[bytes, Any], Awaitable[bytes]]:
        """Return what answers one method: bytes in, bytes out, so that reading cannot fail."""

        async def behave(body: bytes, context: Any) -> bytes:
            began, code = time.perf_counter(), "CANCELLED"
            self._open += 1
            self._metrics.open.inc()
            try:
                answer = await self._answer(_METHODS[name], body, context)
                code = "OK"
                return answer
            except Exception as error:  # noqa: BLE001 - `_abort` raises, and logs a defect
                code = kind_of(error).grpc
                await _abort(name, context, error)
            finally:
                self._open -= 1
                self._metrics.open.dec()
                self._metrics.calls.labels(name, code).inc()
                self._metrics.seconds.labels(name).observe(time.perf_counter() - began)

        return behave

    async def _answer(self, method: _Method, body: bytes, context: Any) -> bytes:
        if self._closing.is_set():
            raise ClosingError("this process closes; try again")
        if self._open > self.settings.max_concurrent:
            most = self.settings.max_concurrent
            raise OverloadedError(f"at most {most} calls are answered at once; try again")
        left = context.time_remaining()
        seconds = self.settings.timeout_s if left is None else min(left, self.settings.timeout_s)
        try:
            async with asyncio.timeout(seconds):
                return await self._asked(method, body, _headers(context))
        except TimeoutError as error:
            raise TimedOutError(f"no answer within {seconds:.3g} s") from error

    async def _asked(self, method: _Method, body: bytes, headers: Mapping[str, str]) -> bytes:
        caller = await self.authorise(headers, method.scope)
        key = headers.get("idempotency-key")
        call = Call(channel="grpc", caller=caller, idempotency_key=key)
        try:
            asked = from_message(method.asked.FromString(body))
        except DecodeError as error:
            raise BadRequestError("the body must be a protobuf message") from error
        async with self.admission:
            answer = await method.ask(self.operations, asked, call)
        return to_message(method.answered, answer.model_dump()).SerializeToString()


def _headers(context: Any) -> dict[str, str]:
    return {
        key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)
    }


async def _abort(name: str, context: Any, error: Exception) -> NoReturn:
    """End a call with what the table says of an error; of a defect the log alone has details."""
    code = grpc.StatusCode[kind_of(error).grpc]
    metrics.refused("grpc", kind_of(error).code)
    if isinstance(error, FinntelligenceError) and code is not grpc.StatusCode.INTERNAL:
        problem = problem_of(error)
    else:
        _log_defect(name, error)
        problem = defect()
    trailing = ((DETAILS, to_status(code, problem, retry_after_s(error))),)
    await context.abort(code, short(problem.detail), trailing)
    raise error


def _log_defect(name: str, error: BaseException) -> None:
    """Log where a defect is; its message might repeat what the applicant said."""
    where = "".join(traceback.format_tb(error.__traceback__))
    log.error("a defect in %s: %s\n%s", name, type(error).__name__, where)


def _credentials(settings: GrpcSettings) -> Any:
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    pair = settings.tls_key_file.read_bytes(), settings.tls_cert_file.read_bytes()
    if settings.client_ca_file is None:
        return grpc.ssl_server_credentials([pair])
    authorities = settings.client_ca_file.read_bytes()
    return grpc.ssl_server_credentials([pair], authorities, require_client_auth=True)
