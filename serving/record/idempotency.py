"""One answer for one Idempotency-Key, whichever worker is asked, for as long as it is honoured."""

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from serving.record.entry import Entry
from serving.record.errors import IdempotencyConflictError
from serving.record.schema import idempotency, records
from serving.record.transaction import Transaction, now_us

__all__ = ["Answered", "claimed", "forget", "known"]

Answered = Mapping[str, Any] | None


def known(connection: sa.Connection, key: str, request_digest: str) -> Answered:
    """Return the answer recorded under a key's digest, if the key is still honoured.

    Raises:
        IdempotencyConflictError: when it was given to another request.
    """
    wanted = (
        sa.select(idempotency.c.request_digest, records.c.content)
        .join(records, records.c.decision_id == idempotency.c.decision_id)
        .where(records.c.kind == "decision", idempotency.c.key == key)
        .where(idempotency.c.until_us > now_us())
    )
    row = connection.execute(wanted).one_or_none()
    if row is None or row.content is None:
        return None
    if row.request_digest != request_digest:
        raise IdempotencyConflictError("the Idempotency-Key was used for another request")
    answer: Mapping[str, Any] = json.loads(row.content)["answer"]
    return answer


def claimed(transaction: Transaction, entry: Entry, until_us: int) -> Answered:
    """Claim an entry's key for it; return the answer of who was faster, None if nobody was.

    Of two transactions that claim one key, the second waits for the first's commit.
    """
    kind = {"sqlite": sqlite, "postgresql": postgresql}[transaction.connection.dialect.name]
    key, request_digest = str(entry.idempotency_key), entry.request_digest
    values = {
        "key": key,
        "request_digest": request_digest,
        "decision_id": entry.decision_id,
        "until_us": until_us,
    }
    claim = kind.insert(idempotency).values(values)
    expired = idempotency.c.until_us <= now_us()
    claim = claim.on_conflict_do_update(
        index_elements=[idempotency.c.key], set_=values, where=expired
    ).returning(idempotency.c.key)
    if transaction.connection.execute(claim).one_or_none() is not None:
        return None
    transaction.flush()  # the faster one may be in this very transaction
    return known(transaction.connection, key, request_digest)


def forget(connection: sa.Connection) -> int:
    """Remove keys that are no longer honoured; return how many."""
    late = idempotency.c.until_us <= now_us()
    return connection.execute(sa.delete(idempotency).where(late)).rowcount
