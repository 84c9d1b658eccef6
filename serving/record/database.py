"""The database under the record: opened, brought to today's schema, read as one snapshot."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from serving.record.errors import RecordSchemaError, RecordUnavailableError

__all__ = [
    "FAILURES",
    "REVISION",
    "connected",
    "current",
    "migrate",
    "opened",
    "snapshot",
    "unavailable",
    "writing",
]

FAILURES = (sa.exc.SQLAlchemyError, OSError)
"""What a database that is down, locked or full raises."""

REVISION = "0001"
"""Today's schema: the last of the migrations. Known without Alembic, which is slow to import."""

_MIGRATIONS = Path(__file__).parents[1] / "migrations"
_COMMAND = "run `finnt decisions migrate`"
_CONNECT_S = 3
_POSTGRESQL = "-c statement_timeout=30000 -c synchronous_commit=on"


def opened(url: sa.URL) -> sa.Engine:
    """Return an engine that reads and writes; nothing is connected yet.

    An SQLite file is made, readable to its owner alone. It is in WAL mode and synchronous=FULL: a
    commit outlives a power cut, and several processes may share the file.
    """
    if url.get_backend_name() == "postgresql":
        connect = {"connect_timeout": _CONNECT_S, "options": _POSTGRESQL}
        return sa.create_engine(url, connect_args=connect, pool_pre_ping=True, hide_parameters=True)
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise RecordUnavailableError(f"{path} cannot be opened: {error.strerror}") from error
    connect = {"timeout": _CONNECT_S}
    engine = sa.create_engine(url, connect_args=connect, hide_parameters=True)
    sa.event.listen(engine, "connect", _sqlite_pragmas)
    sa.event.listen(engine, "begin", _sqlite_begin)
    return engine


@contextmanager
def connected(url: sa.URL) -> Iterator[sa.Engine]:
    """Yield an engine whose schema was checked, for a command; raises as `current` does."""
    engine = opened(url)
    try:
        current(engine)
        yield engine
    finally:
        engine.dispose()


def migrate(engine: sa.Engine) -> str:
    """Bring the database to today's schema; return its revision.

    Raises:
        RecordSchemaError: when a newer engine has brought it further.
        RecordUnavailableError: when it does not answer.
    """
    from alembic import command  # a service whose record is up to date starts without it
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    try:
        with writing(engine).begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise RecordSchemaError(f"the decision record's schema is unknown: {error}") from error
    except FAILURES as error:
        raise unavailable(error) from error
    return REVISION


def current(engine: sa.Engine) -> None:
    """Check the schema; an SQLite file, which belongs to us alone, is brought to today's.

    Raises:
        RecordSchemaError: naming the command that repairs it.
        RecordUnavailableError: when the database does not answer.
    """
    try:
        with engine.connect() as connection:
            found = _revision(connection)
    except FAILURES as error:
        raise unavailable(error) from error
    if found == REVISION:
        return
    if engine.dialect.name == "sqlite":
        migrate(engine)
        return
    has = f"has schema {found}" if found else "has no schema yet"
    raise RecordSchemaError(
        f"the decision record's database {has}, this engine writes {REVISION}; {_COMMAND}"
    )


def writing(engine: sa.Engine) -> sa.Engine:
    """Return the engine whose transactions take SQLite's write lock at once, not half-way."""
    return engine.execution_options(writing=True)


@contextmanager
def snapshot(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection that reads one state of the whole record, whoever writes meanwhile.

    Raises:
        RecordUnavailableError: when the database does not answer.
    """
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection
    except FAILURES as error:
        raise unavailable(error) from error


def unavailable(error: BaseException) -> RecordUnavailableError:
    """Return the typed error, without the database's words: they may hold what was written."""
    cause = getattr(error, "orig", None) or error
    return RecordUnavailableError(f"the decision record is not available: {type(cause).__name__}")


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    said = connection.execute(sa.text("SELECT version_num FROM alembic_version"))
    return said.scalar_one_or_none()


def _sqlite_pragmas(connection: Any, _: object) -> None:
    connection.isolation_level = None  # no transaction but those that `_sqlite_begin` opens
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _sqlite_begin(connection: sa.Connection) -> None:
    now = connection.get_execution_options().get("writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if now else "BEGIN")
