"""Group commit: one thread takes everything that waits into one transaction.

An entry is acknowledged after its transaction's commit, never before. A connection that turns out
to be lost before the commit is made again, once. When the database fails otherwise, whatever was in
that transaction is refused with a typed error; the next one reads the chain's head again, for the
failed commit may have arrived after all. What was recorded but not acknowledged does no harm:
nobody was answered.
"""

import asyncio
import contextlib
import threading
import uuid
from collections import deque
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from finntelligence.errors import FinntelligenceError
from serving.record.chain import START, Head
from serving.record.database import FAILURES, unavailable, writing
from serving.record.errors import RecordUnavailableError
from serving.record.transaction import Transaction, Work, prepare

__all__ = ["Writer", "transaction"]

_CLOSED = "the decision record is closed"
_REFUSED = (sa.exc.IntegrityError, sa.exc.DataError)  # one entry's fault, not the database's
_DEADLOCK = "40P01"  # PostgreSQL's word for two batches that claim the same keys


@dataclass(frozen=True, slots=True)
class _Waiting:
    work: Work
    done: "asyncio.Future[Any]"


class Writer:
    """The thread that writes, and the bounded queue before it; one chain of its own."""

    def __init__(self, engine: sa.Engine, queue: int, batch: int) -> None:
        self._engine, self._queue, self._batch = writing(engine), queue, batch
        self.name = uuid.uuid4().hex
        self._head: Head | None = None
        self._connection: sa.Connection | None = None  # the thread's own
        self._waiting: deque[_Waiting] = deque()
        self._gathered: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
        self._turn = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="decision-record", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Entries that wait to be written."""
        return len(self._waiting) + sum(map(len, list(self._gathered.values())))

    def submit(self, work: Work) -> "asyncio.Future[Any]":
        """Queue one entry; the future's result is the work's, once it is durable.

        Within an event loop; what is queued in one of its passes is written together. Who cancels
        the future before its turn leaves the queue.

        Raises:
            RecordUnavailableError: when the queue is full, or the record is closed.
        """
        loop = asyncio.get_running_loop()
        if self._closing:
            raise RecordUnavailableError(_CLOSED)
        if self.waiting >= self._queue:
            raise RecordUnavailableError("the decision record cannot keep up; try again")
        item = _Waiting(work, loop.create_future())
        if loop not in self._gathered:
            self._gathered[loop] = []
            loop.call_soon(self._hand_over, loop)
        self._gathered[loop].append(item)
        return item.done

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the thread what a loop gathered: to wake it costs more than a few entries."""
        gathered = self._gathered.pop(loop)
        with self._turn:
            if not self._closing:
                self._waiting.extend(gathered)
                self._turn.notify()
                return
        _settle([(item.done, RecordUnavailableError(_CLOSED)) for item in gathered])

    def close(self, seconds: float) -> None:
        """Take no more; write what waits, for at most `seconds`."""
        with self._turn:
            self._closing = True
            self._turn.notify()
        self._thread.join(seconds)
        with self._turn:
            late, self._waiting = self._waiting, deque()
        closed = RecordUnavailableError("the decision record was closed")
        _tell([(item, closed) for item in late])

    def _run(self) -> None:
        prepare(self._engine.dialect)
        while batch := self._taken():
            wanted = [item for item in batch if not item.done.done()]
            if wanted:
                self._write(wanted)
        self._disconnect()

    def _taken(self) -> list[_Waiting]:
        """Return what waits, at most a batch of it; nothing once closed and drained."""
        with self._turn:
            self._turn.wait_for(lambda: self._waiting or self._closing)
            count = min(len(self._waiting), self._batch)
            return [self._waiting.popleft() for _ in range(count)]

    def _write(self, batch: list[_Waiting], again: bool = True) -> None:
        try:
            results = self._committed(batch)
        except FAILURES as error:
            self._forget()
            if again and _is_refused(error):
                for item in batch:  # alone, so that one of them does not fail the others
                    self._write([item], again=False)
                return
            results = [unavailable(error)] * len(batch)
        except Exception as error:  # noqa: BLE001 - a defect must not end the thread
            self._forget()
            results = [error] * len(batch)
        _tell(list(zip(batch, results, strict=True)))

    def _committed(self, batch: list[_Waiting]) -> list[Any]:
        """Do all works in one transaction; a connection that was lost before is made again."""
        was_there = self._connection is not None
        try:
            begun, head, results = self._begun(batch)
        except sa.exc.DBAPIError as error:
            if not (was_there and error.connection_invalidated):
                raise
            self._forget()
            begun, head, results = self._begun(batch)
        begun.commit()  # never again: when it fails it may have arrived
        self._head = head
        return results

    def _begun(self, batch: list[_Waiting]) -> tuple[sa.RootTransaction, Head, list[Any]]:
        """Do all works; return what is to be committed, or given up by `_forget`."""
        results: list[Any] = []
        if self._connection is None:
            self._connection = self._engine.connect()
        begun = self._connection.begin()
        current = Transaction(self._connection, self.name, self._head)
        for item in batch:
            try:
                results.append(item.work(current))
            except FinntelligenceError as error:
                results.append(error)
        current.finish()
        return begun, current.head, results

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*FAILURES):  # it was lost already
                connection.close()

    def _forget(self) -> None:
        """Trust nothing of a transaction that failed."""
        self._head = None
        self._disconnect()


def _tell(results: list[tuple[_Waiting, Any]]) -> None:
    """Wake an event loop once for all who wait in it: to wake it costs a system call."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for item, result in results:
        loops.setdefault(item.done.get_loop(), []).append((item.done, result))
    for loop, told in loops.items():
        with contextlib.suppress(RuntimeError):  # it was closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, told)


def _settle(told: list[tuple["asyncio.Future[Any]", Any]]) -> None:
    for future, result in told:
        if future.done():  # whoever waited went away
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


def _is_refused(error: Exception) -> bool:
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    return isinstance(error, _REFUSED) or state == _DEADLOCK


def transaction(engine: sa.Engine, work: Work) -> Any:
    """Do one work in a transaction and a chain of its own, for a command.

    Raises:
        RecordUnavailableError: when the database does not answer.
    """
    try:
        with writing(engine).begin() as connection:
            current = Transaction(connection, uuid.uuid4().hex, START)
            result = work(current)
            current.finish()
    except FAILURES as error:
        raise unavailable(error) from error
    return result
