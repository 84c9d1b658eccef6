"""A model that does not answer is waited for by one request at a time; the others do without."""

from finntelligence.errors import ModelUnavailableError
from serving.coalesce import Array, Ask

__all__ = ["Spared"]


class Spared:
    """A way to `ask` a model, for callers who can do without its answer.

    Once it did not answer, one caller at a time waits to see whether it does again, and the others
    are told at once that it does not: a model that hangs holds up one of them, not all.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._is_down = self._is_tried = False

    async def __call__(self, rows: Array) -> Array:
        """Return the answers to rows.

        Raises:
            ModelUnavailableError: when there is none, or another caller waits for a model that gave
                none lately.
        """
        if not self._is_down:
            return await self._told(rows)
        if self._is_tried:
            raise ModelUnavailableError("the model did not answer lately, and another asks it now")
        self._is_tried = True
        try:
            return await self._told(rows)
        finally:
            self._is_tried = False

    async def _told(self, rows: Array) -> Array:
        try:
            answers = await self._ask(rows)
        except ModelUnavailableError:
            self._is_down = True
            raise
        self._is_down = False
        return answers
