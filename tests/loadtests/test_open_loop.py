import asyncio
import contextlib
import threading

import pytest

from loadtests.drive import CannotDriveError
from loadtests.open_loop import open_loop

BODIES = [b"{}", b'{"a": 1}']
FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextlib.contextmanager
def serving(answer):
    """Serve on a free port; `answer` is asked for bytes by each request's number, None ends it."""
    ready, place = threading.Event(), {}

    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
                place["asked"] = place.get("asked", 0) + 1
                found = await answer(place["asked"])
                if found is None:
                    break
                writer.write(found)
        writer.close()

    async def main():
        place["loop"], place["stop"] = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        place["port"] = server.sockets[0].getsockname()[1]
        ready.set()
        await place["stop"].wait()
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield f"http://127.0.0.1:{place['port']}"
    finally:
        place["loop"].call_soon_threadsafe(place["stop"].set)
        thread.join(10)


async def at_once(_):
    return FINE


def test_every_request_is_sent_and_answered():
    with serving(at_once) as url:
        reading = open_loop(url, rate=200, seconds=0.5, bodies=BODIES, connections=4)
    assert reading.requests == 100
    assert 0 < reading.p50_ms <= reading.p99_ms


def test_a_stall_is_charged_to_all_whom_it_kept_waiting():
    """A closed loop of four connections would see four slow answers of hundreds."""
    stalled = asyncio.Event()

    async def stalling(number):
        if number == 1:
            asyncio.get_running_loop().call_later(3, stalled.set)
        await stalled.wait()
        return FINE

    with serving(stalling) as url:
        reading = open_loop(url, rate=200, seconds=1, bodies=BODIES, connections=4)
    assert reading.p50_ms > 250
    assert reading.rate < 100  # all are due in a second, and the time until the last answer counts


@pytest.mark.parametrize(
    ("answer", "said"),
    [(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n", "429"), (None, "broke")],
)
def test_an_answer_that_is_no_success_ends_the_run(answer, said):
    async def failing(number):
        return answer if number == 10 else FINE

    with serving(failing) as url, pytest.raises(CannotDriveError, match=said):
        open_loop(url, rate=200, seconds=0.5, bodies=BODIES, connections=4)
