"""The same service as BentoML's guide would have it: one call of `bentoml.depends` a request.

    bentoml serve loadtests.plain_depends:PlainService --port 3400

Same handler, same record, same front and same runners, whose adaptive batching is on; but each
request calls each runner through BentoML's own proxy, and none shares a call with another. HTTP
alone. FINNT_RUNNER_SECRET must be set.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import bentoml
import numpy as np
from numpy.typing import NDArray

from finntelligence import __version__
from finntelligence.portfolio import Capability
from runners.acceptance import AcceptanceRunner
from runners.envelope import opened, sealed
from runners.heap import settle
from runners.linger import Leave
from runners.risk import RiskRunner
from runners.settings import RunnerSettings
from runners.store import ROOT, asked_pair
from serving import tracing
from serving.decision_log import DecisionLog
from serving.front import stand_before
from serving.gate import Gate
from serving.handler import Engine
from serving.http_door import Door, http_door
from serving.http_metrics import bound_traffic
from serving.json_log import start_log
from serving.operations import Operations
from serving.record.documents import documents_of
from serving.record.settings import RecordSettings
from serving.settings import FrontSettings

__all__ = ["PlainService"]

Array = NDArray[np.float64]

start_log()
_settings = FrontSettings().chosen()
_door = http_door()


class _Shown(bentoml.Dependency[Any]):
    """A dependency that shows the runners their secret, without which they answer nobody."""

    def get(self, **words: Any) -> Any:
        proxy = super().get(**words)
        secret = RunnerSettings().secret
        if secret is not None and hasattr(proxy, "to_async"):
            shown = f"Bearer {secret.get_secret_value()}"
            proxy.to_async.default_headers["Authorization"] = shown
        return proxy


async def _ready() -> dict[str, bool]:
    return {"risk": True, "acceptance": True}


@bentoml.service(
    name="plain",
    workers=_settings.workers,
    traffic={"timeout": _settings.timeout_s},
    runner_probe={"enabled": False},
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(_door, path="/")
class PlainService:
    """Offers, with a call to each runner for each request."""

    risk = _Shown(on=RiskRunner)
    acceptance = _Shown(on=AcceptanceRunner)

    @bentoml.on_startup
    async def start(self) -> None:
        """Load the pair; open the record."""
        pair = asked_pair()
        market, _ = pair.market()
        self._log = DecisionLog.open(RecordSettings(), pair.portfolio, ROOT)
        risk, acceptance = pair.model_id(Capability.RISK), pair.model_id(Capability.ACCEPTANCE)
        heads = (len(market.risk.heads),)
        engine = Engine(
            market=market,
            versions=pair.all_versions(market),
            score_risk=self._asked("risk", "coefficients", risk, heads),
            score_acceptance=self._asked(
                "acceptance", "coefficients", acceptance, (len(market.acceptance.heads),)
            ),
            explain_risk=self._asked(
                "risk", "explain", risk, (*heads, len(market.risk.features) + 1)
            ),
            documents=await self._log.keep(documents_of(market, pair.policies())),
        )
        _door.state.door = Door(
            engine=engine,
            version=__version__,
            max_body_bytes=_settings.max_body_bytes,
            models_ready=_ready,
            started_at=time.time(),
            served_since=time.time(),
        )
        _door.state.operations = Operations(engine=lambda: engine, log=self._log)
        settle()

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Write what waits."""
        await self._log.close()

    def _asked(
        self, name: str, method: str, model_id: float, shape: tuple[int, ...]
    ) -> Callable[[Array], Awaitable[Array]]:
        async def ask(rows: Array) -> Array:
            runner: Any = getattr(self, name).to_async
            answer = await getattr(runner, method)(sealed(rows, model_id))
            return opened(np.asarray(answer), shape, name)

        return ask


_service: Any = PlainService  # the decorator made a Service of it
bound_traffic(lambda: _door.routes, _service.name)
_service.add_asgi_middleware(Leave)
tracing.watch(PlainService, RiskRunner, AcceptanceRunner)
stand_before(_service, _door, lambda: Gate.open(ROOT, _settings.workers), _settings)
