"""See also the tests of `promote`: a champion that is damaged, of another declaration or data."""

from dataclasses import replace

import pytest

from training.gate.aliases import mark, point
from training.gate.champion import Champion
from training.gate.history import PRODUCTION, PROMOTED
from training.gate.pair import trained_pair
from training.stages import Paths
from training.tracking import MODELS, ensured_run, registered_version

PATHS = Paths("simulated")


@pytest.fixture
def versions(project):
    """The trained pair's registered versions."""
    return {m: registered_version(PATHS, m, ensured_run(PATHS, m)) for m in MODELS}


@pytest.fixture
def trained_here(project, simulated):
    return trained_pair(PATHS, simulated)


def test_without_production_there_is_no_champion(versions, trained_here, simulated):
    found = Champion.of(PATHS, simulated, trained_here, versions)
    assert found == Champion()
    assert found.said == "there is no champion yet"


@pytest.fixture
def in_force(versions, trained_here):
    mark(versions, trained_here.name, PROMOTED)
    point(versions, PRODUCTION)
    return versions


def test_another_pair_is_read_from_the_registry(in_force, trained_here, simulated):
    other = replace(trained_here, digests=dict.fromkeys(MODELS, "c" * 64))
    found = Champion.of(PATHS, simulated, other, in_force)
    assert found.name == trained_here.name
    assert found.pair.digests == trained_here.digests
    assert found.caveat == ""


def test_a_challenger_that_is_the_champion_is_not_compared(in_force, trained_here, simulated):
    found = Champion.of(PATHS, simulated, trained_here, in_force)
    assert (found.name, found.pair) == (trained_here.name, None)
