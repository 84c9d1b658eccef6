"""Of real versions in a registry of their own; see also the tests of `promote`."""

import pytest

from finntelligence.errors import ModelMismatchError
from finntelligence.portfolio import Capability
from training.gate.aliases import (
    aliased,
    in_production,
    mark,
    mark_everywhere,
    marked,
    numbers,
    point,
    versions_of,
    was_rolled_back,
)
from training.gate.history import PROMOTED, ROLLED_BACK
from training.stages import Paths
from training.tracking import MODELS, client, registered_name

PATHS = Paths("simulated")
PAIR = "pair"


@pytest.fixture
def versions(project):
    """Two versions of each model: a function from a number to the pair of that number."""
    server = client()
    for model in MODELS:
        name = registered_name("simulated", model)
        server.create_registered_model(name)
        for _ in range(2):
            server.create_model_version(name, "file:///nowhere")

    def numbered(number):
        names = {model: registered_name("simulated", model) for model in MODELS}
        return {m: server.get_model_version(name, str(number)) for m, name in names.items()}

    return numbered


@pytest.mark.usefixtures("project")
def test_a_model_that_was_never_registered_has_no_alias():
    assert aliased("simulated", Capability.RISK, "production") is None
    assert in_production(PATHS, MODELS) is None


def test_an_alias_moves_on_both_models(versions):
    for number in (1, 2):
        point(versions(number), "production")
        found = [aliased("simulated", model, "production").version for model in MODELS]
        assert [int(each) for each in found] == [number, number]


def test_a_mark_is_of_one_pair_and_must_be_on_both_versions(versions):
    mark(versions(1), PAIR, PROMOTED)
    assert marked(versions(1), PAIR) == PROMOTED
    assert marked(versions(1), "another") is None
    mixed = {**versions(1), Capability.RISK: versions(2)[Capability.RISK]}
    assert marked(mixed, PAIR) is None


def test_a_rollback_is_known_by_its_mark(versions):
    mark(versions(1), PAIR, PROMOTED)
    assert not was_rolled_back("simulated", MODELS, PAIR)
    mark(versions(1), PAIR, ROLLED_BACK)
    assert was_rolled_back("simulated", MODELS, PAIR)


def test_a_pair_that_was_logged_anew_is_marked_wherever_it_is_noted(versions):
    mark(versions(1), PAIR, ROLLED_BACK)
    mark(versions(1), "another", ROLLED_BACK)
    mark_everywhere(versions(2), PAIR, PROMOTED)
    assert not was_rolled_back("simulated", MODELS, PAIR)
    assert marked(versions(1), PAIR) == marked(versions(2), PAIR) == PROMOTED
    assert was_rolled_back("simulated", MODELS, "another")
    assert marked(versions(2), "another") is None


def test_versions_come_back_from_what_was_written_of_them(versions):
    found = versions_of(numbers(versions(2)))
    assert numbers(found) == numbers(versions(2))


def test_a_version_that_is_gone_is_named(versions):
    gone = numbers(versions(2)) | {"risk": "finnt-simulated-risk/9"}
    with pytest.raises(ModelMismatchError, match="no finnt-simulated-risk/9 any more"):
        versions_of(gone)
