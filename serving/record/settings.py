"""Settings of the decision record, from the environment (FINNT_RECORD_...)."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from finntelligence.errors import InvalidDeclarationError

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["RecordSettings"]

_KNOWN = "sqlite:///<file> or postgresql://<user>@<host>/<database>"


class RecordSettings(BaseSettings):
    """Where decisions are recorded, and within which bounds; every value has a safe default."""

    model_config = SettingsConfigDict(env_prefix="FINNT_RECORD_")

    url: str = Field(
        "sqlite:///build/{portfolio}/decisions.db",
        description="Database of the decision record: an SQLite file or PostgreSQL.",
        repr=False,  # it may hold a password
    )
    queue: int = Field(
        10_000, ge=1, le=10**6, description="Entries that may wait to be written; more get 503."
    )
    batch: int = Field(512, ge=1, le=10_000, description="Most entries in one transaction.")
    timeout_s: float = Field(
        5, gt=0, le=600, description="An entry that is not durable in this time gets 503."
    )
    max_entry_bytes: int = Field(
        262_144, ge=4096, le=2**24, description="A larger entry is refused."
    )
    idempotency_hours: float = Field(
        24, gt=0, le=8760, description="How long an Idempotency-Key is honoured."
    )
    keep_months: int = Field(
        25, ge=1, le=1200, description="Age from which `finnt decisions prune` removes content."
    )

    def database(self, portfolio: str, root: Path) -> "sa.URL":
        """Return the database's address; a relative file is below `root`.

        Raises:
            InvalidDeclarationError: when it is of no known kind.
        """
        import sqlalchemy as sa  # slow, and a runner has no record

        try:
            url = sa.make_url(self.url.replace("{portfolio}", portfolio))
        except sa.exc.ArgumentError as error:
            raise InvalidDeclarationError(f"FINNT_RECORD_URL: must be {_KNOWN}") from error
        kind = url.get_backend_name()
        if kind == "sqlite" and url.database not in (None, "", ":memory:"):
            return url.set(drivername="sqlite", database=str(root / str(url.database)))
        if kind == "postgresql":
            return url.set(drivername="postgresql+psycopg")
        raise InvalidDeclarationError(f"FINNT_RECORD_URL: must be {_KNOWN}")
