"""The pack is for a pair that the gate refuses too: a validator asks why."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.e2e.project import Project

pytest_plugins = ["tests.e2e.project"]


@pytest.fixture
def refused(project, tmp_path):
    """A copy of the published project that now demands more of its pair than any can give."""
    root = tmp_path / "project"
    shutil.copytree(project.root, root, symlinks=True)
    (root / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (root / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    (root / ".venv" / ".ready").touch()  # newer than the pins: nothing to install
    params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    params["promote"]["minimum_gain"] = 1e9
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    copy = Project(root, {**project.environment, "PYTHONPATH": str(root)})
    assert copy.run("-m", "training.promote", "simulated").returncode == 1
    return copy


def test_a_refused_pair_gets_its_pack_with_the_verdict_that_refused_it(refused):
    done = subprocess.run(
        ["make", "model-risk-pack"],
        cwd=refused.root,
        env=dict(refused.environment),
        capture_output=True,
        encoding="utf-8",
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    build = refused.root / "build" / "simulated"
    assert "<td>FAILED</td>" in (build / "model-risk-pack.html").read_text(encoding="utf-8")
    assert {path.name for path in (build / "cards").iterdir()} >= {"risk.html", "acceptance.html"}
