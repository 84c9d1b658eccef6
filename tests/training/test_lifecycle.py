from contextlib import contextmanager

import pytest
import yaml

from finntelligence.errors import InvalidDataError, ModelMismatchError
from training import lifecycle
from training.gate.aliases import in_production, named, was_rolled_back
from training.gate.history import PROMOTED, ROLLED_BACK, STAGED, entries
from training.lifecycle import history_rows, promote_to, rollback
from training.publish import main, served_file, stored_pair_is_whole
from training.stages import Paths, file_digest, read_json
from training.tracking import MODELS, client, registered_name
from training.train import train

PATHS = Paths("simulated")


def aliased(alias="production"):
    server = client()
    return [
        server.get_registered_model(registered_name("simulated", model)).aliases.get(alias)
        for model in MODELS
    ]


def next_pair(project):
    """Train both models with another ridge."""
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["promote"] |= {"applicants": 100, "bootstrap": 20}
    for model in MODELS:
        params[str(model)]["ridge"] += 5
    path.write_text(yaml.safe_dump(params))
    for model in MODELS:
        train(model, "simulated")


@pytest.fixture
def promoted(project):
    """Two pairs that came to production one after the other; what was served by each."""
    served = {}
    for _ in range(2):
        next_pair(project)
        pair = promote_to("simulated", "production")
        served[pair] = PATHS.served.read_bytes()
    return served


@pytest.fixture
def third(promoted, project):
    """The same with a third pair."""
    next_pair(project)
    pair = promote_to("simulated", "production")
    return promoted | {pair: PATHS.served.read_bytes()}


def test_a_rollback_brings_the_very_pair_back_that_was_there_before(promoted):
    former, latest = promoted
    assert aliased() == [2, 2]
    assert rollback("simulated") == former
    assert aliased() == [1, 1]
    assert PATHS.served.read_bytes() == promoted[former] != promoted[latest]
    assert stored_pair_is_whole(PATHS)


def test_a_second_rollback_goes_further_back_and_not_forth(third):
    first, second, _ = third
    for pair in (second, first):
        assert rollback("simulated") == pair
        assert PATHS.served.read_bytes() == third[pair]
    with pytest.raises(ModelMismatchError, match="nothing to go back to"):
        rollback("simulated")
    assert PATHS.served.read_bytes() == third[first]


@pytest.mark.usefixtures("project")
def test_without_production_there_is_nothing_to_roll_back():
    with pytest.raises(ModelMismatchError, match="nothing in production to roll back"):
        rollback("simulated")


def test_what_a_person_rolled_back_is_not_published_again_until_a_person_says_so(promoted):
    former, latest = promoted
    rollback("simulated")
    main("simulated", only_if_needed=True)
    assert PATHS.served.read_bytes() == promoted[former]
    main("simulated", only_if_needed=False)  # as the stage runs it
    assert read_json(PATHS.served)["pair"] == former
    assert read_json(PATHS.build / "published.json")["pair"] == latest
    assert promote_to("simulated", "production") == latest
    assert PATHS.served.read_bytes() == promoted[latest]


@pytest.mark.parametrize("after", range(2))
def test_an_interrupted_rollback_leaves_the_pair_in_force(promoted, monkeypatch, after):
    """After any number of the registry's aliases were moved."""
    _, latest = promoted
    moved, real = [], type(client()).set_registered_model_alias

    def interrupted(self, name, alias, version):
        moved.append(name)
        if len(moved) == after + 1:
            raise KeyboardInterrupt
        return real(self, name, alias, version)

    with monkeypatch.context() as patch:
        patch.setattr(type(client()), "set_registered_model_alias", interrupted)
        with pytest.raises(KeyboardInterrupt):
            rollback("simulated")
    assert aliased() == [2, 2]
    assert PATHS.served.read_bytes() == promoted[latest]
    main("simulated", only_if_needed=True)
    assert PATHS.served.read_bytes() == promoted[latest]


class Killed(BaseException):
    """Nothing is cleaned up after it, as after SIGKILL."""


