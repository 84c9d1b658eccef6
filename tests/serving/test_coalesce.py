import asyncio
from contextvars import ContextVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finntelligence.errors import ModelUnavailableError
from serving.coalesce import PASSES, Coalescer
from serving.problems import OverloadedError


class Model:
    """A model that answers twice each row when it is told to, and remembers what it was asked."""

    def __init__(self, broken=()):
        self.asked, self.most, self._broken = [], 0, broken
        self._open = {}

    async def __call__(self, rows):
        at = len(self.asked)
        self.asked.append(rows)
        self._open[at] = asyncio.get_running_loop().create_future()
        self.most = max(self.most, len(self._open))
        try:
            await self._open[at]
        finally:
            self._open.pop(at, None)
        if at in self._broken:
            raise ModelUnavailableError("broken")
        return rows * 2

    def finish(self, at=None):
        """Have one call that is open answered; the one begun first unless another is named."""
        if self._open:
            calls = sorted(self._open)
            self._open.pop(calls[(at or 0) % len(calls)]).set_result(None)

    @property
    def sizes(self):
        return [len(rows) for rows in self.asked]


def rows(*values, columns=2):
    return np.array([[float(value)] * columns for value in values])


async def passes(count=5):
    """Let the event loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)


def together(model, *asked, **bounds):
    """Ask about each at once, and have one call after the other answered."""

    async def all_of_them():
        coalesced = Coalescer(model, **bounds)
        callers = [asyncio.ensure_future(coalesced(each)) for each in asked]
        while not all(caller.done() for caller in callers):
            await passes()
            model.finish()
        return await asyncio.gather(*callers, return_exceptions=True)

    return asyncio.run(all_of_them())


def test_who_asks_alone_is_asked_for_at_once():
    async def alone():
        model = Model()
        caller = asyncio.ensure_future(Coalescer(model)(rows(1)))
        await passes(PASSES + 2)
        assert model.sizes == [1]
        model.finish()
        np.testing.assert_array_equal(await caller, rows(2))

    asyncio.run(alone())


def test_callers_of_one_pass_share_a_call_and_get_their_own_answers():
    model = Model()
    answers = together(model, rows(1), rows(2, 3), rows(4))
    assert model.sizes == [4]
    for answer, own in zip(answers, (rows(2), rows(4, 6), rows(8)), strict=True):
        np.testing.assert_array_equal(answer, own)


def test_who_comes_while_a_call_is_in_flight_shares_the_next():
    async def later():
        model = Model()
        coalesced = Coalescer(model)
        callers = []
        for value in range(4):
            callers.append(asyncio.ensure_future(coalesced(rows(value))))
            await passes()
        assert model.sizes == [1]
        model.finish()
        await passes()
        assert model.sizes == [1, 3]
        model.finish()
        for value, answer in enumerate(await asyncio.gather(*callers)):
            np.testing.assert_array_equal(answer, rows(2 * value))

    asyncio.run(later())


def test_a_call_takes_no_more_rows_than_it_may_and_divides_nobodys():
    model = Model()
    together(model, rows(1, 2), rows(3, 4), rows(5, 6), rows(7), rows(*range(9)), most_rows=4)
    assert model.sizes == [4, 3, 9]


def test_rows_of_another_width_never_share_a_call():
    model = Model()
    wide = rows(7, columns=3)
    answers = together(model, rows(1), rows(2), wide, rows(3))
    assert [each.shape for each in model.asked] == [(2, 2), (1, 3), (1, 2)]
    np.testing.assert_array_equal(answers[2], wide * 2)


def test_a_call_that_fails_fails_for_all_who_share_it_and_for_nobody_else():
    model = Model(broken={0})
    answers = together(model, rows(1), rows(2), rows(3), most_rows=2)
    assert [type(each) for each in answers[:2]] == [ModelUnavailableError] * 2
    np.testing.assert_array_equal(answers[2], rows(6))


def test_a_nan_answer_is_its_callers_alone():
    model = Model()
    first, second = together(model, rows(np.nan), rows(1))
    assert np.isnan(first).all()
    np.testing.assert_array_equal(second, rows(2))


def test_an_answer_of_another_length_is_no_answer():
    async def short(asked):
        return asked[:-1]

    async def both():
        coalesced = Coalescer(short)
        return await asyncio.gather(coalesced(rows(1)), coalesced(rows(2)), return_exceptions=True)

    assert [type(each) for each in asyncio.run(both())] == [ModelUnavailableError] * 2


def test_more_rows_than_may_wait_are_refused_at_once_and_those_that_wait_are_answered():
    async def flood():
        model = Model()
        coalesced = Coalescer(model, most_waiting=3)
        callers = [asyncio.ensure_future(coalesced(rows(0)))]
        await passes()
        callers += [asyncio.ensure_future(coalesced(rows(value))) for value in (1, 2, 3)]
        await passes()
        with pytest.raises(OverloadedError):
            await coalesced(rows(4))
        model.finish()
        await passes()
        model.finish()
        assert model.sizes == [1, 3]
        assert len(await asyncio.gather(*callers)) == 4

    asyncio.run(flood())


def test_who_goes_away_before_the_call_is_not_asked_for_and_makes_room():
    async def left():
        model = Model()
        coalesced = Coalescer(model, most_waiting=2)
        first = asyncio.ensure_future(coalesced(rows(0)))
        await passes()
        going, staying = (asyncio.ensure_future(coalesced(rows(value))) for value in (1, 2))
        await passes()
        going.cancel()
        await passes()
        late = asyncio.ensure_future(coalesced(rows(3)))
        await passes()
        model.finish()
        await passes()
        model.finish()
        np.testing.assert_array_equal(model.asked[1], rows(2, 3))
        await asyncio.gather(first, staying, late)
        assert going.cancelled()

    asyncio.run(left())


def test_who_goes_away_during_the_call_harms_nobody():
    async def left():
        model = Model()
        coalesced = Coalescer(model)
        going, staying = (asyncio.ensure_future(coalesced(rows(value))) for value in (1, 2))
        await passes()
        going.cancel()
        await passes()
        model.finish()
        np.testing.assert_array_equal(await staying, rows(4))

    asyncio.run(left())


def test_what_comes_in_pass_after_pass_leaves_together():
    async def one_by_one():
        model = Model()
        coalesced = Coalescer(model, most_rows=4)
        callers = []
        for value in range(5):
            callers.append(asyncio.ensure_future(coalesced(rows(value))))
            await passes(PASSES - 1)
            assert model.sizes == ([4] if value >= 3 else [])  # a full call waits no longer
        model.finish()
        await passes(PASSES + 2)
        assert model.sizes == [4, 1]
        model.finish()
        await asyncio.gather(*callers)

    asyncio.run(one_by_one())


def test_a_call_belongs_to_the_trace_of_who_has_waited_longest():
    trace = ContextVar("trace")
    seen = []

    async def tracing(asked):
        seen.append(trace.get())
        await asyncio.sleep(0)
        return asked

    async def caller(coalesced, name):
        trace.set(name)
        await coalesced(rows(1))

    async def all_of_them():
        coalesced = Coalescer(tracing, most_rows=2)
        await asyncio.gather(*(caller(coalesced, name) for name in "abcd"))

    asyncio.run(all_of_them())
    assert seen == ["a", "c"]


def test_each_caller_waits_as_long_as_one_may_and_no_longer():
    async def late():
        model, loop = Model(), asyncio.get_running_loop()
        coalesced = Coalescer(model, within_s=0.2, named=lambda: "the risk model")
        answered = coalesced(rows(1))
        await passes()
        model.finish()
        await answered
        began, ended = {}, {}
        for name in "ab":
            began[name] = loop.time()
            asked = coalesced(rows(2))
            asked.add_done_callback(lambda _, name=name: ended.update({name: loop.time()}))
            await asyncio.sleep(0.1)
        with pytest.raises(ModelUnavailableError, match="the risk model does not answer in time"):
            await asked
        await passes()
        waited = [ended[name] - began[name] for name in "ab"]
        assert all(0.2 <= each < 2 for each in waited)
        assert ended["a"] < ended["b"]
        np.testing.assert_array_equal(await answered, rows(2))

    asyncio.run(late())


def test_a_part_that_is_refused_is_its_callers_alone():
    def positive(answers):
        if (answers < 0).any():
            raise ModelUnavailableError("negative")
        return answers

    model = Model()
    first, second, third = together(model, rows(1), rows(-2), rows(3), own=positive)
    assert model.sizes == [3]
    assert isinstance(second, ModelUnavailableError)
    np.testing.assert_array_equal(first, rows(2))
    np.testing.assert_array_equal(third, rows(6))


def test_what_observes_gets_the_size_of_each_call():
    sizes = []
    together(Model(), rows(1), rows(2, 3), rows(4, 5), most_rows=3, observe=sizes.append)
    assert sizes == [3, 2]


SCHEDULES = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(1, 4), st.sampled_from([1, 2])),
        st.tuples(st.just("cancel"), st.integers(0, 20), st.none()),
        st.tuples(st.just("finish"), st.integers(0, 20), st.none()),
        st.tuples(st.just("pass"), st.integers(1, 3), st.none()),
    ),
    max_size=40,
)


async def played(schedule, model, coalesced):
    """Play a schedule to its end; return each caller's rows and task."""
    asked, number = [], 0
    for what, count, columns in schedule:
        if what == "ask":
            own = rows(*range(number, number + count), columns=columns)
            number += count
            asked.append((own, asyncio.ensure_future(coalesced(own))))
        elif what == "cancel" and asked:
            asked[count % len(asked)][1].cancel()
        elif what == "finish":
            model.finish(count)
        else:
            await passes(count)
    while not all(task.done() for _, task in asked):
        await passes()
        model.finish()
    return asked


@given(
    SCHEDULES,
    st.integers(1, 3),
    st.integers(1, 6),
    st.integers(1, 12),
    st.sets(st.integers(0, 9)),
)
def test_whatever_happens_who_stays_gets_the_answers_to_own_rows_or_a_typed_error(
    schedule, calls, most_rows, most_waiting, broken
):
    model = Model(broken)
    coalesced = Coalescer(model, calls=calls, most_rows=most_rows, most_waiting=most_waiting)
    for own, task in asyncio.run(played(schedule, model, coalesced)):
        if task.cancelled():
            continue
        if task.exception() is None:
            np.testing.assert_array_equal(task.result(), own * 2)
        else:
            assert isinstance(task.exception(), OverloadedError | ModelUnavailableError)
    sent = [value for call in model.asked for value in call[:, 0]]
    assert sent == sorted(set(sent))  # in order, each once
    assert model.most <= calls
    assert all(size <= max(most_rows, 4) for size in model.sizes)
