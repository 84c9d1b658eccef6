import subprocess

import pytest
import yaml

from training.locks import has_commit, recorded, restore_commands

DATA, OTHER, MODEL = "1" * 32 + ".dir", "2" * 32 + ".dir", "3" * 32


def git(root, *words):
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(
        ["git", *who, *words], cwd=root, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def lock(data=DATA, model=MODEL):
    """A dvc.lock whose risk model was made of `data`."""
    made = {"path": "data/interim/simulated", "md5": "4" * 32 + ".dir"}
    split = {"path": "data/processed/simulated", "md5": data}
    stages = {
        "simulate": {"cmd": "simulate", "outs": [made], "params": {"params.yaml": {"seed": 1}}},
        "prepare@simulated": {"cmd": "prepare", "deps": [made], "outs": [split]},
        "risk@simulated": {
            "cmd": "risk",
            "deps": [{"path": "training/risk.py", "md5": "5" * 32}, split],
            "outs": [{"path": "build/simulated/risk/model.ubj", "md5": model}],
        },
    }
    return yaml.safe_dump({"schema": "2.0", "stages": stages})


def committed(root, text):
    (root / "dvc.lock").write_text(text)
    git(root, "add", "dvc.lock")
    git(root, "commit", "--quiet", "--message", "lock")
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init", "--quiet")
    return tmp_path


def tags(commit):
    return {
        "portfolio": "simulated",
        "model": "risk",
        "dvc_stage": "risk@simulated",
        "git_commit": commit,
        "data_md5": DATA,
        "artefact_md5": MODEL,
    }


def test_a_lock_of_the_runs_own_commit_gives_the_stages_from_the_data_to_the_model(repository):
    commit = committed(repository, lock())
    where, stages = recorded(tags(commit), repository)
    assert where == f"the dvc.lock of commit {commit} holds this very data and model"
    assert [s.name for s in stages] == ["simulate", "prepare@simulated", "risk@simulated"]
    assert stages[0].params == {"seed": 1}
    assert stages[-1].deps["data/processed/simulated"] == DATA
    assert stages[-1].outs == {"build/simulated/risk/model.ubj": MODEL}


@pytest.mark.parametrize("other", [lock(data=OTHER), lock(model="6" * 32)])
def test_a_lock_of_other_data_or_another_model_is_never_taken_for_this_one(repository, other):
    where, stages = recorded(tags(committed(repository, other)), repository)
    assert "trained from uncommitted state" in where
    assert where.endswith("no dvc.lock here records it")
    assert stages == ()


def test_what_the_commits_lock_holds_instead_is_said(repository):
    where, _ = recorded(tags(committed(repository, lock(data=OTHER))), repository)
    assert f"its dvc.lock holds {OTHER} as data" in where


def test_the_commit_that_recorded_the_model_later_is_found_though_the_lock_has_moved_on(repository):
    first = committed(repository, lock(data=OTHER, model="6" * 32))
    second = committed(repository, lock())
    committed(repository, lock(data=OTHER, model="7" * 32))
    where, stages = recorded(tags(first), repository)
    assert where.endswith(f"commit {second} records it since")
    assert stages[-1].outs == {"build/simulated/risk/model.ubj": MODEL}


def test_a_lock_that_was_not_committed_is_said_not_to_be(repository):
    commit = committed(repository, lock(data=OTHER))
    (repository / "dvc.lock").write_text(lock())
    where, stages = recorded(tags(commit), repository)
    assert where.endswith("the working tree's dvc.lock, not committed, records it")
    assert stages


def test_without_git_nothing_is_recorded_and_nothing_breaks(tmp_path):
    where, stages = recorded(tags("not a git checkout"), tmp_path)
    assert where.endswith("no dvc.lock here records it")
    assert stages == ()


def test_a_run_that_does_not_say_its_data_has_no_lock_and_no_commands(repository):
    old = {"git_commit": "x", "portfolio": "simulated"}
    assert recorded(old, repository)[0].startswith("unknown")
    assert restore_commands(old) == ()


def test_the_commands_name_the_data_by_its_own_hash_and_no_commit():
    commands = restore_commands(tags("c" * 40))
    assert any(f"md5: {DATA}" in command for command in commands)
    assert not any("c" * 40 in command for command in commands)


def test_a_commit_is_here_only_if_git_has_it(repository):
    commit = committed(repository, lock())
    assert has_commit(commit, repository)
    assert not has_commit("0" * 40, repository)
    assert not has_commit("not a git checkout", repository)
