"""What is asked at once is answered by one call, and nobody's question harms another's."""

import asyncio

import pytest

from serving.together import Together


class Squares:
    """Squares of numbers; of a negative one there is none."""

    def __init__(self):
        self.calls = []

    def __call__(self, numbers):
        self.calls.append(list(numbers))
        if min(numbers) < 0:
            raise ValueError("negative")
        return [number**2 for number in numbers]


def asked(square, numbers):
    async def together():
        return await asyncio.gather(*map(square, numbers), return_exceptions=True)

    return asyncio.run(together())


def test_what_is_asked_at_once_is_answered_by_one_call():
    squares = Squares()
    assert asked(Together(squares), range(5)) == [0, 1, 4, 9, 16]
    assert squares.calls == [[0, 1, 2, 3, 4]]


def test_a_question_that_fails_fails_alone():
    squares = Squares()
    one, two, three = asked(Together(squares), (1, -2, 3))
    assert (one, three) == (1, 9)
    assert isinstance(two, ValueError)


def test_a_call_answers_at_most_so_many():
    squares = Squares()
    assert asked(Together(squares, most=2), range(5)) == [0, 1, 4, 9, 16]
    assert squares.calls == [[0, 1], [2, 3], [4]]


def test_who_goes_away_is_not_answered_and_harms_nobody():
    squares = Squares()
    square = Together(squares)

    async def one_leaves():
        leaves, stays = square(2), square(3)
        leaves.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaves
        return await stays

    assert asyncio.run(one_leaves()) == 9


def test_another_event_loop_starts_anew():
    square = Together(Squares())

    async def never_answered():
        asyncio.get_running_loop().call_soon(asyncio.get_running_loop().stop)
        await square(1)

    loop = asyncio.new_event_loop()
    pending = loop.create_task(never_answered())
    loop.call_soon(loop.stop)
    loop.run_forever()
    pending.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(pending)
    loop.close()
    assert asked(square, (4,)) == [16]
