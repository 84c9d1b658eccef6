"""Run the image as it is meant to be run, and check that it serves, fits and ends as promised.

    python deploy/check_image.py finntelligence:latest --engine docker

The container gets a read-only root, a user that no file knows, no capabilities and little memory.
Checked: the image's size and what it must not hold; how soon it is ready; offers over HTTP and
gRPC; the memory of each process; SIGTERM with requests in flight, all of which are answered, and
exit 0. Prints the figures; exit status 1 when one is over its limit.
"""

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import typer
import yaml

from serving.client import Client
from serving.keys import add
from serving.wire import OfferRequest

MOST_IMAGE_MB = 420
MOST_PROCESS_MB = 300
READY_WITHIN_S = 5.0
GIVE_UP_AFTER_S = 120
IN_FLIGHT = 200
CONTAINER_MEMORY = "1g"
NEVER = "gcc cc make pip pip3 uv apt apt-get dpkg perl curl wget"
NEVER_INSTALLED = "mlflow dvc dask jupyter notebook pandas scikit-learn nvidia-nccl-cu12 pip"

# run inside: what is there that should not be, and the resident memory of each process
LOOK = f"""
import importlib.metadata, json, pathlib, shutil
held = {{d.name.lower() for d in importlib.metadata.distributions()}}
rss = {{}}
for status in pathlib.Path("/proc").glob("[0-9]*/status"):
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    if "VmRSS" in lines:
        rss[status.parent.name] = int(lines["VmRSS"].split()[0]) / 1024
print(json.dumps({{
    "rss": rss,
    "never": [n for n in {NEVER.split()!r} if shutil.which(n)]
    + sorted(held & set({NEVER_INSTALLED.split()!r})),
}}))
"""

ROOT = Path(__file__).resolve().parents[1]
NAME = "finntelligence-check"


class ImageError(Exception):
    """The image is not what it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The container, the addresses of its doors, and a key to them."""

    engine: str
    http: str
    grpc: str
    key: str

    def ran(self, *words: str) -> str:
        """Return what a command of the engine prints."""
        return _ran(self.engine, *words)

    @property
    def headers(self) -> dict[str, str]:
        """What a request must carry."""
        return {"Authorization": f"Bearer {self.key}"}


def _ran(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise ImageError(f"{' '.join(words[:3])}: {done.stderr.strip()}")
    return done.stdout.strip()


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as b:
        return one.getsockname()[1], b.getsockname()[1]


@contextmanager
def started(engine: str, image: str, host_network: bool) -> Iterator[Running]:
    """Run the image, hardened; it goes with the context."""
    port, grpc_port = _free_ports()
    inside = "127.0.0.1" if host_network else "0.0.0.0"
    published = (f"127.0.0.1:{n}:{n}" for n in (port, grpc_port))
    network = ["--network=host"] if host_network else [f"--publish={each}" for each in published]
    settings = {
        "BENTOML_HOST": inside,
        "BENTOML_PORT": port,
        "FINNT_GRPC_HOST": inside,
        "FINNT_GRPC_PORT": grpc_port,
        "FINNT_AUTH_KEYS_FILE": "/run/keys.json",
        "FINNT_RECORD_URL": "sqlite:////tmp/decisions.db",
        "FINNT_FRONT_WORKERS": 2,
        "FINNT_LOAD_PATIENCE_S": 60,  # two cores answer this many in a second or two, not at once
    }
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys.json"
        key = add(keys, "check", ["admin"], rate=1e5)
        keys.chmod(0o644)  # the container's user is none of this machine's
        Path(folder).chmod(0o755)
        # of a check that was killed
        subprocess.run([engine, "rm", "--force", NAME], capture_output=True, check=False)
        _ran(
            *(engine, "run", "--detach", "--name", NAME, "--read-only", "--tmpfs=/tmp"),
            *("--user=23456:23456", "--cap-drop=all", "--security-opt=no-new-privileges"),
            *(f"--memory={CONTAINER_MEMORY}", "--pids-limit=512", *network),
            *(f"--env={name}={value}" for name, value in settings.items()),
            *(f"--volume={keys}:/run/keys.json:ro", image),
        )
        try:
            url, grpc = f"http://127.0.0.1:{port}", f"127.0.0.1:{grpc_port}"
            yield Running(engine=engine, http=url, grpc=grpc, key=key)
        except BaseException:
            done = subprocess.run([engine, "logs", NAME], capture_output=True, check=False)
            sys.stderr.buffer.write((done.stdout + done.stderr)[-6000:])
            raise
        finally:
            subprocess.run([engine, "rm", "--force", NAME], capture_output=True, check=False)


def wait_until_ready(running: Running) -> None:
    """Return as soon as the service says that it is ready."""
    deadline = time.monotonic() + GIVE_UP_AFTER_S
    with httpx.Client(timeout=5, trust_env=False) as client:
        while time.monotonic() < deadline:
            try:
                if client.get(f"{running.http}/readyz").is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.02)
    raise ImageError(f"it was not ready in {GIVE_UP_AFTER_S} s")


