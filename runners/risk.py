"""The risk model as a service of its own: rows in, response coefficients or their parts out."""

import bentoml
import numpy as np
from numpy.typing import NDArray

from finntelligence.portfolio import Capability
from runners.envelope import Sealed
from runners.guard import guard
from runners.heap import settle
from runners.linger import Linger
from runners.scorers import Scorers
from runners.settings import RunnerSettings
from runners.store import asked_pair

__all__ = ["RiskRunner"]

_settings = RunnerSettings()


@bentoml.service(
    workers=_settings.risk_workers,
    traffic={"timeout": _settings.timeout_s},
    # by default the caller drops its session every 100 calls, and calls in flight with it
    runner_connection={"max_requests": 2**31, "max_age": 1e9},
    logging={"access": {"enabled": False}},
)
class RiskRunner:
    """Scores applicants for risk; adaptive batching, scaled on its own.

    Its methods are coroutines that never wait: a thread to compute in would cost each call two
    switches, and what comes meanwhile is the next batch either way.
    """

    stored = asked_pair().reference(Capability.RISK)
    before = asked_pair().before(Capability.RISK)

    def __init__(self) -> None:
        pair, model = asked_pair(), Capability.RISK
        self._scorers = Scorers(
            pair.load(model), pair.model_id(model), lambda other: pair.stored(model, other)
        )
        settle()

    @bentoml.api(
        batchable=True,
        max_batch_size=_settings.batch_rows,
        max_latency_ms=_settings.batch_latency_ms,
    )
    async def coefficients(self, rows: Sealed) -> NDArray[np.float64]:
        """Return every head's coefficient, (n, heads), for n sealed rows."""
        return self._scorers.coefficients(rows)

    @bentoml.api(
        batchable=True,
        max_batch_size=_settings.batch_rows,
        max_latency_ms=_settings.batch_latency_ms,
    )
    async def explain(self, rows: Sealed) -> NDArray[np.float64]:
        """Return what each column adds to each head, (n, heads, features + 1), likewise."""
        return self._scorers.contributions(rows)


guard(RiskRunner)  # first, so that strangers get no further
RiskRunner.add_asgi_middleware(Linger)  # type: ignore[attr-defined]  # is a Service
