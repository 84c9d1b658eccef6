"""The record's tables, and the triggers that keep them append-only."""

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0001"
down_revision = None

_REFUSAL = "the decision record is append-only"
_KEPT = (
    *("writer", "seq", "kind", "decision_id", "slot", "at_us", "before_us"),
    *("previous", "content_digest", "hash"),
)
_EMPTIED = (
    "new.content IS NULL AND ({new}) {same} ({old}) AND EXISTS "
    "(SELECT 1 FROM records WHERE kind = 'pruning' AND before_us > old.at_us)"
)
_ADVANCED = "new.writer = old.writer AND new.started_us = old.started_us AND new.seq > old.seq"


def upgrade() -> None:
    """Make tables, indices and triggers."""
    _tables()
    _indices()
    if op.get_bind().dialect.name == "sqlite":
        _sqlite_triggers()
    else:
        _postgresql_triggers()


def _tables() -> None:
    op.create_table(
        "records",
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
    op.create_table(
        "chains",
        sa.Column("writer", sa.String(32), primary_key=True),
        sa.Column("started_us", sa.BigInteger, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_table(
        "documents",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("content", sa.Text, nullable=False),
    )
    op.create_table(
        "idempotency",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("request_digest", sa.String(64), nullable=False),
        sa.Column("decision_id", sa.String(100), nullable=False),
        sa.Column("until_us", sa.BigInteger, nullable=False),
    )


def _indices() -> None:
    for name, columns, unique, kind in (
        ("records_decision", ["decision_id"], True, "decision"),
        ("records_outcome", ["decision_id", "slot"], True, "outcome"),
        ("records_pruning", ["before_us"], False, "pruning"),
    ):
        only = sa.text(f"kind = '{kind}'")
        op.create_index(
            name, "records", columns, unique=unique, sqlite_where=only, postgresql_where=only
        )
    op.create_index("records_age", "records", ["kind", "at_us"])
    op.create_index("idempotency_until", "idempotency", ["until_us"])


def _emptied(same: str) -> str:
    new, old = (", ".join(f"{row}.{name}" for name in _KEPT) for row in ("new", "old"))
    return _EMPTIED.format(new=new, old=old, same=same)


def _sqlite_triggers() -> None:
    for table, event, permitted in (
        ("records", "UPDATE", _emptied("IS")),
        ("records", "DELETE", "false"),
        ("chains", "UPDATE", _ADVANCED),
        ("chains", "DELETE", "false"),
        ("documents", "UPDATE", "false"),
        ("documents", "DELETE", "false"),
    ):
        op.execute(
            f"CREATE TRIGGER {table}_{event.lower()} BEFORE {event} ON {table} "
            f"WHEN NOT ({permitted}) BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        )


def _postgresql_triggers() -> None:
    _postgresql_guard("record_refused", "false")
    _postgresql_guard("record_emptied", _emptied("IS NOT DISTINCT FROM"))
    _postgresql_guard("record_advanced", _ADVANCED)
    for table, update in (
        ("records", "record_emptied"),
        ("chains", "record_advanced"),
        ("documents", "record_refused"),
    ):
        for name, event, each, guard in (
            ("update", "UPDATE", "ROW", update),
            ("delete", "DELETE", "ROW", "record_refused"),
            ("truncate", "TRUNCATE", "STATEMENT", "record_refused"),
        ):
            op.execute(
                f"CREATE TRIGGER {table}_{name} BEFORE {event} ON {table} "
                f"FOR EACH {each} EXECUTE FUNCTION {guard}()"
            )


def _postgresql_guard(name: str, permitted: str) -> None:
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {permitted} THEN RETURN new; END IF; "
        f"RAISE EXCEPTION '{_REFUSAL}'; END $$"
    )
