"""From what models can be asked jointly to what one request asks: coalesced, timed, counted."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from finntelligence.errors import ModelUnavailableError
from serving import metrics
from serving.coalesce import Ask, Coalescer
from serving.handler import Score, ScoreBoth
from serving.settings import CoalesceSettings

__all__ = ["Question", "both_scored", "scored"]

Array = NDArray[np.float64]


class Question(Protocol):
    """What a model can be asked about rows: see `runners.asking`."""

    @property
    def model(self) -> str:
        """Which model it is, as it is told to people."""

    @property
    def jointly(self) -> Ask:
        """What answers for the rows of many callers."""

    @property
    def own(self) -> Callable[[Array], Array]:
        """What reads one caller's part of the answers."""

    @property
    def processes(self) -> int:
        """How many calls may be in flight."""


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
            named=lambda: f"the {model} model",
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


def both_scored(
    risk: Question, acceptance: Question, *, within_s: float, settings: CoalesceSettings
) -> ScoreBoth | None:
    """Return what asks both models about the rows of one request; None where calls are not shared.

    Who waits for one model waits for the other too. Asked by one call to each about the same rows,
    requests go on together, where two queues would take them apart.
    """
    if not settings.enabled:
        return None

    pair = _Pair(risk, acceptance)
    return Coalescer(
        pair.jointly,
        own=pair.own,
        calls=settings.calls or max(risk.processes, acceptance.processes),
        most_rows=settings.rows,
        most_waiting=settings.waiting,
        named=pair.silent,
        within_s=within_s,
        observe=pair.observe,
    )


class _Pair:
    """Two models that are asked about the same rows; answers beside each other, (n, 2, widest)."""

    def __init__(self, first: Question, second: Question) -> None:
        self._pair = first, second
        self._open = {question.model: 0 for question in self._pair}

    async def jointly(self, rows: Array) -> Array:
        calls = [asyncio.create_task(self._answer(each, rows)) for each in self._pair]
        try:
            answers = await asyncio.gather(*calls)
        finally:
            for call in calls:  # where one failed nobody waits for the other, which may hang
                call.cancel()
        beside = np.full((len(rows), 2, max(each.shape[1] for each in answers)), np.nan)
        for place, each in enumerate(answers):
            beside[:, place, : each.shape[1]] = each
        return beside

    def own(self, answers: Array) -> tuple[Array, Array]:
        first, second = self._pair
        return first.own(answers[:, 0]), second.own(answers[:, 1])

    def observe(self, rows: int) -> None:
        for model in self._open:
            metrics.coalesced(model, rows)

    def silent(self) -> str:
        """Name a model that has not answered."""
        return f"the {max(self._open, key=self._open.__getitem__)} model"

    async def _answer(self, question: Question, rows: Array) -> Array:
        self._open[question.model] += 1
        try:
            answers = await question.jointly(rows)
        finally:
            self._open[question.model] -= 1
        if answers.ndim != 2 or len(answers) != len(rows):
            said = f"the {question.model} model answers to other rows than it was asked about"
            raise ModelUnavailableError(said)
        return answers
