"""The models that one runner process answers for: the one it started with, and its successors.

Nothing tells a runner that a pair was promoted or rolled back. A row that carries the id of a model
it does not have makes it load that model from the store, once.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from finntelligence.errors import ModelMismatchError
from runners.envelope import answered
from runners.model_file import Scorer

__all__ = ["KEPT", "Scorers"]

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

KEPT = 3
"""The model in force, the one before it for requests in flight, and one for the way back."""


class Scorers:
    """The models asked for last, by id; `find` brings another, or None where there is none.

    Not for several threads: a runner asks in its event loop, which loading a successor holds up.
    """

    def __init__(self, first: Scorer, first_id: float, find: Callable[[float], Scorer | None]):
        self._kept = OrderedDict({first_id: first})
        self._find = find

    def coefficients(self, rows: Array) -> Array:
        """Return every head's coefficient, (n, heads), for sealed rows; see `envelope`."""
        return answered(rows, lambda model_id: self._answer(model_id, Scorer.coefficients))

    def contributions(self, rows: Array) -> Array:
        """Return what each column adds to each head, (n, heads, features + 1), likewise."""
        return answered(rows, lambda model_id: self._answer(model_id, Scorer.contributions))

    def _answer(
        self, model_id: float, method: Callable[[Scorer, Array], Array]
    ) -> Callable[[Array], Array] | None:
        scorer = self._scorer(model_id)
        if scorer is None:
            return None
        features = len(scorer.response.features)
        return lambda columns: method(scorer, np.ascontiguousarray(columns[:, :features]))

    def _scorer(self, model_id: float) -> Scorer | None:
        scorer = self._kept.get(model_id) or self._found(model_id)
        if scorer is not None:
            self._kept[model_id] = scorer
            self._kept.move_to_end(model_id)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return scorer

    def _found(self, model_id: float) -> Scorer | None:
        try:
            scorer = self._find(model_id)
        except (ModelMismatchError, OSError) as error:  # the store may change under our hands
            log.error("a model that was asked for cannot be loaded: %s", error)
            return None
        if scorer is None:
            log.error("the model store has no model of id %012x", int(model_id))
        return scorer
