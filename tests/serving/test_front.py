"""What stands before a front, and in which order."""

import asyncio

import httpx
import pytest
from bentoml import server_context
from bentoml._internal.server.http import traffic
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from serving.front import Straight, stand_before
from serving.gate import Gate
from serving.settings import FrontSettings


class Service:
    """Notes what is put before it, as BentoML's does."""

    name = "front"

    def __init__(self):
        self.middlewares = []

    def add_asgi_middleware(self, kind, **options):
        self.middlewares.append((kind, options))


@pytest.fixture(autouse=True)
def limit_of_bentoml(monkeypatch):
    """Put BentoML's limit of time back where `stand_before` replaces it."""
    monkeypatch.setattr(traffic, "TimeoutMiddleware", traffic.TimeoutMiddleware)
    return traffic.TimeoutMiddleware


def test_a_request_passes_the_gate_before_it_waits_for_its_turn(tmp_path):
    settings, service = FrontSettings(timeout_s=7, body_s=3, max_body_bytes=9999), Service()
    gates = []
    door = Starlette()
    stand_before(service, door, lambda: gates.append(Gate.open(tmp_path, 1)) or gates[-1], settings)
    assert gates == []  # another part of the service opens none
    ((kind, options),) = service.middlewares
    app, passed = kind("the door", **options), {}
    while app != "the door":
        passed[type(app).__name__] = app
        app = app._app
    assert [*passed] == ["SecurityHeaders", "PlainErrors", "HttpGate", "Turns", "Straight"]
    turns = passed["Turns"]
    assert turns._admission is gates[0].admission
    assert (turns._most_bytes, turns._body_s, turns._timeout_s) == (9999, 3, 7)


def test_bentoml_bounds_the_time_of_other_services_and_ours_that_of_the_front(
    tmp_path, monkeypatch, limit_of_bentoml
):
    stand_before(Service(), Starlette(), lambda: Gate.open(tmp_path, 1), FrontSettings())
    monkeypatch.setattr(server_context, "service_name", "front")
    assert traffic.TimeoutMiddleware("an app", timeout=3) == "an app"
    monkeypatch.setattr(server_context, "service_name", "RiskRunner")
    timed = traffic.TimeoutMiddleware("an app", timeout=3)
    assert (type(timed), timed.app, timed.timeout) == (limit_of_bentoml, "an app", 3)


def said(text):
    async def page(_):
        return PlainTextResponse(text)

    return page


def asked(app, *paths, method="GET", raises=True):
    transport = httpx.ASGITransport(app, raise_app_exceptions=raises)

    async def told():
        async with httpx.AsyncClient(transport=transport, base_url="http://front") as client:
            return [await client.request(method, path) for path in paths]

    return asyncio.run(told())


def test_a_doors_own_pages_go_straight_to_it_and_everything_else_the_long_way():
    own = [Route("/own", said("door")), Route("/own/{name}", said("pattern"))]
    door = Starlette(routes=[*own, Route("/own", said("later"))])
    around = Starlette(routes=[Route("/own", said("around")), Mount("/", app=door)])
    around.routes.insert(0, Route("/readyz", said("ready")))
    found = asked(Straight(around, door), "/own", "/own/x", "/readyz", "/nowhere")
    assert [answer.text for answer in found] == ["door", "pattern", "ready", "Not Found"]


def test_a_page_is_for_its_own_methods():
    door = Starlette(routes=[Route("/own", said("door"), methods=["POST"])])
    straight = Straight(door, door)
    assert [answer.text for answer in asked(straight, "/own", method="POST")] == ["door"]
    assert [answer.status_code for answer in asked(straight, "/own")] == [405]


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (LookupError("x"), 404, "LookupError"),
        (KeyError("x"), 404, "LookupError"),  # the nearest kind that has a handler
        (HTTPException(415, "x"), 415, "HTTPException"),
        (ValueError("x"), 500, "Exception"),
    ],
)
def test_what_goes_wrong_on_a_page_is_answered_as_the_door_does(error, status, text):
    def handler(kind, status):
        async def told(request, error):
            assert request.app is door
            return PlainTextResponse(kind.__name__, getattr(error, "status_code", status))

        return told

    async def failing(_):
        raise error

    kinds = {LookupError: 404, HTTPException: 400, Exception: 500}
    door = Starlette(
        routes=[Route("/own", failing)],
        exception_handlers={kind: handler(kind, code) for kind, code in kinds.items()},
    )
    for app in (door, Straight(door, door)):
        (answer,) = asked(app, "/own", raises=False)
        assert (answer.status_code, answer.text) == (status, text)


def test_a_defect_of_a_page_is_answered_and_still_reaches_the_log():
    async def failing(_):
        raise ValueError("a defect")

    async def told(_, error):
        return PlainTextResponse("sorry", 500)

    door = Starlette(routes=[Route("/own", failing)], exception_handlers={Exception: told})
    with pytest.raises(ValueError, match="a defect"):
        asked(Straight(door, door), "/own")


def test_without_a_handler_an_error_is_the_servers():
    async def failing(_):
        raise ValueError("a defect")

    door = Starlette(routes=[Route("/own", failing)])
    with pytest.raises(ValueError, match="a defect"):
        asked(Straight(door, door), "/own")
