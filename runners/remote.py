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

import aiohttp
import numpy as np
from _bentoml_impl.serde import Payload  # type: ignore[import-untyped]
from bentoml._internal.utils.uri import uri_to_path
from bentoml.exceptions import InvalidArgument
from numpy.typing import NDArray
from opentelemetry import propagate

from finntelligence.errors import ModelUnavailableError
from runners.arrays import ArraySerde
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


class _RefusedError(aiohttp.ClientError):
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
        """Drop all connections."""
        await asyncio.gather(*(place.close() for place in self._places))

    def _in_turn(self) -> Sequence["_Place"]:
        """Return the addresses in the order in which to ask them."""
        now = time.monotonic()
        return sorted(self._places, key=lambda place: place.rank(now)) * TRIES_EACH


class _Place:
    """One address of a runner, and how it has done lately."""

    def __init__(self, model: str, address: str) -> None:
        self._model, self._address = model, address
        self._session: aiohttp.ClientSession | None = None
        self._in_flight = self._failures = 0
        self._shunned_until = self._asked_at = 0.0
        self._renew_at = time.monotonic() + RENEW_S

    def rank(self, now: float) -> tuple[bool, int, float]:
        """Return what sorts addresses: those that work, the least busy, the longest not asked."""
        return self._shunned_until > now, self._in_flight, self._asked_at

    async def post(self, path: str, body: bytes, about: Any, within_s: float) -> Array | None:
        """Return the answer, or None where there is none."""
        headers = {"Content-Type": ArraySerde.media_type, **about}
        propagate.inject(headers)
        self._asked_at = now = time.monotonic()
        if now > self._renew_at:
            headers["Connection"], self._renew_at = "close", now + RENEW_S
        limit = aiohttp.ClientTimeout(total=within_s, sock_connect=CONNECT_WITHIN_S)
        self._in_flight += 1
        try:
            async with self._connected().post(
                path, data=body, headers=headers, timeout=limit
            ) as response:
                content = await response.read()
                if response.status != 200:
                    raise _RefusedError(
                        f"{response.status} {content[:200].decode(errors='replace')}"
                    )
                answer = ArraySerde().deserialize_value(Payload((content,), response.headers))
        except (aiohttp.ClientError, InvalidArgument, TimeoutError, OSError) as error:
            self.failed(error)
            return None
        finally:
            self._in_flight -= 1
        self._worked()
        if response.headers.get("Connection") == "close" and "Connection" not in headers:
            self._shunned_until = time.monotonic() + LEAVING_S
        return np.asarray(answer)

    async def is_ready(self) -> bool:
        try:
            limit = aiohttp.ClientTimeout(total=CONNECT_WITHIN_S)
            async with self._connected().get("/readyz", timeout=limit) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:  # made within the event loop that uses it
            shown = credentials()
            base, connector = _target(self._address)
            self._session = aiohttp.ClientSession(
                base,
                connector=connector,
                headers={} if shown is None else {"Authorization": shown},
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

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


def _target(address: str) -> tuple[str, aiohttp.BaseConnector]:
    """Return the base URL of an address, and what connects to it as often as it is asked to."""
    if address.startswith("file:"):
        path = uri_to_path(address)
        return "http://runner", aiohttp.UnixConnector(path, limit=0, keepalive_timeout=IDLE_S)
    base = address.replace("tcp://", "http://", 1)
    return base, aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S)
