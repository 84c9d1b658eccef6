"""From a decision's id to its data: after a retraining, on this machine and on another."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.e2e.project import Project

pytest_plugins = ["tests.e2e.project"]

WHO = ["-c", "user.name=tests", "-c", "user.email=tests@example.org"]
PROCESSED = Path("data") / "processed" / "simulated"
ASK = """
import io, json, sys
from dataclasses import asdict
from rich.console import Console
from training.documents.lineage import tree
from training.lineage import lineage

found = lineage(sys.argv[1])
stream = io.StringIO()
Console(width=400, file=stream).print(tree(found))
print(json.dumps({"found": asdict(found), "printed": stream.getvalue()}))
"""


def git(root, *words):
    subprocess.run(["git", *WHO, *words], cwd=root, check=True, capture_output=True)


def done(ran):
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def asked(project, what):
    return json.loads(done(project.run("-c", ASK, what)))


def run_commands(project, commands):
    """Run what lineage prints, as a person would in the project's folder."""
    done(
        subprocess.run(
            ["bash", "-euc", "\n".join(commands)],
            cwd=project.root,
            env=dict(project.environment),
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    )


def digests(folder):
    return {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def brought_back(project):
    (folder,) = (project.root / "restored").glob("*/train")
    return digests(folder)


@pytest.fixture(scope="module")
def decided(project, tmp_path_factory, example):
    """A published project that decided once, pushed its data, and then trained on other data."""
    base = tmp_path_factory.mktemp("lineage")
    root = base / "project"
    shutil.copytree(project.root, root, symlinks=True)
    ours = Project(root, {**project.environment, "PYTHONPATH": str(root)})
    applicant = root / "applicant.json"
    applicant.write_text(json.dumps(example))
    answer = json.loads(done(ours.run("-m", "cli", "offer", str(applicant))))
    before = asked(ours, answer["decision_id"])
    trained_on = digests(root / PROCESSED / "train")
    done(ours.run("-m", "dvc", "remote", "add", "--default", "shared", str(base / "remote")))
    done(ours.run("-m", "dvc", "push"))
    shutil.rmtree(root / PROCESSED)
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["simulate"]["seed"] += 1
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    done(ours.run("-m", "dvc", "repro", "risk@simulated"))
    assert digests(root / PROCESSED / "train") != trained_on
    return ours, answer, before, trained_on


def test_a_decisions_id_leads_to_the_data_the_commit_and_the_parameters(decided):
    project, answer, before, trained_on = decided
    found, printed = before["found"], before["printed"]
    tags = {str(model): answer["versions"][model] for model in ("risk", "acceptance")}
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=project.root, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert {model["model"] for model in found["models"]} == set(tags)
    for model in found["models"]:
        name, _, number = model["version"].partition("/")
        assert tags[model["model"]].startswith(f"{name}:v{number}-{model['run_id'][:12]}")
        assert model["data"] == trained_on
        assert (model["commit"], model["commit_is_here"]) == (commit, True)
        assert model["params"]["seed"] == "7"
        assert [stage["name"] for stage in model["stages"]] == [
            "simulate",
            "prepare@simulated",
            f"{model['model']}@simulated",
        ]
        for told in (*trained_on.values(), commit, "ridge: 5", *model["restore"]):
            assert told in printed


def test_of_a_file_with_the_application_nothing_but_the_decisions_id_is_told(
    decided, example, tmp_path
):
    project, answer, _, _ = decided
    features = {**example["features"], "annual_income": 68123.45}
    path = tmp_path / "answer.json"
    path.write_text(json.dumps({**example, "features": features, **answer}))
    told = asked(project, str(path))
    assert told["found"]["decision_id"] == answer["decision_id"]
    assert answer["decision_id"] in told["printed"]
    assert "68123.45" not in json.dumps(told["found"])
    assert "68123.45" not in told["printed"]


def test_the_printed_commands_bring_the_first_data_back_from_the_cache(decided):
    project, answer, before, trained_on = decided
    assert asked(project, answer["decision_id"])["found"]["models"][0]["data"] == trained_on
    remote, away = (project.root.parent / name for name in ("remote", "away"))
    remote.rename(away)
    try:
        run_commands(project, before["found"]["models"][0]["restore"])
    finally:
        away.rename(remote)
    assert brought_back(project) == trained_on
    status = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all", "restored"],
        cwd=project.root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert ".parquet" not in status


def test_the_same_commands_bring_it_to_another_machine_from_a_folder_remote(decided, tmp_path):
    project, _, before, trained_on = decided
    root = tmp_path / "project"
    git(tmp_path, "clone", "--quiet", str(project.root), str(root))
    shutil.copy(project.root / ".dvc" / "config", root / ".dvc" / "config")
    other = Project(root, {**project.environment, "DVC_SITE_CACHE_DIR": str(tmp_path / "dvc")})
    run_commands(other, before["found"]["models"][0]["restore"])
    assert brought_back(other) == trained_on


def test_a_model_trained_before_its_lock_was_committed_is_found_in_the_later_commit(
    decided, project
):
    ours, _, before, _ = decided
    first = before["found"]["models"][0]
    assert "trained from uncommitted state" in first["recorded"]
    assert "the working tree's dvc.lock, not committed, records it" in first["recorded"]
    shutil.copy(project.root / "dvc.lock", ours.root / "dvc.lock")
    git(ours.root, "commit", "--quiet", "--message", "trained", "dvc.lock")
    again = asked(ours, first["version"])["found"]["models"][0]
    assert again["recorded"].endswith("records it since")
    assert again["stages"] == first["stages"]
