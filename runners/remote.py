"""A runner as its front asks it: rows in, answers out, from whichever of its addresses answers.

BentoML starts a runner beside its front on a socket of its own, or is told where runners are that
were started by themselves: `--depends RiskRunner=tcp://one:3000,tcp://two:3000`. Calls go to the
address with the fewest in flight. A question has no effect but its answer, so one that an address
breaks off, refuses or leaves unanswered is put to the next, and addresses that failed, or say that
they end, are asked last for a while.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from _bentoml_impl.serde import Payload  # type: ignore[import-untyped]
from bentoml.exceptions import InvalidArgument
from numpy.typing import NDArray
from opentelemetry import propagate

from finntelligence.errors import ModelUnavailableError
from runners.arrays import ArraySerde
from runners.connections import Connections
from runners.guard import credentials

__all__ = ["Remote"]

Array = NDArray[np.float64]

TRIES_EACH = 2  # a connection may have been left by a process that has ended
CONNECT_WITHIN_S = 1.0
IDLE_S = 4.0  # a runner drops a connection that is idle for five
RENEW_S = 30.0  # a name may have come to stand for other processes meanwhile
LONGEST_SHUN_S = 16.0
LEAVING_S = 5.0  # for whoever says that it ends, which it does once it is quiet for three seconds

log = logging.getLogger(__name__)


class _RefusedError(OSError):
    """A runner answers, but not with what it was asked for."""


class Remote:
    """All addresses of one runner, separated by commas: tcp://host:port, or file:// of a socket."""

    def __init__(self, model: str, addresses: str) -> None:
        self.model = model
        self._places = [_Place(model, each.strip()) for each in addresses.split(",")]

    def __len__(self) -> int:
        return len(self._places)

    async def call(self, method: str, rows: Array, within_s: float) -> Array:
        """Return what a method of the runner answers to sealed rows (`runners.envelope`).

        Raises:
            ModelUnavailableError: when no address answers in time.
        """
        sent = ArraySerde().serialize_value({"rows": rows})
        body = b"".join(sent.data)
        each_s = within_s / len(self._places)
        try:
            async with asyncio.timeout(within_s):
                for place in self._in_turn():
                    answer = await place.post(f"/{method}", body, sent.metadata, each_s)
                    if answer is not None:
                        return answer
        except TimeoutError as error:
            place.failed(error)
        raise ModelUnavailableError(f"the {self.model} model does not answer")

    async def is_ready(self) -> bool:
        """Return whether any address would answer."""
        for ready in asyncio.as_completed([place.is_ready() for place in self._places]):
            if await ready:
                return True
        return False

    async def close(self) -> None:
        """Drop the connections that nobody waits at; BentoML awaits it as a service ends."""
        for place in self._places:
            place.close()

    def _in_turn(self) -> Sequence["_Place"]:
        """Return the addresses in the order in which to ask them."""
        now = time.monotonic()
        return sorted(self._places, key=lambda place: place.rank(now)) * TRIES_EACH


class _Place:
    """One address of a runner, and how it has done lately."""

    def __init__(self, model: str, address: str) -> None:
        self._model, self._address = model, address
        self._connections = Connections(address, idle_s=IDLE_S, connect_within_s=CONNECT_WITHIN_S)
        shown = credentials()
        self._headers = {} if shown is None else {"Authorization": shown}
        self._in_flight = self._failures = 0
        self._shunned_until = self._asked_at = 0.0
        self._renew_at = time.monotonic() + RENEW_S

    def rank(self, now: float) -> tuple[bool, int, float]:
        """Return what sorts addresses: those that work, the least busy, the longest not asked."""
        return self._shunned_until > now, self._in_flight, self._asked_at

    async def post(self, path: str, body: bytes, about: Any, within_s: float) -> Array | None:
        """Return the answer, or None where there is none."""
        headers = {"Content-Type": ArraySerde.media_type, **self._headers, **about}
        propagate.inject(headers)
        self._asked_at = now = time.monotonic()
        if now > self._renew_at:
            headers["Connection"], self._renew_at = "close", now + RENEW_S
        self._in_flight += 1
        try:
            reply = await self._connections.ask("POST", path, headers, body, within_s=within_s)
            if reply.status != 200:
                said = reply.body[:200].decode(errors="replace")
                raise _RefusedError(f"{reply.status} {said}")
            answer = ArraySerde().deserialize_value(Payload((reply.body,), reply.headers))
        except (InvalidArgument, OSError) as error:  # a TimeoutError is an OSError
            self.failed(error)
            return None
        finally:
            self._in_flight -= 1
        self._worked()
        if not reply.lasts and "Connection" not in headers:
            self._shunned_until = time.monotonic() + LEAVING_S
        return np.asarray(answer)

    async def is_ready(self) -> bool:
        try:
            reply = await self._connections.ask(
                "GET", "/readyz", self._headers, within_s=CONNECT_WITHIN_S
            )
        except OSError:
            return False
        return reply.status == 200

    def close(self) -> None:
        self._connections.close()

    def failed(self, error: Exception) -> None:
        """Leave it alone for a while; say why, once."""
        if not self._failures:
            told = str(error) or type(error).__name__
            log.warning("the %s model at %s does not answer: %s", self._model, self._address, told)
        self._failures += 1
        shun_s = min(2.0 ** (self._failures - 1), LONGEST_SHUN_S)
        self._shunned_until = time.monotonic() + shun_s

    def _worked(self) -> None:
        if self._failures:
            log.warning("the %s model at %s answers again", self._model, self._address)
        self._failures, self._shunned_until = 0, 0.0
