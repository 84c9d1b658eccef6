import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import grpc
import httpx
import pytest
from starlette.applications import Starlette

from serving.decision_log import DecisionLog
from serving.gate import Gate
from serving.grpc_settings import GrpcSettings
from serving.record.settings import RecordSettings
from serving.settings import FrontSettings
from serving.worker import Worker
from tests.serving.doors import ready


@pytest.fixture
def paths(tmp_path):
    """What a worker looks at."""
    path = tmp_path / "served.json"
    path.write_text("first")
    return [path]


@asynccontextmanager
async def opened(tmp_path, paths, engine, **changes):
    """Yield a worker whose doors are open, and a client of the HTTP one."""

    def load():
        versions = {**engine.versions, "pair": paths[0].read_text()}
        return replace(engine, versions=versions)

    app = Starlette()
    worker = Worker(
        app=app,
        gate=Gate.open(tmp_path, 1),
        log=DecisionLog.open(RecordSettings(), "simulated", tmp_path),
        settings=FrontSettings(reload_s=0.01),
        grpc=GrpcSettings(port=0, **changes),
        paths=paths,
        load=load,
        recorded=None,
        models_ready=ready,
    )
    await worker.open()
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://door")
    try:
        async with client:
            yield worker, client
    finally:
        await worker.close()


def test_a_decision_that_an_open_worker_answers_is_in_its_record(tmp_path, paths, engine, example):
    async def asked():
        async with opened(tmp_path, paths, engine, enabled=False) as (_, client):
            made = (await client.post("/v1/offers", json=example)).raise_for_status().json()
            read = await client.get(f"/v1/decisions/{made['decision_id']}")
            return made, read.raise_for_status().json()

    made, read = asyncio.run(asked())
    assert read["decision_id"] == made["decision_id"]


def test_what_is_published_after_a_worker_was_opened_is_served(tmp_path, paths, engine):
    async def asked():
        async with asyncio.timeout(20), opened(tmp_path, paths, engine, enabled=False) as door:
            paths[0].write_text("second")
            while True:
                status = (await door[1].get("/v1/status")).json()
                if status["pair"] == "second":
                    return
                await asyncio.sleep(0.01)

    asyncio.run(asked())


def test_a_closed_worker_answers_no_call_and_looks_at_nothing(tmp_path, paths, engine):
    async def asked():
        async with opened(tmp_path, paths, engine) as (worker, _):
            port = worker._grpc_door.port
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                await asyncio.wait_for(channel.channel_ready(), 10)
        paths[0].unlink()  # whoever looked would be refused, and say so
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(grpc.RpcError):
                await channel.unary_unary("/grpc.health.v1.Health/Check")(b"")

    asyncio.run(asked())
