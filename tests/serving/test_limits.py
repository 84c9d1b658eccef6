import asyncio
import json
import socket
import threading
import time

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.http import auto

from finntelligence.errors import InvalidApplicationError
from serving import limits
from serving.limits import (
    DEEPEST,
    LONGEST_LIST,
    LONGEST_TEXT,
    MOST_HEADER_BYTES,
    MOST_MEMBERS,
    bound_headers,
    bounded,
    header_bytes,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


def nested(levels, empty):
    """Return an object with so many levels, itself included, that ends in `empty`."""
    content = empty
    for _ in range(levels - 2):
        content = [content] if isinstance(empty, list) else {"in": content}
    return {"in": content}


def depth(value):
    members = value.values() if isinstance(value, dict) else value
    return 1 + max(
        (depth(member) for member in members if isinstance(member, dict | list)), default=0
    )


@given(st.dictionaries(st.text(max_size=9), VALUES))
def test_content_within_the_bounds_is_left_as_it_is(content):
    if depth(content) <= DEEPEST:
        assert bounded(content) is content


@pytest.mark.parametrize("empty", [[], {}])
def test_as_many_levels_as_allowed_pass_and_one_more_is_refused(empty):
    assert bounded(nested(DEEPEST, empty))
    with pytest.raises(InvalidApplicationError, match=f"at most {DEEPEST} levels"):
        bounded(nested(DEEPEST + 1, empty))


AT_BOUND = [
    ({"features": {"purpose": "x" * LONGEST_TEXT}}, {"features": {"purpose": "x" * 1001}}),
    ({"x" * LONGEST_TEXT: 1}, {"x" * (LONGEST_TEXT + 1): 1}),
    ({"a": [0] * LONGEST_LIST}, {"a": [0] * (LONGEST_LIST + 1)}),
    ({str(n): n for n in range(MOST_MEMBERS)}, {str(n): n for n in range(MOST_MEMBERS + 1)}),
    ({"a": ["x" * LONGEST_TEXT]}, {"a": ["x" * (LONGEST_TEXT + 1)]}),
]


@pytest.mark.parametrize(("within", "beyond"), AT_BOUND)
def test_what_is_at_a_bound_passes_and_what_is_beyond_is_named_shortly(within, beyond):
    assert bounded(within) == within
    with pytest.raises(InvalidApplicationError) as caught:
        bounded(beyond)
    (problem,) = caught.value.problems
    assert "at most" in problem.problem
    assert len(problem.field) <= 100


def test_a_place_is_named_by_its_path():
    with pytest.raises(InvalidApplicationError) as caught:
        bounded({"features": {"purposes": ["a", "b" * 2000]}})
    assert caught.value.problems[0].field == "features.purposes.1"


def test_a_declared_applicant_is_bounded_in_little_time():
    content = {"requested_principal": 1, "features": {f"field_{n}": n for n in range(30)}}
    assert len(json.dumps(content)) < 1000
    began = time.perf_counter()
    for _ in range(1000):
        bounded(content)
    assert (time.perf_counter() - began) / 1000 < 0.001


def test_the_bytes_of_headers_are_as_on_the_wire():
    raw = [(b"host", b"a"), (b"x-long", b"b" * 9)]
    assert header_bytes(raw) == len(b"".join(n + b": " + v + b"\r\n" for n, v in raw))


@pytest.fixture
def address(monkeypatch):
    """Serve with bounded headers on a port of loopback; it answers a body's length."""
    monkeypatch.setattr(auto, "AutoHTTPProtocol", auto.AutoHTTPProtocol)
    bound_headers()

    async def app(scope, receive, send):
        more, size = True, 0
        while more:
            message = await receive()
            size, more = size + len(message.get("body", b"")), message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"<%d>" % size})

    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, log_level="critical", lifespan="off", http="auto")
        server = uvicorn.Server(config)
        thread = threading.Thread(
            target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True
        )
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()
        server.should_exit = True
        thread.join(10)


def answered(connection, until=b"0\r\n\r\n"):
    found = b""
    while until not in found:
        chunk = connection.recv(65536)
        if not chunk:
            break
        found += chunk
    return found


@pytest.mark.parametrize(
    "start",
    [
        b"GET / HTTP/1.1\r\nhost: a\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
    ],
    ids=["headers", "trailers"],
)
@pytest.mark.parametrize("line", [b"x-a: " + b"a" * 1000 + b"\r\n", b"a" * 1000])
def test_headers_that_do_not_end_are_given_up(address, start, line):
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(start + b"x-long: " * (b":" not in line))
        sent = 0
        try:
            for _ in range(100_000):
                connection.sendall(line)
                sent += len(line)
        except OSError:  # hung up on
            pass
    assert sent < 100_000 * len(line)


def test_bodies_of_any_size_and_many_requests_of_one_connection_are_left_alone(address):
    size = 5 * MOST_HEADER_BYTES
    request = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size + b"b" * size
    with socket.create_connection(address, timeout=5) as connection:
        for _ in range(20):
            connection.sendall(request)
            found = answered(connection)
            assert b" 200 " in found.splitlines()[0]
            assert b"<%d>" % size in found


def test_a_parser_with_a_bound_of_its_own_is_left_as_it_is():
    class H11Protocol:
        pass

    assert limits._bounded_protocol(H11Protocol) is None
