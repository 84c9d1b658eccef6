"""The commands of the Kubernetes manifests, as three processes on this machine, make offers.

Each gets what its manifest gives it: the settings, and of the Secret what its container names.
"""

import subprocess
import sys
from contextlib import ExitStack

import httpx
import pytest
import yaml
from dotenv import dotenv_values

from serving.client import Client
from serving.keys import add
from serving.wire import OfferRequest
from tests.deploy.test_kubernetes import FOLDER, PARTS
from tests.e2e.project import LOOPBACK, PATIENT, Server, _stop, _wait_until_ready, free_port

pytest_plugins = ["tests.e2e.project"]

KEYS = "/run/secrets/finntelligence"


def container(part):
    """Return a part's container, and where its volumes are mounted, as the base says them."""
    documents = yaml.safe_load_all((FOLDER / "base" / f"{part}.yaml").read_text(encoding="utf-8"))
    (deployment,) = [each for each in documents if each["kind"] == "Deployment"]
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    return found, {mount["name"]: mount["mountPath"] for mount in found["volumeMounts"]}


def environment(part, secret, mounted):
    """Return the variables of a part's container; its mounted secrets are in a folder here."""
    found, mounts = container(part)
    told = dotenv_values(FOLDER / "base" / "settings.env")
    keys = {variable["name"]: variable["valueFrom"]["secretKeyRef"] for variable in found["env"]}
    told |= {name: secret[key["key"]] for name, key in keys.items()}
    if "keys" in mounts:
        assert mounts["keys"] == KEYS
        told = {name: value.replace(KEYS, str(mounted)) for name, value in told.items()}
    return told


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
def secret(tmp_path_factory):
    """What docs/operate.md has an operator put into the Secret, and a key of the caller's."""
    folder = tmp_path_factory.mktemp("secret")
    shown = add(folder / "keys.json", "shop", ["offer"])
    content = {
        "runner-secret": "0123456789abcdef" * 4,
        "record-url": f"sqlite:///{folder / 'decisions.db'}",  # where a cluster has PostgreSQL
        "keys.json": (folder / "keys.json").read_text(encoding="utf-8"),
    }
    return content, folder, shown


@pytest.fixture(scope="module")
def parts(project, secret):
    """The address of each of three parts, started by its manifest's arguments; "server" is the
    front as a process."""
    content, mounted, _ = secret
    ports = {part: free_port() for part in sorted(PARTS)}
    grpc_port = free_port()
    with ExitStack() as stack:
        for part in ("risk", "acceptance", "front"):
            log = project.root.parent / f"split-{part}.log"
            found, _ = container(part)
            words = [*here(found["args"], ports), "service:OfferService"]
            process = subprocess.Popen(
                [sys.executable, "-m", "bentoml_cli._internal.start", *words],
                cwd=project.root,
                env={
                    **project.environment,
                    **PATIENT,
                    **environment(part, content, mounted),
                    "FINNT_GRPC_PORT": str(grpc_port),
                },
                stdout=stack.enter_context(log.open("wb")),
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            stack.callback(_stop, process)
            url = f"http://{LOOPBACK}:{ports[part]}"
            server = Server(process, url, log, f"{LOOPBACK}:{grpc_port}")
        _wait_until_ready(server)
        yield {part: f"http://{LOOPBACK}:{port}" for part, port in ports.items()} | {
            "server": server
        }


@pytest.fixture(scope="module")
def body():
    path = FOLDER.parents[1] / "portfolios" / "simulated.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))["example"]


def test_three_parts_started_as_the_manifests_say_make_offers_for_a_key(parts, secret, body):
    server, shown = parts["server"], secret[2]
    asked = {"json": body, "timeout": 30, "trust_env": False}
    headers = {"Authorization": f"Bearer {shown}"}
    answer = httpx.post(f"{server.url}/v1/offers", headers=headers, **asked)
    assert answer.status_code == 200, f"{answer.text}\n{server.output()}"
    assert answer.json()["offers"]
    with Client.grpc(server.grpc, key=shown) as client:
        assert client.offers(OfferRequest(**body)).model_dump(mode="json")["offers"]


def test_no_part_answers_whom_it_does_not_know(parts, body):
    asked = {"json": body, "timeout": 30, "trust_env": False}
    assert httpx.post(f"{parts['front']}/v1/offers", **asked).status_code == 401
    for runner in PARTS - {"front"}:
        assert httpx.post(f"{parts[runner]}/coefficients", **asked).status_code == 401
