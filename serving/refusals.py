"""What keeps a service from starting: found before anything is started, told in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bentoml.exceptions import BentoMLException
from pydantic import ValidationError

from finntelligence.errors import FinntelligenceError
from serving.grpc_settings import GrpcSettings

if TYPE_CHECKING:
    import sqlalchemy as sa

    from serving.gate import Gate

__all__ = ["in_one_line", "refuse_shut"]


@contextmanager
def in_one_line() -> Iterator[None]:
    """Have the `bentoml` command say what went wrong, and no more.

    Raises:
        BentoMLException: with the words of an error of ours, or what is wrong with a setting.
    """
    try:
        yield
    except FinntelligenceError as error:
        raise BentoMLException(str(error)) from None
    except ValidationError as error:
        wrong = "; ".join(
            f"{error.title}.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()
        )
        raise BentoMLException(f"a setting is impossible: {wrong}") from None


def refuse_shut(gate: "Gate", grpc: GrpcSettings, record: "sa.URL") -> None:
    """Refuse to start workers of whom none could serve; for the process that would start them.

    Raises:
        BentoMLException: when nobody guards the doors.
        CannotServeError: when the gRPC door's port is taken.
        RecordSchemaError: when the record must be migrated first.
        RecordUnavailableError: when it does not answer.
    """
    from serving.gate import refuse_unlocked
    from serving.local import refuse_busy_port
    from serving.record.database import connected

    refuse_unlocked(gate, grpc.host if grpc.enabled else None)
    if grpc.enabled and not grpc.host.startswith("unix:"):
        refuse_busy_port(grpc.host, grpc.port, "FINNT_GRPC_PORT=<port>")
    with connected(record):
        pass
