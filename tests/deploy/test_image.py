"""The Bento's own image, built, run hardened and listed, as `make image-check` and `sbom` do."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytest_plugins = ["tests.e2e.project"]

ROOT = Path(__file__).parents[2]
CHECK, LIST = ([sys.executable, str(ROOT / "deploy" / n)] for n in ("check_image.py", "sbom.py"))
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


def commands(tag, listed):
    """Return what builds the image, checks it on this machine and lists what it holds."""
    patient = ["--patience", "4"]  # the machine may be busy with other tests
    if WITHOUT_REGISTRY.exists() and os.geteuid() == 0:
        image = ["bento-e2e:latest", "--engine", "podman"]
        check, held = [*CHECK, *image, "--host-network", *patient], [*LIST, *image]
        both = f"{shlex.join(check)} && {shlex.join([*held, '--output', listed])}"
        return [["bash", str(WITHOUT_REGISTRY), tag, "bash", "-c", both]]
    name = engine()
    image = [IMAGE, "--engine", name]
    build = [sys.executable, "-m", "bentoml", "containerize", tag, "--backend", name, "-t", IMAGE]
    return [build, [*CHECK, *image, *patient], [*LIST, *image, "--output", listed]]


@pytest.mark.timeout(900)
def test_the_image_serves_hardened_fits_ends_with_every_request_answered_and_says_what_it_holds(
    project, tmp_path
):
    built = project.run("-m", "bentoml", "build", "--output", "tag")
    assert built.returncode == 0, built.stderr
    tag = built.stdout.strip().rpartition("__tag__:")[2]
    given = {"RUN_ARGS": " ".join(f"--env {name}={value}" for name, value in FIRST_RUN.items())}
    for command in commands(tag, str(tmp_path / "sbom.json")):
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
    listed = json.loads((tmp_path / "sbom.json").read_text(encoding="utf-8"))["components"]
    held = {f"{each['name']}=={each['version']}" for each in listed}
    pinned = (ROOT / "requirements-bento.txt").read_text(encoding="utf-8").split()
    assert set(pinned) <= held
    assert any(each["purl"].startswith("pkg:deb/debian/libc6@") for each in listed)
