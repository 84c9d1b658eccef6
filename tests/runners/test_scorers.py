import logging
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from finntelligence.errors import ModelMismatchError
from runners import scorers
from runners.envelope import opened, sealed
from runners.scorers import KEPT, Scorers


@dataclass(frozen=True)
class Made:
    """A scorer of three columns that answers with its own number."""

    number: float

    @property
    def version(self):
        return f"made:v{self.number:.0f}"

    @property
    def response(self):
        return SimpleNamespace(features=("a", "b", "c"))

    def coefficients(self, rows):
        assert rows.shape[1] == 3
        assert rows.flags.c_contiguous
        return rows.sum(axis=1, keepdims=True) + self.number

    def contributions(self, rows):
        return np.full((len(rows), 1, 4), -self.number)


class Store:
    """Brings scorers, and counts how often."""

    def __init__(self, *numbers):
        self.numbers, self.brought = numbers, []

    def __call__(self, model_id):
        self.brought.append(model_id)
        return Made(model_id) if model_id in self.numbers else None


@pytest.fixture(autouse=True)
def made_scorers(monkeypatch):
    monkeypatch.setattr(scorers, "Scorer", Made)


def asked(runner, *ids):
    """Return the coefficient of one row of ones for each id, asked for in one batch."""
    rows = np.concatenate([sealed(np.ones((1, 3)), i) for i in ids])
    return [None if np.isnan(row).all() else row[0] for row in runner.coefficients(rows)]


def test_what_a_runner_started_with_is_never_looked_up():
    store = Store(1)
    runner = Scorers(Made(1.0), 1.0, store)
    assert asked(runner, 1, 1, 1) == [4, 4, 4]
    assert store.brought == []


def test_a_new_model_is_loaded_once_and_the_old_one_still_answers():
    store = Store(1, 2)
    runner = Scorers(Made(1.0), 1.0, store)
    assert asked(runner, 2, 1, 2) == [5, 4, 5]
    assert asked(runner, 1, 2) == [4, 5]
    assert store.brought == [2]


def test_a_model_that_nobody_has_spoils_only_its_own_rows(caplog):
    runner = Scorers(Made(1.0), 1.0, Store(1))
    with caplog.at_level(logging.ERROR):
        assert asked(runner, 1, 9, 1) == [4, None, 4]
    assert "has no model of id 000000000009" in caplog.text


@pytest.mark.parametrize("kind", [ModelMismatchError, FileNotFoundError])
def test_a_model_that_cannot_be_loaded_spoils_only_its_own_rows(caplog, kind):
    def unfit(_):
        raise kind("format 99 is not known")

    runner = Scorers(Made(1.0), 1.0, unfit)
    with caplog.at_level(logging.ERROR):
        assert asked(runner, 9, 1) == [None, 4]
    assert "format 99 is not known" in caplog.text


def test_a_model_that_nobody_had_answers_once_it_is_there():
    store = Store()
    runner = Scorers(Made(1.0), 1.0, store)
    assert asked(runner, 2) == [None]
    store.numbers = (2,)
    assert asked(runner, 2) == [5]


def test_only_the_models_asked_for_last_are_kept():
    store = Store(*range(1, KEPT + 2))
    runner = Scorers(Made(1.0), 1.0, store)
    for number in range(2, KEPT + 1):
        asked(runner, 1, number)  # the first is asked for all the time
    asked(runner, KEPT + 1)
    store.brought.clear()
    assert asked(runner, 1, KEPT + 1) == [4, 4 + KEPT]
    assert store.brought == []
    assert asked(runner, 2) == [5]
    assert store.brought == [2]


def test_contributions_come_from_the_rows_own_model_too():
    runner = Scorers(Made(1.0), 1.0, Store(2))
    rows = np.concatenate([sealed(np.ones((1, 3)), i) for i in (2, 1)])
    found = opened(runner.contributions(rows), (1, 4), "risk")
    np.testing.assert_array_equal(found[:, 0, 0], [-2, -1])
