import pytest

from training.gate.history import (
    PRODUCTION,
    PROMOTED,
    REFUSED,
    ROLLED_BACK,
    before,
    entries,
    record,
    standing,
)
from training.stages import Paths


@pytest.fixture
def paths(tmp_path):
    return Paths("simulated", tmp_path)


def tell(paths, action, pair, former=None, alias=PRODUCTION):
    versions = {"risk": f"model/{pair}"}
    entry = {"action": action, "alias": alias, "pair": pair, "former_pair": former}
    former_versions = {"risk": f"model/{former}"} if former else None
    record(paths, entry | {"versions": versions, "former_versions": former_versions})


def in_force(paths):
    return [each["pair"] for each in standing(paths)]


def test_without_a_history_nothing_stands(paths):
    assert entries(paths) == standing(paths) == []


def test_entries_come_in_order_and_have_a_time(paths):
    for pair in "abc":
        tell(paths, PROMOTED, pair)
    assert [entry["pair"] for entry in entries(paths)] == ["a", "b", "c"]
    times = [entry["at"] for entry in entries(paths)]
    assert times == sorted(times)
    assert all(time.endswith("+00:00") for time in times)


def test_each_rollback_takes_the_last_pair_away(paths):
    tell(paths, PROMOTED, "a")
    tell(paths, PROMOTED, "b", "a")
    tell(paths, PROMOTED, "c", "b")
    tell(paths, ROLLED_BACK, "b", "c")
    assert in_force(paths) == ["a", "b"]
    tell(paths, ROLLED_BACK, "a", "b")
    assert in_force(paths) == ["a"]
    tell(paths, PROMOTED, "c", "a")
    assert in_force(paths) == ["a", "c"]


def test_a_pair_that_came_twice_is_left_twice(paths):
    for pair, former in (("a", None), ("b", "a"), ("a", "b"), ("c", "a")):
        tell(paths, PROMOTED, pair, former)
    tell(paths, ROLLED_BACK, "a", "c")
    assert in_force(paths) == ["a", "b", "a"]
    tell(paths, ROLLED_BACK, "b", "a")
    assert in_force(paths) == ["a", "b"]


def test_a_champion_older_than_the_history_is_known_by_its_successor(paths):
    tell(paths, PROMOTED, "b", "a")
    assert standing(paths)[0] == {"pair": "a", "versions": {"risk": "model/a"}}


@pytest.mark.parametrize(("action", "alias"), [(REFUSED, PRODUCTION), (PROMOTED, "staging")])
def test_what_never_came_to_production_does_not_stand(paths, action, alias):
    tell(paths, action, "a", alias=alias)
    assert standing(paths) == []


def test_a_line_torn_by_a_crash_never_happened_and_tears_no_other(paths):
    tell(paths, PROMOTED, "a")
    with (paths.build / "history.jsonl").open("a") as file:
        file.write('{"at": "2030')
    tell(paths, PROMOTED, "b", "a")
    assert in_force(paths) == ["a", "b"]


def test_before_a_pair_that_is_not_there_stands_everything():
    stack = [{"pair": "a"}, {"pair": "b"}]
    assert before(stack, "c") == stack
    assert before(stack, "a") == []
