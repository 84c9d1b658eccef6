"""The DVC pipeline of the simulated book: repeated, killed, carried to another machine."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.project import Project

pytest_plugins = ["tests.e2e.project"]

BUILD = Path("build") / "simulated"
METRICS = [
    BUILD / name
    for name in ("prepare.json", "risk/metrics.json", "acceptance/metrics.json", "metrics.json")
]
MODELS = [BUILD / name / "model.ubj" for name in ("risk", "acceptance")]
WHO = ["-c", "user.name=tests", "-c", "user.email=tests@example.org"]
ONE_MODEL_WITHIN_S = 120


def git(root, *words):
    subprocess.run(["git", *WHO, *words], cwd=root, check=True, capture_output=True)


def machine(base, project, source):
    """Clone `source` onto what could be another machine: no data, no models, no registry."""
    root = base / "project"
    git(base, "clone", "--quiet", str(source), str(root))
    folders = {
        "HOME": base / "home",
        "BENTOML_HOME": base / "bentoml",
        "DVC_SITE_CACHE_DIR": base / "dvc",
        "PYTHONPATH": root,
    }
    (base / "home").mkdir()
    named = {name: str(folder) for name, folder in folders.items()}
    return Project(root, {**project.environment, **named})


def dvc(project, *words):
    """Run DVC and return what it prints; it must succeed."""
    done = project.run("-m", "dvc", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def served(project):
    return json.loads((project.root / BUILD / "served.json").read_text())


# The same machine


def test_a_second_run_does_nothing(project):
    models = [project.root / path for path in MODELS]
    before = [path.stat().st_mtime_ns for path in models]
    printed = dvc(project, "repro", "publish@simulated")
    assert "Data and pipelines are up to date." in printed
    assert "Running stage" not in printed
    assert [path.stat().st_mtime_ns for path in models] == before


def test_nothing_has_changed_since_the_run(project):
    assert "up to date" in dvc(project, "status")


def test_dvc_shows_every_declared_metric(project):
    shown = json.loads(dvc(project, "metrics", "show", "--json"))
    files = shown[""]["data"]
    assert set(files) == {path.as_posix() for path in METRICS}
    for path in METRICS:
        assert files[path.as_posix()]["data"] == json.loads((project.root / path).read_text())


def test_dvc_shows_every_curve(project, tmp_path):
    page = tmp_path / "plots"
    dvc(project, "plots", "show", "--out", str(page))
    html = (page / "index.html").read_text()
    for model in ("risk", "acceptance"):
        for by in ("predicted", "offset"):
            assert f"{model}_by_{by}.csv" in html
            assert list(page.rglob(f"*{model}_by_{by}.png"))


# A machine that was killed


@pytest.fixture(scope="module")
def killed(project, tmp_path_factory):
    """A pipeline killed once the first model was there, and what it printed when run again."""
    other = machine(tmp_path_factory.mktemp("killed"), project, project.root)
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "pipeline"],
        cwd=other.root,
        env=dict(other.environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + ONE_MODEL_WITHIN_S
    try:
        while not any((other.root / path).exists() for path in MODELS):
            assert process.poll() is None, "the pipeline ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    unfinished = not (other.root / BUILD / "served.json").exists()
    again = other.run("-m", "cli", "pipeline")
    assert again.returncode == 0, again.stdout + again.stderr
    return other, unfinished, again.stdout


def test_a_killed_pipeline_goes_on_where_it_was_killed(killed):
    other, unfinished, printed = killed
    assert unfinished
    for finished in ("simulate", "prepare@simulated"):
        assert f"Stage '{finished}' didn't change, skipping" in printed
        assert f"Running stage '{finished}'" not in printed
    assert "Running stage 'publish@simulated'" in printed
    assert "up to date" in dvc(other, "status")


@pytest.mark.parametrize("path", [*METRICS, *MODELS], ids=str)
def test_the_same_seeds_give_the_same_figures_and_models_from_scratch(killed, project, path):
    other, _, _ = killed
    assert (other.root / path).read_bytes() == (project.root / path).read_bytes()


# Another machine


@pytest.fixture(scope="module")
def pulled(project, tmp_path_factory):
    """A clone that pulled what another pushed, and published without a registry or a store."""
    base = tmp_path_factory.mktemp("pulled")
    origin = Project(base / "origin", {**project.environment, "PYTHONPATH": str(base / "origin")})
    shutil.copytree(project.root, origin.root, symlinks=True)
    dvc(origin, "remote", "add", "--default", "shared", str(base / "remote"))
    git(origin.root, "add", "--all")
    git(origin.root, "commit", "--quiet", "--message", "trained")
    dvc(origin, "push")
    (base / "clone").mkdir()
    clone = machine(base / "clone", project, origin.root)
    assert not (clone.root / "build").exists()
    dvc(clone, "pull")
    done = clone.run("-m", "training.publish", "simulated", "--if-needed")
    assert done.returncode == 0, done.stderr
    return clone


def test_another_machine_serves_the_very_models_that_were_pushed(pulled, project):
    ours, theirs = served(project), served(pulled)
    assert theirs["pair"] == ours["pair"]
    assert theirs["portfolio_digest"] == ours["portfolio_digest"]
    for model in ("risk", "acceptance"):
        assert theirs["models"][model]["sha256"] == ours["models"][model]["sha256"]
    stored = Path(pulled.environment["BENTOML_HOME"]).rglob("model.ubj")
    assert sorted(path.read_bytes() for path in stored) == sorted(
        (project.root / path).read_bytes() for path in MODELS
    )


def test_another_machine_publishes_once(pulled):
    path = pulled.root / BUILD / "served.json"
    before = path.stat().st_mtime_ns
    done = pulled.run("-m", "training.publish", "simulated", "--if-needed")
    assert done.returncode == 0, done.stderr
    assert path.stat().st_mtime_ns == before


def test_another_machine_has_nothing_left_to_do(pulled):
    assert "up to date" in dvc(pulled, "status")