@contextmanager
def killed_after(writes):
    """Let a rollback make so many writes to registry and history, and nothing at all after them."""
    server, taken = type(client()), []

    def counted(real):
        def write(*arguments, **more):
            if len(taken) == writes:
                raise Killed
            taken.append(arguments)
            return real(*arguments, **more)

        return write

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in (
            (server, "set_registered_model_alias"),
            (server, "set_model_version_tag"),
            (lifecycle, "record"),
        ):
            patch.setattr(owner, name, counted(getattr(owner, name)))
        with pytest.raises(Killed):
            yield


def test_a_killed_rollback_leaves_a_pair_in_production_and_the_next_one_ends_it(promoted):
    """Killed after each of its writes in turn: two marks, two aliases, two marks, the history."""
    former, latest = promoted
    for writes in range(7):
        with killed_after(writes):
            rollback("simulated")
        assert named(in_production(PATHS, MODELS)) in promoted
        main("simulated", only_if_needed=True)
        assert read_json(PATHS.served)["pair"] in promoted
        assert rollback("simulated") == former
        assert aliased() == [1, 1]
        assert PATHS.served.read_bytes() == promoted[former]
        assert was_rolled_back("simulated", MODELS, latest)
        with pytest.raises(ModelMismatchError, match="nothing to go back to"):
            rollback("simulated")
        assert promote_to("simulated", "production") == latest
        assert aliased() == [2, 2]


@pytest.mark.parametrize("writes", [1, 3, 4, 5, 6])
def test_after_a_killed_rollback_a_person_can_promote(promoted, writes):
    _, latest = promoted
    with killed_after(writes):
        rollback("simulated")
    assert promote_to("simulated", "production") == latest
    assert aliased() == [2, 2]
    assert PATHS.served.read_bytes() == promoted[latest]


def test_what_a_killed_rollback_left_is_not_gone_forth_to(promoted, project):
    """The rollback is not on record, and another pair came after it."""
    former, latest = promoted
    with killed_after(6):
        rollback("simulated")
    next_pair(project)
    assert promote_to("simulated", "production") not in promoted
    assert rollback("simulated") == former
    with pytest.raises(ModelMismatchError, match="nothing to go back to"):
        rollback("simulated")
    assert was_rolled_back("simulated", MODELS, latest)


def test_the_history_tells_it_all_in_order(promoted):
    former, latest = promoted
    rollback("simulated")
    told = [(e["action"], e["pair"], e["former_pair"]) for e in entries(PATHS)]
    assert told == [
        (PROMOTED, former, None),
        (PROMOTED, latest, former),
        (ROLLED_BACK, former, latest),
    ]
    rows = history_rows("simulated")
    assert [row[1:5] for row in rows] == [
        (PROMOTED, "production", former, "none"),
        (PROMOTED, "production", latest, former),
        (ROLLED_BACK, "production", former, latest),
    ]


def test_a_pair_in_staging_is_served_beside_production(promoted, project):
    _, latest = promoted
    next_pair(project)
    staged = promote_to("simulated", "staging")
    assert (aliased(), aliased("staging")) == ([2, 2], [3, 3])
    assert PATHS.served.read_bytes() == promoted[latest]
    beside = read_json(served_file(PATHS, "staging"))
    assert (beside["pair"], beside["alias"]) == (staged, "staging")
    for model in MODELS:
        assert beside["models"][str(model)]["sha256"] == file_digest(PATHS.model(model))
    assert stored_pair_is_whole(PATHS, "staging")
    assert entries(PATHS)[-1]["action"] == STAGED


@pytest.mark.usefixtures("project")
def test_another_alias_is_refused():
    with pytest.raises(InvalidDataError, match="alias: must be staging or production, is 'live'"):
        promote_to("simulated", "live")


@pytest.mark.parametrize("alias", ["staging", "production"])
def test_a_book_that_was_never_trained_is_told_what_to_run(project, alias):
    PATHS.model("acceptance").unlink()
    with pytest.raises(ModelMismatchError, match="no trained acceptance model; run `make pipeline"):
        promote_to("simulated", alias)
