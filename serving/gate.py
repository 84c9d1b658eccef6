"""The lock on the doors: who asks, and whether they may; `turns` has room for them or not.

Both doors of a worker share one `Gate`. Without keys (FINNT_AUTH_OFF) the doors must be on
loopback: the service refuses to start otherwise, and a request that arrives on another address, or
that a web page of another origin sends, is refused too.
"""

import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import click
from bentoml.container import BentoMLContainer  # type: ignore[attr-defined]
from bentoml.exceptions import BentoMLException
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from finntelligence.errors import FinntelligenceError
from serving.keys import AuthSettings, Caller, KeyFile, entries
from serving.limits import MOST_HEADER_BYTES, bound_headers, header_bytes
from serving.problems import (
    ForbiddenError,
    UnauthenticatedError,
    problem_of,
    retry_after_s,
)
from serving.rate_limit import Admission, LoadSettings, RateLimits
from serving.wire import problem_of_status

__all__ = [
    "CALLER",
    "Gate",
    "HttpGate",
    "is_loopback",
    "open_on_loopback",
    "refuse_unlocked",
    "said_of_keys",
]

CALLER = "finnt.caller"
"""Where an ASGI scope holds the caller's id."""

_OPEN = {"/livez", "/healthz", "/readyz", "/docs", "/docs/start.js", "/openapi.json", "/console"}
_OPEN_FOLDERS = ("/static_content/", "/console/")
_ANYBODYS = {"/", "/v1/status"}
_SCOPES = {
    "/v1/offers": "offer",
    "/predict": "offer",
    "/v1/quote": "offer",
    "/v1/curve": "offer",
    "/v1/policy": "read",
    "/v1/models": "read",
    "/metrics": "metrics",
}
_DECISIONS = "/v1/decisions/"
_FOREIGN_SITES = {"cross-site", "same-site"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What both doors of one worker ask; `keys` is None where nobody is asked for a key."""

    keys: KeyFile | None
    rates: RateLimits
    admission: Admission

    @classmethod
    def open(cls, root: Path, workers: int) -> Self:
        """Return the gate that the environment describes, of one of so many workers."""
        auth, load = AuthSettings(), LoadSettings()
        return cls(
            keys=None if auth.off else KeyFile(auth.path(root)),
            rates=RateLimits(workers=workers),
            admission=Admission(
                in_flight=load.in_flight, queue=load.queue, patience_s=load.patience_s
            ),
        )

    def admit(self, authorization: str | None, scope: str | None) -> Caller | None:
        """Return who asks, having counted the request; None where nobody is asked.

        Raises:
            UnauthenticatedError: when no key is shown, or none that is in force.
            ForbiddenError: when the key is good for other things only.
            OverloadedError: when the key's allowance is used up.
        """
        if self.keys is None:
            return None
        caller = self.keys.authorise(authorization, scope)
        self.rates.take(caller.id, caller.rate)
        return caller

    async def authorise(self, headers: Mapping[str, str], scope: str) -> str | None:
        """Return the id of who asks, as the gRPC door wants it."""
        caller = self.admit(headers.get("authorization"), scope)
        return None if caller is None else caller.id


class HttpGate:
    """ASGI middleware: what a request needs is decided by its path, before its body is read."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app, self._gate = app, gate
        bound_headers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass; answer the rest with its problem."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if header_bytes(scope["headers"]) > MOST_HEADER_BYTES:
            words = f"the headers must be at most {MOST_HEADER_BYTES} bytes"
            await _refused(problem_of_status(431, words), {})(scope, receive, send)
            return
        try:
            self._admit(scope)
        except FinntelligenceError as error:
            await _answer(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        """Note who asks."""
        path = scope["path"]
        if path in _OPEN or path.startswith(_OPEN_FOLDERS):
            return
        headers = Headers(scope=scope)
        if self._gate.keys is None:
            _refuse_from_afar(scope, headers)
        shown = headers.getlist("authorization")
        caller = self._gate.admit(shown[0] if len(shown) == 1 else None, _scope_of(path))
        scope[CALLER] = None if caller is None else caller.id


def _scope_of(path: str) -> str | None:
    """Return the scope that a path needs, None for any key; an unlisted one needs admin."""
    if path in _ANYBODYS:
        return None
    if path.startswith(_DECISIONS):
        return "outcome" if path.endswith("/outcome") else "read"
    return _SCOPES.get(path, "admin")


def _refuse_from_afar(scope: Scope, headers: Headers) -> None:
    """Refuse what does not come from this machine, or comes through a browser's foreign page.

    A page may have a name of its own resolve to loopback; its requests then name it as the host.
    """
    address, port = scope.get("server") or ("", None)
    if port is not None and not is_loopback(address):
        raise UnauthenticatedError("without keys the service answers on loopback only")
    host = headers.get("host", "").rpartition("@")[2]
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name and not is_loopback(name):
        raise ForbiddenError("without keys the service answers under loopback's names only")
    if headers.get("sec-fetch-site") in _FOREIGN_SITES:
        raise ForbiddenError("without keys the service answers no other site's pages")


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens at a host.

    >>> [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "unix:/run/x", "0.0.0.0")]
    [True, True, True, True, False]
    """
    if host == "localhost" or host.startswith("unix:"):
        return True
    try:
        found = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return found.is_loopback if mapped is None else bool(mapped.is_loopback)


def refuse_unlocked(gate: Gate, grpc_host: str | None) -> None:
    """Refuse to start doors that nobody guards; for the parent, before it starts anything.

    `grpc_host` is where the gRPC door listens, None without one. Where the HTTP door will, the
    `bentoml` command in progress says.

    Raises:
        BentoMLException: when nobody is asked for a key and a door is not on loopback, or when
            keys are asked for and none is in force.
    """
    if gate.keys is not None:
        if not gate.keys.in_force():
            raise BentoMLException(
                f"no API key is in force in {gate.keys.path}; make one with `finnt keys add NAME "
                "--scope offer`, or set FINNT_AUTH_OFF=yes and listen on loopback"
            )
        return
    hosts = {"HTTP": _asked_host(), "gRPC": grpc_host}
    afar = [f"{door} on {h}" for door, h in hosts.items() if h is not None and not is_loopback(h)]
    if afar:
        raise BentoMLException(
            f"FINNT_AUTH_OFF is for loopback only, but the doors are {' and '.join(afar)}; listen "
            "on 127.0.0.1, or leave FINNT_AUTH_OFF out and make keys with `finnt keys add`"
        )


def open_on_loopback(host: str, root: Path) -> dict[str, str]:
    """Return the environment of a service that is tried on this machine.

    No keys on loopback, unless some were ever made: to revoke the last one must open no door.

    Raises:
        InvalidDeclarationError: when the file of keys cannot be read.
    """
    if not is_loopback(host) or entries(AuthSettings().path(root)):
        return {}
    return {"FINNT_AUTH_OFF": "yes"}


def said_of_keys(host: str, root: Path) -> str:
    """Return what the terminal says of keys when a service starts at a host."""
    auth = AuthSettings()
    asked = "off" in auth.model_fields_set
    if auth.off if asked else open_on_loopback(host, root):
        return "asked of nobody, because only this machine reaches the doors"
    if entries(auth.path(root)):
        return f"needed: one of those in {auth.keys_file}, or FINNT_AUTH_OFF=yes on loopback"
    return f"needed; `finnt keys add` makes one in {auth.keys_file}"


def _asked_host() -> str:
    """Return where the HTTP door will listen, as the command in progress and BentoML have it."""
    context = click.get_current_context(silent=True)
    asked: Mapping[str, Any] = {} if context is None else context.params
    bound = urlsplit(asked.get("bind") or "").hostname
    return str(bound or asked.get("host") or BentoMLContainer.http.host.get())


def _answer(error: FinntelligenceError) -> Response:
    headers = {}
    wait = retry_after_s(error)
    if wait is not None:
        headers["Retry-After"] = str(math.ceil(wait))
    if isinstance(error, UnauthenticatedError):
        headers["WWW-Authenticate"] = "Bearer"
    return _refused(problem_of(error), headers)


def _refused(problem: Any, headers: Mapping[str, str]) -> Response:
    return Response(
        problem.model_dump_json(),
        status_code=problem.status,
        headers=dict(headers),
        media_type="application/problem+json",
    )
