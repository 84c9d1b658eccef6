import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.problems import OverloadedError
from serving.rate_limit import Admission, RateLimits


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def taken(limits, key, rate):
    try:
        limits.take(key, rate)
    except OverloadedError:
        return False
    return True


@given(
    rate=st.floats(0.1, 200),
    workers=st.integers(1, 4),
    pauses=st.lists(st.floats(0, 0.5), max_size=200),
)
def test_no_key_gets_more_than_a_second_at_once_and_its_rate_from_then_on(rate, workers, pauses):
    clocks = [Clock() for _ in range(workers)]
    limits = [RateLimits(workers=workers, clock=clock) for clock in clocks]
    given_out = 0
    for pause in pauses:
        for clock, limit in zip(clocks, limits, strict=True):
            clock.now += pause
            given_out += taken(limit, "k", rate)
    assert given_out <= max(rate, workers) + rate * sum(pauses) + 1e-6


def test_who_waits_as_long_as_it_says_is_answered():
    clock = Clock()
    limits = RateLimits(clock=clock)
    for rate in (0.5, 3, 40):
        while taken(limits, str(rate), rate):
            pass
        with pytest.raises(OverloadedError) as caught:
            limits.take(str(rate), rate)
        clock.now += caught.value.retry_after_s + 1e-9
        assert taken(limits, str(rate), rate)
        assert not taken(limits, str(rate), rate)


def test_one_key_uses_up_nothing_of_anothers():
    limits = RateLimits(clock=Clock())
    while taken(limits, "greedy", 5):
        pass
    assert taken(limits, "modest", 5)


class Held:
    """Requests that stay within until they are let go."""

    def __init__(self, **words):
        self.admission = Admission(**{"in_flight": 2, "queue": 3, "patience_s": 5} | words)
        self.inside, self.most, self.order = 0, 0, []
        self.open = asyncio.Event()

    async def request(self, name=None):
        async with self.admission:
            self.order.append(name)
            self.inside += 1
            self.most = max(self.most, self.inside)
            await self.open.wait()
            self.inside -= 1


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


def test_so_many_are_worked_on_so_many_wait_in_order_and_the_rest_is_told_at_once():
    async def asked():
        held = Held()
        tasks = [asyncio.create_task(held.request(n)) for n in range(5)]
        await settle()
        with pytest.raises(OverloadedError, match="2 requests are worked on and 3 wait"):
            await held.request()
        held.open.set()
        await asyncio.gather(*tasks)
        assert (held.most, held.order) == (2, [0, 1, 2, 3, 4])

    asyncio.run(asked())


def test_who_has_waited_too_long_is_told():
    async def asked():
        held = Held(in_flight=1, patience_s=0.02)
        first = asyncio.create_task(held.request())
        await settle()
        with pytest.raises(OverloadedError, match=r"within 0\.02 s"):
            await held.request()
        held.open.set()
        await first
        await held.request()

    asyncio.run(asked())


def test_without_a_queue_nobody_waits():
    async def asked():
        held = Held(in_flight=1, queue=0)
        first = asyncio.create_task(held.request())
        await settle()
        with pytest.raises(OverloadedError):
            await held.request()
        held.open.set()
        await first

    asyncio.run(asked())


class Crowd:
    """Requests that come, give up and end in any order."""

    def __init__(self):
        self.admission = Admission(in_flight=2, queue=4, patience_s=60)
        self.inside, self.tasks = [], []

    async def _request(self, end):
        async with self.admission:
            self.inside.append(end)
            try:
                await end.wait()
            finally:
                self.inside.remove(end)

    def ask(self, _):
        self.tasks.append(asyncio.create_task(self._request(asyncio.Event())))

    def cancel(self, which):
        if self.tasks:
            self.tasks[which % len(self.tasks)].cancel()

    def end(self, _):
        if self.inside:
            self.inside[0].set()

    async def empty(self):
        while not all(task.done() for task in self.tasks):
            for end in self.inside:
                end.set()
            await settle()
        await asyncio.gather(*self.tasks, return_exceptions=True)


STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "cancel", "end"]), st.integers(0, 9), st.booleans()),
    max_size=60,
)


@given(STEPS)
def test_whoever_gives_up_no_turn_is_lost_and_none_is_given_twice(steps):
    async def asked():
        crowd = Crowd()
        for step, which, pause in steps:
            getattr(crowd, step)(which)
            if pause:
                await settle()
            assert len(crowd.inside) <= 2
        async with asyncio.timeout(5):
            await crowd.empty()
            async with crowd.admission, crowd.admission:  # both turns are there again
                pass

    asyncio.run(asked())
