"""The network's front door: the Bento service that turns applications into offers.

`bentoml serve service:OfferService` runs three services: this one and the two model runners, each
in processes of its own. Thin on purpose: what decides is `serving.handler`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import bentoml
import numpy as np
from bentoml.exceptions import BentoMLException
from numpy.typing import NDArray
from pydantic import ValidationError

from finntelligence import __version__
from finntelligence.errors import FinntelligenceError, ModelUnavailableError
from finntelligence.portfolio import Capability
from runners.envelope import opened, sealed
from runners.store import asked_pair

try:
    if bentoml.server_context.worker_index is None:  # said once, before any process is started
        asked_pair().market()
    from runners.acceptance import AcceptanceRunner
    from runners.risk import RiskRunner
    from serving.settings import FrontSettings

    _settings = FrontSettings()
except FinntelligenceError as error:
    raise BentoMLException(str(error)) from None
except ValidationError as error:
    raise BentoMLException(f"a setting is impossible: {error}") from None

from serving.handler import Engine, log_decision, start_log
from serving.http_door import Door, PlainErrors, http_door, ready_within
from serving.reload import Watch, follow

__all__ = ["OfferService"]

Array = NDArray[np.float64]
Ask = Callable[[Array], Awaitable[Array]]

_door = http_door()
_READY_WITHIN_S = 0.8


@bentoml.service(
    name="finntelligence",
    workers=_settings.workers,
    traffic={"timeout": _settings.timeout_s},
    runner_probe={"enabled": False},  # a runner that is down would hang /readyz
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(_door, path="/")
class OfferService:
    """One offer-optimisation API in front of two separately scaled models."""

    evidence = asked_pair().evidence
    risk = bentoml.depends(RiskRunner)
    acceptance = bentoml.depends(AcceptanceRunner)

    def __init__(self) -> None:
        start_log()
        # made before anything is loaded: what is published from now on is new
        self._watch = Watch(path=asked_pair().path, load=self._engine, state=_door.state)
        _door.state.door = Door(
            engine=self._engine(),
            version=__version__,
            max_body_bytes=_settings.max_body_bytes,
            models_ready=self._models_ready,
            started_at=time.time(),
            served_since=time.time(),
        )
        self._following: asyncio.Task[None] | None = None

    @bentoml.on_startup
    async def start_following(self) -> None:
        """Look for newly published pairs from now on."""
        if _settings.reload_s:
            self._following = asyncio.create_task(follow(self._watch, _settings.reload_s))

    @bentoml.on_shutdown
    async def stop_following(self) -> None:
        """Look no more."""
        if self._following is not None:
            self._following.cancel()

    async def __is_ready__(self) -> bool:
        return all((await self._models_ready()).values())

    async def _models_ready(self) -> dict[str, bool]:
        return {
            name: await ready_within(_READY_WITHIN_S, self._is_ready(name))
            for name in ("risk", "acceptance")
        }

    async def _is_ready(self, name: str) -> bool:
        try:
            return bool(await getattr(self, name).is_ready(1))
        except aiohttp.ClientError:  # a runner that dies while it is asked
            return False

    def _engine(self) -> Engine:
        """Return an engine of the pair that is published now, verified, under today's policy."""
        pair = asked_pair()
        market, _ = pair.market()
        risk, acceptance = pair.model_id(Capability.RISK), pair.model_id(Capability.ACCEPTANCE)
        heads, columns = len(market.risk.heads), len(market.risk.features)
        taken = (len(market.acceptance.heads),)
        return Engine(
            market=market,
            versions=pair.all_versions(market),
            score_risk=self._asked("risk", "coefficients", risk, (heads,)),
            score_acceptance=self._asked("acceptance", "coefficients", acceptance, taken),
            explain_risk=self._asked("risk", "explain", risk, (heads, columns + 1)),
            record=log_decision,
        )

    def _asked(self, name: str, method: str, model_id: float, shape: tuple[int, ...]) -> Ask:
        """Return a call to one runner about one model, with its failures as the core's errors."""

        async def ask(rows: Array) -> Array:
            # bound at the call: `to_async` does not resolve while the service starts
            runner: Any = getattr(self, name).to_async
            try:
                async with asyncio.timeout(_settings.model_timeout_s):
                    answer = await getattr(runner, method)(sealed(rows, model_id))
            except (aiohttp.ClientError, BentoMLException, TimeoutError, OSError) as error:
                raise ModelUnavailableError(f"the {name} model does not answer") from error
            return opened(np.asarray(answer), shape, name)

        return ask


OfferService.add_asgi_middleware(PlainErrors)  # type: ignore[attr-defined]  # is a Service
