"""The log: durable, bounded, shared by processes, one answer for one key."""

import asyncio
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import sqlalchemy as sa

from finntelligence.declaration import canonical_json
from finntelligence.errors import ModelMismatchError
from serving.decision_log import DecisionLog
from serving.record.database import snapshot
from serving.record.entry import Outcome, OutcomeKind, key_digest
from serving.record.errors import (
    IdempotencyConflictError,
    RecordUnavailableError,
    UnknownDecisionError,
)
from serving.record.schema import records
from serving.record.verify import verify


def appended(log, *entries):
    """Append all at once; return each one's answer or error."""

    async def run():
        return await asyncio.gather(*(log.append(e) for e in entries), return_exceptions=True)

    return asyncio.run(run())


def found(log, decision_id):
    return asyncio.run(log.decision(decision_id)).entry


def count(log):
    with log.engine.connect() as connection:
        rows = sa.select(sa.func.count()).where(records.c.kind == "decision")
        return connection.execute(rows).scalar_one()


def held(log):
    """Occupy the writer until the returned event is set."""
    started, release = Event(), Event()

    def work(_):
        started.set()
        release.wait(10)

    async def submitted():  # in a loop that is gone when the work is done
        log.writer.submit(work)

    asyncio.run(submitted())
    started.wait(10)
    return release


def in_one_transaction(log, *entries):
    """As `appended`, but nothing is written before all of them wait."""
    release = held(log)
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(appended, log, *entries)
        while log.waiting < len(entries):
            time.sleep(0.001)
        release.set()
    return answers.result()


def test_what_was_appended_is_read_back_as_it_was(log, entry):
    one = entry(propensity=0.25, arm="b", caller="key-1", idempotency_key=None)
    assert appended(log, one) == [one.answer]
    assert found(log, one.decision_id) == one


def test_an_unknown_decision_is_an_error(log):
    with pytest.raises(UnknownDecisionError, match="no decision"):
        asyncio.run(log.decision("0a0a0a0a-0b0b0b0b-" + "0" * 32))


def test_entries_that_wait_together_share_one_transaction(log, entry):
    release = held(log)
    many = [entry() for _ in range(50)]

    async def run():
        waiting = [asyncio.ensure_future(log.append(e)) for e in many]
        await asyncio.sleep(0)
        assert log.waiting == 50
        release.set()
        await asyncio.gather(*waiting)

    commits = []
    sa.event.listen(log.engine, "commit", lambda _: commits.append(1))
    asyncio.run(run())
    assert count(log) == 50
    assert len(commits) <= 2


@pytest.mark.parametrize("size", [1, 15, 16, 17, 53])
def test_entries_of_one_transaction_are_each_what_was_appended(log, entry, size):
    many = [entry(latency_ms=place) for place in range(size)]
    assert in_one_transaction(log, *many) == [each.answer for each in many]
    assert [found(log, each.decision_id) for each in many] == many
    assert verify(log.engine).is_whole


