"""The limit: our front with an endpoint that reads a request, renders an answer, scores nothing.

    bentoml serve loadtests.limit:LimitService --arg answer=FILE --port 3300

Same server, same settings, same middlewares in the same order as `service.py`; no model, no
record. What is between this and the service is what deciding, its runners and its record cost.
"""

import json
from pathlib import Path
from typing import Any

import bentoml
import pydantic_core
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runners.heap import settle
from runners.linger import Leave
from runners.store import ROOT
from serving import tracing
from serving.front import stand_before
from serving.gate import Gate
from serving.http_metrics import bound_traffic
from serving.json_log import start_log
from serving.settings import FrontSettings
from serving.validation import json_object

__all__ = ["LimitService"]


class Arguments(BaseModel):
    """What `bentoml serve --arg` takes."""

    answer: Path


start_log()
_settings = FrontSettings().chosen()
_answer = json.loads(bentoml.use_arguments(Arguments).answer.read_text(encoding="utf-8"))


async def _offers(request: Request) -> Response:
    json_object(await request.body())
    return Response(pydantic_core.to_json(_answer), media_type="application/json")


_door = Starlette(routes=[Route("/v1/offers", _offers, methods=["POST"])])


@bentoml.service(
    name="limit",
    workers=_settings.workers,
    traffic={"timeout": _settings.timeout_s},
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(_door, path="/")
class LimitService:
    """Answers everybody the same."""

    def __init__(self) -> None:
        settle()


_service: Any = LimitService  # the decorator made a Service of it
bound_traffic(lambda: _door.routes, _service.name)
_service.add_asgi_middleware(Leave)
tracing.watch(LimitService)
stand_before(_service, _door, lambda: Gate.open(ROOT, _settings.workers), _settings)
