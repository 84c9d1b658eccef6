"""How a front asks for the models of a pair: runners from afar, or models in its own process."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import bentoml
import numpy as np
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml.exceptions import BentoMLException
from numpy.typing import NDArray

from finntelligence.market import Market
from finntelligence.portfolio import Capability
from runners.envelope import opened, sealed
from runners.model_file import Scorer
from runners.settings import RunnerSettings
from runners.store import ServedPair

if TYPE_CHECKING:
    from runners.remote import Remote

__all__ = ["Question", "asked_from_afar", "from_afar", "in_process"]

Array = NDArray[np.float64]


class Question(NamedTuple):
    """One thing that a model of a pair can be asked about rows of its design matrix.

    `jointly` answers for the rows of one caller or of many together; `own` reads the part of one,
    and refuses it alone where the model did not answer. So many `processes` may be asked at once.
    """

    model: str
    jointly: Callable[[Array], Awaitable[Array]]
    own: Callable[[Array], Array]
    processes: int = 1


def from_afar(
    runners: "Mapping[str, Remote]", pair: ServedPair, market: Market, within_s: float
) -> dict[str, Question]:
    """Return what runners can be asked about the models of a pair: risk, acceptance, explanation.

    A runner that does not answer within so many seconds is unavailable.
    """
    settings = RunnerSettings()
    workers = {"risk": settings.risk_workers, "acceptance": settings.acceptance_workers}
    heads, columns = len(market.risk.heads), len(market.risk.features)

    def question(model: Capability, method: str, *shape: int) -> Question:
        runner, model_id = runners[model], pair.model_id(model)

        async def jointly(rows: Array) -> Array:
            return await runner.call(method, sealed(rows, model_id), within_s)

        own = partial(opened, shape=shape, model=str(model))
        return Question(str(model), jointly, own, workers[model] * len(runner))

    return {
        "risk": question(Capability.RISK, "coefficients", heads),
        "acceptance": question(Capability.ACCEPTANCE, "coefficients", len(market.acceptance.heads)),
        "explanation": question(Capability.RISK, "explain", heads, columns + 1),
    }


def in_process(scorers: Mapping[str, Scorer]) -> dict[str, Question]:
    """Return what models in this process can be asked, likewise."""

    def question(model: str, answer: Callable[[Array], Array]) -> Question:
        heads = len(scorers[model].response.heads)

        async def jointly(rows: Array) -> Array:
            return answer(rows)

        return Question(model, jointly, lambda answers: answers[:, :heads])

    return {
        "risk": question("risk", scorers["risk"].coefficients),
        "acceptance": question("acceptance", scorers["acceptance"].coefficients),
        "explanation": question("risk", scorers["risk"].contributions),
    }


def asked_from_afar(runner: Any, model: str) -> Any:
    """Return the front's dependency on the runner of a model, which it finds as a `Remote`."""
    dependency = _FromAfar(on=runner)
    dependency.model = model
    return dependency


class _FromAfar(bentoml.Dependency[Any]):  # type: ignore[misc]  # untyped
    model: str

    def get(self, *, runner_mapping: Mapping[str, str] | None = None) -> Any:
        mapping = runner_mapping or BentoMLContainer.remote_runner_mapping.get()
        if self.on.name not in mapping:
            raise BentoMLException(f"nothing says where {self.on.name} is")
        from runners.remote import Remote  # of all processes a front alone asks runners

        return Remote(self.model, mapping[self.on.name])
