import asyncio
import contextlib

import pytest
from bentoml.exceptions import BentoMLException

from runners.connections import BrokenOffError, Connections

PATIENCE_S = 30
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-About: Rows\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
LAST = WHOLE.replace(b"X-About: Rows", b"Connection: close")


class Server(asyncio.Protocol):
    """Answers each request with the bytes it was told, in pieces; notes what it was sent."""

    def __init__(self, *pieces, ends=False):
        self.pieces, self.ends, self.asked, self.transports = pieces, ends, [], []

    @property
    def connections(self):
        return len(self.transports)

    def connection_made(self, transport):
        self.transports.append(transport)

    def data_received(self, data):
        self.asked.append(data)
        transport, loop = self.transports[-1], asyncio.get_running_loop()
        for at, piece in enumerate(self.pieces):
            loop.call_later(at / 50, transport.write, piece)
        if self.ends:
            loop.call_later(len(self.pieces) / 50, transport.close)

    @contextlib.asynccontextmanager
    async def __call__(self, **words):
        server = await asyncio.get_running_loop().create_server(lambda: self, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        words = {"idle_s": PATIENCE_S, "connect_within_s": PATIENCE_S, **words}
        made = Connections(f"tcp://{host}:{port}", **words)
        try:
            yield made
        finally:
            made.close()
            server.close()
            for each in self.transports:
                each.abort()


def ask(made, headers=None, body=b"rows", within_s=PATIENCE_S):
    return made.ask("POST", "/coefficients", headers or {}, body, within_s=within_s)


def replies(server, times=1, **words):
    async def asked():
        async with server(**words) as made:
            return [await ask(made) for _ in range(times)]

    return asyncio.run(asked())


@pytest.mark.parametrize(
    "pieces", [[WHOLE], [CHUNKED], [LAST], [WHOLE[:10], WHOLE[10:-2], WHOLE[-2:]]]
)
def test_an_answer_is_read_in_whatever_pieces_it_comes(pieces):
    (reply,) = replies(Server(*pieces))
    assert (reply.status, reply.body) == (200, b"hello")


def test_what_is_sent_is_one_request_of_its_length():
    server = Server(WHOLE)

    async def asked():
        async with server() as made:
            await ask(made, {"Authorization": "Bearer ключ"}, b"\r\n\r\nrows")

    asyncio.run(asked())
    (request,) = server.asked
    assert request.startswith(b"POST /coefficients HTTP/1.1\r\n")
    assert request.endswith(b"\r\n\r\n\r\n\r\nrows")
    said = (b"Content-Length: 8", "Authorization: Bearer ключ".encode(), b"Host: 127.0.0.1:")
    for line in said:
        assert b"\r\n" + line in request


def test_headers_are_known_by_their_names_in_lower_case():
    assert replies(Server(WHOLE))[0].headers["x-about"] == "Rows"


@pytest.mark.parametrize("value", ["a\r\nX-More: b", "a\nX-More: b", "a\rb"])
def test_a_header_cannot_become_two(value):
    async def asked():
        async with Server(WHOLE)() as made:
            await ask(made, {"traceparent": value})

    with pytest.raises(ValueError, match="one line"):
        asyncio.run(asked())


def test_a_connection_is_used_again_unless_it_says_that_it_ends():
    kept, ended = Server(WHOLE), Server(LAST)
    assert [reply.lasts for reply in replies(kept, times=3)] == [True] * 3
    assert [reply.lasts for reply in replies(ended, times=3)] == [False] * 3
    assert (kept.connections, ended.connections) == (1, 3)


def test_who_asks_for_the_last_answer_gets_it():
    server = Server(WHOLE)

    async def asked():
        async with server() as made:
            for _ in range(2):
                await ask(made, {"Connection": "close"})

    asyncio.run(asked())
    assert server.connections == 2


def test_questions_at_once_have_a_connection_each():
    server = Server()

    async def asked():
        async with server() as made:
            for _ in range(2):
                waiting = [asyncio.create_task(ask(made)) for _ in range(4)]
                await asyncio.sleep(0.2)
                for each in server.transports:
                    each.write(WHOLE)
                await asyncio.gather(*waiting)

    asyncio.run(asked())
    assert server.connections == 4


def test_a_connection_that_was_idle_for_long_is_not_used_again():
    server = Server(WHOLE)
    replies(server, times=3, idle_s=-1.0)
    assert server.connections == 3


def test_a_connection_that_was_closed_meanwhile_is_not_used_again():
    server = Server(WHOLE, ends=True)

    async def asked():
        async with server() as made:
            for _ in range(3):
                await ask(made)
                await asyncio.sleep(0.1)

    asyncio.run(asked())
    assert server.connections == 3


@pytest.mark.parametrize("piece", [WHOLE[:-2], WHOLE[:20], b"", b"HTTP/1.1 200 OK\r\n\r\nhello"])
def test_an_answer_that_breaks_off_is_none(piece):
    with pytest.raises(BrokenOffError, match="broke off"):
        replies(Server(piece, ends=True))


@pytest.mark.parametrize("piece", [b"SSH-2.0-OpenSSH\r\n", b"\x16\x03\x01\x02\x00" * 9])
def test_what_is_no_http_is_no_answer(piece):
    with pytest.raises(BrokenOffError, match="no HTTP"):
        replies(Server(piece))


def test_what_nobody_asked_for_answers_no_later_question():
    server = Server(WHOLE + WHOLE.replace(b"hello", b"wrong"))
    assert [reply.body for reply in replies(server, times=3)] == [b"hello"] * 3
    assert server.connections == 3


@pytest.mark.parametrize("room", [0, 0.05])  # with an answer, or after it
def test_half_of_what_nobody_asked_for_spoils_no_later_question(room):
    server, wrong = Server(WHOLE), WHOLE.replace(b"hello", b"wrong")

    async def asked():
        async with server() as made:
            if room:
                first = await ask(made)
                server.transports[0].write(wrong[:-2])
                await asyncio.sleep(room)
            else:
                server.pieces = [WHOLE + wrong[:-2]]
                first = await ask(made)
            server.pieces = [wrong[-2:] + WHOLE] if server.connections > 1 else [WHOLE]
            return [first.body, (await ask(made)).body]

    assert asyncio.run(asked()) == [b"hello"] * 2
    assert server.connections == 2


def test_who_gives_up_leaves_no_answer_to_the_next():
    server = Server()

    async def asked():
        async with server() as made:
            with pytest.raises(TimeoutError):
                await ask(made, within_s=0.05)
            server.pieces = [WHOLE]
            reply = await ask(made)
            return reply.body

    assert asyncio.run(asked()) == b"hello"
    assert server.connections == 2


def test_where_nothing_listens_is_said():
    async def asked():
        await ask(Connections("tcp://127.0.0.1:1", idle_s=1, connect_within_s=PATIENCE_S))

    with pytest.raises(ConnectionRefusedError):
        asyncio.run(asked())


def test_whom_it_takes_too_long_to_reach_is_given_up(monkeypatch):
    made = Connections("tcp://127.0.0.1:1", idle_s=1, connect_within_s=0.05)
    monkeypatch.setattr(made, "_connect", asyncio.Event().wait)
    with pytest.raises(OSError, match=r"no connection within 0\.05 s"):
        asyncio.run(ask(made))


@pytest.mark.parametrize(
    "address",
    [
        "",
        "runner:3000",
        "ftp://runner:3000",
        "tcp://",
        "tcp://:1",
        "tcp://runner:abc",
        "tcp://[::1",
    ],
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(BentoMLException, match="tcp://host:port"):
        Connections(address, idle_s=1, connect_within_s=1)
