"""The short way from a front's question into a runner's adaptive batch, and back.

BentoML's own way there finds out for each call what its method takes and answers, which of its
parts lead there, and sends the answer in pieces. All of it is the same for every call, and takes
several times as long as a model does for a few rows.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from inspect import iscoroutinefunction
from typing import Any

import bentoml
import numpy as np
from _bentoml_impl.serde import Payload  # type: ignore[import-untyped]
from bentoml import server_context
from bentoml._internal.server.http import traffic
from bentoml.exceptions import BentoMLException, InvalidArgument
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from runners.arrays import ArraySerde
from runners.envelope import refuse_unsealed
from runners.settings import RunnerSettings

__all__ = ["Direct", "ask_directly"]

Array = NDArray[np.float64]
Ask = Callable[[Array], Awaitable[Array]]

_TIMED_OUT, _DEFECT = 504, 500

log = logging.getLogger(__name__)


class Direct:
    """ASGI middleware: a batchable method is asked without what BentoML does around it.

    What is asked joins the batches of BentoML's dispatcher, as if it had come through BentoML, and
    has `timeout_s` seconds to be answered. To be the innermost of a runner's; all but the calls of
    batchable coroutines goes on as it came.
    """

    def __init__(self, app: ASGIApp, timeout_s: float) -> None:
        self._app, self._timeout_s = app, timeout_s
        self._asks: dict[str, Ask] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a question, or pass on what is none."""
        ask = self._found(scope).get(scope["path"]) if scope["type"] == "http" else None
        if ask is None or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        request, limit = Request(scope, receive), asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                answer = await ask(_rows(await request.body(), request.headers))
            sent = ArraySerde().serialize_value(answer)
            content = b"".join(sent.data)
            response = Response(content, 200, sent.metadata, ArraySerde.media_type)
        except ClientDisconnect:  # nobody is there to be answered
            return
        except TimeoutError:
            response = self._late()
        except BentoMLException as error:
            # the dispatcher takes a call that is given up for an overload
            is_late = limit.expired()
            response = self._late() if is_late else _refused(error.error_code.value, str(error))
        except Exception:
            log.exception("a call of %s failed", scope["path"])
            response = _refused(_DEFECT, "an error of the runner; its log says more")
        await response(scope, receive, send)

    def _late(self) -> Response:
        return _refused(_TIMED_OUT, f"no answer within {self._timeout_s:.3g} s")

    def _found(self, scope: Scope) -> dict[str, Ask]:
        if self._asks is None:
            self._asks = dict(_asks(scope["app"]))
        return self._asks


def ask_directly(*runners: Any) -> None:
    """Have runner services answer so; to be called when they have all their other middleware."""
    for runner in runners:
        runner.add_asgi_middleware(Direct, timeout_s=RunnerSettings().timeout_s)
    names = {runner.name for runner in runners}
    traffic.TimeoutMiddleware = partial(  # type: ignore[misc,assignment]
        _timed, names, traffic.TimeoutMiddleware
    )


def _timed(runners: Collection[str], timed: Any, app: ASGIApp, timeout: float) -> ASGIApp:
    """Return an application as BentoML bounds its requests' time, but a runner's as it is.

    There `Direct` does so, without a task and a timer of each call that nobody cancels.
    """
    return app if server_context.service_name in runners else timed(app, timeout)


def _asks(app: Starlette) -> Iterator[tuple[str, Ask]]:
    """Return what asks each batchable method of the service that BentoML made an application of."""
    # only where an application was made is all of this loaded anyhow
    from _bentoml_impl.server.app import ServiceAppFactory  # type: ignore[import-untyped]

    for route in app.routes:
        endpoint = getattr(route, "endpoint", None)
        if not isinstance(route, Route) or not isinstance(endpoint, partial):
            continue
        factory, name = getattr(endpoint.func, "__self__", None), endpoint.args[0]
        if not isinstance(factory, ServiceAppFactory) or name not in factory.dispatchers:
            continue
        if iscoroutinefunction(factory.service.apis[name].func):  # else it needs a thread
            yield route.path, factory.dispatchers[name](_jointly(factory, name))


def _jointly(factory: Any, name: str) -> Callable[[Sequence[Array]], Awaitable[list[Array]]]:
    """Return what answers a batch of questions, and counts it as BentoML does."""
    function = factory.service.apis[name].func
    observe: Callable[[int], object] = _nothing
    if factory.enable_metrics:
        observe = factory.adaptive_batch_size_hist.labels(
            runner_name=factory.service.name,
            worker_index=server_context.worker_index,
            method_name=name,
            service_version=server_context.bento_version,
            service_name=server_context.bento_name,
        ).observe

    async def answered(batches: Sequence[Array]) -> list[Array]:
        observe(len(batches))
        answers = await function(bentoml.get_current_service(), np.concatenate(batches))
        ends = np.cumsum([len(each) for each in batches])
        return np.split(answers, ends[:-1])

    return answered


def _rows(body: bytes, headers: Mapping[str, str]) -> Array:
    """Return the sealed rows that were sent."""
    asked = ArraySerde().deserialize_value(Payload((body,), headers))
    if not isinstance(asked, dict) or list(asked) != ["rows"]:
        raise InvalidArgument("rows are asked about, and nothing else")
    return refuse_unsealed(asked["rows"])


def _refused(status: int, said: str) -> Response:
    return JSONResponse({"error": said}, status)


def _nothing(_: int) -> None:
    """Count nothing."""
