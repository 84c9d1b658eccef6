"""An interceptor for the services that gRPC brings along: health and reflection.

Their own handlers answer INTERNAL to bytes that are no message, keep a closing server waiting for
as long as a caller listens, and let anybody listen as often as the server takes calls at all. What
these refuse, and methods that nobody has, are counted here; ours count their own.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from serving import metrics

__all__ = ["MOST_STREAMS", "Tamed"]

MOST_STREAMS = 32
"""Streams at once: who follows the health, or reads the reflection."""

_Refusal = tuple[grpc.StatusCode, str, str]  # with the problem's code
_BAD: _Refusal = grpc.StatusCode.INVALID_ARGUMENT, "the message cannot be read", "bad-request"
_FULL: _Refusal = (
    *(grpc.StatusCode.RESOURCE_EXHAUSTED, f"at most {MOST_STREAMS} streams are open at once"),
    "overloaded",
)
_NOWHERE: _Refusal = grpc.StatusCode.UNIMPLEMENTED, "there is no such method", "not-found"


class Tamed(grpc.aio.ServerInterceptor):
    """Reads messages safely, bounds streams, and ends them once `closing` is set."""

    def __init__(self, closing: asyncio.Event) -> None:
        self._closing, self._streams = closing, 0

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], call: Any
    ) -> Any:
        """Return the handler of a call, tamed; ours reads bytes and needs no taming."""
        handler = await continuation(call)
        if handler is None:
            return grpc.unary_unary_rpc_method_handler(_nowhere)
        if handler.request_deserializer is None:
            return handler
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._stream_stream(handler), None, handler.response_serializer
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._unary_stream(handler), None, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            _unary_unary(handler), None, handler.response_serializer
        )

    def _unary_stream(self, handler: Any) -> Any:
        async def behave(body: bytes, context: Any) -> None:
            with await self._room(context):
                request = await _read(handler, body, context)
                answering = asyncio.ensure_future(handler.unary_stream(request, context))
                closing = asyncio.ensure_future(self._closing.wait())
                try:
                    await asyncio.wait({answering, closing}, return_when=asyncio.FIRST_COMPLETED)
                    if not answering.done():
                        await context.abort(grpc.StatusCode.UNAVAILABLE, "the service closes")
                    await answering
                finally:
                    answering.cancel()
                    closing.cancel()

        return behave

    def _stream_stream(self, handler: Any) -> Any:
        async def behave(bodies: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
            with await self._room(context):
                async for answer in handler.stream_stream(
                    self._until_closing(handler, bodies, context), context
                ):
                    yield answer

        return behave

    async def _room(self, context: Any) -> AbstractContextManager[None]:
        """Return a place for one more stream, or refuse it."""
        if self._streams >= MOST_STREAMS:
            await _refuse(context, _FULL)
        return self._counted()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    async def _until_closing(
        self, handler: Any, bodies: AsyncIterator[bytes], context: Any
    ) -> AsyncIterator[Any]:
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            while not closing.done():
                coming = asyncio.ensure_future(anext(bodies, None))
                await asyncio.wait({coming, closing}, return_when=asyncio.FIRST_COMPLETED)
                body = coming.result() if coming.done() else None
                if body is None:
                    coming.cancel()
                    return
                yield await _read(handler, body, context)
        finally:
            closing.cancel()


def _unary_unary(handler: Any) -> Any:
    async def behave(body: bytes, context: Any) -> Any:
        return await handler.unary_unary(await _read(handler, body, context), context)

    return behave


async def _read(handler: Any, body: bytes, context: Any) -> Any:
    try:
        return handler.request_deserializer(body)
    except DecodeError:
        await _refuse(context, _BAD)


async def _nowhere(_: bytes, context: Any) -> None:
    await _refuse(context, _NOWHERE)


async def _refuse(context: Any, refusal: _Refusal) -> NoReturn:
    code, said, problem = refusal
    metrics.refused("grpc", problem)
    await context.abort(code, said)
    raise AssertionError("an abort raises")
