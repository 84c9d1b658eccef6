import asyncio
import select
import socket

import httpx
import pytest

from loadtests.rival import _listening, rival


@pytest.fixture
def ask(rival_folder, monkeypatch):
    monkeypatch.chdir(rival_folder)
    app = rival(rival_folder)

    def asked(body):
        async def post():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://rival") as client:
                return await client.post("/v1/offers", json=body)

        return asyncio.run(post())

    return asked


def test_it_answers_with_the_offers_of_its_grid(ask, priced):
    body, offers = next((body, offers) for body, offers in priced if offers)
    answer = ask(body).json()
    assert answer["outcome"] == "offers"
    assert answer["offers"] == [pytest.approx(offer) for offer in offers]


def test_it_refuses_what_is_no_application(ask, priced):
    body, _ = priced[0]
    wrong = body | {"features": body["features"] | {"fico": 900}}
    assert ask(wrong).status_code == 422


def test_processes_share_a_port_and_wait_for_nothing_before_they_send():
    first = _listening(0)
    port = first.getsockname()[1]
    with first, _listening(port) as second:
        for listening in (first, second):
            listening.listen()
        with socket.create_connection(("127.0.0.1", port)):
            ready, _, _ = select.select([first, second], [], [], 10)
            accepted, _ = ready[0].accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
