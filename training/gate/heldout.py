"""The held-out rows that judge challenger and champion alike."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finntelligence.portfolio import Capability, Portfolio
from training.stages import Paths
from training.tables import read_table
from training.train import TARGETS

__all__ = ["Heldout"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heldout:
    """Each model's held-out table, and by part the share of events among what it learned from.

    Quotes of randomised price have a share of their own: another's would be an easy rival.
    """

    tables: Mapping[Capability, pd.DataFrame]
    shares: Mapping[Capability, Mapping[str, float]]

    @classmethod
    def read(cls, paths: Paths, portfolio: Portfolio) -> "Heldout":
        """Read what `prepare` has kept from training."""
        tables, shares = {}, {}
        for model in sorted(portfolio.capabilities):
            table, target = TARGETS[model]
            tables[model] = read_table(paths.processed / "holdout" / f"{table}.parquet")
            learned = read_table(paths.processed / "train" / f"{table}.parquet")
            shares[model] = {
                part: float(frame[target].mean()) for part, frame in _parts(learned).items()
            }
        return cls(tables=tables, shares=shares)

    def parts(self, model: Capability) -> dict[str, pd.DataFrame]:
        """Return all rows of a model, and those of randomised price where there are any."""
        return _parts(self.tables[model])

    def share(self, model: Capability, part: str) -> float:
        """Return the share of events that a constant would say of a part."""
        known = self.shares[model]
        return known.get(part, known["holdout"])

    def judging(self, model: Capability) -> tuple[str, pd.DataFrame]:
        """Return the rows that judge a model best, and in words which they are.

        Acceptance is a causal claim about prices: where some were randomised, those quotes judge.
        """
        parts = self.parts(model)
        if model is Capability.ACCEPTANCE and "randomised" in parts:
            return "randomised quotes", parts["randomised"]
        return f"held-out {TARGETS[model][0]}", parts["holdout"]

    @staticmethod
    def outcome(model: Capability, frame: pd.DataFrame) -> Array:
        """Return the outcomes of rows, 0 or 1."""
        return frame[TARGETS[model][1]].to_numpy(dtype=float)


def _parts(every: pd.DataFrame) -> dict[str, pd.DataFrame]:
    drawn = every[every["is_randomised"]]
    return {"holdout": every} | ({} if drawn.empty else {"randomised": drawn})
