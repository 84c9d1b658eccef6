"""Both doors on one engine, for real: gRPC on a free port, HTTP under uvicorn."""

import asyncio
import contextlib
import socket
import threading
import time
from datetime import UTC, date, datetime
from types import SimpleNamespace

import grpc
import pytest
import uvicorn

from serving.grpc_door import GrpcDoor
from serving.grpc_problems import DETAILS, from_status
from serving.grpc_settings import GrpcSettings
from serving.http_door import Door, http_door
from serving.operations import Operations
from serving.record.entry import Entry, Outcome, OutcomeKind
from serving.record.errors import OutcomeConflictError, UnknownDecisionError
from serving.record.reader import Recorded
from serving.record.replay import Replay
from serving.stubs import offers_pb2 as pb

SERVICE = "/finntelligence.v1.Offers/"
LIMIT = 16384
KNOWN, PRUNED = "0a0a0a0a-0b0b0b0b-" + "1" * 32, "0a0a0a0a-0b0b0b0b-" + "2" * 32


async def ready():
    return {"risk": True, "acceptance": True}


class Log:
    """A record in memory that knows one decision, and one whose content was removed."""

    def __init__(self, request, answer):
        self.answer, self.outcomes, self.asked, self.waiting = answer, {}, [], 0
        self.entry = Entry(
            decision_id=KNOWN,
            at=datetime(2027, 1, 15, 8, 0, 0, 250_000, UTC),
            portfolio="simulated",
            channel="http",
            request=request,
            heads={},
            versions={},
            documents={},
            answer=answer,
            latency_ms=1.5,
            propensity=0.25,
        )

    async def answered(self, key, request):
        self.asked.append((key, request))

    async def append(self, entry):
        return entry.answer

    async def replay(self, decision_id, load=None):
        await self.decision(decision_id)
        return Replay(decision_id=decision_id, compared=("offers",), differences=(), notes=())

    async def decision(self, decision_id):
        if decision_id not in (KNOWN, PRUNED):
            raise UnknownDecisionError("no decision is recorded under this id")
        return Recorded(
            decision_id=decision_id,
            at=self.entry.at,
            entry=self.entry if decision_id == KNOWN else None,
            outcomes=tuple(self.outcomes.values()),
            writer="w",
            seq=1,
            hash="00",
        )

    async def attach(self, outcome):
        await self.decision(outcome.decision_id)
        earlier = self.outcomes.setdefault(outcome.decision_id, outcome)
        if earlier != outcome:
            raise OutcomeConflictError("the decision's outcome is already accepted")
        return outcome


ACCEPTED = Outcome(decision_id=KNOWN, kind=OutcomeKind.ACCEPTED, on=date(2027, 1, 16), offer=1)


class Loop:
    """An event loop in a thread of its own."""

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)


@contextlib.contextmanager
def grpc_door(engine, *, log=None, settings=None, shared=False, **parts):
    """Open a door on a free port; yield it, its loop beside it, and close it."""
    made = GrpcSettings(**{"port": 0, "max_message_bytes": LIMIT, **(settings or {})})
    parts = {"models_ready": ready, **parts}
    door = GrpcDoor(operations=Operations(engine=lambda: engine, log=log), settings=made, **parts)
    with Loop() as loop:
        loop.run(door.open(shared=shared))
        try:
            yield SimpleNamespace(port=door.port, close=door.close, loop=loop.loop)
        finally:
            loop.run(door.close(2))


@contextlib.contextmanager
def channel_to(door):
    with grpc.insecure_channel(f"127.0.0.1:{door.port}") as channel:
        yield channel


def call(channel, method, message=b"", **words):
    """Make one call; return the bytes of its answer."""
    body = message if isinstance(message, bytes) else message.SerializeToString()
    return channel.unary_unary(SERVICE + method)(body, **{"timeout": 10, **words})


def failed(channel, method, message=b"", **words):
    """Make one call that fails; return gRPC's code, the error behind it, and when to ask again."""
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, method, message, **words)
    error = caught.value
    details = dict(error.trailing_metadata() or ()).get(DETAILS)
    told, wait = (details and from_status(details)) or (None, None)
    return error.code(), told, wait


def optimise(request):
    return pb.OptimiseOffersRequest(**features_of(request))


def features_of(request):
    """Return a request with its features as protobuf has them."""
    values = {
        name: {} if value is None else {"text" if isinstance(value, str) else "number": value}
        for name, value in request["features"].items()
    }
    return {**request, "features": values}


def http_app(engine, log=None):
    """Return the HTTP door with its operations."""
    app = http_door()
    app.state.operations = Operations(engine=lambda: engine, log=log)
    app.state.door = Door(
        engine=engine,
        version="1.2.3",
        max_body_bytes=LIMIT,
        models_ready=ready,
        started_at=time.time(),
        served_since=time.time(),
    )
    return app


@contextlib.contextmanager
def http_url(app, **tls):
    """Serve an application on a free port; yield its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", **tls))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http{'s' if tls else ''}://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
