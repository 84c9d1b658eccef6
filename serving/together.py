"""Questions that are asked in one pass of the event loop are answered by one call.

Many answers to one joint question to a model arrive at once, so what is computed next is asked for
at once too, and n applicants together cost much less than one by one. Nobody waits for company.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

__all__ = ["Together"]

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

MOST = 64
"""Questions of one call: longer ones would keep the event loop from everything else."""


class Together(Generic[Asked, Answer]):
    """A way to ask `answer`, a function of several questions, about one of them.

    Where a call fails its questions are asked one by one, so that only those fail that must.

    >>> async def squares(numbers):
    ...     square = Together(lambda asked: [number**2 for number in asked])
    ...     return await asyncio.gather(*(square(number) for number in numbers))
    >>> asyncio.run(squares((1, 2, 3)))
    [1, 4, 9]
    """

    def __init__(
        self, answer: Callable[[Sequence[Asked]], Sequence[Answer]], most: int = MOST
    ) -> None:
        self._answer, self._most = answer, most
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[tuple[Asked, asyncio.Future[Answer]]] = []

    def __call__(self, asked: Asked) -> "asyncio.Future[Answer]":
        """Return what becomes the answer to one question, or what it alone would raise."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop or len(self._waiting) == self._most:  # who waits has theirs
            self._loop, self._waiting = loop, []
        if not self._waiting:
            loop.call_soon(self._answered, self._waiting)
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((asked, future))
        return future

    def _answered(self, waiting: list[tuple[Asked, "asyncio.Future[Answer]"]]) -> None:
        if self._waiting is waiting:
            self._waiting = []
        open_ = [(asked, future) for asked, future in waiting if not future.done()]
        if not open_:
            return
        try:
            answers = self._answer([asked for asked, _ in open_])
        except Exception as error:  # noqa: BLE001 - raised where each caller waits
            if len(open_) == 1:
                open_[0][1].set_exception(error)
                return
            for each in open_:
                self._answered([each])
            return
        for (_, future), answer in zip(open_, answers, strict=True):
            future.set_result(answer)
