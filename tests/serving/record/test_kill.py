"""What was acknowledged before a kill -9 is in the record, whole and chained."""

import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from serving.record.schema import records
from serving.record.verify import verify

ROOT = Path(__file__).parents[3]
CHILD = """
import asyncio, sys, uuid
from datetime import UTC, datetime
from pathlib import Path
from serving.decision_log import DecisionLog
from serving.record.entry import Entry
from serving.record.settings import RecordSettings

async def client(log):
    while True:
        decision_id = f"0a0a0a0a-0b0b0b0b-{uuid.uuid4().hex}"
        await log.append(Entry(
            decision_id=decision_id, at=datetime.now(UTC), portfolio="simulated", channel="http",
            request={"x": "y" * 2000}, heads={}, versions={}, documents={},
            answer={"outcome": "offers", "offers": []}, latency_ms=1.0,
        ))
        sys.stdout.buffer.write(decision_id.encode() + b"\\n")
        sys.stdout.buffer.flush()

async def run():
    log = DecisionLog.open(RecordSettings(url=sys.argv[1]), "simulated", Path("."))
    await asyncio.gather(*(client(log) for _ in range(16)))

asyncio.run(run())
"""


def acknowledged_before_the_kill(url, seconds):
    """Kill two processes that append, `seconds` after their first words; return all they told."""
    command = [sys.executable, "-c", CHILD, url]
    with ExitStack() as stack:
        children = [
            stack.enter_context(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE))
            for _ in range(2)
        ]
        told = b"".join(child.stdout.readline() for child in children)
        time.sleep(seconds)
        for child in children:
            child.send_signal(signal.SIGKILL)
        told += b"".join(child.stdout.read() for child in children)
    return [line for line in told.decode().split("\n") if len(line) == 50]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_acknowledged_decision_outlives_its_process(log, settings, seed):
    seconds = random.Random(seed).uniform(0.0, 0.3)
    told = acknowledged_before_the_kill(settings.url, seconds)
    assert told
    with log.engine.connect() as connection:
        ids = set(connection.execute(sa.select(records.c.decision_id)).scalars())
    assert set(told) <= ids
    verified = verify(log.engine)
    assert verified.findings == ()
    assert verified.records >= len(told) + verified.chains
    assert verified.chains == 2
