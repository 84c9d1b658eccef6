"""Whatever is done to the record behind its back is found, and said by writer and number."""

import asyncio

import pytest
import sqlalchemy as sa

from serving.record.chain import START, Event, Head, link, sha256
from serving.record.entry import Outcome, OutcomeKind
from serving.record.verify import verify

HERE = "writer = :w AND seq = :n"


@pytest.fixture
def chain(log, entry):
    """Write an opening and seven decisions; return the writer's name."""

    async def run():
        for _ in range(7):
            await log.append(entry())

    asyncio.run(run())
    return log.writer.name


def found(log, anchors=None):
    return [(f.seq, f.problem) for f in verify(log.engine, anchors).findings]


def test_an_untouched_record_is_whole(log, chain, entry):
    one = entry(answer={"offers": [{}], "outcome": "offers"})
    asyncio.run(log.append(one))
    outcome = Outcome(decision_id=one.decision_id, kind=OutcomeKind.ACCEPTED, on=one.at.date())
    asyncio.run(log.attach(outcome))
    verified = verify(log.engine)
    assert (verified.records, verified.pruned, verified.chains) == (10, 0, 1)
    assert verified.is_whole
    assert verified.heads[chain].seq == 10


def test_a_record_that_is_being_written_is_whole_whenever_it_is_looked_at(log, entry):
    async def run():
        async def write():
            for _ in range(60):
                await log.append(entry())

        writing = asyncio.gather(*(write() for _ in range(4)))
        looks = []
        while not writing.done():
            looks.append(await asyncio.to_thread(verify, log.engine))
        await writing
        return looks

    looks = asyncio.run(run())
    assert len({look.records for look in looks}) > 1
    assert all(look.is_whole for look in looks)


def test_an_empty_record_is_whole(log):
    assert verify(log.engine).is_whole


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET content = replace(content, '705', '805')",
        "DELETE FROM records",
        "UPDATE records SET content = NULL",
        "UPDATE chains SET seq = 1",
        "DELETE FROM chains",
        "UPDATE documents SET content = ''",
        "DELETE FROM documents",
    ],
)
def test_the_database_itself_refuses_to_change_the_record(log, chain, statement):
    asyncio.run(log.keep({"policy": {}}))
    with log.engine.connect() as connection:
        with pytest.raises(sa.exc.DBAPIError, match="append-only"):
            connection.execute(sa.text(statement))
        connection.rollback()
    assert verify(log.engine).is_whole


def test_a_changed_content_is_found(log, chain, raw):
    raw(f"UPDATE records SET content = replace(content, '705', '805') WHERE {HERE}", w=chain, n=4)
    assert found(log) == [(4, "tampered")]


def test_a_content_changed_with_its_digest_is_found(log, chain, raw):
    statement = f"UPDATE records SET content = '{{}}', content_digest = :d WHERE {HERE}"
    raw(statement, w=chain, n=4, d=sha256("{}"))
    assert (4, "tampered") in found(log)


def rewritten(log, raw, chain, seq):
    """Put another decision where one was, with the hash that it then must have; return that."""
    with log.engine.connect() as connection:
        before = sa.text(f"SELECT hash FROM records WHERE {HERE}")
        previous = connection.execute(before, {"w": chain, "n": seq - 1}).scalar_one()
    event = Event(kind="decision", at_us=5, content='{"documents":{}}', decision_id="forged")
    row = link(chain, Head(seq - 1, previous), event)
    names = ("at_us", "content", "content_digest", "decision_id", "hash")
    parts = ", ".join(f"{name} = :{name}" for name in names)
    raw(f"UPDATE records SET {parts} WHERE {HERE}", w=chain, n=seq, **{n: row[n] for n in names})
    return row["hash"]


def test_a_record_rewritten_whole_is_found_by_the_one_after_it(log, chain, raw):
    rewritten(log, raw, chain, 4)
    assert found(log) == [(4, "tampered")]


def test_a_last_record_rewritten_whole_is_found_by_the_chains_head(log, chain, raw):
    rewritten(log, raw, chain, 8)
    assert found(log) == [(8, "tampered")]


def test_a_last_record_rewritten_with_the_head_is_found_by_an_anchor(log, chain, raw):
    anchors = verify(log.engine).heads
    digest = rewritten(log, raw, chain, 8)
    raw("UPDATE chains SET hash = :h WHERE writer = :w", w=chain, h=digest)
    assert found(log) == []  # nobody else had seen it
    assert found(log, anchors) == [(8, "tampered")]


