import asyncio
import json

import httpx
import pytest

from serving.rate_limit import Admission
from serving.turns import Turns

LIMIT = 100
BODY = b"x" * 20


class App:
    """Answers with the size of the body; waits until it may."""

    def __init__(self):
        self.asked, self.may = 0, asyncio.Event()
        self.may.set()

    async def __call__(self, scope, receive, send):
        self.asked += 1
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message.get("body", b"")), message.get("more_body")
        await self.may.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % size})


@pytest.fixture
def app():
    return App()


def turns(app, *, in_flight=2, queue=1, body_s=5.0, timeout_s=20.0):
    return Turns(app, Admission(in_flight, queue, 5), LIMIT, body_s, timeout_s)


def client_of(served):
    return httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://door")


class Trickle:
    """A body that never ends: what it sends first, then nothing, or the caller goes away."""

    def __init__(self, goes=False):
        self.sent, self.goes, self.answer = False, goes, []

    async def receive(self):
        if self.sent and self.goes:
            return {"type": "http.disconnect"}
        if self.sent:
            await asyncio.Event().wait()
        self.sent = True
        return {"type": "http.request", "body": b"{", "more_body": True}

    async def send(self, message):
        self.answer.append(message)

    async def asks(self, served):
        scope = {"type": "http", "method": "POST", "path": "/v1/offers", "headers": []}
        await served(scope, self.receive, self.send)
        start, body = self.answer
        return start["status"], dict(start["headers"]), json.loads(body["body"])


def test_an_operation_gets_the_whole_body(app):
    async def asked():
        async with client_of(turns(app)) as client:
            return await client.post("/v1/offers", content=BODY)

    assert asyncio.run(asked()).text == str(len(BODY))


def test_of_a_body_that_is_too_large_the_operation_reads_the_rest_or_refuses_it(app):
    async def parts():
        for _ in range(20):
            yield BODY

    async def asked():
        async with client_of(turns(app)) as client:
            return await client.post("/v1/offers", content=parts())

    assert asyncio.run(asked()).text == str(20 * len(BODY))


def test_bodies_that_trickle_in_hold_up_nobody_elses_turn(app):
    async def asked():
        served = turns(app, in_flight=1, queue=0)
        slow = [asyncio.create_task(Trickle().asks(served)) for _ in range(50)]
        async with client_of(served) as client:
            answered = await client.post("/v1/offers", content=BODY)
        for each in slow:
            each.cancel()
        return answered

    assert asyncio.run(asked()).status_code == 200


def test_a_body_that_does_not_arrive_in_time_is_refused_and_the_connection_closed(app):
    status, headers, problem = asyncio.run(Trickle().asks(turns(app, body_s=0.05)))
    assert (status, problem["type"].rpartition(":")[2]) == (504, "timeout")
    assert problem["detail"] == "the body did not arrive within 0.05 s"
    assert headers[b"connection"] == b"close"
    assert app.asked == 0


def test_a_body_has_no_longer_to_arrive_than_the_request_to_be_answered(app):
    status, _, problem = asyncio.run(Trickle().asks(turns(app, body_s=20.0, timeout_s=0.05)))
    assert (status, problem["detail"]) == (504, "the body did not arrive within 0.05 s")


def test_a_caller_who_breaks_off_a_body_is_no_defect_of_ours_and_takes_no_turn(app):
    status, _, problem = asyncio.run(Trickle(goes=True).asks(turns(app)))
    assert (status, problem["detail"]) == (400, "the body breaks off")
    assert app.asked == 0


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_beyond_its_time_gets_our_own_problem_and_gives_its_turn_back(app, method):
    async def asked():
        app.may.clear()
        async with client_of(turns(app, in_flight=1, queue=0, timeout_s=0.1)) as client:
            late = await client.request(method, "/v1/offers")
            app.may.set()
            return late, await client.request(method, "/v1/offers")

    late, next_one = asyncio.run(asked())
    assert (late.status_code, late.headers["content-type"]) == (504, "application/problem+json")
    assert late.json()["detail"] == "no answer within 0.1 s"
    assert next_one.status_code == 200


def test_work_beyond_the_bounds_is_shed_while_reads_are_answered(app):
    async def asked():
        app.may.clear()
        async with client_of(turns(app)) as client:
            tasks = [asyncio.create_task(client.post("/v1/offers")) for _ in range(4)]
            done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            read = asyncio.create_task(client.get("/v1/status"))
            while app.asked < 3:
                await asyncio.sleep(0)
            app.may.set()
            (shed,) = done
            return shed.result(), await read, await asyncio.gather(*waiting)

    shed, read, answered = asyncio.run(asked())
    assert shed.status_code == 429
    assert int(shed.headers["retry-after"]) >= 1
    assert [response.status_code for response in (read, *answered)] == [200] * 4


def test_an_application_that_fails_gives_its_turn_back():
    async def failing(scope, receive, send):
        raise RuntimeError("a defect")

    async def asked():
        async with client_of(turns(failing, in_flight=1, queue=0)) as client:
            for _ in range(3):
                with pytest.raises(RuntimeError, match="a defect"):
                    await client.post("/v1/offers")

    asyncio.run(asked())
