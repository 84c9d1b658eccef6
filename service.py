"""The network's front doors: the Bento service that turns applications into offers.

`bentoml serve service:OfferService` runs three services: this one, with an HTTP and a gRPC door,
and the two model runners, each in processes of its own; with FINNT_TOPOLOGY=embedded this one
alone, which then has the models itself. Thin on purpose: what it does is in `serving.operations`,
and what decides is `serving.handler`.
"""

import asyncio
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import bentoml
from bentoml.exceptions import BentoMLException
from pydantic import ValidationError

from finntelligence import __version__
from finntelligence.errors import FinntelligenceError
from finntelligence.portfolio import Capability
from runners.asking import Question, from_afar, in_process
from runners.guard import share_secret
from runners.linger import Leave, mind_processes
from runners.provenance import provenance
from runners.remote import Remote, asked_from_afar
from runners.store import ROOT, asked_pair
from serving import metrics, tracing
from serving.config_file import read_config
from serving.json_log import start_log

try:
    read_config()
    if bentoml.server_context.worker_index is None:  # said once, before any process is started
        asked_pair().market()
        share_secret()
        mind_processes()
        metrics.own_folder()
    from runners.acceptance import AcceptanceRunner
    from runners.risk import RiskRunner
    from serving.gate import Gate, refuse_unlocked
    from serving.grpc_settings import GrpcSettings
    from serving.record.settings import RecordSettings
    from serving.settings import CoalesceSettings, FrontSettings, TopologySettings

    _settings, _grpc, _record = FrontSettings(), GrpcSettings(), RecordSettings()
    _coalesce, _is_embedded = CoalesceSettings(), TopologySettings().topology == "embedded"
    _gate = Gate.open(ROOT, _settings.workers)
    start_log()
except FinntelligenceError as error:
    raise BentoMLException(str(error)) from None
except ValidationError as error:
    wrong = "; ".join(
        f"{error.title}.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()
    )
    raise BentoMLException(f"a setting is impossible: {wrong}") from None

from serving.front import stand_before
from serving.handler import Engine, Score
from serving.http_door import Door, http_door, ready_within
from serving.http_metrics import bound_traffic
from serving.local import refuse_busy_port
from serving.operations import Operations
from serving.record.documents import documents_of
from serving.reload import Watch, follow
from serving.scoring import scored

if TYPE_CHECKING:
    from serving.grpc_door import GrpcDoor
    from serving.record.replay import Models

__all__ = ["OfferService"]

_door = http_door()
_READY_WITHIN_S = 0.8
_LATER_S = 5  # BentoML's own limit speaks after ours, if ever


@bentoml.service(
    name="finntelligence",
    workers=_settings.workers,
    traffic={"timeout": _settings.timeout_s + _LATER_S},
    runner_probe={"enabled": False},  # a runner that is down would hang /readyz
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(_door, path="/")
class OfferService:
    """One offer-optimisation API in front of two separately scaled models."""

    evidence = asked_pair().evidence
    if _is_embedded:
        own_risk = asked_pair().reference(Capability.RISK)
        own_acceptance = asked_pair().reference(Capability.ACCEPTANCE)
    else:
        risk = asked_from_afar(RiskRunner, "risk")
        acceptance = asked_from_afar(AcceptanceRunner, "acceptance")

    @bentoml.on_deployment
    @staticmethod
    def refuse_what_cannot_work() -> None:
        """Say what would keep every worker from serving, before any is started."""
        from serving.record.database import connected  # a runner's process has no record

        try:
            refuse_unlocked(_gate, _grpc.host if _grpc.enabled else None)
            if _grpc.enabled and not _grpc.host.startswith("unix:"):
                refuse_busy_port(_grpc.host, _grpc.port, "FINNT_GRPC_PORT=<port>")
            with connected(_record.database(asked_pair().portfolio, ROOT)):
                pass
        except FinntelligenceError as error:
            raise BentoMLException(str(error)) from None

    def __init__(self) -> None:
        from serving.decision_log import DecisionLog

        pair = asked_pair()
        self._log = DecisionLog.open(_record, pair.portfolio, ROOT)
        # made before anything is loaded: what is published from now on is new
        paths = (pair.path, pair.policy_path, pair.prices_path)
        self._watch = Watch(paths=paths, load=self._engine, state=_door.state)
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
            from serving.grpc_door import GrpcDoor

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
        if _is_embedded:
            return {str(model): True for model in Capability}
        runners = self._runners()
        asked = (ready_within(_READY_WITHIN_S, each.is_ready()) for each in runners.values())
        return dict(zip(runners, await asyncio.gather(*asked), strict=True))

    def _runners(self) -> dict[str, Remote]:
        return {"risk": self.risk, "acceptance": self.acceptance}

    def _engine(self) -> Engine:
        """Return an engine of the pair that is published now, verified, under today's policy.

        What prices is in the record from now on. Not within an event loop: it runs its own.
        """
        pair = asked_pair()
        market, scorers = pair.market()
        if _is_embedded:
            questions = in_process(scorers)
        else:
            questions = from_afar(self._runners(), pair, market, _settings.model_timeout_s)
        return Engine(
            market=market,
            versions=pair.all_versions(market),
            score_risk=_score(questions["risk"]),
            score_acceptance=_score(questions["acceptance"]),
            explain_risk=_score(questions["explanation"]),
            provenance=provenance(pair),
            documents=asyncio.run(self._log.keep(documents_of(market, pair.policies()))),
        )


def _score(asked: Question) -> Score:
    return scored(
        *(asked.model, asked.jointly, asked.own),
        calls=asked.processes,
        within_s=_settings.model_timeout_s,
        settings=_coalesce,
    )


def _recorded_models(versions: Mapping[str, str]) -> "Models":
    """Return the models that a recorded decision names, under today's policy."""
    pair = asked_pair()
    return _loaded_models(tuple(sorted(versions.items())), repr(pair.policies()))


@lru_cache(maxsize=4)  # replays come in runs, and a model takes longer to load than to ask
def _loaded_models(versions: tuple[tuple[str, str], ...], _: str) -> "Models":
    from serving.record.replay import Models

    market, scorers = asked_pair().recorded(dict(versions))
    return Models(
        market=market,
        score_risk=scorers["risk"].coefficients,
        score_acceptance=scorers["acceptance"].coefficients,
        explain_risk=scorers["risk"].contributions,
    )


_service: Any = OfferService  # the decorator made a Service of it
bound_traffic(_door.routes, _service.name)
_service.add_asgi_middleware(Leave)  # the first added is outermost
stand_before(_service, _gate, _settings)
try:
    tracing.watch(OfferService, RiskRunner, AcceptanceRunner)
except FinntelligenceError as error:
    raise BentoMLException(str(error)) from None
