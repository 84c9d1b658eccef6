"""The Bento's own image, built and run hardened, as `make image-check` does."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytest_plugins = ["tests.e2e.project"]

ROOT = Path(__file__).parents[2]
CHECK = [sys.executable, str(ROOT / "deploy" / "check_image.py")]
WITHOUT_REGISTRY = ROOT.parent / "shared" / "tools" / "run_bento_container.sh"
IMAGE = "finntelligence:checked"
# its first run is without keys, on loopback
FIRST_RUN = {
    "FINNT_AUTH_OFF": "yes",
    "FINNT_GRPC_HOST": "127.0.0.1",
    "FINNT_RECORD_URL": "sqlite:////tmp/decisions.db",
}


def engine():
    for name in ("docker", "podman"):
        asked = [name, "info"]
        if shutil.which(name) and not subprocess.run(asked, capture_output=True).returncode:
            return name
    pytest.skip("no container can be built here: neither docker nor podman answers")


def commands(tag):
    """Return what builds the image and checks it on this machine."""
    patient = ["--patience", "10"]  # the machine may be busy with other tests
    if WITHOUT_REGISTRY.exists() and os.geteuid() == 0:
        check = [*CHECK, "bento-e2e:latest", "--engine", "podman", "--host-network", *patient]
        return [["bash", str(WITHOUT_REGISTRY), tag, *check]]
    name = engine()
    build = [sys.executable, "-m", "bentoml", "containerize", tag, "--backend", name, "-t", IMAGE]
    return [build, [*CHECK, IMAGE, "--engine", name, *patient]]


@pytest.mark.timeout(900)
def test_the_image_serves_hardened_fits_and_ends_with_every_request_answered(project):
    built = project.run("-m", "bentoml", "build", "--output", "tag")
    assert built.returncode == 0, built.stderr
    tag = built.stdout.strip().rpartition("__tag__:")[2]
    given = {"RUN_ARGS": " ".join(f"--env {name}={value}" for name, value in FIRST_RUN.items())}
    for command in commands(tag):
        done = subprocess.run(
            command,
            cwd=tempfile.gettempdir(),  # BentoML reads a template below its working folder alone
            env={**project.environment, **given, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=800,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        print(done.stdout)  # noqa: T201 - the figures