def test_a_full_queue_refuses_at_once_and_takes_entries_again(log_for, entry):
    log = log_for(queue=3)
    release = held(log)

    async def run():
        waiting = [asyncio.ensure_future(log.append(entry())) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(RecordUnavailableError, match="cannot keep up"):
            await log.append(entry())
        release.set()
        await asyncio.gather(*waiting)
        await log.append(entry())

    asyncio.run(run())
    assert count(log) == 4


def test_an_entry_that_is_not_durable_in_time_is_refused_and_not_written_later(log_for, entry):
    log = log_for(timeout_s=0.05)
    release = held(log)
    assert [type(e) for e in appended(log, entry())] == [RecordUnavailableError]
    release.set()
    appended(log, entry())
    assert count(log) == 1


def test_an_oversized_or_unspeakable_entry_is_refused_and_the_others_are_written(log_for, entry):
    log = log_for(max_entry_bytes=5000)
    large, nan = entry(arm="x" * 6000), entry(latency_ms=float("nan"))
    answers = appended(log, large, nan, entry())
    assert [type(a) for a in answers] == [RecordUnavailableError, ValueError, dict]


def test_one_refused_entry_does_not_fail_those_of_its_transaction(log, entry):
    one = entry()
    appended(log, one)
    answers = in_one_transaction(log, entry(), one, entry())
    assert [type(a) for a in answers] == [dict, RecordUnavailableError, dict]
    assert verify(log.engine).is_whole


def test_a_database_that_fails_is_a_typed_error_and_the_log_recovers_by_itself(log, entry):
    appended(log, entry())
    down = sa.exc.OperationalError("secret 705", None, OSError("disk"))

    def fail(_):
        raise down

    sa.event.listen(log.engine, "begin", fail)
    (error,) = appended(log, entry())
    sa.event.remove(log.engine, "begin", fail)
    assert isinstance(error, RecordUnavailableError)
    assert "705" not in str(error)
    last = entry()
    appended(log, last)
    assert found(log, last.decision_id) == last
    assert verify(log.engine).is_whole


def test_a_database_that_another_process_locks_is_a_typed_error_until_it_is_free(log_for, entry):
    log = log_for(timeout_s=0.1)
    with log.engine.connect() as connection:
        if log.engine.dialect.name == "sqlite":
            connection.execution_options(writing=True).begin()
        else:
            connection.execute(sa.text("LOCK TABLE records"))
        assert [type(a) for a in appended(log, entry())] == [RecordUnavailableError]
        connection.rollback()
    last, patient = entry(), log_for()
    appended(patient, last)
    assert found(patient, last.decision_id) == last
    assert verify(log.engine).is_whole


def test_a_connection_that_is_lost_before_the_commit_is_made_again(log, entry):
    appended(log, entry())
    lost = []

    def lose(connection):
        if not lost:
            lost.append(connection)
            raise sa.exc.OperationalError(
                "BEGIN", None, OSError("gone"), connection_invalidated=True
            )

    sa.event.listen(log.engine, "begin", lose)
    two = [entry(), entry()]
    assert appended(log, *two) == [one.answer for one in two]
    assert lost
    assert count(log) == 3
    assert verify(log.engine).is_whole


def test_a_connection_that_the_server_ends_is_made_again(log, entry):
    if log.engine.dialect.name == "sqlite":
        log.engine.dispose()
    else:
        appended(log, entry())
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        with log.engine.connect() as connection:
            ended = f"{others} WHERE pid <> pg_backend_pid() AND datname = current_database()"
            connection.execute(sa.text(ended))
    one = entry()
    assert appended(log, one) == [one.answer]
    assert verify(log.engine).is_whole


def test_a_commit_whose_confirmation_was_lost_does_not_break_the_chain(log, entry):
    appended(log, entry())
    lost = []

    def lose(connection):
        lost.append(connection)
        connection.connection.driver_connection.commit()
        raise sa.exc.OperationalError("COMMIT", None, OSError("gone"), connection_invalidated=True)

    sa.event.listen(log.engine, "commit", lose)
    assert isinstance(appended(log, entry())[0], RecordUnavailableError)
    assert len(lost) == 1
    sa.event.remove(log.engine, "commit", lose)
    appended(log, entry())
    assert count(log) == 3
    assert verify(log.engine).is_whole


def test_several_logs_write_to_one_database(log_for, entry):
    logs = [log_for() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        answers = pool.map(lambda log: appended(log, *(entry() for _ in range(60))), logs)
    assert all(isinstance(a, dict) for batch in answers for a in batch)
    verified = verify(logs[0].engine)
    assert (count(logs[0]), verified.chains, verified.findings) == (180, 3, ())


def test_closing_writes_what_waits_and_takes_no_more(log_for, log, entry):
    leaving = log_for()
    release = held(leaving)

    async def run():
        waiting = [asyncio.ensure_future(leaving.append(entry())) for _ in range(5)]
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(leaving.close())
        await asyncio.sleep(0.02)
        release.set()
        await asyncio.gather(closing, *waiting)

    asyncio.run(run())
    assert count(log) == 5
    with pytest.raises(RecordUnavailableError, match="closed"):
        asyncio.run(leaving.append(entry()))


def test_a_key_that_nobody_used_has_no_answer(log):
    assert asyncio.run(log.answered("a" * 64, "b" * 64)) is None


def test_a_repeated_key_gets_the_first_answer_and_one_decision_is_recorded(log, entry):
    key = key_digest("retry-1", "key-1", "offers")
    first, second = (entry(idempotency_key=key, answer={"n": n}) for n in (1, 2))
    assert appended(log, first) == [{"n": 1}]
    assert asyncio.run(log.answered(key, second.request_digest)) == {"n": 1}
    assert appended(log, second) == [{"n": 1}]
    assert count(log) == 1


def test_requests_with_one_key_in_one_transaction_get_the_same_answer(log, entry):
    key = key_digest("retry-1", None, "offers")
    twins = (entry(idempotency_key=key, answer={"n": n}) for n in (1, 2))
    assert in_one_transaction(log, *twins) == [{"n": 1}, {"n": 1}]
    assert count(log) == 1


def test_an_outcome_may_come_in_the_transaction_of_its_decision(log, entry):
    one = entry()
    kind = OutcomeKind.DECLINED_BY_CUSTOMER
    outcome = Outcome(decision_id=one.decision_id, kind=kind, on=one.at.date())
    release = held(log)

    async def run():
        waiting = [asyncio.ensure_future(w) for w in (log.append(one), log.attach(outcome))]
        await asyncio.sleep(0)
        assert log.waiting == 2
        release.set()
        await asyncio.gather(*waiting)

    asyncio.run(run())
    assert asyncio.run(log.decision(one.decision_id)).outcomes == (outcome,)


def test_a_key_with_another_request_is_a_conflict(log, entry):
    key = key_digest("retry-1", None, "offers")
    appended(log, entry(idempotency_key=key))
    other = entry(idempotency_key=key, request={"requested_principal": 1})
    with pytest.raises(IdempotencyConflictError, match="another request"):
        asyncio.run(log.answered(key, other.request_digest))
    assert [type(a) for a in appended(log, other, entry())] == [IdempotencyConflictError, dict]


def test_a_key_of_another_applicant_of_an_experiment_is_a_conflict(log, entry):
    key = key_digest("retry-1", None, "offers")
    one, other = (entry(applicant_key=digit * 64, idempotency_key=key) for digit in "ab")
    (_, refused) = appended(log, one, other)
    assert type(refused) is IdempotencyConflictError


def test_callers_and_operations_do_not_share_keys():
    digests = {key_digest("k", *rest) for rest in ((None, "a"), ("x", "a"), ("x", "b"))}
    assert len(digests) == 3


def test_requests_that_race_with_one_key_all_get_the_same_answer(log_for, entry):
    logs = [log_for() for _ in range(3)]
    keys = [key_digest(f"race-{n}", None, "offers") for n in range(8)]

    def run(place):
        order = keys if place % 2 else keys[::-1]
        return appended(
            logs[place], *(entry(idempotency_key=k, answer={"by": place, "k": k}) for k in order)
        )

    with ThreadPoolExecutor(3) as pool:
        answers = [a for batch in pool.map(run, range(3)) for a in batch]
    assert all(isinstance(answer, dict) for answer in answers), answers
    assert len({(a["by"], a["k"]) for a in answers}) == len(keys)
    assert count(logs[0]) == len(keys)


def test_a_key_is_honoured_no_longer_than_it_is_said(log_for, entry):
    log = log_for(idempotency_hours=1e-9)
    key = key_digest("old", None, "offers")
    appended(log, entry(idempotency_key=key, answer={"n": 1}))
    other = entry(idempotency_key=key, request={"other": 1}, answer={"n": 2})
    assert asyncio.run(log.answered(key, other.request_digest)) is None
    assert appended(log, other) == [{"n": 2}]


def test_a_document_is_kept_once_however_often_it_is_given(log_for):
    logs = [log_for(), log_for()]
    kept = [asyncio.run(log.keep({"policy": {"apr_cap": 0.3}})) for log in (*logs, *logs)]
    assert len({tuple(k.items()) for k in kept}) == 1
    with logs[0].engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM documents")).scalar_one() == 1


def test_neither_logs_nor_errors_say_anything_of_the_applicant(log, entry, caplog):
    caplog.set_level("DEBUG")
    one = entry(request={"secret_field": 705123})
    appended(log, one)
    asked = sa.text("SELECT nothing FROM records WHERE content = :c")
    with pytest.raises(RecordUnavailableError) as raised, snapshot(log.engine) as connection:
        connection.execute(asked, {"c": canonical_json(one.to_content())})
    told = caplog.text + "".join(traceback.format_exception(raised.value))
    told += str(appended(log, one)[0])
    assert "SELECT nothing" in told
    assert "705123" not in told
    assert "secret_field" not in told


def test_a_database_that_is_not_there_is_a_typed_error_at_the_start(tmp_path):
    from serving.record.settings import RecordSettings

    (tmp_path / "file").write_text("")
    for url in (f"postgresql://nobody@/none?host={tmp_path}", "sqlite:///file/decisions.db"):
        with pytest.raises(RecordUnavailableError):
            DecisionLog.open(RecordSettings(url=url), "simulated", tmp_path)


def test_replays_that_take_long_hold_up_neither_reads_nor_keyed_offers(log, decided, market):
    entry, may = decided(market), threading.Event()

    def slow(_):
        may.wait(60)
        raise ModelMismatchError("the models are not at hand")

    async def asked():
        await log.append(entry)
        replays = [asyncio.create_task(log.replay(entry.decision_id, slow)) for _ in range(100)]
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(30):
                found = await log.decision(entry.decision_id)
                return found, await log.answered("no such key", "no such request")
        finally:
            for each in replays:
                each.cancel()
            may.set()

    found, earlier = asyncio.run(asked())
    assert (found.decision_id, earlier) == (entry.decision_id, None)


def test_links_that_take_long_to_check_hold_up_no_keyed_offer(log, entry, monkeypatch):
    may = threading.Event()
    monkeypatch.setattr("serving.decision_log.links", lambda *_: may.wait(60))

    async def asked():
        checks = [asyncio.create_task(log.links(entry().decision_id)) for _ in range(100)]
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(30):
                return await log.answered("no such key", "no such request")
        finally:
            for each in checks:
                each.cancel()
            may.set()

    assert asyncio.run(asked()) is None
