"""The decision log that the doors write to and read from; durable before anybody is answered."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import pydantic_core
import sqlalchemy as sa

from finntelligence.declaration import canonical_json
from finntelligence.errors import FinntelligenceError
from serving.record.chain import Event, sha256
from serving.record.database import current, opened, snapshot
from serving.record.entry import Entry, Outcome, micros
from serving.record.errors import RecordUnavailableError
from serving.record.idempotency import Answered, claimed, known
from serving.record.links import Links, links
from serving.record.outcomes import attached
from serving.record.reader import Recorded, shown
from serving.record.replay import Loader, Replay, replay
from serving.record.schema import documents
from serving.record.settings import RecordSettings
from serving.record.transaction import Transaction, Work, now_us
from serving.record.writer import Writer

__all__ = ["DecisionLog"]

_LATE = "the decision record does not answer in time"
_READERS = 2  # threads that read what was decided
_REPLAYERS = 1  # and that compute it again, a few hundredths of a second each
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class DecisionLog:
    """One process's access to the record; make it with `open`, after the process was forked."""

    engine: sa.Engine
    settings: RecordSettings
    writer: Writer
    # each of its own, so that none of them keeps an offer from its idempotency key
    readers: Executor = field(default_factory=lambda: ThreadPoolExecutor(_READERS, "read"))
    replayers: Executor = field(default_factory=lambda: ThreadPoolExecutor(_REPLAYERS, "replay"))

    @classmethod
    def open(cls, settings: RecordSettings, portfolio: str, root: Path) -> Self:
        """Connect, check the schema, start the writer.

        Raises:
            InvalidDeclarationError: when the settings name no database.
            RecordSchemaError: when PostgreSQL's schema must be migrated first.
            RecordUnavailableError: when the database does not answer.
        """
        engine = opened(settings.database(portfolio, root))
        try:
            current(engine)
        except FinntelligenceError:
            engine.dispose()
            raise
        return cls(engine, settings, Writer(engine, settings.queue, settings.batch))

    @property
    def waiting(self) -> int:
        """Entries that wait to be durable: the record's lag."""
        return self.writer.waiting

    async def append(self, entry: Entry) -> Mapping[str, Any]:
        """Record a decision; return its answer once that is durable.

        Where another request with the same idempotency key was faster, nothing is recorded and the
        answer is the other's.

        Raises:
            RecordUnavailableError: when the record is down, full or too slow, or the entry too
                large; nobody may then be answered.
            IdempotencyConflictError: when the key was used for another request.
            ValueError: when JSON cannot say the entry.
        """
        event = self._event(entry)
        until_us = now_us() + round(self.settings.idempotency_hours * 3.6e9)

        def work(transaction: Transaction) -> Mapping[str, Any]:
            if entry.idempotency_key is not None:
                earlier = claimed(transaction, entry, until_us)
                if earlier is not None:
                    return earlier
            transaction.add(event)
            return entry.answer

        answer: Mapping[str, Any] = await self._written(work)
        return answer

    async def answered(self, key_digest: str, request_digest: str) -> Answered:
        """Return the answer that was given to this idempotency key; None if there is none.

        Raises:
            IdempotencyConflictError: when the key was used for another request.
            RecordUnavailableError: when the record does not answer.
        """

        def read() -> Answered:
            with snapshot(self.engine) as connection:
                return known(connection, key_digest, request_digest)

        return await self._read(read)

    async def attach(self, outcome: Outcome) -> Outcome:
        """Record what became of a decision; the same outcome again is recorded once.

        Raises:
            UnknownDecisionError: when there is no such decision.
            OutcomeConflictError: when it contradicts the decision or an earlier outcome.
            RecordUnavailableError: when the record does not answer.
        """
        found: Outcome = await self._written(lambda current: attached(current, outcome))
        return found

    async def decision(self, decision_id: str) -> Recorded:
        """Return a recorded decision.

        Raises:
            UnknownDecisionError: when there is no such decision.
            RecordUnavailableError: when the record does not answer.
        """
        return await self._read(lambda: shown(self.engine, decision_id), self.readers)

    async def links(self, decision_id: str) -> Links:
        """Return where a decision stands in the record, and whether its own links hold.

        Raises:
            UnknownDecisionError: when there is no such decision.
            RecordUnavailableError: when the record does not answer.
        """
        return await self._read(lambda: links(self.engine, decision_id), self.readers)

    async def replay(self, decision_id: str, load: Loader | None = None) -> Replay:
        """Compute a decision again; see `serving.record.replay`.

        Raises:
            UnknownDecisionError: when there is no such decision, or it was pruned.
            ModelMismatchError: when neither the record nor `load` knows what decided.
            RecordUnavailableError: when the record does not answer.
        """
        return await self._read(lambda: replay(self.engine, decision_id, load), self.replayers)

    async def keep(self, contents: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        """Keep documents, each once; return each one's digest, for `Entry.documents`.

        Call it when an engine is made, before its first decision.

        Raises:
            RecordUnavailableError: when the record does not answer.
        """
        texts = {name: canonical_json(content) for name, content in contents.items()}
        rows = [{"digest": sha256(text), "content": text} for text in sorted(texts.values())]

        def work(transaction: Transaction) -> None:
            for row in rows:
                there = sa.exists().where(documents.c.digest == row["digest"])
                values = sa.select(*(sa.literal(row[name]) for name in ("digest", "content")))
                new = sa.insert(documents).from_select(["digest", "content"], values.where(~there))
                transaction.connection.execute(new)

        await self._written(work)
        return {name: sha256(text) for name, text in texts.items()}

    async def close(self) -> None:
        """Take no more entries, write those that wait, disconnect."""
        # whoever waits longer was told already that it is not recorded
        await asyncio.to_thread(self.writer.close, self.settings.timeout_s)
        for executor in (self.readers, self.replayers):
            executor.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(TimeoutError):  # a read that hangs keeps its connection
            async with asyncio.timeout(self.settings.timeout_s):
                for executor in (self.readers, self.replayers):
                    await asyncio.to_thread(executor.shutdown)
        self.engine.dispose()

    def _event(self, entry: Entry) -> Event:
        content = _json(entry.to_content())
        if len(content.encode()) > self.settings.max_entry_bytes:
            most = self.settings.max_entry_bytes
            raise RecordUnavailableError(f"an entry of the decision record exceeds {most} bytes")
        at_us = micros(entry.at)
        return Event(kind="decision", at_us=at_us, content=content, decision_id=entry.decision_id)

    async def _written(self, work: Work) -> Any:
        future = self.writer.submit(work)
        # a timer, where `asyncio.timeout` would cancel and wake the whole task
        late = future.get_loop().call_later(self.settings.timeout_s, _give_up, future)
        try:
            return await future
        finally:
            late.cancel()

    async def _read(self, read: Callable[[], _Found], executor: Executor | None = None) -> _Found:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                return await loop.run_in_executor(executor, read)
        except TimeoutError as error:
            raise RecordUnavailableError(_LATE) from error


def _give_up(future: "asyncio.Future[Any]") -> None:
    if not future.done():
        future.set_exception(RecordUnavailableError(_LATE))


def _json(content: Mapping[str, Any]) -> str:
    """Return an entry as JSON, ten times faster than the canonical form.

    Raises:
        ValueError: when JSON cannot say it.
    """
    text = pydantic_core.to_json(content).decode()
    # what may be no number is left to the writer that refuses those
    return canonical_json(content) if "NaN" in text or "Infinity" in text else text
