"""Who may ask a runner: the front of the same service, which shares a secret with it.

BentoML's services speak pickle to one another, and to read a stranger's pickle is to run the
stranger's code. So there are two locks, each of which would do: a caller without the secret is
refused before a byte of the body is read, and whatever reads bodies knows arrays only
(`runners.arrays`). The secret goes over the wire as it is: where a front and its runners are not on
one machine, the network between them must be private or encrypted too.
"""

import hmac
import logging
import os
import secrets
from collections.abc import Mapping
from typing import Any

import click
from _bentoml_impl.serde import PickleSerde  # type: ignore[import-untyped]
from bentoml.exceptions import BentoMLException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from runners.arrays import read_arrays_only
from runners.settings import RunnerSettings

__all__ = ["SECRET", "FrontOnly", "credentials", "guard", "share_secret"]

SECRET = "FINNT_RUNNER_SECRET"
"""The variable through which a service's processes know their secret."""

PROBES = ("/livez", "/healthz", "/readyz", "/metrics")
"""What may be asked without the secret: orchestrators ask, and the answers tell of no applicant.
A front with another secret is refused here too, so that it does not take the runner for ready."""

log = logging.getLogger(__name__)


class FrontOnly:
    """ASGI middleware that lets the front in; without a secret of its own it lets nobody in."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._expected = credentials()
        self._told = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what the front asks; refuse all else before its body is read."""
        if scope["type"] == "lifespan" or _is_probe(scope):
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif not self._is_front(scope):
            self._tell_once()
            # what the stranger still sends is not waited for
            headers = {"WWW-Authenticate": "Bearer", "Connection": "close"}
            words = {"error": f"only the front may ask a runner; both need the same {SECRET}"}
            await JSONResponse(words, 401, headers)(scope, receive, send)
        elif scope["method"] == "POST" and _kind(scope) != PickleSerde.media_type.encode():
            words = {"error": f"a runner reads {PickleSerde.media_type}"}
            await JSONResponse(words, 415, {"Connection": "close"})(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _tell_once(self) -> None:
        """Say that somebody was refused; a stranger must not be able to fill the log."""
        if not self._told:
            log.warning("a caller without this runner's %s was refused; said once", SECRET)
            self._told = True

    def _is_front(self, scope: Scope) -> bool:
        shown = _all(scope, b"authorization")
        if self._expected is None or len(shown) != 1:
            return False
        return hmac.compare_digest(shown[0], self._expected.encode())


def guard(runner: Any) -> None:
    """Have a runner service answer its front alone, and read arrays alone."""
    read_arrays_only()
    for method in runner.apis.values():
        # else BentoML makes each answer's JSON schema, to find out how to call what it answers with
        method.output_spec.media_type = PickleSerde.media_type
    runner.add_asgi_middleware(FrontOnly)


def credentials() -> str | None:
    """Return what a front shows to its runners; None while there is no secret."""
    secret = RunnerSettings().secret
    return None if secret is None else f"Bearer {secret.get_secret_value()}"


def share_secret() -> None:
    """Give this process, and all that it starts, a secret unless it has one.

    For the parent of a front and its runners, before it starts them. What the `bentoml` command in
    progress starts by itself, one runner or a front without its runners, must be told the secret.

    Raises:
        BentoMLException: when a part is started by itself without a secret.
    """
    if os.environ.get(SECRET):
        return
    context = click.get_current_context(silent=True)
    asked: Mapping[str, Any] = {} if context is None else context.params
    if any(asked.get(name) for name in ("service_name", "depends", "runner_map")):
        raise BentoMLException(
            f"{SECRET} is not set: a front and runners that are started by themselves need the "
            "same secret, 32 characters or more, such as `openssl rand -hex 32` prints"
        )
    os.environ[SECRET] = secrets.token_hex(32)


def _is_probe(scope: Scope) -> bool:
    asks = scope["type"] == "http" and scope["method"] == "GET" and scope["path"] in PROBES
    return asks and not _all(scope, b"authorization")


def _kind(scope: Scope) -> bytes:
    kinds = _all(scope, b"content-type")
    return kinds[0] if len(kinds) == 1 else b""


def _all(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]
