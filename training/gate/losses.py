"""Log-loss: every model must beat a constant, and not fall behind the champion beyond noise."""

import numpy as np
from numpy.typing import NDArray

from finntelligence.portfolio import Capability
from training.evidence.scores import row_losses
from training.gate.heldout import Heldout
from training.gate.pair import Pair
from training.gate.verdict import Verdict, mean_interval, untestable

__all__ = ["beats_a_constant", "beats_the_champion", "incomparable"]

Array = NDArray[np.float64]

_BOUND = "not below 0 with its whole interval"


def beats_a_constant(
    pair: Pair, model: Capability, heldout: Heldout, minimum_gain: float
) -> list[Verdict]:
    """Judge a model by the share of events in training, on every part of the held-out rows."""
    verdicts = []
    for part, frame in heldout.parts(model).items():
        outcome = heldout.outcome(model, frame)
        constant = row_losses(outcome, np.full(len(frame), heldout.share(model, part)))
        losses = row_losses(outcome, pair.probability(model, frame))
        figure, interval = mean_interval(constant - losses)
        verdicts.append(
            Verdict(
                criterion=f"{model}: log-loss below a constant's, {part} rows",
                passed=figure > minimum_gain,
                figure=figure,
                interval=interval if len(frame) > 1 else None,
                bound=f"above {minimum_gain:g}",
                why=f"a constant loses {constant.mean():.5f} on {len(frame):,} rows, "
                f"the model {losses.mean():.5f}",
            )
        )
    return verdicts


def beats_the_champion(
    challenger: Pair, champion: Pair, model: Capability, heldout: Heldout, caveat: str = ""
) -> Verdict:
    """Judge two models on the same rows: differences are paired, so that luck cancels.

    `caveat` is what is to be said of the champion beside its loss.
    """
    rows, frame = heldout.judging(model)
    outcome = heldout.outcome(model, frame)
    ours, theirs = (
        row_losses(outcome, pair.probability(model, frame)) for pair in (challenger, champion)
    )
    figure, interval = mean_interval(theirs - ours)
    return Verdict(
        criterion=_against(model, rows),
        passed=interval[1] >= 0,
        figure=figure,
        interval=interval if np.isfinite(interval[1]) else None,
        bound=_BOUND,
        why=f"the champion loses {theirs.mean():.5f} on {len(frame):,} rows, "
        f"the challenger {ours.mean():.5f}{caveat and f'; {caveat}'}",
    )


def incomparable(model: Capability, heldout: Heldout, reason: str) -> Verdict:
    """Return the verdict where the champion says nothing of these rows, with the reason."""
    return untestable(_against(model, heldout.judging(model)[0]), _BOUND, reason)


def _against(model: Capability, rows: str) -> str:
    return f"{model}: log-loss below the champion's, {rows}"
