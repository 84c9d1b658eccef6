"""The one file that settings may stand in, under their names in the environment (FINNT_CONFIG).

    FINNT_FRONT_WORKERS=4
    FINNT_RECORD_URL=postgresql://finnt@db/decisions

One `NAME=value` a line, as `docker run --env-file`, Compose and systemd read it too. It is put into
the process's environment, where what is set already stays: so all parts, and the processes that
they start, read their settings in one way.
"""

import os
from collections.abc import MutableMapping
from pathlib import Path

from dotenv import dotenv_values
from pydantic_settings import BaseSettings

from finntelligence.errors import InvalidDeclarationError

__all__ = ["VARIABLE", "known_names", "read_config"]

VARIABLE = "FINNT_CONFIG"
"""The variable that names the file."""

_OURS, _TRACING = "FINNT_", "OTEL_"


def read_config(environment: MutableMapping[str, str] = os.environ) -> None:
    """Put the settings of the file that FINNT_CONFIG names into the environment.

    To be called before any setting is read. Without FINNT_CONFIG nothing is done.

    Raises:
        InvalidDeclarationError: when the file cannot be read, or names what is no setting.
    """
    named = environment.get(VARIABLE)
    if not named:
        return
    try:
        text = Path(named).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidDeclarationError(f"{VARIABLE}: {named} cannot be read: {error}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        name, given, _ = line.strip().partition("=")
        if name and not name.startswith("#") and not given:
            raise InvalidDeclarationError(f"{VARIABLE}: line {number} of {named} is no NAME=value")
    values = dotenv_values(named, interpolate=False)
    unknown = sorted(
        name for name in values if name not in known_names() and not name.startswith(_TRACING)
    )
    if unknown:
        raise InvalidDeclarationError(f"{VARIABLE}: no setting is called {', '.join(unknown)}")
    for name, value in values.items():
        environment.setdefault(name, value or "")


def known_names() -> set[str]:
    """Return the name of every setting of the service's parts, as the environment has it."""
    # the modules that declare settings; runners have theirs declared before they call this
    from serving import (  # noqa: F401
        grpc_settings,
        json_log,
        keys,
        rate_limit,
        settings,
    )
    from serving.record import settings as _record  # noqa: F401

    return {
        f"{prefix}{name}".upper()
        for kind in BaseSettings.__subclasses__()
        if (prefix := str(kind.model_config.get("env_prefix"))).startswith(_OURS)
        for name in kind.model_fields
    }
