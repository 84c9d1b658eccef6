import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from serving.security_headers import SecurityHeaders

OWN = {"Content-Security-Policy": "default-src 'self'", "Cache-Control": "max-age=60"}


async def plain(_):
    return PlainTextResponse("a", headers={"Server": "BentoML Service/x", "X-Powered-By": "y"})


async def page(_):
    return PlainTextResponse("b", headers=OWN)


@pytest.fixture
def headers():
    app = SecurityHeaders(Starlette(routes=[Route("/plain", plain), Route("/page", page)]))

    async def asked(path):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
            return (await client.get(path)).headers

    return lambda path: asyncio.run(asked(path))


@pytest.mark.parametrize("path", ["/plain", "/nowhere"])
def test_every_answer_may_load_nothing_and_be_framed_stored_and_sniffed_by_nobody(headers, path):
    found = headers(path)
    assert found["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert found["x-content-type-options"] == "nosniff"
    assert found["x-frame-options"] == "DENY"
    assert found["referrer-policy"] == "no-referrer"
    assert found["cache-control"] == "no-store"


def test_no_answer_tells_what_the_server_is(headers):
    assert {"server", "x-powered-by"} & set(headers("/plain")) == set()


def test_what_a_page_says_itself_is_left_and_said_once(headers):
    found = headers("/page")
    for name, value in OWN.items():
        assert found.get_list(name) == [value]
