"""API keys: who may ask for what. The file holds their digests; a key is shown once, when made.

A key is `finnt_<id>_<secret>`. The id finds the entry. The secret is 256 random bits, so one round
of SHA-256 protects it: salt, pepper and slow hashes make guessing of what people choose expensive,
and 2**256 secrets cannot be guessed at any price. Digests are compared in constant time, an unknown
id's too, so that the time of a refusal tells nothing.
"""

import fcntl
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from finntelligence.errors import FinntelligenceError, InvalidDeclarationError
from serving.problems import ForbiddenError, UnauthenticatedError

__all__ = ["SCOPES", "AuthSettings", "Caller", "Key", "KeyFile", "add", "entries", "revoke"]

log = logging.getLogger(__name__)

SCOPES: Mapping[str, str] = {
    "offer": "offers, quotes and price curves",
    "read": "recorded decisions, their replay, the policy, what is known of the models",
    "outcome": "what became of decisions",
    "metrics": "the metrics",
    "admin": "everything",
}
"""What a key may be good for. Any key that is in force may ask for the status."""

DEFAULT_RATE = 50.0
MOST_RATE = 1e6

_SHOWN = re.compile(r"[Bb]earer +(finnt_([0-9a-f]{8})_[0-9a-f]{64})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NOBODYS = "0" * 64  # the digest of no key


class AuthSettings(BaseSettings):
    """Whether callers must show a key, and where the keys are (FINNT_AUTH_...)."""

    model_config = SettingsConfigDict(env_prefix="FINNT_AUTH_")

    off: bool = Field(
        False, description="Ask nobody for a key; refused unless every door is on loopback."
    )
    keys_file: Path = Field(
        Path("build/keys.json"), description="The digests of the API keys; read anew when changed."
    )

    def path(self, root: Path) -> Path:
        """Return where the keys are, from the project's folder if it is not absolute."""
        return root / self.keys_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: a key's id and name, and how many requests it may make a second."""

    id: str
    name: str
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key as the file holds it: SHA-256 of the whole key; since when it is revoked, or None."""

    id: str
    name: str
    scopes: tuple[str, ...]
    rate: float
    digest: str
    made: str
    revoked: str | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.scopes) - set(SCOPES))
        if unknown or not self.scopes:
            told = f"unknown: {', '.join(unknown)}" if unknown else "none is given"
            raise InvalidDeclarationError(f"scope: must be of {', '.join(SCOPES)}; {told}")
        if not 0 < self.rate <= MOST_RATE:
            raise InvalidDeclarationError(
                f"rate: must be above 0 and up to {MOST_RATE:g} requests a second, is {self.rate}"
            )
        if not _NAME.fullmatch(self.name):
            raise InvalidDeclarationError(
                "name: must have 1 to 64 letters, digits, dots, dashes or underscores"
            )


class KeyFile:
    """The keys in force, read anew whenever the file is another."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, ...] | None = ()
        self._keys: Mapping[str, Key] = {}

    def authorise(self, authorization: str | None, scope: str | None) -> Caller:
        """Return who shows a key that is good for `scope`; None asks for any key in force.

        `authorization` is the request's header, the same for both doors. All that is wrong with a
        key has the same words, so that they tell nothing about keys.

        Raises:
            UnauthenticatedError: when no key is shown, or none that is in force.
            ForbiddenError: when the key is good for other things only.
        """
        if authorization is None:
            raise UnauthenticatedError("send an API key, as `Authorization: Bearer <key>`")
        self._read_if_changed()
        shown = _SHOWN.fullmatch(authorization)
        text, key_id = (shown[1], shown[2]) if shown else ("", "")
        key = self._keys.get(key_id)
        same = hmac.compare_digest(_digest(text), key.digest if key else _NOBODYS)
        if key is None or not same or key.revoked is not None:
            raise UnauthenticatedError("the API key is not known")
        if scope is not None and not {scope, "admin"} & set(key.scopes):
            raise ForbiddenError(f"this needs a key with the scope {scope}")
        return Caller(id=key.id, name=key.name, rate=key.rate)

    def in_force(self) -> int:
        """Return how many keys are in force."""
        self._read_if_changed()
        return sum(key.revoked is None for key in self._keys.values())

    def _read_if_changed(self) -> None:
        try:
            found = self.path.stat()
            now = (found.st_mtime_ns, found.st_size, found.st_ino)
        except OSError:
            now = None
        if now == self._seen:
            return
        self._seen = now
        try:
            self._keys = {key.id: key for key in entries(self.path)}
        except FinntelligenceError as error:
            # a lock that cannot be read is shut: a revoked key might be in what was read before
            self._keys = {}
            log.error("no API key is admitted: %s", error)


def add(path: Path, name: str, scopes: Iterable[str], rate: float = DEFAULT_RATE) -> str:
    """Make a key, keep its digest, and return it: it is not to be had again.

    Raises:
        InvalidDeclarationError: when the name is in use, or a scope or the rate is impossible.
    """
    asked = set(scopes)
    with _alone(path):
        kept = entries(path)
        if any(key.name == name and key.revoked is None for key in kept):
            told = f"name: a key {name!r} is in force; revoke it, or name another"
            raise InvalidDeclarationError(told)
        key_id = secrets.token_hex(4)
        while any(key.id == key_id for key in kept):
            key_id = secrets.token_hex(4)
        text = f"finnt_{key_id}_{secrets.token_hex(32)}"
        made = Key(
            id=key_id,
            name=name,
            scopes=tuple(sorted(asked)),
            rate=rate,
            digest=_digest(text),
            made=_now(),
        )
        _write(path, (*kept, made))
    return text


def revoke(path: Path, name: str) -> Key:
    """Take a key out of force; what it was stays in the file.

    Raises:
        InvalidDeclarationError: when no key of this name is in force.
    """
    with _alone(path):
        kept = entries(path)
        found = next((key for key in kept if key.name == name and key.revoked is None), None)
        if found is None:
            raise InvalidDeclarationError(f"name: no key {name!r} is in force")
        revoked = replace(found, revoked=_now())
        _write(path, tuple(revoked if key is found else key for key in kept))
    return revoked


def entries(path: Path) -> tuple[Key, ...]:
    """Return every key of the file, revoked ones too, in the order in which they were made.

    Raises:
        InvalidDeclarationError: when the file is not what `add` writes.
    """
    try:
        content = json.loads(path.read_bytes())
        return tuple(_entry(each) for each in content["keys"])
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise InvalidDeclarationError(f"{path.name} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        told = f"{path.name} is no file of keys; make one with `finnt keys add`"
        raise InvalidDeclarationError(told) from error


def _entry(content: Any) -> Key:
    key = Key(**{**content, "scopes": tuple(content["scopes"])})
    if not re.fullmatch("[0-9a-f]{64}", key.digest):
        raise ValueError("no digest")
    return key


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other writers of the file out, so that none of two changes is lost."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _write(path: Path, keys: tuple[Key, ...]) -> None:
    """Replace the file in one step, readable by its owner alone."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"keys": [asdict(key) for key in keys]}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)  # noqa: PTH105 - both are names
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
