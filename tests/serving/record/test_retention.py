"""What is older than must be kept is emptied; what remains is verifiable."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from finntelligence.errors import InvalidDeclarationError
from serving.record.entry import Outcome, OutcomeKind, key_digest
from serving.record.errors import RecordUnavailableError, UnknownDecisionError
from serving.record.reader import whole
from serving.record.retention import months_before, prune
from serving.record.verify import verify

NOW = datetime.now(UTC)
LIMIT = NOW - timedelta(days=700)
BOOK = "simulated"


@pytest.fixture
def old_and_new(log, entry):
    decisions = entry(at=NOW - timedelta(days=800)), entry(at=NOW - timedelta(days=10))
    for each in decisions:
        asyncio.run(log.append(each))
    return decisions


def recorded(log, decision):
    return asyncio.run(log.decision(decision.decision_id))


def test_old_decisions_are_emptied_and_new_ones_kept(log, old_and_new):
    old, new = old_and_new
    assert prune(log.engine, LIMIT, BOOK).records == 1
    assert recorded(log, new).entry == new
    assert recorded(log, old).entry is None
    with pytest.raises(UnknownDecisionError, match="after its retention"):
        whole(recorded(log, old))


def test_a_pruned_record_still_verifies_and_is_told_as_pruned(log, old_and_new):
    prune(log.engine, LIMIT, BOOK)
    verified = verify(log.engine)
    assert (verified.pruned, verified.findings) == (1, ())


def test_nothing_of_a_pruned_applicant_is_left_in_the_database(log, entry, tmp_path):
    asyncio.run(log.append(entry(at=NOW - timedelta(days=800), request={"name": "Wanda Vance"})))
    prune(log.engine, LIMIT, BOOK)
    with log.engine.connect() as connection:
        dump = [tuple(row) for row in connection.execute(sa.text("SELECT * FROM records"))]
    assert "Wanda" not in str(dump)
    assert all(b"Wanda" not in path.read_bytes() for path in tmp_path.glob("decisions.db*"))


def test_pruning_again_changes_nothing(log, old_and_new):
    prune(log.engine, LIMIT, BOOK)
    before = verify(log.engine)
    assert prune(log.engine, LIMIT, BOOK).records == 0
    assert verify(log.engine) == before


def test_more_records_than_one_transaction_holds_are_all_emptied(log, entry):
    async def run():
        old = NOW - timedelta(days=800)
        await asyncio.gather(*(log.append(entry(at=old)) for _ in range(1100)))

    asyncio.run(run())
    assert prune(log.engine, LIMIT, BOOK).records == 1100
    assert verify(log.engine).is_whole


def test_keys_that_are_no_longer_honoured_are_forgotten(log_for, entry):
    log = log_for(idempotency_hours=1e-9)
    asyncio.run(log.append(entry(idempotency_key=key_digest("k", None, "offers"))))
    assert [prune(log.engine, LIMIT, BOOK).keys for _ in range(2)] == [1, 0]


def test_another_books_decisions_and_outcomes_stay(log, entry, raw):
    old = NOW - timedelta(days=800)
    ours, theirs = entry(at=old), entry(at=old, portfolio="kz2008")
    for each in (ours, theirs):
        asyncio.run(log.append(each))
        said = Outcome(
            decision_id=each.decision_id, kind=OutcomeKind.ACCEPTED, on=old.date(), offer=0
        )
        asyncio.run(log.attach(said))
    limit = datetime.now(UTC)  # outcomes are recorded when they are told
    assert prune(log.engine, limit, BOOK).records == 2
    assert recorded(log, ours).outcomes == ()
    assert recorded(log, theirs).entry == theirs
    assert len(recorded(log, theirs).outcomes) == 1
    assert verify(log.engine).is_whole
    assert prune(log.engine, limit, "kz2008").records == 2


def test_an_outcome_told_after_its_decision_was_emptied_is_emptied_in_its_turn(log, entry):
    old = entry(at=NOW - timedelta(days=800))
    asyncio.run(log.append(old))
    asyncio.run(
        log.attach(
            Outcome(
                decision_id=old.decision_id,
                kind=OutcomeKind.ACCEPTED,
                on=old.at.date(),
                offer=0,
            )
        )
    )
    assert [prune(log.engine, limit, BOOK).records for limit in (LIMIT, datetime.now(UTC))] == [
        *(1, 1)
    ]


def test_what_a_reader_keeps_in_the_log_of_a_file_is_told(log, old_and_new):
    if log.engine.dialect.name != "sqlite":
        assert prune(log.engine, LIMIT, BOOK).records == 1
        return
    asyncio.run(log.decision(old_and_new[0].decision_id))
    with log.engine.connect() as reader:
        reader.execute(sa.text("SELECT count(*) FROM records")).scalar()
        with pytest.raises(RecordUnavailableError, match="prune again"):
            prune(log.engine, LIMIT, BOOK)
    assert prune(log.engine, LIMIT, BOOK).records == 0


def test_the_future_cannot_be_pruned(log):
    with pytest.raises(InvalidDeclarationError, match="future"):
        prune(log.engine, NOW + timedelta(days=1), BOOK)


def test_months_are_counted_back_by_the_calendar():
    assert months_before(25, datetime(2026, 1, 15, tzinfo=UTC)) == datetime(2023, 12, 1, tzinfo=UTC)