def ask_both_doors(running: Running, body: dict[str, Any]) -> None:
    """Check that both doors answer the same offers."""
    with httpx.Client(timeout=30, trust_env=False, headers=running.headers) as client:
        answer = client.post(f"{running.http}/v1/offers", json=body).raise_for_status().json()
    with Client.grpc(running.grpc, key=running.key) as door:
        other = door.offers(OfferRequest(**body)).model_dump(mode="json")
    if not answer["offers"] or answer["offers"] != other["offers"]:
        raise ImageError("the doors do not answer the same offers")


async def end_under_load(running: Running, body: dict[str, Any]) -> None:
    """Send SIGTERM while requests are in flight, and check that each is answered in full."""
    limits = httpx.Limits(max_connections=IN_FLIGHT)
    async with httpx.AsyncClient(
        base_url=running.http, timeout=60, limits=limits, trust_env=False, headers=running.headers
    ) as client:
        asked = [
            asyncio.create_task(client.post("/v1/offers", json=body)) for _ in range(IN_FLIGHT)
        ]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        waiting = sum(not task.done() for task in asked)
        await asyncio.to_thread(running.ran, "kill", "--signal=TERM", NAME)
        answers = await asyncio.gather(*asked)
    if not waiting:
        raise ImageError("nothing was in flight when SIGTERM was sent")
    wrong = [answer.status_code for answer in answers if not answer.is_success]
    if wrong:
        raise ImageError(f"{len(wrong)} requests in flight were not answered: {set(wrong)}")
    typer.echo(f"in flight at SIGTERM   {waiting}, all answered")


def figures(running: Running, image: str) -> tuple[float, float, float]:
    """Return the megabytes of image, largest process and all; refuse what must not be there."""
    size_mb = int(running.ran("image", "inspect", "--format", "{{.Size}}", image)) / 1e6
    seen = json.loads(running.ran("exec", NAME, "python", "-c", LOOK))
    if seen["never"]:
        raise ImageError(f"the image holds {', '.join(seen['never'])}")
    return size_mb, max(seen["rss"].values()), sum(seen["rss"].values())


def check(said: argparse.Namespace) -> None:
    """Check the image that the command line names, and print its figures.

    Raises:
        ImageError: when it does not serve, is over a limit, or does not end well.
    """
    declared = ROOT / "portfolios" / f"{said.portfolio}.yaml"
    body = yaml.safe_load(declared.read_text(encoding="utf-8"))["example"]
    began = time.monotonic()
    with started(said.engine, said.image, said.host_network) as running:
        wait_until_ready(running)
        ready_s = time.monotonic() - began
        ask_both_doors(running, body)
        size_mb, process_mb, all_mb = figures(running, said.image)
        asyncio.run(end_under_load(running, body))
        status = running.ran("wait", NAME)
    limits: Sequence[tuple[str, float, float, str]] = (
        ("image", size_mb, MOST_IMAGE_MB, "MB"),
        ("ready after", ready_s, READY_WITHIN_S * said.patience, "s"),
        ("largest process", process_mb, MOST_PROCESS_MB, "MB"),
    )
    for name, value, most, unit in limits:
        typer.echo(f"{name:22} {value:.1f} {unit}, at most {most:g}")
    typer.echo(f"all processes          {all_mb:.0f} MB")
    typer.echo(f"exit status            {status}")
    if status != "0":
        raise ImageError(f"it ended with exit status {status}")
    over = [name for name, value, most, _ in limits if value > most]
    if over:
        raise ImageError(f"over the limit: {', '.join(over)}")


def main() -> None:
    """Check the image that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image")
    parser.add_argument("--engine", choices=("docker", "podman"), default="docker")
    parser.add_argument("--portfolio", default="simulated", help="whose example is asked for")
    parser.add_argument(
        "--host-network", action="store_true", help="where the engine cannot publish ports"
    )
    parser.add_argument(
        "--patience", type=float, default=1, help="times as long to start on a busy machine"
    )
    said = parser.parse_args()
    try:
        check(said)
    except ImageError as error:
        sys.exit(f"image: {error}")


if __name__ == "__main__":
    main()
