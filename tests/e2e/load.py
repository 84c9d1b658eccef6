"""Callers that keep a service busy while what it serves changes, and check every answer."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

CONNECTIONS = 10
PAUSE_S = 0.03  # leaves the processor to what is promoted meanwhile
IN_A_ROW = 60  # answers from one pair alone that tell that every process has changed over
CHANGED_WITHIN_S = 20  # a look every second, and two cores that others use too


def but_its_own(answer):
    """Return an answer without its id, and without the alias it was given under."""
    versions = {name: value for name, value in answer["versions"].items() if name != "alias"}
    return {**answer, "decision_id": None, "versions": versions}


@dataclass
class Load:
    """Callers that ask for one applicant after the other, and what they were answered."""

    url: str
    bodies: list
    answers: list = field(default_factory=list)
    failures: list = field(default_factory=list)

    async def caller(self, first):
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as client:
            at = first
            while True:
                await asyncio.sleep(PAUSE_S)
                at = (at + 1) % len(self.bodies)
                try:
                    response = await client.post("/v1/offers", json=self.bodies[at])
                except httpx.TransportError as error:
                    self.failures.append(repr(error))
                    continue
                if response.is_success:
                    self.answers.append((at, response.json()))
                else:
                    self.failures.append(response.text)

    @asynccontextmanager
    async def running(self):
        callers = [asyncio.create_task(self.caller(5 * i)) for i in range(CONNECTIONS)]
        try:
            yield self
        finally:
            for caller in callers:
                caller.cancel()
            await asyncio.gather(*callers, return_exceptions=True)

    async def until(self, pair):
        """Wait until only this pair answers; return how long that took."""
        started, deadline = time.monotonic(), time.monotonic() + CHANGED_WITHIN_S
        while {a["versions"]["pair"] for _, a in self.answers[-IN_A_ROW:]} != {pair}:
            assert time.monotonic() < deadline, f"{pair} is not served; {self.failures[-3:]}"
            await asyncio.sleep(0.05)
        return time.monotonic() - started

    def refuse_anything_but(self, decided):
        """Check that each answer is to the last bit what one pair decides in one process."""
        assert self.failures == []
        for at, answer in self.answers:
            pair = answer["versions"]["pair"]
            assert answer["decision_id"].startswith(f"{pair}-")
            assert but_its_own(answer) == but_its_own(decided[pair][at])
