"""The commands of the Kubernetes manifests, as three processes on this machine, make offers."""

import os
import subprocess
import sys
from contextlib import ExitStack

import httpx
import pytest
import yaml

from tests.deploy.test_kubernetes import FOLDER, PARTS
from tests.e2e.project import LOOPBACK, Server, _stop, _wait_until_ready, free_port

pytest_plugins = ["tests.e2e.project"]

SECRET = "split-" * 8  # both sides know it


def arguments(part):
    """Return the arguments of a part's container, as the base says them."""
    documents = yaml.safe_load_all((FOLDER / "base" / f"{part}.yaml").read_text(encoding="utf-8"))
    (deployment,) = [each for each in documents if each["kind"] == "Deployment"]
    return deployment["spec"]["template"]["spec"]["containers"][0]["args"]


def here(words, ports):
    """Return arguments with the loopback and a free port where they name the cluster's."""
    part = next(word for word in words if word.startswith("--service-name=")).partition("=")[2]
    own = {"finntelligence": "front", "RiskRunner": "risk", "AcceptanceRunner": "acceptance"}[part]
    changed = []
    for word in words:
        word = word.replace("--host=0.0.0.0", f"--host={LOOPBACK}")
        word = word.replace("--port=3000", f"--port={ports[own]}")
        for other in PARTS:
            word = word.replace(
                f"tcp://finntelligence-{other}:3000", f"tcp://{LOOPBACK}:{ports[other]}"
            )
        changed.append(word)
    assert not [word for word in changed if "3000" in word or "0.0.0.0" in word]
    return changed


@pytest.fixture(scope="module")
def front(project):
    """The front of three parts, each started by its manifest's arguments."""
    ports = {part: free_port() for part in sorted(PARTS)}
    grpc_port = free_port()
    doors = {"FINNT_AUTH_OFF": "yes", "FINNT_GRPC_PORT": str(grpc_port)}
    environment = {**project.environment, **doors, "FINNT_RUNNER_SECRET": SECRET}
    with ExitStack() as stack:
        for part in ("risk", "acceptance", "front"):
            log = project.root.parent / f"split-{part}.log"
            words = [*here(arguments(part), ports), "service:OfferService"]
            process = subprocess.Popen(
                [sys.executable, "-m", "bentoml_cli._internal.start", *words],
                cwd=project.root,
                env=environment,
                stdout=stack.enter_context(log.open("wb")),
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            stack.callback(_stop, process)
            url = f"http://{LOOPBACK}:{ports[part]}"
            server = Server(process, url, log, f"{LOOPBACK}:{grpc_port}")
        _wait_until_ready(server)
        yield server


def test_three_parts_started_as_the_manifests_say_make_offers(front):
    body = yaml.safe_load(
        (FOLDER.parents[1] / "portfolios" / "simulated.yaml").read_text(encoding="utf-8")
    )["example"]
    answer = httpx.post(f"{front.url}/v1/offers", json=body, timeout=30, trust_env=False)
    assert answer.status_code == 200, os.linesep.join((answer.text, front.output()))
    assert answer.json()["offers"]