def test_what_a_later_opening_saw_cannot_be_rewritten(log, log_for, entry, chain, raw):
    asyncio.run(log_for().append(entry()))
    digest = rewritten(log, raw, chain, 8)
    raw("UPDATE chains SET hash = :h WHERE writer = :w", w=chain, h=digest)
    assert found(log) == [(8, "tampered")]


def test_a_changed_time_is_found(log, chain, raw):
    raw(f"UPDATE records SET at_us = at_us - 1 WHERE {HERE}", w=chain, n=5)
    assert found(log) == [(5, "tampered")]


@pytest.mark.parametrize("content", ["", "[]", '{"documents": 7}', '{"heads": 7}'])
def test_whatever_was_written_over_a_content_is_found(log, chain, raw, content):
    raw(f"UPDATE records SET content = :c WHERE {HERE}", w=chain, n=1, c=content)
    raw(f"UPDATE records SET content = :c WHERE {HERE}", w=chain, n=4, c=content)
    assert found(log) == [(1, "tampered"), (4, "tampered")]


@pytest.mark.parametrize("seq", [1, 4])
def test_a_deleted_record_is_found(log, chain, raw, seq):
    raw(f"DELETE FROM records WHERE {HERE}", w=chain, n=seq)
    assert found(log) == [(seq, "deleted")]


def test_a_cut_tail_is_found(log, chain, raw):
    raw("DELETE FROM records WHERE writer = :w AND seq > :n", w=chain, n=5)
    assert found(log) == [(6, "deleted")]


def test_two_records_that_changed_places_are_found_as_reordered(log, chain, raw):
    for old, new in ((3, 100), (6, 3), (100, 6)):
        raw(f"UPDATE records SET seq = {new} WHERE {HERE}", w=chain, n=old)
    assert found(log) == [(3, "reordered"), (6, "reordered")]


def test_an_inserted_record_is_found(log, chain, raw):
    with log.engine.connect() as connection:
        last = sa.text(f"SELECT hash FROM records WHERE {HERE}")
        tail = connection.execute(last, {"w": chain, "n": 8}).scalar_one()
    event = Event(kind="decision", at_us=5, content='{"documents":{}}', decision_id="forged")
    for row in (link(chain, Head(8, tail), event), link("f" * 32, START, event)):
        names = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        row["decision_id"] = row["hash"]
        raw(f"INSERT INTO records ({names}) VALUES ({values})", **row)
    assert sorted(found(log)) == [(1, "inserted"), (9, "inserted")]


def test_a_head_that_was_moved_back_with_its_tail_is_found_by_a_later_opening(
    log, log_for, entry, chain, raw
):
    later = log_for()
    asyncio.run(later.append(entry()))
    raw("DELETE FROM records WHERE writer = :w AND seq > 5", w=chain)
    fifth = "SELECT hash FROM records WHERE writer = :w AND seq = 5"
    raw(f"UPDATE chains SET seq = 5, hash = ({fifth}) WHERE writer = :w", w=chain)
    assert found(log) == [(6, "deleted")]


def test_a_chain_that_was_removed_whole_is_found(log, log_for, entry, chain, raw):
    anchors = verify(log.engine).heads
    raw("DELETE FROM records WHERE writer = :w", w=chain)
    assert found(log) == [(1, "deleted")]
    raw("DELETE FROM chains WHERE writer = :w", w=chain)
    assert found(log) == []  # nobody else had seen it
    assert found(log, anchors) == [(1, "deleted")]


def test_a_content_that_no_pruning_removed_is_found(log, chain, raw):
    raw(f"UPDATE records SET content = NULL WHERE {HERE}", w=chain, n=4)
    assert found(log) == [(4, "deleted")]


def test_a_document_that_is_gone_or_changed_is_found_where_it_was_used(log, entry, raw):
    kept = asyncio.run(log.keep({"policy": {"apr_cap": 0.3}}))
    asyncio.run(log.append(entry(documents=kept)))
    raw("UPDATE documents SET content = '{}'")
    assert found(log) == [(2, "missing")]
    raw("DELETE FROM documents")
    assert found(log) == [(2, "missing")]


def test_findings_are_told_as_rows(log, chain, raw):
    raw(f"DELETE FROM records WHERE {HERE}", w=chain, n=4)
    assert verify(log.engine).rows() == [(chain, "4", "deleted", "is gone")]
