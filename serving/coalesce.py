"""Rows that are asked about while a call is in flight share the next call.

A call costs much more than a row of it. So callers who ask at the same time are asked for together:
what arrives in one pass of the event loop leaves as one call, at once if a call may start, else as
soon as one in flight is back. Nobody waits for company. Each caller gets the answers to its own
rows, in their order.

No caller can harm another: rows of another width never share a call, a caller who goes away leaves
the others as they are, and what an answer means is for the caller to judge. Only a call that fails
fails for all who share it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finntelligence.errors import ModelUnavailableError
from serving.problems import OverloadedError

__all__ = ["Ask", "Coalescer"]

Array = NDArray[np.float64]
Ask = Callable[[Array], Awaitable[Array]]


@dataclass(slots=True, eq=False)
class _Caller:
    """One who waits: the rows, where the answer goes, and the trace and task it is asked for in."""

    rows: Array
    answer: asyncio.Future[Array]
    context: Context


class Coalescer:
    """A way to `ask` that joins the rows of many callers into few calls.

    At most `calls` are in flight, of at most `most_rows` rows each; one caller's rows are never
    divided, whatever their number. At most `most_waiting` rows wait. `observe` gets the number of
    rows of each call. One event loop uses it, from its first call on.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        calls: int = 1,
        most_rows: int = 512,
        most_waiting: int = 4096,
        observe: Callable[[int], object] = lambda rows: None,
    ) -> None:
        self._ask, self._observe = ask, observe
        self._most_calls, self._most_rows, self._most_waiting = calls, most_rows, most_waiting
        self._waiting: deque[_Caller] = deque()
        self._rows_waiting = 0
        self._in_flight: set[asyncio.Task[None]] = set()
        self._is_due = False

    async def __call__(self, rows: Array) -> Array:
        """Return the answers to rows, (n, columns), in their order.

        Raises:
            OverloadedError: when too many rows wait already.
            Exception: whatever the call raises that the rows are part of.
        """
        if self._waiting and self._rows_waiting + len(rows) > self._most_waiting:
            raise OverloadedError("more rows wait for a model than this process keeps waiting")
        loop = asyncio.get_running_loop()
        caller = _Caller(rows, loop.create_future(), copy_context())
        self._waiting.append(caller)
        self._rows_waiting += len(rows)
        if not self._is_due and len(self._in_flight) < self._most_calls:
            self._is_due = True
            loop.call_soon(self._start)
        try:
            return await caller.answer
        except asyncio.CancelledError:
            if caller in self._waiting:
                self._waiting.remove(caller)
                self._rows_waiting -= len(rows)
            raise

    def _start(self) -> None:
        """Start as many calls as there may be."""
        self._is_due = False
        while self._waiting and len(self._in_flight) < self._most_calls:
            together = self._next()
            # a trace shows the call in the request that has waited longest
            call = asyncio.create_task(self._call(together), context=together[0].context)
            self._in_flight.add(call)
            call.add_done_callback(self._back)

    def _back(self, call: asyncio.Task[None]) -> None:
        self._in_flight.discard(call)
        self._start()

    def _next(self) -> list[_Caller]:
        """Take the callers of one call, those first who came first."""
        together = [self._waiting.popleft()]
        rows = len(together[0].rows)
        while self._waiting and self._waiting[0].rows.shape[1:] == together[0].rows.shape[1:]:
            rows += len(self._waiting[0].rows)
            if rows > self._most_rows:
                break
            together.append(self._waiting.popleft())
        self._rows_waiting -= sum(len(each.rows) for each in together)
        return together

    async def _call(self, together: list[_Caller]) -> None:
        """Ask once for all; give each its part, or what went wrong."""
        try:
            answers = await self._answers(np.concatenate([each.rows for each in together]))
            ends = np.cumsum([len(each.rows) for each in together])
            for each, part in zip(together, np.split(answers, ends[:-1]), strict=True):
                if not each.answer.done():  # whoever went away is
                    each.answer.set_result(part)
        except Exception as error:  # noqa: BLE001 - raised where each caller waits
            for each in together:
                if not each.answer.done():
                    each.answer.set_exception(error)
        finally:
            for each in together:
                each.answer.cancel()  # what a call that was cancelled leaves open

    async def _answers(self, rows: Array) -> Array:
        self._observe(len(rows))
        answers = await self._ask(rows)
        if len(answers) != len(rows):
            raise ModelUnavailableError("a model answers to other rows than it was asked about")
        return answers
