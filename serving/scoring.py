"""From what a model can be asked jointly to what one request asks: coalesced, timed, counted."""

import asyncio
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from finntelligence.errors import ModelUnavailableError
from serving import metrics
from serving.coalesce import Ask, Coalescer
from serving.handler import Score
from serving.settings import CoalesceSettings

__all__ = ["scored"]

Array = NDArray[np.float64]


def scored(
    model: str,
    jointly: Ask,
    own: Callable[[Array], Array],
    *,
    calls: int,
    within_s: float,
    settings: CoalesceSettings,
) -> Score:
    """Return what asks a model about the rows of one request.

    Requests that ask at once share calls of `jointly`, of which `calls` are in flight unless the
    settings say otherwise; `own` reads each request's part of the answer.
    """
    if settings.enabled:
        return Coalescer(
            jointly,
            calls=settings.calls or calls,
            most_rows=settings.rows,
            most_waiting=settings.waiting,
            named=f"the {model} model",
            within_s=within_s,
            own=own,
            observe=partial(metrics.coalesced, model),
        )

    async def score(rows: Array) -> Array:
        try:
            async with asyncio.timeout(within_s):
                return own(await jointly(rows))
        except TimeoutError as error:
            raise ModelUnavailableError(f"the {model} model does not answer in time") from error

    return score
