"""The schema: migrated as the tables are declared, checked on start, private to its owner."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from finntelligence.errors import InvalidDeclarationError
from serving.decision_log import DecisionLog
from serving.record.database import REVISION, current, migrate, opened
from serving.record.errors import RecordSchemaError
from serving.record.schema import METADATA
from serving.record.settings import RecordSettings

ROOT = Path(__file__).parents[3]


@pytest.fixture
def empty(postgresql):
    """A PostgreSQL database without a schema."""
    admin = sa.create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text("CREATE DATABASE bare"))
    engine = opened(postgresql.set(database="bare"))
    yield engine
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(sa.text("DROP DATABASE bare"))
    admin.dispose()


def test_the_migrated_schema_is_the_declared_one(log):
    with log.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_migrating_again_changes_nothing(log):
    assert migrate(log.engine) == migrate(log.engine)


def test_postgresql_without_its_schema_is_refused_and_told_the_command(empty):
    with pytest.raises(RecordSchemaError, match=r"no schema yet.*finnt decisions migrate"):
        current(empty)
    migrate(empty)
    current(empty)


def test_a_schema_of_a_newer_engine_is_refused(log, tmp_path):
    with log.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(RecordSchemaError, match="9999"):
        DecisionLog.open(log.settings, "simulated", tmp_path)
    with log.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))


def test_an_sqlite_file_is_made_durable_and_private_and_by_several_at_once(tmp_path):
    url = RecordSettings().database("kz2008", tmp_path)
    engines = [opened(url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(current, engines))
    path = tmp_path / "build" / "kz2008" / "decisions.db"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with engines[0].connect() as connection:
        asked = {p: connection.execute(sa.text(f"PRAGMA {p}")).scalar_one() for p in PRAGMAS}
    assert asked == PRAGMAS
    for engine in engines:
        engine.dispose()


PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1}


@pytest.mark.parametrize("url", ["mysql://host/db", "sqlite://", "nonsense", ""])
def test_a_database_of_no_known_kind_is_refused_and_told_what_is_known(url, tmp_path):
    with pytest.raises(InvalidDeclarationError, match="FINNT_RECORD_URL: must be sqlite:///"):
        RecordSettings(url=url).database("simulated", tmp_path)


def test_a_password_is_not_shown(tmp_path):
    settings = RecordSettings(url="postgresql://user:hunter2@host/db")
    assert "hunter2" not in f"{settings!r} {settings.database('simulated', tmp_path)}"


def test_the_revision_is_the_last_migrations(log):
    migrations = Config()
    migrations.set_main_option("script_location", str(ROOT / "serving" / "migrations"))
    migrations.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(migrations).get_current_head() == REVISION
    with log.engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == REVISION
