from dataclasses import replace

import pytest

from finntelligence.errors import ModelMismatchError
from finntelligence.portfolio import Capability
from tests.challengers import stretched
from training.gate.parity import parity

RISK, ACCEPTANCE = Capability.RISK, Capability.ACCEPTANCE


def test_the_very_files_have_parity(pair, heldout):
    found = parity(pair, lambda _: pair, heldout)
    assert [(v.passed, v.figure) for v in found] == [(True, 0.0)] * 2


def test_other_scores_fail_and_the_figure_says_by_how_much(pair, changed, heldout):
    found = parity(pair, lambda _: changed(RISK, stretched), heldout)
    assert [v.passed for v in found] == [False, True]
    assert found[0].figure > 0.01


def test_equal_scores_of_another_file_fail(pair, heldout):
    other = replace(pair, digests={**pair.digests, ACCEPTANCE: "d" * 64})
    assert [v.passed for v in parity(pair, lambda _: other, heldout)] == [True, False]


def test_what_is_no_model_fails_and_says_why(pair, heldout):
    def broken(_):
        raise ModelMismatchError("no XGBoost model")

    found = parity(pair, broken, heldout)
    assert [(v.passed, v.figure, v.outcome) for v in found] == [(False, None, "FAILED")] * 2
    assert all(v.why == "no XGBoost model" for v in found)


@pytest.mark.parametrize("model", [RISK, ACCEPTANCE])
def test_each_model_is_named(pair, heldout, model):
    criteria = [v.criterion for v in parity(pair, lambda _: pair, heldout)]
    assert f"{model}: parity of registered and trained scores" in criteria
