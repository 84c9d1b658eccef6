"""How Alembic runs the steps: on the connection, and in the transaction, of who asks for them."""

from alembic import context

from serving.record.schema import METADATA

__all__: list[str] = []


def _run() -> None:
    context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
    context.run_migrations()


if __name__ == "env_py":  # Alembic's name for it; whoever else imports it runs nothing
    _run()
