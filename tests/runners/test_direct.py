import asyncio
import contextlib

import bentoml
import httpx
import numpy as np
import pytest
from _bentoml_impl.serde import Payload
from bentoml import server_context
from bentoml._internal.server.http import traffic
from starlette.applications import Starlette

from runners.arrays import ArraySerde
from runners.direct import Direct, ask_directly
from runners.envelope import Sealed, sealed
from runners.guard import guard

# BentoML itself asks for what pydantic has deprecated
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211")

ROWS = sealed(np.arange(6.0).reshape(3, 2), 7.0)
KIND = ArraySerde.media_type
DEFECT = 131313.0


@bentoml.service(name="tripler", metrics={"enabled": False})
class Tripler:
    """Answers three times each row."""

    @bentoml.api(batchable=True, max_latency_ms=60_000)
    async def coefficients(self, rows: Sealed) -> np.ndarray:
        if (rows[:, 0] == DEFECT).any():
            raise RuntimeError(f"a defect over {rows[0, 0]}")
        return rows * 3

    @bentoml.api(batchable=True, max_latency_ms=60_000)
    def in_a_thread(self, rows: Sealed) -> np.ndarray:
        return rows * 4


guard(Tripler)
Tripler.middlewares.clear()  # what stands before is tested where it is
_limit_of_bentoml = traffic.TimeoutMiddleware
ask_directly(Tripler)
_limit, traffic.TimeoutMiddleware = traffic.TimeoutMiddleware, _limit_of_bentoml


@contextlib.asynccontextmanager
async def served(app=None):
    if app is None:
        Tripler.inject_config()
        app = Tripler.to_asgi(is_main=False)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://runner") as client:
            yield client


async def post(client, value, path="/coefficients"):
    sent = ArraySerde().serialize_value(value)
    headers = {"Content-Type": KIND, **sent.metadata}
    return await client.post(path, content=b"".join(sent.data), headers=headers)


def answer(*values, path="/coefficients"):
    async def asked():
        async with served() as client:
            return await asyncio.gather(*(post(client, value, path) for value in values))

    return asyncio.run(asked())


def read(response):
    return ArraySerde().deserialize_value(Payload((response.content,), response.headers))


def test_rows_are_answered():
    (response,) = answer({"rows": ROWS})
    assert response.headers["content-type"] == KIND
    np.testing.assert_array_equal(read(response), ROWS * 3)


def test_calls_join_bentomls_batches(monkeypatch):
    """One is being answered while the others come, so they wait for one another."""
    seen = []
    method = Tripler.apis["coefficients"]
    real = method.func

    async def slow(self, rows):
        seen.append(len(rows))
        await asyncio.sleep(0.2)
        return await real(self, rows)

    monkeypatch.setattr(method, "func", slow)
    responses = answer(*({"rows": ROWS * at} for at in range(1, 9)))
    for at, response in enumerate(responses, start=1):
        np.testing.assert_array_equal(read(response), ROWS * at * 3)
    assert sum(seen) == 8 * len(ROWS)
    assert len(seen) < 8


@pytest.mark.parametrize(
    "value",
    [
        {"rows": np.ascontiguousarray(ROWS[:, :-1])},
        {"rows": ROWS[0]},
        {"rows": ROWS.astype(np.float32)},
        {"rows": 3},
        {"rows": ROWS, "more": ROWS},
        {},
        ROWS,
        "rows",
    ],
)
def test_what_is_no_sealed_rows_is_refused_alone(value):
    refused, other = answer(value, {"rows": ROWS})
    assert refused.status_code == 400
    assert "rows" in refused.json()["error"]
    np.testing.assert_array_equal(read(other), ROWS * 3)


def test_a_body_that_is_no_array_is_refused():
    async def asked():
        async with served() as client:
            return await client.post("/coefficients", content=b"cos\nsystem\n.")

    assert asyncio.run(asked()).status_code == 400


def test_a_defect_is_told_to_the_log_alone(caplog):
    wrong = ROWS.copy()
    wrong[:, 0] = DEFECT
    (response,) = answer({"rows": wrong})
    assert response.status_code == 500
    assert "defect" not in response.text
    assert str(DEFECT) not in response.text
    assert "RuntimeError" in caplog.text


def test_a_method_that_needs_a_thread_goes_bentomls_way():
    (response,) = answer({"rows": ROWS}, path="/in_a_thread")
    np.testing.assert_array_equal(read(response), ROWS * 4)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/livez", 200), ("GET", "/coefficients", 405), ("POST", "/nothing", 404)],
)
def test_all_else_goes_on_as_it_came(method, path, status):
    async def asked():
        async with served() as client:
            return await client.request(method, path)

    assert asyncio.run(asked()).status_code == status


def test_a_call_that_takes_too_long_is_given_up(monkeypatch):
    async def never(self, rows):
        await asyncio.Event().wait()

    monkeypatch.setattr(Tripler.apis["coefficients"], "func", never)
    for _, words in Tripler.middlewares:
        monkeypatch.setitem(words, "timeout_s", 0.05)
    (response,) = answer({"rows": ROWS})
    assert response.status_code == 504
    assert response.json() == {"error": "no answer within 0.05 s"}


def test_bentoml_bounds_the_time_of_all_services_but_runners_that_do_so_themselves(monkeypatch):
    monkeypatch.setattr(server_context, "service_name", "tripler")
    assert _limit("an app", timeout=3) == "an app"
    monkeypatch.setattr(server_context, "service_name", "another")
    timed = _limit("an app", timeout=3)
    assert (type(timed), timed.app, timed.timeout) == (_limit_of_bentoml, "an app", 3)


def test_before_an_application_of_something_else_nothing_is_changed():
    async def asked():
        app = Starlette()
        app.add_middleware(Direct, timeout_s=1)
        async with served(app) as client:
            return await post(client, {"rows": ROWS})

    assert asyncio.run(asked()).status_code == 404


def test_who_goes_away_before_the_body_is_there_is_not_answered():
    said = []

    async def gone():
        return {"type": "http.disconnect"}

    async def send(message):
        said.append(message)

    async def asked():
        Tripler.inject_config()
        app = Tripler.to_asgi(is_main=False)
        scope = {"type": "http", "method": "POST", "path": "/coefficients", "headers": []}
        async with app.router.lifespan_context(app):
            await Direct(app, timeout_s=30.0)({**scope, "app": app}, gone, send)

    asyncio.run(asked())
    assert said == []
