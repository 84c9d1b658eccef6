import asyncio

import numpy as np
import pytest

from finntelligence.errors import ModelUnavailableError
from serving.spared import Spared

ROWS = np.ones((1, 2))


class Model:
    """Answers, fails or hangs, as it is told."""

    def __init__(self, does):
        self.does, self.asked, self.may = does, 0, asyncio.Event()

    async def __call__(self, rows):
        self.asked += 1
        if self.does == "hang":
            await self.may.wait()
        if self.does == "fail":
            raise ModelUnavailableError("the model does not answer")
        if self.does == "break":
            raise RuntimeError("a defect")
        return rows * 2


async def told(spared):
    """Return whether there is an answer."""
    try:
        await spared(ROWS)
    except ModelUnavailableError:
        return False
    return True


async def down():
    """Return a model that has failed, and hangs from now on, and the way to ask it."""
    model = Model("fail")
    spared = Spared(model)
    assert not await told(spared)
    model.does = "hang"
    return model, spared


def test_while_a_model_answers_all_ask_it():
    async def played():
        model = Model("answer")
        spared = Spared(model)
        assert all(await asyncio.gather(*(told(spared) for _ in range(5))))
        return model.asked

    assert asyncio.run(played()) == 5


def test_of_a_model_that_failed_one_caller_waits_and_the_others_are_told_at_once():
    async def played():
        model, spared = await down()
        callers = [asyncio.create_task(told(spared)) for _ in range(5)]
        done, waiting = await asyncio.wait(callers, timeout=1)
        assert ([each.result() for each in done], len(waiting)) == ([False] * 4, 1)
        model.may.set()
        (first,) = waiting
        assert await first
        assert all(await asyncio.gather(*(told(spared) for _ in range(5))))
        return model.asked

    assert asyncio.run(played()) == 7


def test_whoever_comes_after_one_who_waited_in_vain_or_went_away_asks_again():
    async def played():
        model, spared = await down()
        going = asyncio.create_task(told(spared))
        await asyncio.sleep(0)
        going.cancel()
        await asyncio.wait([going])
        model.does = "fail"
        assert not await told(spared)
        model.does = "answer"
        return await told(spared)

    assert asyncio.run(played())


def test_a_defect_does_not_make_a_model_one_that_is_down():
    async def played():
        model = Model("break")
        spared = Spared(model)
        with pytest.raises(RuntimeError, match="a defect"):
            await spared(ROWS)
        model.does = "hang"
        callers = [asyncio.create_task(told(spared)) for _ in range(3)]
        await asyncio.sleep(0)
        model.may.set()
        return await asyncio.gather(*callers)

    assert asyncio.run(played()) == [True] * 3
