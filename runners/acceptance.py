"""The acceptance model as a service of its own: rows in, response coefficients out."""

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

__all__ = ["AcceptanceRunner"]

_settings = RunnerSettings()


@bentoml.service(
    workers=_settings.acceptance_workers,
    traffic={"timeout": _settings.timeout_s},
    # by default the caller drops its session every 100 calls, and calls in flight with it
    runner_connection={"max_requests": 2**31, "max_age": 1e9},
    logging={"access": {"enabled": False}},
)
class AcceptanceRunner:
    """Scores applicants for acceptance; adaptive batching, scaled on its own.

    Its method is a coroutine that never waits; see `runners.risk`.
    """

    stored = asked_pair().reference(Capability.ACCEPTANCE)
    before = asked_pair().before(Capability.ACCEPTANCE)

    def __init__(self) -> None:
        pair, model = asked_pair(), Capability.ACCEPTANCE
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


guard(AcceptanceRunner)  # first, so that strangers get no further
AcceptanceRunner.add_asgi_middleware(Linger)  # type: ignore[attr-defined]  # is a Service
