"""How much is answered: an allowance for each key, and a bound on what is in hand at once.

Both count in one worker process. Workers share a key's allowance by having an equal part each; a
caller whose connections happen to meet few workers gets less. Together they give no more than all
of it, but for a key of less than one request a second and worker, which each lets in once. Replicas
do not know of one another: each gives the whole allowance.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from serving.problems import OverloadedError

__all__ = ["Admission", "LoadSettings", "RateLimits"]

Clock = Callable[[], float]


class LoadSettings(BaseSettings):
    """What one front process has in hand at once, from the environment (FINNT_LOAD_...)."""

    model_config = SettingsConfigDict(env_prefix="FINNT_LOAD_")

    in_flight: int = Field(
        128, ge=1, le=65536, description="Requests that one front process works on at once."
    )
    queue: int = Field(
        512, ge=0, le=65536, description="Requests that wait for their turn; more get 429 at once."
    )
    patience_s: float = Field(
        2, gt=0, le=600, description="A request that waits longer for its turn gets 429."
    )


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


@dataclass(slots=True)
class RateLimits:
    """A token bucket for each key: its rate a second, and as much at once as a second gives.

    `workers` is how many processes share the allowance.
    """

    workers: int = 1
    clock: Clock = time.monotonic
    _buckets: dict[str, _Bucket] = field(default_factory=dict)

    def take(self, key: str, rate: float) -> None:
        """Count one request of a key.

        Raises:
            OverloadedError: when its allowance is used up; it says when there is some again.
        """
        own, now = rate / self.workers, self.clock()
        most = max(own, 1.0)  # a slow key's bucket holds one request
        bucket = self._buckets.setdefault(key, _Bucket(most, now))
        bucket.tokens = min(most, bucket.tokens + (now - bucket.at) * own)
        bucket.at = now
        if bucket.tokens < 1:
            wait = (1 - bucket.tokens) / own
            raise OverloadedError(
                f"this key may make {rate:g} requests a second; try again in {math.ceil(wait)} s",
                wait,
            )
        bucket.tokens -= 1


@dataclass(slots=True)
class Admission:
    """Between `enter` and `leave` at most `in_flight` are worked on, in order of arrival.

    At most `queue` wait before it, none longer than `patience_s`. Who cannot be answered in time is
    told so at once, while those who can be still are.
    """

    in_flight: int
    queue: int
    patience_s: float
    _busy: int = 0
    _waiting: dict[asyncio.Future[None], None] = field(default_factory=dict)

    async def enter(self) -> None:
        """Take a turn, or wait for one.

        Raises:
            OverloadedError: when too many wait already, or the wait is too long.
        """
        if self._busy < self.in_flight:
            self._busy += 1
            return
        if len(self._waiting) >= self.queue:
            raise OverloadedError(
                f"{self.in_flight} requests are worked on and {self.queue} wait; try again"
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = None
        try:
            async with asyncio.timeout(self.patience_s):
                await turn
        except BaseException as error:
            self._waiting.pop(turn, None)
            if turn.done() and not turn.cancelled():  # it came just then: the next one's
                self.leave()
            if isinstance(error, TimeoutError):
                waited = f"no turn came within {self.patience_s:g} s; try again"
                raise OverloadedError(waited) from error
            raise

    def leave(self) -> None:
        """Give the turn to who waits longest."""
        while self._waiting:
            turn = next(iter(self._waiting))
            del self._waiting[turn]
            if not turn.done():
                turn.set_result(None)  # the turn passes on; as many are busy as before
                return
        self._busy -= 1

    async def __aenter__(self) -> None:
        """Enter; see there."""
        await self.enter()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave."""
        self.leave()
