"""How rows travel to a runner: each beside the id of the model that must score it.

While a new pair takes over, rows of the old pair and of the new one meet in one adaptive batch. A
batch is one array, so the id is its first column, and rows are filled up to a common width: books
of a few columns more or less still fit into one batch.
"""

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from bentoml.exceptions import InvalidArgument
from numpy.typing import NDArray
from pydantic import AfterValidator

from finntelligence.errors import ModelUnavailableError

__all__ = ["Sealed", "answered", "opened", "refuse_unsealed", "sealed"]

Array = NDArray[np.float64]
Answer = Callable[[Array], Array]

ROW_BLOCK = 64  # a row is as many times so many columns wide as it needs
ANSWER_BLOCK = 8  # so is an answer along each axis: one split between two batches fits together


def refuse_unsealed(rows: Any) -> Array:
    """Return sealed rows as they are.

    Raises:
        InvalidArgument: when they are none.
    """
    is_array = isinstance(rows, np.ndarray) and rows.ndim == 2 and rows.dtype == np.float64
    if not is_array or not rows.size or rows.shape[1] % ROW_BLOCK:
        # not a ValueError, of which BentoML would log the rows
        raise InvalidArgument(f"rows are float64 of a multiple of {ROW_BLOCK} columns")
    return np.asarray(rows)


Sealed = Annotated[Array, AfterValidator(refuse_unsealed)]
"""Sealed rows as a runner takes them: checked before they meet others in an adaptive batch, which
one misfit would spoil for all."""


def sealed(rows: Array, model_id: float) -> Array:
    """Return rows of a design matrix, (n, features), as they travel to a runner."""
    whole = np.zeros((len(rows), _whole_blocks(rows.shape[1] + 1, ROW_BLOCK)))
    whole[:, 0] = model_id
    whole[:, 1 : rows.shape[1] + 1] = rows
    return whole


def answered(rows: Array, model: Callable[[float], Answer | None]) -> Array:
    """Return what each sealed row's own model answers to it, NaN for a model that is unknown.

    `model` returns what answers for the model of an id; it gets the rows without the id and leaves
    out the columns that fill them up. NaN fills up a model's answers, (k, ...), too.
    """
    ids, columns = rows[:, 0], rows[:, 1:]
    alike = (ids == ids[0]).all()
    groups = {i: slice(None) if alike else ids == i for i in (ids[:1] if alike else np.unique(ids))}
    parts = [
        (place, answer(columns[place]))
        for model_id, place in groups.items()
        if (answer := model(float(model_id))) is not None
    ]
    shapes = [part.shape[1:] for _, part in parts] or [(1,)]
    sizes = (_whole_blocks(max(axis), ANSWER_BLOCK) for axis in zip(*shapes, strict=True))
    whole = np.full((len(rows), *sizes), np.nan)
    for place, part in parts:
        whole[(place, *map(slice, part.shape[1:]))] = part
    return whole


def opened(answer: Array, shape: tuple[int, ...], model: str) -> Array:
    """Return a runner's answers, (n, *shape), without what fills them up.

    Raises:
        ModelUnavailableError: when the runner does not have the model that was asked for.
    """
    if answer.ndim == len(shape) + 1:
        own: Array = answer[(slice(None), *map(slice, shape))]
        if own.shape[1:] == shape and not np.isnan(own).any():
            return own
    raise ModelUnavailableError(f"the {model} model does not answer: its runner lacks it")


def _whole_blocks(size: int, block: int) -> int:
    return -(-size // block) * block
