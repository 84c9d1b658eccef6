import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from finntelligence.errors import ModelUnavailableError
from runners.asking import from_afar, in_process
from runners.envelope import answered

ROWS = np.arange(6.0).reshape(2, 3)
MARKET = SimpleNamespace(
    risk=SimpleNamespace(heads=("a", "b"), features=("x", "y", "z")),
    acceptance=SimpleNamespace(heads=("a",)),
)
PAIR = SimpleNamespace(model_id=lambda model: {"risk": 7.0, "acceptance": 8.0}[model])
SCORERS = {
    "risk": SimpleNamespace(
        coefficients=lambda rows: rows[:, :2] * 2,
        contributions=lambda rows: np.repeat(rows[:, None, :1], 4, axis=2).repeat(2, axis=1),
        response=MARKET.risk,
    ),
    "acceptance": SimpleNamespace(
        coefficients=lambda rows: rows[:, :1] * 3, response=MARKET.acceptance
    ),
}


class Far:
    """A runner that has the models of one pair alone."""

    def __init__(self, model, model_id, places=1):
        self._scorer, self._id, self._places = SCORERS[model], model_id, places

    def __len__(self):
        return self._places

    async def call(self, method, rows, within_s):
        name = {"coefficients": "coefficients", "explain": "contributions"}[method]
        own = getattr(self._scorer, name)
        return answered(rows, lambda each: own if each == self._id else None)


def told(question):
    return question.own(asyncio.run(question.jointly(ROWS)))


def questions(risk_id=7.0, places=1):
    runners = {"risk": Far("risk", risk_id, places), "acceptance": Far("acceptance", 8.0)}
    return from_afar(runners, PAIR, MARKET, 1.0)


@pytest.mark.parametrize("name", ["risk", "acceptance", "explanation"])
def test_a_model_answers_the_same_from_afar_and_in_this_process(name):
    np.testing.assert_array_equal(told(questions()[name]), told(in_process(SCORERS)[name]))


def test_a_runner_that_lacks_the_pairs_model_is_unavailable():
    with pytest.raises(ModelUnavailableError, match="risk"):
        told(questions(risk_id=9.0)["risk"])


def test_a_row_that_another_model_was_asked_about_fails_alone():
    question = questions()["risk"]
    answers = asyncio.run(question.jointly(ROWS))
    answers[0] = np.nan
    np.testing.assert_array_equal(question.own(answers[1:]), ROWS[1:, :2] * 2)
    with pytest.raises(ModelUnavailableError):
        question.own(answers[:1])


def test_every_process_of_every_address_may_be_asked_at_once(monkeypatch):
    monkeypatch.setenv("FINNT_RUNNER_RISK_WORKERS", "3")
    found = questions(places=2)
    assert (found["risk"].processes, found["explanation"].processes) == (6, 6)
    assert found["acceptance"].processes == 1
