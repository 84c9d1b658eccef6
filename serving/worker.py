"""What one process of the front has: the record, both doors, and an eye on what is published.

Made where requests are answered, and there alone: neither a runner nor the process that starts them
all imports any of it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette

from finntelligence import __version__
from serving import metrics, tracing
from serving.decision_log import DecisionLog
from serving.gate import Gate
from serving.grpc_door import GrpcDoor
from serving.grpc_settings import GrpcSettings
from serving.handler import Engine
from serving.http_door import Door, http_door
from serving.operations import Operations
from serving.record.replay import Models
from serving.reload import Watch, follow
from serving.settings import FrontSettings

__all__ = ["Worker"]


@dataclass(slots=True, kw_only=True)
class Worker:
    """One process of the front, to be opened and closed in its event loop.

    `app` is where the HTTP door goes, `paths` are what `load` reads: it returns an engine of what
    is published now, verified. `recorded` returns the models that a recorded decision names.
    """

    app: Starlette
    gate: Gate
    log: DecisionLog
    settings: FrontSettings
    grpc: GrpcSettings
    paths: Sequence[Path]
    load: Callable[[], Engine]
    recorded: Callable[[Mapping[str, str]], Models]
    models_ready: Callable[[], Awaitable[Mapping[str, bool]]]
    _watch: Watch = field(init=False)
    _grpc_door: GrpcDoor | None = field(default=None, init=False)
    _following: asyncio.Task[None] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        # made before anything is loaded: what is published from now on is new
        self._watch = Watch(paths=self.paths, load=self.load, state=self.app.state)
        made = http_door()
        self.app.router.routes.extend(made.routes)
        self.app.exception_handlers.update(made.exception_handlers)

    async def open(self) -> None:
        """Load the pair, open both doors, look for newly published pairs from now on."""
        metrics.forget_dead()
        engine = await asyncio.to_thread(self.load)
        metrics.serves(engine.versions, engine.market.portfolio.name)
        state = self.app.state
        state.door = Door(
            engine=engine,
            version=__version__,
            max_body_bytes=self.settings.max_body_bytes,
            models_ready=self.models_ready,
            started_at=time.time(),
            served_since=time.time(),
        )
        state.operations = Operations(
            engine=lambda: state.door.engine, log=self.log, load=self.recorded
        )
        if self.grpc.enabled:
            door = GrpcDoor(
                operations=state.operations,
                settings=self.grpc,
                models_ready=self.models_ready,
                authorise=self.gate.authorise,
                admission=self.gate.admission,
                interceptors=tracing.interceptors(),
            )
            self._grpc_door = await door.open(shared=self.settings.workers > 1)
        if self.settings.reload_s:
            self._following = asyncio.create_task(follow(self._watch, self.settings.reload_s))

    async def close(self) -> None:
        """Answer what is in flight, write what waits, look no more."""
        if self._following is not None:
            self._following.cancel()
        if self._grpc_door is not None:
            await self._grpc_door.close()
        await self.log.close()
