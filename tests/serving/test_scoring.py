import asyncio

import numpy as np
import pytest
from prometheus_client import REGISTRY

from finntelligence.errors import ModelUnavailableError
from runners.asking import Question
from serving.scoring import both_scored, scored
from serving.settings import CoalesceSettings

ROWS = np.ones((1, 2))
OFF = CoalesceSettings(enabled=False)


def whole(answers):
    """Read one caller's part, as a runner's answer is read."""
    if np.isnan(answers).any():
        raise ModelUnavailableError("the risk model does not answer")
    return answers


def ask(jointly, *asked, settings=None, within_s=30.0, calls=1):
    """Ask about each at once; return what each is told."""
    score = scored(
        "risk",
        jointly,
        whole,
        calls=calls,
        within_s=within_s,
        settings=settings or CoalesceSettings(),
    )

    async def all_of_them():
        return await asyncio.gather(*map(score, asked), return_exceptions=True)

    return asyncio.run(all_of_them())


class Runner:
    """Answers with what it was asked, and remembers the size of each call."""

    def __init__(self):
        self.sizes, self.open, self.most = [], 0, 0

    async def __call__(self, rows):
        self.sizes.append(len(rows))
        self.open += 1
        self.most = max(self.most, self.open)
        await asyncio.sleep(0.01)
        self.open -= 1
        return rows


def counted():
    return REGISTRY.get_sample_value("finnt_coalesced_rows_sum", {"model": "risk"}) or 0.0


def test_requests_that_ask_at_once_share_a_call_whose_size_is_counted():
    runner, before = Runner(), counted()
    answers = ask(runner, *[ROWS * at for at in range(5)])
    assert runner.sizes == [5]
    assert counted() == before + 5
    assert [answer[0, 0] for answer in answers] == [0, 1, 2, 3, 4]


def test_switched_off_each_request_makes_its_own_call():
    runner = Runner()
    ask(runner, *[ROWS] * 5, settings=OFF)
    assert (runner.sizes, runner.most) == ([1] * 5, 5)


@pytest.mark.parametrize(("setting", "most"), [(0, 2), (3, 3)])
def test_as_many_calls_are_in_flight_as_there_are_processes_unless_it_is_said(setting, most):
    runner = Runner()
    ask(runner, *[ROWS] * 6, calls=2, settings=CoalesceSettings(rows=1, calls=setting))
    assert (len(runner.sizes), runner.most) == (6, most)


@pytest.mark.parametrize("settings", [CoalesceSettings(), OFF])
def test_a_row_that_is_not_answered_fails_alone(settings):
    answers = ask(Runner(), *[ROWS] * 7, ROWS * np.nan, *[ROWS] * 12, settings=settings)
    assert isinstance(answers.pop(7), ModelUnavailableError)
    assert all(np.array_equal(answer, ROWS) for answer in answers)


def test_a_model_that_hangs_is_unavailable_in_time_also_to_who_waits_for_a_call():
    async def hanging(rows):
        await asyncio.Event().wait()

    answers = ask(hanging, ROWS, ROWS, settings=CoalesceSettings(rows=1), within_s=0.05)
    assert [type(answer) for answer in answers] == [ModelUnavailableError] * 2
    assert "in time" in str(answers[0])


class Model:
    """One of two models: heads columns of the rows times a factor, NaN where it lacks an answer."""

    def __init__(self, name, heads, factor, fails=None):
        self.name, self.heads, self.factor, self.fails, self.sizes = name, heads, factor, fails, []

    async def jointly(self, rows):
        self.sizes.append(len(rows))
        if self.fails:
            raise ModelUnavailableError(f"the {self.name} model does not answer")
        await asyncio.sleep(0.01)
        answers = np.full((len(rows), 8), np.nan)  # a runner's answers are filled up
        answers[:, : self.heads] = rows[:, :1] * self.factor
        return answers

    def own(self, answers):
        if np.isnan(answers[:, : self.heads]).any():
            raise ModelUnavailableError(f"the {self.name} model lacks it")
        return answers[:, : self.heads]

    @property
    def question(self):
        return Question(self.name, self.jointly, self.own)


