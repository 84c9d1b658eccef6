"""No applicant may be likelier to accept at a higher price, nor safer."""

import pandas as pd

from finntelligence.portfolio import Capability
from training.evidence.price_curves import Prices, violations
from training.evidence.subject import Subject
from training.gate.pair import Pair
from training.gate.verdict import Verdict

__all__ = ["monotone"]


def monotone(pair: Pair, model: Capability, rows: pd.DataFrame, prices: Prices) -> Verdict:
    """Judge a model at every tick, for each of the rows at its own principal and term.

    It is counted here and not read from the evaluation, which may be of another model by now.
    """
    subject = Subject(
        portfolio=pair.portfolio, artefact=pair.models[model], train=rows, holdout=rows
    )
    found = violations(subject.probability, subject, rows, prices)
    return Verdict(
        criterion=f"{model}: monotonicity violations",
        passed=found["violations"] == 0,
        figure=float(found["violations"]),
        interval=None,
        bound="0",
        why=f"on {found['ticks']:,} rates for each of {found['applicants']:,} held-out applicants",
    )
