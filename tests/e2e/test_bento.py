"""The Bento serves on a machine that has neither the project nor its model store."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from tests.e2e.project import free_port

pytest_plugins = ["tests.e2e.project"]

PICKLES = {".pkl", ".pickle", ".joblib", ".dill", ".npy", ".pt"}
STAYS_HOME = {"training", "batch", "data", "tests", "loadtests", "docs", ".venv", ".git", ".dvc"}


@pytest.fixture(scope="module")
def shipped(exported, tmp_path_factory):
    """Every file in the exported Bento, its models' too."""
    folder = tmp_path_factory.mktemp("shipped")
    with tarfile.open(exported[1]) as archive:
        archive.extractall(folder, filter="data")
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def folder(other_machine, exported):
    """Where the imported Bento lies."""
    return Path(other_machine["BENTOML_HOME"]) / "bentos" / exported[0].replace(":", "/")


def test_the_bento_loaded_by_its_tag_runs_its_own_code(
    project, exported, folder, elsewhere, other_machine
):
    names = ("service", "serving.front", "runners.store", "finntelligence")
    script = (
        f"import bentoml, sys; bentoml.load({exported[0]!r}); print(*map(sys.modules.get, {names}))"
    )
    done = project.run("-c", script, cwd=elsewhere, environment=other_machine)
    assert done.stdout.count(str(folder)) == len(names)


def test_the_bento_carries_the_published_pair_and_no_other_model(project, shipped):
    served = json.loads((project.root / "build" / "simulated" / "served.json").read_text())
    named = [*(entry["tag"] for entry in served["models"].values()), served["evidence"]]
    tags = {tag.replace(":", "/") for tag in named}
    models = [path for path in shipped if path.name == "model.yaml"]
    assert {"/".join(path.parts[-3:-1]) for path in models} == tags


def test_the_bento_carries_nothing_that_serving_does_not_need(shipped):
    sources = [path.parts[path.parts.index("src") + 1 :] for path in shipped if "src" in path.parts]
    assert ("service.py",) in sources
    assert {parts[0] for parts in sources} & STAYS_HOME == set()
    assert {"__pycache__", ".venv", "tests"} & {
        part for parts in sources for part in parts
    } == set()


def test_no_file_that_ships_is_a_pickle(shipped):
    assert shipped
    assert [path for path in shipped if path.suffix in PICKLES] == []
    for path in shipped:
        with path.open("rb") as file:
            start = file.read(2)
        assert not (start[:1] == b"\x80" and start[1:] in (b"\x02", b"\x03", b"\x04", b"\x05"))


def test_no_file_that_ships_tells_where_it_was_built(project, shipped):
    assert shipped
    here = project.root.parent
    # where several processes run the tests, another one has built what this one copied
    built_in = [str(place).encode() for place in (here, here.parents[1] / here.name)]
    for path in shipped:
        content = path.read_bytes()
        assert not any(place in content for place in built_in), path


def test_a_damaged_model_stops_the_start_named_with_its_digest(
    project, exported, elsewhere, other_machine
):
    damaged = elsewhere / "damaged"  # laid out as in a container
    with tarfile.open(exported[1]) as archive:
        archive.extractall(damaged, filter="data")
    served = json.loads((project.root / "build" / "simulated" / "served.json").read_text())
    entry = served["models"]["risk"]
    path = damaged / "models" / entry["tag"].replace(":", "/") / entry["file"]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    words = ("-m", "bentoml", "serve", str(damaged), "--port", str(free_port()))
    done = project.run(*words, cwd=elsewhere, environment=other_machine)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    for told in (entry["tag"], entry["sha256"][:12], hashlib.sha256(content).hexdigest()[:12]):
        assert told in line