def ask_both(risk, acceptance, *asked, within_s=30.0):
    score = both_scored(
        risk.question, acceptance.question, within_s=within_s, settings=CoalesceSettings()
    )

    async def all_of_them():
        return await asyncio.gather(*map(score, asked), return_exceptions=True)

    return asyncio.run(all_of_them())


def test_both_models_are_asked_by_one_call_each_and_each_answer_is_its_own():
    risk, acceptance = Model("risk", 5, 2.0), Model("acceptance", 3, 10.0)
    answers = ask_both(risk, acceptance, *[ROWS * at for at in range(4)])
    for at, (of_risk, of_acceptance) in enumerate(answers):
        np.testing.assert_array_equal(of_risk, np.full((1, 5), at * 2.0))
        np.testing.assert_array_equal(of_acceptance, np.full((1, 3), at * 10.0))
    assert risk.sizes == acceptance.sizes == [4]


def test_rows_that_one_of_two_models_cannot_answer_fail_alone():
    risk, acceptance = Model("risk", 5, 2.0), Model("acceptance", 3, 10.0)
    answers = ask_both(risk, acceptance, ROWS, ROWS * np.nan, ROWS * 3)
    assert isinstance(answers[1], ModelUnavailableError)
    assert answers[2][1][0, 0] == 30.0


@pytest.mark.parametrize("failing", ["risk", "acceptance"])
def test_where_one_of_two_models_fails_the_other_is_not_kept_at_work(failing):
    """It may hang, and each request would leave another call of it behind."""
    begun = given_up = 0

    async def hanging(rows):
        nonlocal begun, given_up
        begun += 1
        try:
            await asyncio.Event().wait()
        finally:
            given_up += 1

    models = {name: Model(name, 3, 1.0, fails=name == failing) for name in ("risk", "acceptance")}
    next(each for each in models.values() if not each.fails).jointly = hanging

    async def asked():
        score = both_scored(
            *(each.question for each in models.values()),
            within_s=30.0,
            settings=CoalesceSettings(),
        )
        for _ in range(3):
            with pytest.raises(ModelUnavailableError, match=failing):
                await score(ROWS)
        await asyncio.sleep(0)
        return begun, given_up

    assert asyncio.run(asked()) == (3, 3)


@pytest.mark.parametrize("silent", ["risk", "acceptance"])
def test_where_one_of_two_models_does_not_answer_that_one_is_named(silent):
    models = [Model(name, 3, 1.0, fails=name == silent) for name in ("risk", "acceptance")]
    (answer,) = ask_both(*models, ROWS)
    assert isinstance(answer, ModelUnavailableError)
    assert str(answer) == f"the {silent} model does not answer"


@pytest.mark.parametrize("answers", [np.ones((1, 8)), np.ones((3, 8)), np.ones(2), np.ones(())])
def test_of_two_models_one_that_answers_to_other_rows_is_unavailable(answers):
    async def other_rows(rows):
        return answers

    risk, acceptance = Model("risk", 3, 1.0), Model("acceptance", 3, 1.0)
    acceptance.jointly = other_rows
    for told in ask_both(risk, acceptance, ROWS, ROWS):
        assert isinstance(told, ModelUnavailableError)
        assert str(told) == "the acceptance model answers to other rows than it was asked about"


@pytest.mark.parametrize("silent", ["risk", "acceptance"])
def test_of_two_models_the_one_that_hangs_is_named(silent):
    async def never(rows):
        await asyncio.Event().wait()

    models = [Model(name, 3, 1.0) for name in ("risk", "acceptance")]
    for each in models:
        each.jointly = never if each.name == silent else each.jointly
    (answer,) = ask_both(*models, ROWS, within_s=0.1)
    assert str(answer) == f"the {silent} model does not answer in time"


def test_where_calls_are_not_shared_both_models_are_asked_each_by_itself():
    models = [Model(name, 3, 1.0).question for name in ("risk", "acceptance")]
    assert both_scored(*models, within_s=30.0, settings=OFF) is None
