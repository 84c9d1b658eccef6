import pytest

from finntelligence.portfolio import Capability
from training.gate.heldout import Heldout
from training.stages import Paths

RISK, ACCEPTANCE = Capability.RISK, Capability.ACCEPTANCE


def test_what_prepare_kept_from_training_judges(trained, simulated):
    found = Heldout.read(Paths("simulated", trained), simulated)
    parts = found.parts(ACCEPTANCE)
    assert set(parts) == {"holdout", "randomised"}
    assert parts["randomised"]["is_randomised"].all()
    assert len(parts["randomised"]) < len(parts["holdout"])
    assert set(found.outcome(RISK, found.tables[RISK])) == {0.0, 1.0}


def test_each_part_has_the_share_of_events_of_its_own_kind(heldout):
    assert heldout.share(ACCEPTANCE, "randomised") == 0.26
    assert heldout.share(ACCEPTANCE, "holdout") == 0.22


def test_a_part_that_training_never_saw_has_the_share_of_all(heldout):
    assert heldout.share(RISK, "randomised") == heldout.share(RISK, "holdout")


def test_loans_judge_risk_whether_their_price_was_random_or_not(heldout):
    words, rows = heldout.judging(RISK)
    assert (words, len(rows)) == ("held-out loans", len(heldout.tables[RISK]))


@pytest.mark.parametrize("model", [RISK, ACCEPTANCE])
def test_without_randomised_rows_there_is_one_part(discretionary, model):
    assert set(discretionary.parts(model)) == {"holdout"}
