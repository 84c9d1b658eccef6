"""The HTTP door's operations: translate a request, call the operation, translate back."""

import math
from typing import Any

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from finntelligence.errors import FinntelligenceError
from serving.gate import CALLER
from serving.operations import Call, Operations
from serving.problems import TooLargeError, problem_of, retry_after_s
from serving.validation import json_object

__all__ = ["on_error", "problem_response", "routes"]


def routes() -> list[Route]:
    """Return the routes of offers, quotes, curves, decisions, their outcomes, policy and models."""
    decision = "/v1/decisions/{decision_id}"
    return [
        Route("/v1/offers", _offers, methods=["POST"]),
        Route("/predict", _offers, methods=["POST"]),
        Route("/v1/quote", _quote, methods=["POST"]),
        Route("/v1/curve", _curve, methods=["POST"]),
        Route(decision, _decision),
        Route(f"{decision}/chain", _chain),
        Route(f"{decision}/replay", _replay, methods=["POST"]),
        Route(f"{decision}/outcome", _outcome, methods=["POST"]),
        Route("/v1/policy", _policy),
        Route("/v1/models", _models),
    ]


async def on_error(_: Request, error: FinntelligenceError) -> Response:
    """Answer with the problem that an error is."""
    return problem_response(error)


def problem_response(error: FinntelligenceError) -> Response:
    """Return the problem that an error is, by the one table."""
    problem, wait = problem_of(error), retry_after_s(error)
    return Response(
        problem.model_dump_json(),
        status_code=problem.status,
        headers=None if wait is None else {"Retry-After": str(math.ceil(wait))},
        media_type="application/problem+json",
    )


def _operations(request: Request) -> Operations:
    operations: Operations = request.app.state.operations
    return operations


def _call(request: Request) -> Call:
    key = request.headers.get("idempotency-key")
    return Call(channel="http", caller=request.scope.get(CALLER), idempotency_key=key)


async def _content(request: Request) -> dict[str, Any]:
    """Read a JSON object of bounded size."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, f"the body must be application/json, is {kind}")
    return json_object(await _bounded_body(request))


async def _bounded_body(request: Request) -> bytes:
    """Read the body; give up as soon as it is larger than allowed, whatever was announced."""
    limit = request.app.state.door.max_body_bytes
    message = f"the body must be at most {limit} bytes"
    if int(request.headers.get("content-length", 0)) > limit:
        raise TooLargeError(message)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLargeError(message)
    return bytes(body)


def _answered(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


async def _offers(request: Request) -> Response:
    content = await _content(request)
    answer = await _operations(request).optimise(content, _call(request))
    return _answered(answer)


async def _quote(request: Request) -> Response:
    content = await _content(request)
    answer = await _operations(request).quote(content, _call(request))
    return _answered(answer)


async def _curve(request: Request) -> Response:
    content = await _content(request)
    answer = await _operations(request).curve(content, _call(request))
    return _answered(answer)


async def _decision(request: Request) -> Response:
    decision_id = request.path_params["decision_id"]
    answer = await _operations(request).decision(decision_id, _call(request))
    return _answered(answer)


async def _chain(request: Request) -> Response:
    decision_id = request.path_params["decision_id"]
    answer = await _operations(request).chain(decision_id, _call(request))
    return _answered(answer)


async def _replay(request: Request) -> Response:
    decision_id = request.path_params["decision_id"]
    answer = await _operations(request).replay(decision_id, _call(request))
    return _answered(answer)


async def _outcome(request: Request) -> Response:
    decision_id, content = request.path_params["decision_id"], await _content(request)
    answer = await _operations(request).outcome(decision_id, content, _call(request))
    return _answered(answer)


async def _models(request: Request) -> Response:
    return _answered(_operations(request).models())


async def _policy(request: Request) -> Response:
    return JSONResponse(_operations(request).policy())
