"""Rows that are asked about while a call is in flight share the next call.

A call costs much more than a row of it. So callers who ask at the same time are asked for together:
what the event loop has to read leaves as one call, as soon as a call may start. Nobody waits for
company that is yet to come: a call begins once a few passes of the loop, which wait for nothing,
brought no more rows. Without that, requests that arrived together would go on in small groups, for
each takes several passes from its socket to here. Each caller gets the answers to its own rows, in
their order.

No caller can harm another: rows of another width never share a call, a caller who goes away leaves
the others as they are, and what an answer means is for the caller to judge. Only a call that fails
fails for all who share it.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from finntelligence.errors import ModelUnavailableError
from serving.problems import OverloadedError

__all__ = ["PASSES", "Ask", "Coalescer"]

PASSES = 3
"""Passes of the event loop without more rows, after which a call begins."""

Array = NDArray[np.float64]
Ask = Callable[[Array], Awaitable[Array]]
Own = TypeVar("Own")


@dataclass(slots=True, eq=False)
class _Caller(Generic[Own]):
    """One who waits: the rows, since when, where the answer goes, and the trace it is asked in."""

    rows: Array
    since: float
    answer: asyncio.Future[Own]
    context: Context


def _whole(answers: Array) -> Array:
    return answers


class Coalescer(Generic[Own]):
    """A way to `ask` that joins the rows of many callers into few calls.

    At most `calls` are in flight, of at most `most_rows` rows each; one caller's rows are never
    divided, whatever their number. At most `most_waiting` rows wait, and no caller longer than
    `within_s` seconds: what `named` says then does not answer. `own` reads one caller's part of an
    answer, and refuses it for that caller alone; `observe` gets the number of rows of each call.
    One event loop uses it, from its first call on. Callers are futures and not tasks, of which each
    would cost as much as a few rows.
    """

    def __init__(  # noqa: PLR0913 - each is a bound or an observer, and has a default
        self,
        ask: Ask,
        *,
        own: Callable[[Array], Own] = _whole,  # type: ignore[assignment]  # Own is Array then
        calls: int = 1,
        most_rows: int = 512,
        most_waiting: int = 4096,
        named: Callable[[], str] = lambda: "a model",
        within_s: float = math.inf,
        observe: Callable[[int], object] = lambda rows: None,
    ) -> None:
        self._ask, self._own, self._observe = ask, own, observe
        self._most_calls, self._most_rows, self._most_waiting = calls, most_rows, most_waiting
        self._named, self._within_s = named, within_s
        self._waiting: deque[_Caller[Own]] = deque()
        self._open: deque[_Caller[Own]] = deque()  # who came first first, asked about or not yet
        self._rows_waiting = 0
        self._in_flight: set[asyncio.Task[None]] = set()
        self._is_due = self._is_timed = False

    def __call__(self, rows: Array) -> "asyncio.Future[Own]":
        """Return what becomes the answers to rows, (n, columns), in their order; `own` reads them.

        Raises (as the future does):
            OverloadedError: when too many rows wait already.
            ModelUnavailableError: when the answer does not come in time.
            Exception: whatever the call raises that the rows are part of, or `own`.
        """
        loop = asyncio.get_running_loop()
        caller = _Caller(rows, loop.time(), loop.create_future(), copy_context())
        if self._is_full(len(rows)):
            said = "more rows wait for a model than this process keeps waiting"
            caller.answer.set_exception(OverloadedError(said))
            return caller.answer
        self._waiting.append(caller)
        self._open.append(caller)
        self._rows_waiting += len(rows)
        if not self._is_timed and self._within_s < math.inf:
            self._is_timed = True
            loop.call_later(self._within_s, self._expire)
        if not self._is_due and len(self._in_flight) < self._most_calls:
            self._is_due = True
            loop.call_soon(self._gather, self._rows_waiting, 1)
        return caller.answer

    def _is_full(self, more: int) -> bool:
        if not self._waiting or self._rows_waiting + more <= self._most_waiting:
            return False
        self._waiting = deque(each for each in self._waiting if not each.answer.done())
        self._rows_waiting = sum(len(each.rows) for each in self._waiting)
        return bool(self._waiting) and self._rows_waiting + more > self._most_waiting

    def _gather(self, rows: int, passes: int) -> None:
        """Start once so many rows have been all for a few passes, or fill a call."""
        came = self._rows_waiting != rows
        if self._rows_waiting < self._most_rows and (came or passes < PASSES):
            passes = 1 if came else passes + 1
            asyncio.get_running_loop().call_soon(self._gather, self._rows_waiting, passes)
        else:
            self._start()

    def _start(self) -> None:
        """Start as many calls as there may be."""
        self._is_due = False
        while len(self._in_flight) < self._most_calls and (together := self._next()):
            # a trace shows the call in the request that has waited longest
            call = asyncio.create_task(self._call(together), context=together[0].context)
            self._in_flight.add(call)
            call.add_done_callback(self._back)

    def _back(self, call: asyncio.Task[None]) -> None:
        self._in_flight.discard(call)
        self._forget()
        if not self._is_due:
            self._start()

    def _next(self) -> list[_Caller[Own]]:
        """Take the callers of one call, those first who came first; who went away is not asked."""
        together: list[_Caller[Own]] = []
        rows = 0
        while self._waiting:
            caller = self._waiting[0]
            more = len(caller.rows)
            if not caller.answer.done():
                if together and not self._fits(together[0], caller, rows + more):
                    break
                together.append(caller)
                rows += more
            self._waiting.popleft()
            self._rows_waiting -= more
        return together

    def _fits(self, first: _Caller[Own], caller: _Caller[Own], rows: int) -> bool:
        return rows <= self._most_rows and caller.rows.shape[1:] == first.rows.shape[1:]

    async def _call(self, together: list[_Caller[Own]]) -> None:
        """Ask once for all; give each its part, or what went wrong."""
        try:
            answers = await self._answers(np.concatenate([each.rows for each in together]))
        except Exception as error:  # noqa: BLE001 - raised where each caller waits
            for each in together:
                if not each.answer.done():
                    each.answer.set_exception(error)
        else:
            self._tell(together, answers)
        finally:
            for each in together:
                each.answer.cancel()  # what a call that was cancelled leaves open

    def _tell(self, together: list[_Caller[Own]], answers: Array) -> None:
        end = 0
        for each in together:
            start, end = end, end + len(each.rows)
            if each.answer.done():  # whoever went away
                continue
            try:
                each.answer.set_result(self._own(answers[start:end]))
            except Exception as error:  # noqa: BLE001 - raised where the caller waits
                each.answer.set_exception(error)

    async def _answers(self, rows: Array) -> Array:
        self._observe(len(rows))
        answers = await self._ask(rows)
        if len(answers) != len(rows):
            raise ModelUnavailableError("a model answers to other rows than it was asked about")
        return answers

    def _forget(self) -> None:
        while self._open and self._open[0].answer.done():
            self._open.popleft()

    def _expire(self) -> None:
        """Give up those who have waited as long as one may; look again when the next one has."""
        loop = asyncio.get_running_loop()
        self._forget()
        while self._open and self._open[0].since + self._within_s <= loop.time():
            late = self._open.popleft()
            said = f"{self._named()} does not answer in time"
            late.answer.set_exception(ModelUnavailableError(said))
            self._forget()
        self._is_timed = bool(self._open)
        if self._open:
            loop.call_at(self._open[0].since + self._within_s, self._expire)
