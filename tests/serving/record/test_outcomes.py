"""What became of a decision is attached once, and never in contradiction."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from serving.record.entry import Outcome, OutcomeKind
from serving.record.errors import OutcomeConflictError, UnknownDecisionError
from serving.record.verify import verify

MENU = {"outcome": "offers", "offers": [{"quoted_rate": 0.15}, {"quoted_rate": 0.17}]}
ACCEPTED, DECLINED = OutcomeKind.ACCEPTED, OutcomeKind.DECLINED_BY_CUSTOMER
DEFAULTED, PREPAID = OutcomeKind.DEFAULTED, OutcomeKind.PREPAID


@pytest.fixture
def one(log, entry):
    """A recorded decision of two offers, of a month ago."""
    decided = entry(answer=MENU)
    decided = entry(answer=MENU, at=decided.at - timedelta(days=30))
    asyncio.run(log.append(decided))
    return decided


def outcome(decided, kind, day=2, offer=None):
    on = (decided.at + timedelta(days=day)).date()
    return Outcome(decision_id=decided.decision_id, kind=kind, on=on, offer=offer)


def attach(log, *outcomes):
    for each in outcomes:
        asyncio.run(log.attach(each))
    return asyncio.run(log.decision(outcomes[0].decision_id)).outcomes


def test_outcomes_are_read_back_with_their_decision(log, one):
    history = outcome(one, ACCEPTED, offer=1), outcome(one, DEFAULTED, day=20)
    assert attach(log, *history) == history
    assert verify(log.engine).is_whole


def test_the_only_offer_is_the_accepted_one(log, entry):
    single = entry()
    asyncio.run(log.append(single))
    (found,) = attach(log, outcome(single, ACCEPTED, day=0))
    assert found.offer == 0


def test_a_repeated_equal_outcome_is_recorded_once(log, one):
    accepted = outcome(one, ACCEPTED, offer=0)
    assert attach(log, accepted, accepted) == (accepted,)


def test_an_unknown_decision_has_no_outcomes(log, entry):
    with pytest.raises(UnknownDecisionError):
        attach(log, outcome(entry(), DECLINED))


@pytest.mark.parametrize(
    ("history", "wrong", "told"),
    [
        ([], (ACCEPTED, 2, None), "offer: must be from 0 to 1"),
        ([], (ACCEPTED, 2, 2), "offer: must be from 0 to 1"),
        ([], (DECLINED, 2, 0), "only an acceptance"),
        ([], (DECLINED, -5, None), "on: must be from"),
        ([], (DECLINED, 90, None), "on: must be from"),
        ([], (DEFAULTED, 20, None), "needs an accepted offer"),
        ([(DECLINED, 2, None)], (DEFAULTED, 20, None), "needs an accepted offer"),
        ([(DECLINED, 2, None)], (ACCEPTED, 2, 0), "already declined_by_customer on"),
        ([(ACCEPTED, 2, 0)], (ACCEPTED, 2, 1), r"already accepted on .*\(offer 0\)"),
        ([(ACCEPTED, 2, 0)], (ACCEPTED, 3, 0), "already accepted"),
        ([(ACCEPTED, 9, 0)], (PREPAID, 5, None), "must not be before"),
        ([(ACCEPTED, 2, 0), (PREPAID, 9, None)], (DEFAULTED, 20, None), "already prepaid"),
    ],
)
def test_a_contradicting_outcome_is_refused_and_says_what_it_contradicts(
    log, one, history, wrong, told
):
    before = [outcome(one, *each) for each in history]
    with pytest.raises(OutcomeConflictError, match=told):
        attach(log, *before, outcome(one, *wrong))
    assert list(asyncio.run(log.decision(one.decision_id)).outcomes) == before


def test_a_decline_has_no_outcomes(log, entry):
    refused = entry(answer={"outcome": "decline", "offers": []})
    asyncio.run(log.append(refused))
    with pytest.raises(OutcomeConflictError, match="nothing to accept"):
        attach(log, outcome(refused, DECLINED, day=0))


def test_of_contradicting_outcomes_that_race_one_is_recorded(log_for, one):
    logs = [log_for(), log_for()]
    rivals = outcome(one, ACCEPTED, offer=0), outcome(one, DECLINED)

    def run(place):
        try:
            return asyncio.run(logs[place].attach(rivals[place]))
        except OutcomeConflictError:
            return None

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, range(2)))
    assert results.count(None) == 1
    recorded = asyncio.run(logs[0].decision(one.decision_id)).outcomes
    assert list(recorded) == [r for r in results if r]
