"""Every decision is read once, oldest first, however many there are."""

import asyncio
from datetime import timedelta

from serving.record.database import connected, snapshot
from serving.record.reader import decisions, shown


def append(log, entries):
    async def run():
        await asyncio.gather(*(log.append(each) for each in entries))

    asyncio.run(run())


def test_more_decisions_than_a_page_holds_are_each_read_once_and_oldest_first(log, entry):
    at = entry().at
    made = [entry(at=at - timedelta(seconds=n % 7)) for n in range(1100)]
    append(log, made)
    with snapshot(log.engine) as connection:
        read = [(r.at, r.decision_id) for r in decisions(connection)]
    assert read == sorted((e.at, e.decision_id) for e in made)


def test_a_book_has_its_own_decisions(log, entry):
    ours, others = entry(portfolio="kz2008"), entry()
    append(log, [ours, others])
    with snapshot(log.engine) as connection:
        assert [r.entry for r in decisions(connection, "kz2008")] == [ours]


def test_a_command_shows_a_decision_with_its_place_in_the_chain(log, entry):
    one = entry()
    append(log, [one])
    with connected(log.engine.url) as engine:
        line = shown(engine, one.decision_id).to_json()
    assert line["answer"] == one.answer
    assert line["chain"]["writer"] == log.writer.name
    assert line["chain"]["seq"] == 2
