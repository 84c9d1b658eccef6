"""What stands before a front, and in which order."""

import asyncio

import httpx
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from serving.front import Straight, stand_before
from serving.gate import Gate
from serving.settings import FrontSettings


class Service:
    """Notes what is put before it, as BentoML's does."""

    def __init__(self):
        self.middlewares = []

    def add_asgi_middleware(self, kind, **options):
        self.middlewares.append((kind, options))


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


def said(text):
    return lambda _: PlainTextResponse(text)


def test_a_doors_own_pages_go_straight_to_it_and_everything_else_the_long_way():
    door = Starlette(routes=[Route("/own", said("door")), Route("/own/{name}", said("pattern"))])
    around = Starlette(routes=[Route("/own", said("around")), Mount("/", app=door)])
    around.routes.insert(0, Route("/readyz", said("ready")))
    transport = httpx.ASGITransport(Straight(around, door))

    async def told(*paths):
        async with httpx.AsyncClient(transport=transport, base_url="http://front") as client:
            return [(await client.get(path)).text for path in paths]

    found = asyncio.run(told("/own", "/own/x", "/readyz", "/nowhere"))
    assert found == ["door", "pattern", "ready", "Not Found"]
