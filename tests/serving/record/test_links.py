import asyncio

import pytest

from serving.record.chain import GENESIS
from serving.record.errors import UnknownDecisionError
from serving.record.links import links

HERE = "UPDATE records SET {} WHERE writer = :w AND seq = :n"


@pytest.fixture
def three(log, entry):
    """Write an opening and three decisions; return the ids."""
    made = [entry() for _ in range(3)]

    async def run():
        for each in made:
            await log.append(each)

    asyncio.run(run())
    return [each.decision_id for each in made]


def test_an_untouched_decision_holds_wherever_it_stands(log, three):
    found = [asyncio.run(log.links(each)) for each in three]
    assert [each.problems for each in found] == [()] * 3
    assert [each.seq for each in found] == [2, 3, 4]
    assert found[1].previous == found[0].hash != GENESIS


@pytest.mark.parametrize(
    ("seq", "change", "problem"),
    [
        (3, "at_us = at_us + 1", "has another hash than its own values"),
        (3, "content = '{}'", "its content has another digest than was recorded"),
        (2, "hash = 'other'", "is not chained to the record before it"),
        (4, "previous = 'other'", "is not what comes after it in the chain names"),
    ],
)
def test_what_was_changed_here_or_beside_it_is_said(log, three, raw, seq, change, problem):
    assert raw(HERE.format(change), w=log.writer.name, n=seq) == 1
    assert links(log.engine, three[1]).problems == (problem,)


def test_nobodys_decision_has_no_place(log):
    with pytest.raises(UnknownDecisionError):
        links(log.engine, "nobodys")
