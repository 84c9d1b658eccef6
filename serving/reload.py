"""A newly published pair, or policy, takes over while the service runs, without a failed request.

Each front process looks at its served.json, policy.yaml and shadow prices every so often, so that
all of them price alike within that time, restarted or not. New content is loaded and verified
beside the event loop, and the runners must answer for it; only then is the engine replaced.
Requests in flight end with the engine they began with. Whatever is wrong with the new content, the
old one keeps serving.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from finntelligence.errors import FinntelligenceError
from serving import metrics
from serving.handler import Engine

__all__ = ["TRY_AGAIN_S", "Watch", "follow", "rehearse"]

log = logging.getLogger(__name__)

_Content = tuple[bytes | None, ...]

TRY_AGAIN_S = 10
"""A pair that was refused is tried again after so long: a runner may have been restarting."""


@dataclass(slots=True, kw_only=True)
class Watch:
    """A front's eye on what it serves, its `paths`, from the moment it is made.

    `load` returns an engine of what is published, verified; `state.door` is the door in force.
    """

    paths: Sequence[Path]
    load: Callable[[], Engine]
    state: Any
    clock: Callable[[], float] = time.monotonic
    _served: _Content = field(init=False)
    _refused: tuple[_Content, str] | None = field(default=None, init=False)
    _retry_at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._served = _content(self.paths)

    async def look(self) -> None:
        """Look at the files once; serve what is new in it if that can be served."""
        content = await asyncio.to_thread(_content, self.paths)
        if content == self._served:
            self._forgive()
            return
        if self._refused and self._refused[0] == content and self.clock() < self._retry_at:
            return
        try:
            engine = await asyncio.to_thread(self.load)
            if engine.versions["pair"] != self.state.door.engine.versions["pair"]:
                # not for a policy or price: a model that is down may be why it is new
                await rehearse(engine)
        except Exception as error:  # noqa: BLE001 - whatever it is, the old pair keeps serving
            self._refuse(content, error)
            return
        self._served, self._refused = content, None
        self.state.door = self.state.door.serving(engine)
        metrics.serves(engine.versions, engine.market.portfolio.name)
        policy = engine.market.policy.digest
        said = "pair %s is served from now on, under policy %s"
        log.info(said, engine.versions["pair"], policy[:12])

    def _forgive(self) -> None:
        """What is served is what is published: nothing is wrong any more."""
        if self._refused:
            self._refused = None
            self.state.door = replace(self.state.door, reload_refused=None)

    def _refuse(self, content: _Content, error: Exception) -> None:
        """Keep what is served; say why, once."""
        ours = isinstance(error, FinntelligenceError)
        said = str(error) if ours else "a defect on our side; the log has the details"
        if self._refused != (content, said):
            log.error("what is published is not served, what was before is: %s", said)
            if not ours:
                log.error("the defect", exc_info=error)
        self._refused, self._retry_at = (content, said), self.clock() + TRY_AGAIN_S
        self.state.door = replace(self.state.door, reload_refused=said)


async def follow(watch: Watch, every_s: float) -> None:
    """Look at the files every `every_s` seconds, until cancelled."""
    while True:
        await asyncio.sleep(every_s)
        await watch.look()


async def rehearse(engine: Engine) -> None:
    """Ask both runners, in every way the engine may, about a row of zeros.

    Raises:
        ModelUnavailableError: when a runner does not answer for the engine's models.
    """
    row = np.zeros((1, len(engine.market.risk.features)))
    asked = (engine.score_risk, engine.score_acceptance, engine.explain_risk)
    await asyncio.gather(*(ask(row) for ask in asked))


def _content(paths: Sequence[Path]) -> _Content:
    return tuple(_bytes_of(path) for path in paths)


def _bytes_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
