"""The HTTP door's routes to the operations; `app.state.operations` must be set before."""

import math
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from finntelligence.errors import FinntelligenceError
from serving.http_door import _bounded_body
from serving.operations import Call, Operations
from serving.problems import problem_of, retry_after_s
from serving.validation import json_object

__all__ = ["on_error", "routes"]


def routes() -> list[Route]:
    """Return the routes of offers, quotes, decisions, outcomes and the policy."""
    return [
        Route("/v1/offers", _offers, methods=["POST"]),
        Route("/predict", _offers, methods=["POST"]),
        Route("/v1/quote", _quote, methods=["POST"]),
        Route("/v1/decisions/{decision_id}", _decision),
        Route("/v1/decisions/{decision_id}/outcome", _outcome, methods=["POST"]),
        Route("/v1/policy", _policy),
    ]


async def on_error(_: Request, error: FinntelligenceError) -> Response:
    """Answer with the problem that an error is, by the one table."""
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
    return Call(channel="http", idempotency_key=request.headers.get("idempotency-key"))


async def _content(request: Request) -> dict[str, Any]:
    """Read a JSON object of bounded size."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, f"the body must be application/json, is {kind}")
    return json_object(await _bounded_body(request, request.app.state.door.max_body_bytes))


async def _offers(request: Request) -> Response:
    content = await _content(request)
    answer = await _operations(request).optimise(content, _call(request))
    return Response(answer.model_dump_json(), media_type="application/json")


async def _quote(request: Request) -> Response:
    content = await _content(request)
    answer = await _operations(request).quote(content, _call(request))
    return Response(answer.model_dump_json(), media_type="application/json")


async def _decision(request: Request) -> Response:
    decision_id = request.path_params["decision_id"]
    answer = await _operations(request).decision(decision_id, _call(request))
    return Response(answer.model_dump_json(), media_type="application/json")


async def _outcome(request: Request) -> Response:
    decision_id, content = request.path_params["decision_id"], await _content(request)
    answer = await _operations(request).outcome(decision_id, content, _call(request))
    return Response(answer.model_dump_json(), media_type="application/json")


async def _policy(request: Request) -> Response:
    return JSONResponse(_operations(request).policy())
