import sqlite3

import pytest

from finntelligence.policy import Policy
from loadtests.contenders import CONTENDERS, Running
from loadtests.probe import WrongAnswerError, _wrong, refuse_unrecorded
from loadtests.questions import Judge, Question

KNOWN = {each.name: each for each in CONTENDERS}


@pytest.fixture
def up(tmp_path):
    """A contender whose record holds three decisions and an outcome."""
    path = tmp_path / "decisions.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE records (kind TEXT)")
        kinds = ["opening", "decision", "decision", "outcome", "decision"]
        connection.executemany("INSERT INTO records VALUES (?)", [(kind,) for kind in kinds])
    connection.close()
    return Running("", "", None, path)


@pytest.fixture
def market(portfolio):
    """All of a market that the rules ask for."""

    class Rules:
        policy = Policy.from_mapping(portfolio)

    Rules.portfolio = portfolio
    return Rules


def test_a_contender_that_recorded_less_than_it_answered_is_not_measured(up):
    refuse_unrecorded(KNOWN["separate"], up, answered=3)
    with pytest.raises(WrongAnswerError, match="4 answers, 3 decisions"):
        refuse_unrecorded(KNOWN["separate"], up, answered=4)


def test_who_keeps_no_record_need_not_have_one(up):
    refuse_unrecorded(KNOWN["rival_1"], up, answered=4)


@pytest.mark.parametrize(
    ("change", "broken"), [({}, None), ({"apr": 0.5}, "APR cap"), ({"principal": 9.0}, "principal")]
)
def test_an_offer_of_the_rival_that_the_policy_forbids_is_wrong(priced, market, change, broken):
    body, (first, *_) = next(each for each in priced if each[1])
    question = Question(body, {})
    said = _wrong(KNOWN["rival_1"], {"offers": [first | change]}, question, (Judge(), market))
    assert said == (broken and f"outside the policy: {broken}")
