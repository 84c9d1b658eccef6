"""The record's tables as they are now; `serving.migrations` brings a database here.

`records` holds every event of every writer's chain. Its `content` is the one part that retention
empties; all else of a row is covered by its `hash`, the content by way of `content_digest`.
"""

import sqlalchemy as sa

__all__ = ["METADATA", "chains", "documents", "idempotency", "records"]

METADATA = sa.MetaData()

records = sa.Table(
    "records",
    METADATA,
    sa.Column("writer", sa.String(32), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("decision_id", sa.String(100)),
    sa.Column("slot", sa.String(16)),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("before_us", sa.BigInteger),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("content_digest", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("content", sa.Text),
)
chains = sa.Table(
    "chains",
    METADATA,
    sa.Column("writer", sa.String(32), primary_key=True),
    sa.Column("started_us", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)
documents = sa.Table(
    "documents",
    METADATA,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("content", sa.Text, nullable=False),
)
idempotency = sa.Table(
    "idempotency",
    METADATA,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("request_digest", sa.String(64), nullable=False),
    sa.Column("decision_id", sa.String(100), nullable=False),
    sa.Column("until_us", sa.BigInteger, nullable=False),
)


def _index(name: str, kind: str, *columns: str, unique: bool = False) -> None:
    only = sa.text(f"kind = '{kind}'")
    found = [records.c[column] for column in columns]
    sa.Index(name, *found, unique=unique, sqlite_where=only, postgresql_where=only)


_index("records_decision", "decision", "decision_id", unique=True)
_index("records_outcome", "outcome", "decision_id", "slot", unique=True)
_index("records_pruning", "pruning", "before_us")
sa.Index("records_age", records.c.kind, records.c.at_us)
sa.Index("idempotency_until", idempotency.c.until_us)
