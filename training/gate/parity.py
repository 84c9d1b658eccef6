"""Is what the registry would hand out the very model that was judged?"""

from collections.abc import Callable

import numpy as np

from finntelligence.errors import ModelMismatchError
from finntelligence.portfolio import Capability
from training.gate.heldout import Heldout
from training.gate.pair import Pair
from training.gate.verdict import Verdict

__all__ = ["parity"]

_MOST = 1e-6  # by which scores of equal models may differ


def parity(
    trained: Pair, registered: Callable[[Capability], Pair], heldout: Heldout
) -> list[Verdict]:
    """Judge each registered artefact by its bytes and by its scores of held-out rows.

    `registered` fetches one model; an artefact that is no model fails, and says why.
    """
    verdicts = []
    for model in trained.models:
        try:
            verdicts.append(_compared(trained, registered(model), model, heldout))
        except ModelMismatchError as error:
            verdicts.append(_verdict(model, None, str(error)))
    return verdicts


def _compared(trained: Pair, found: Pair, model: Capability, heldout: Heldout) -> Verdict:
    frame = heldout.tables[model]
    apart = np.abs(trained.probability(model, frame) - found.probability(model, frame))
    same = trained.digests[model] == found.digests[model]
    why = f"the registered file is {'' if same else 'not '}the trained one, byte for byte"
    return _verdict(model, float(apart.max()), why, same)


def _verdict(model: Capability, figure: float | None, why: str, same: bool = False) -> Verdict:
    return Verdict(
        criterion=f"{model}: parity of registered and trained scores",
        passed=same and figure is not None and figure <= _MOST,
        figure=figure,
        interval=None,
        bound=f"at most {_MOST:g}, from equal files",
        why=why,
    )
