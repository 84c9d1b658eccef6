"""The network's front doors: the Bento service that turns applications into offers.

`bentoml serve service:OfferService` runs three services: this one, with an HTTP and a gRPC door,
and the two model runners, each in processes of its own; with FINNT_TOPOLOGY=embedded this one
alone, which then has the models itself. Wiring only: a process of the front is `serving.worker`,
and what decides is `serving.handler`. Each process imports this module, so what a part needs alone
is imported where it is needed.
"""

import asyncio
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import bentoml
from starlette.applications import Starlette

from finntelligence.portfolio import Capability
from runners.asking import Question, asked_from_afar, from_afar, in_process
from runners.direct import ask_directly
from runners.guard import share_secret
from runners.heap import settle
from runners.linger import Leave, mind_processes
from runners.store import ROOT, asked_pair
from serving import metrics, tracing
from serving.config_file import read_config
from serving.front import stand_before
from serving.http_metrics import bound_traffic
from serving.json_log import start_log
from serving.refusals import in_one_line, refuse_shut

with in_one_line():
    read_config()
    if bentoml.server_context.worker_index is None:  # said once, before any process is started
        asked_pair().read_market()
        share_secret()
        mind_processes()
        metrics.own_folder()
    from runners.acceptance import AcceptanceRunner
    from runners.risk import RiskRunner
    from serving.grpc_settings import GrpcSettings
    from serving.record.settings import RecordSettings
    from serving.settings import CoalesceSettings, FrontSettings, TopologySettings

    _grpc, _record = GrpcSettings(), RecordSettings()
    _coalesce, _is_embedded = CoalesceSettings(), TopologySettings().topology == "embedded"
    _settings = FrontSettings().chosen()
    start_log()

if TYPE_CHECKING:
    from runners.remote import Remote
    from serving.gate import Gate
    from serving.handler import Engine, Score
    from serving.record.replay import Models

__all__ = ["OfferService"]

_app = Starlette()  # a worker of the front puts the HTTP door into it
_READY_WITHIN_S = 0.8


@cache
def _gate() -> "Gate":
    from serving.gate import Gate

    return Gate.open(ROOT, _settings.workers)


@bentoml.service(
    name="finntelligence",
    workers=_settings.workers,
    traffic={"timeout": _settings.timeout_s},
    runner_probe={"enabled": False},  # a runner that is down would hang /readyz
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(_app, path="/")
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
        with in_one_line():
            refuse_shut(_gate(), _grpc, _record.database(asked_pair().portfolio, ROOT))

    def __init__(self) -> None:
        from serving.decision_log import DecisionLog
        from serving.worker import Worker

        pair = asked_pair()
        self._log = DecisionLog.open(_record, pair.portfolio, ROOT)
        self._worker = Worker(
            app=_app,
            gate=_gate(),
            log=self._log,
            settings=_settings,
            grpc=_grpc,
            paths=(pair.path, pair.policy_path, pair.prices_path),
            load=self._engine,
            recorded=_recorded_models,
            models_ready=self._models_ready,
        )

    @bentoml.on_startup
    async def start(self) -> None:
        """Open the doors."""
        await self._worker.open()
        settle()

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Answer what is in flight, write what waits."""
        await self._worker.close()

    async def __is_ready__(self) -> bool:
        return all((await self._models_ready()).values())

    async def _models_ready(self) -> dict[str, bool]:
        if _is_embedded:
            return {str(model): True for model in Capability}
        from serving.http_door import ready_within

        runners = self._runners()
        asked = (ready_within(_READY_WITHIN_S, each.is_ready()) for each in runners.values())
        return dict(zip(runners, await asyncio.gather(*asked), strict=True))

    def _runners(self) -> "dict[str, Remote]":
        return {"risk": self.risk, "acceptance": self.acceptance}

    def _engine(self) -> "Engine":
        """Return an engine of the pair that is published now, verified, under today's policy.

        What prices is in the record from now on. Not within an event loop: it runs its own.
        """
        from runners.provenance import provenance
        from serving.handler import Engine
        from serving.record.documents import documents_of
        from serving.scoring import both_scored

        pair = asked_pair()
        if _is_embedded:
            market, scorers = pair.market()
            questions = in_process(scorers)
        else:
            market = pair.read_market()
            questions = from_afar(self._runners(), pair, market, _settings.model_timeout_s)
        return Engine(
            market=market,
            versions=pair.all_versions(market),
            score_risk=_score(questions["risk"]),
            score_acceptance=_score(questions["acceptance"]),
            explain_risk=_score(questions["explanation"]),
            score_both=both_scored(
                *(questions["risk"], questions["acceptance"]),
                within_s=_settings.model_timeout_s,
                settings=_coalesce,
            ),
            provenance=provenance(pair),
            documents=asyncio.run(self._log.keep(documents_of(market, pair.policies()))),
        )


def _score(asked: Question) -> "Score":
    from serving.scoring import scored

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

    return Models.of_scorers(*asked_pair().recorded(dict(versions)))


_service: Any = OfferService  # the decorator made a Service of it
bound_traffic(lambda: _app.routes, _service.name)
_service.add_asgi_middleware(Leave)  # the first added is outermost
with in_one_line():
    tracing.watch(OfferService, RiskRunner, AcceptanceRunner)
ask_directly(RiskRunner, AcceptanceRunner)
stand_before(_service, _app, _gate, _settings)  # the last: nothing behind it sees every request
