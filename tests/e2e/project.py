"""A fresh copy of the project in which the simulated book has been published once.

Test modules of several folders share it: `pytest_plugins = ["tests.e2e.project"]`. Where several
processes run the tests, one publishes and each works in its own copy of the result.
PYTEST_DONT_REWRITE: nothing here asserts, and the modules import it before pytest does.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from filelock import FileLock

ROOT = Path(__file__).parents[2]
LOOPBACK = "127.0.0.1"
READY_WITHIN_S = 90
STOP_WITHIN_S = 30
# small enough to be quick, large enough for both models to beat a constant
FEW = {
    "screened": 300,
    "priced": 50,
    "curved": 50,
    "explained": 200,
    "permuted": 500,
    "learned": 1000,
}
SMALL = {
    "simulate": {"quotes": 20_000},
    # trees that a small book would not keep, so that what is served has some
    "risk": {"rounds": 20, "gain_errors": -1000},
    "acceptance": {"rounds": 20, "gain_errors": -1000},
    "evaluate": {"bootstrap": 5, "decisions": 10, **FEW},
}
# what each answer then says, so that a test can tell whose code answered
VERSION = "0.0.0.copy"
SIMULATED_ONLY = "ingested: []\npresent: [simulated]\npriced: [simulated]\nrisk_only: []\n"
# a machine that is busy with something else must not make a service give up
PATIENT = {
    "FINNT_FRONT_BODY_S": "30",
    "FINNT_LOAD_PATIENCE_S": "60",
    "FINNT_RECORD_TIMEOUT_S": "12",
    "FINNT_RUNNER_BATCH_LATENCY_MS": "10000",
}
# what no Bento brings: the service must do without, and starts sooner
TRAINING_ONLY = ("dvc", "matplotlib", "mlflow", "pandas", "shap", "sklearn")
# what a developer's shell may say that would reach the copy
FOREIGN = ("BENTOML_", "DVC_", "FINNT_", "GIT_", "MLFLOW_", "OTEL_", "PROMETHEUS_", "PYTHON")
FOREIGN_NAMES = ("PORTFOLIO", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Server:
    """A server process of ours that is ready."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    grpc: str

    def output(self) -> str:
        """Return what it has printed so far."""
        return self.log.read_text(encoding="utf-8")

    def printed(self, text: str, within: float = 10) -> str:
        """Return what it has printed as soon as `text` is in it."""
        deadline = time.monotonic() + within
        while text not in self.output():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{text!r} is not in: {self.output()}")
            time.sleep(0.05)
        return self.output()


@dataclass(frozen=True, slots=True)
class Project:
    """The copy, and the environment in which its own code, store and registry are used."""

    root: Path
    environment: Mapping[str, str]

    def run(
        self,
        *words: str,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        given: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments to its end; `given` is what it reads."""
        return subprocess.run(
            [sys.executable, *words],
            cwd=cwd or self.root,
            env=environment or self.environment,
            input=given,
            capture_output=True,
            encoding="utf-8",
            timeout=480,  # several times what an idle machine needs
            check=False,
        )

    @contextmanager
    def server(
        self,
        *words: str,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[Server]:
        """Run a server on a free port while the context lasts; it is ready on entry."""
        port, grpc_port = free_port(), free_port()
        doors = {"FINNT_AUTH_OFF": "yes", "FINNT_GRPC_PORT": str(grpc_port), **PATIENT}
        ours = {**doors, **(environment or self.environment)}
        path = (str(_without_training(self.root.parent)), ours.get("PYTHONPATH"))
        log = self.root.parent / f"server-{port}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, *words, "--port", str(port)],
                cwd=cwd or self.root,
                env={**ours, "PYTHONPATH": os.pathsep.join(filter(None, path))},
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        server = Server(process, f"http://{LOOPBACK}:{port}", log, f"{LOOPBACK}:{grpc_port}")
        try:
            _wait_until_ready(server)
            yield server
        finally:
            _stop(process)


def _ports() -> Iterator[int]:
    """Yield ports that no client is given by chance and no other test process draws."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ours = range(20_000, 32_000)[number :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]
    yield from random.sample(ours, len(ours))


PORTS = _ports()


def free_port() -> int:
    """Return a port that nothing listens on, and never the same again."""
    for port in PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port
    raise RuntimeError("no port is left")


def _without_training(base: Path) -> Path:
    """Return a folder that hides the training packages from whom it is first in the path."""
    folder = base / "without_training"
    folder.mkdir(exist_ok=True)
    for name in TRAINING_ONLY:
        (folder / f"{name}.py").write_text(f'raise ModuleNotFoundError("no {name} here")\n')
    return folder


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    with httpx.Client(timeout=5) as client:
        while time.monotonic() < deadline and server.process.poll() is None:
            try:
                if client.get(f"{server.url}/readyz").is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
    raise RuntimeError(f"the server did not get ready:\n{server.output()}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def _copied(target: Path) -> None:
    """Copy what git tracks or would track, and make it a repository of one commit."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    params = yaml.safe_load((target / "params.yaml").read_text(encoding="utf-8"))
    for section, changes in SMALL.items():
        params[section] |= changes
    (target / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    (target / "data" / "portfolios.yaml").write_text(SIMULATED_ONLY)
    (target / "finntelligence" / "__init__.py").write_text(
        f'"""A copy."""\n__version__ = "{VERSION}"\n'
    )
    who = ["-c", "user.name=tests", "-c", "user.email=tests@example.org"]
    for words in (["init", "--quiet"], ["add", "--all"], [*who, "commit", "--quiet", "-m", "copy"]):
        subprocess.run(["git", *words], cwd=target, check=True)


def cloned(project: Project, base: Path) -> Project:
    """Return a clone of the copy without data, whose models are fitted as the project says."""
    root = base / "project"
    subprocess.run(["git", "clone", "--quiet", str(project.root), str(root)], check=True)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["evaluate"] |= {"bootstrap": 50, "decisions": 50, **FEW}
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    folders = {"BENTOML_HOME": base / "bentoml", "PYTHONPATH": root}
    named = {name: str(folder) for name, folder in folders.items()}
    return Project(root, {**project.environment, **named})


def _environment(base: Path, root: Path) -> dict[str, str]:
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(FOREIGN) and name not in FOREIGN_NAMES
    }
    folders = {
        "HOME": base / "home",
        "BENTOML_HOME": base / "bentoml",
        "DVC_SITE_CACHE_DIR": base / "dvc",
        "PYTHONPATH": root,
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{ours.get('PATH', '')}"
    named = {name: str(folder) for name, folder in folders.items()}
    return {**ours, **named, "PATH": path, "BENTOML_DO_NOT_TRACK": "True"}


def _published(base: Path) -> Project:
    """Return the copy in this folder; it is made and published if nobody has."""
    project = Project(base / "project", _environment(base, base / "project"))
    with FileLock(base.with_suffix(".lock")):
        if not base.exists():
            (base / "home").mkdir(parents=True)
            _copied(project.root)
            done = project.run("-m", "dvc", "repro", "publish@simulated")
            if done.returncode:
                raise RuntimeError(f"the pipeline failed:\n{done.stdout}\n{done.stderr}")
    if not (project.root / "build" / "simulated" / "served.json").exists():
        raise RuntimeError("the pipeline failed in another process, which says why")
    return project


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """The copy, published; nobody but the tests of this process works in it."""
    ours = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return _published(ours / "copy")
    published, base = _published(ours.parent / "copy"), ours / "copy"
    shutil.copytree(published.root.parent, base, symlinks=True)
    return Project(base / "project", _environment(base, base / "project"))
