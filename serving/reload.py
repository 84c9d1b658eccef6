"""A newly published pair takes over while the service runs, without a failed request.

The front looks at its served.json every so often. A new content is loaded and verified beside the
event loop, and the runners must answer for it; only then is the engine replaced. Requests in flight
end with the engine they began with. Whatever is wrong with the new pair, the old one keeps serving.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from finntelligence.errors import FinntelligenceError
from serving import metrics
from serving.handler import Engine

__all__ = ["TRY_AGAIN_S", "Watch", "follow", "rehearse"]

log = logging.getLogger(__name__)

TRY_AGAIN_S = 10
"""A pair that was refused is tried again after so long: a runner may have been restarting."""


@dataclass(slots=True, kw_only=True)
class Watch:
    """A front's eye on its served.json, from the moment it is made.

    `load` returns an engine of what is published, verified; `state.door` is the door in force.
    """

    path: Path
    load: Callable[[], Engine]
    state: Any
    clock: Callable[[], float] = time.monotonic
    _served: bytes | None = field(init=False)
    _refused: tuple[bytes | None, str] | None = field(default=None, init=False)
    _retry_at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._served = _content(self.path)

    async def look(self) -> None:
        """Look at the file once; serve what is new in it if that can be served."""
        content = await asyncio.to_thread(_content, self.path)
        if content == self._served:
            self._forgive()
            return
        if self._refused and self._refused[0] == content and self.clock() < self._retry_at:
            return
        try:
            engine = await asyncio.to_thread(self.load)
            await rehearse(engine)
        except Exception as error:  # noqa: BLE001 - whatever it is, the old pair keeps serving
            self._refuse(content, error)
            return
        self._served, self._refused = content, None
        self.state.door = self.state.door.serving(engine)
        metrics.serves(engine.versions, engine.market.portfolio.name)
        log.info("pair %s is served from now on", engine.versions["pair"])

    def _forgive(self) -> None:
        """What is served is what is published: nothing is wrong any more."""
        if self._refused:
            self._refused = None
            self.state.door = replace(self.state.door, reload_refused=None)

    def _refuse(self, content: bytes | None, error: Exception) -> None:
        """Keep what is served; say why, once."""
        ours = isinstance(error, FinntelligenceError)
        said = str(error) if ours else "a defect on our side; the log has the details"
        if self._refused != (content, said):
            log.error("the published pair is not served, the one before it is: %s", said)
            if not ours:
                log.error("the defect", exc_info=error)
        self._refused, self._retry_at = (content, said), self.clock() + TRY_AGAIN_S
        self.state.door = replace(self.state.door, reload_refused=said)


async def follow(watch: Watch, every_s: float) -> None:
    """Look at the file every `every_s` seconds, until cancelled."""
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


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
