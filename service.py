"""The network's front doors: the Bento service that turns applications into offers.

`bentoml serve service:OfferService` runs three services: this one, with an HTTP and a gRPC door,
and the two model runners, each in processes of its own. Thin on purpose: what it does is in
`serving.operations`, and what decides is `serving.handler`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
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
from runners.guard import share_secret, trusted
from runners.store import ROOT, asked_pair
from serving import metrics, tracing
from serving.json_log import start_log

try:
    if bentoml.server_context.worker_index is None:  # said once, before any process is started
        asked_pair().market()
        share_secret()
        metrics.own_folder()
    from runners.acceptance import AcceptanceRunner
    from runners.risk import RiskRunner
    from serving.gate import Gate, HttpGate, refuse_unlocked
    from serving.grpc_settings import GrpcSettings
    from serving.record.settings import RecordSettings
    from serving.settings import FrontSettings

    _settings, _grpc, _record = FrontSettings(), GrpcSettings(), RecordSettings()
    _gate = Gate.open(ROOT, _settings.workers)
    start_log()
except FinntelligenceError as error:
    raise BentoMLException(str(error)) from None
except ValidationError as error:
    wrong = "; ".join(
        f"{error.title}.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()
    )
    raise BentoMLException(f"a setting is impossible: {wrong}") from None

from serving.decision_log import DecisionLog
from serving.grpc_door import GrpcDoor
from serving.handler import Engine
from serving.http_door import Door, PlainErrors, http_door, ready_within
from serving.local import refuse_busy_port
from serving.operations import Operations
from serving.record.database import connected
from serving.record.documents import documents_of
from serving.record.replay import Models
from serving.reload import Watch, follow
from serving.security_headers import SecurityHeaders

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
    risk = trusted(RiskRunner)
    acceptance = trusted(AcceptanceRunner)

    @bentoml.on_deployment
    @staticmethod
    def refuse_what_cannot_work() -> None:
        """Say what would keep every worker from serving, before any is started."""
        try:
            refuse_unlocked(_gate, _grpc.host if _grpc.enabled else None)
            if _grpc.enabled and not _grpc.host.startswith("unix:"):
                refuse_busy_port(_grpc.host, _grpc.port, "FINNT_GRPC_PORT=<port>")
            with connected(_record.database(asked_pair().portfolio, ROOT)):
                pass
        except FinntelligenceError as error:
            raise BentoMLException(str(error)) from None

    def __init__(self) -> None:
        pair = asked_pair()
        self._log = DecisionLog.open(_record, pair.portfolio, ROOT)
        # made before anything is loaded: what is published from now on is new
        self._watch = Watch(path=pair.path, load=self._engine, state=_door.state)
        self._grpc_door: GrpcDoor | None = None
        self._following: asyncio.Task[None] | None = None

    @bentoml.on_startup
    async def start(self) -> None:
        """Load the pair, open the gRPC door, look for newly published pairs from now on."""
        metrics.forget_dead()
        engine = await asyncio.to_thread(self._engine)
        metrics.serves(engine.versions, engine.market.portfolio.name)
        _door.state.door = Door(
            engine=engine,
            version=__version__,
            max_body_bytes=_settings.max_body_bytes,
            models_ready=self._models_ready,
            started_at=time.time(),
            served_since=time.time(),
        )
        operations = Operations(
            engine=lambda: _door.state.door.engine, log=self._log, load=_recorded_models
        )
        _door.state.operations = operations
        if _grpc.enabled:
            door = GrpcDoor(
                operations=operations,
                settings=_grpc,
                models_ready=self._models_ready,
                authorise=_gate.authorise,
                admission=_gate.admission,
                interceptors=tracing.interceptors(),
            )
            self._grpc_door = await door.open(shared=_settings.workers > 1)
        if _settings.reload_s:
            self._following = asyncio.create_task(follow(self._watch, _settings.reload_s))

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Answer what is in flight, write what waits, look no more."""
        if self._following is not None:
            self._following.cancel()
        if self._grpc_door is not None:
            await self._grpc_door.close()
        await self._log.close()

    async def __is_ready__(self) -> bool:
        return all((await self._models_ready()).values())

    async def _models_ready(self) -> dict[str, bool]:
        names = ("risk", "acceptance")
        asked = (ready_within(_READY_WITHIN_S, self._is_ready(name)) for name in names)
        return dict(zip(names, await asyncio.gather(*asked), strict=True))

    async def _is_ready(self, name: str) -> bool:
        try:
            return bool(await getattr(self, name).is_ready(1))
        except aiohttp.ClientError:  # a runner that dies while it is asked
            return False

    def _engine(self) -> Engine:
        """Return an engine of the pair that is published now, verified, under today's policy.

        What prices is in the record from now on. Not within an event loop: it runs its own.
        """
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
            documents=asyncio.run(self._log.keep(documents_of(market, pair.policies()))),
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


def _recorded_models(versions: Mapping[str, str]) -> Models:
    """Return the models that a recorded decision names."""
    market, scorers = asked_pair().recorded(versions)
    return Models(
        market=market,
        score_risk=scorers["risk"].coefficients,
        score_acceptance=scorers["acceptance"].coefficients,
        explain_risk=scorers["risk"].contributions,
    )


_service: Any = OfferService  # the decorator made a Service of it
_service.add_asgi_middleware(SecurityHeaders)  # the first added is outermost
_service.add_asgi_middleware(PlainErrors)
_service.add_asgi_middleware(HttpGate, gate=_gate)
try:
    tracing.watch(OfferService, RiskRunner, AcceptanceRunner)
except FinntelligenceError as error:
    raise BentoMLException(str(error)) from None
