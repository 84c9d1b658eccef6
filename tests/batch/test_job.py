"""Whatever dies during a job, after a rerun there is exactly one result per applicant."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import psutil
import pytest
from distributed import Client

from batch.book import Book
from batch.cluster import connected
from batch.errors import ClusterError
from batch.job import made_of, run
from batch.output import Output
from finntelligence.errors import InvalidDataError

ROOT = Path(__file__).parents[2]
APPLICANTS, ROWS = 400, 10
BAD = 7
WITHIN_S = 60


class Cluster:
    """The processes that the guide starts by hand, on a free port."""

    def __init__(self, folder):
        self.stack = ExitStack()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        guide = (ROOT / "docs" / "books.md").read_text(encoding="utf-8").replace("8786", port)
        scheduler, *workers = [line for line in guide.splitlines() if line.startswith("dask ")]
        self.scheduler = self.start(*scheduler.split()[1:])
        alone = ("--no-nanny", "--local-directory", str(folder))  # a nanny would replace it
        self.workers = [self.start(*line.split()[1:], *alone) for line in workers]
        self.where = f"tcp://127.0.0.1:{port}"

    def start(self, *words):
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process

    def address(self):
        with Client(self.where, timeout=WITHIN_S) as client:
            client.wait_for_workers(2, timeout=WITHIN_S)
        return self.where


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path)
    with made.stack:
        yield made


@pytest.fixture(scope="module")
def book(portfolio, applicants, tmp_path_factory):
    path = tmp_path_factory.mktemp("books") / "book.parquet"
    frame = applicants(APPLICANTS)
    frame.loc[BAD, "fico"] = 0
    frame.to_parquet(path, index=False)
    return Book(path, portfolio, "applicant")


def killing(process, after):
    """Return a progress that kills a process once so many applicants are done."""
    seen = []

    def progress(rows):
        seen.append(rows)
        if sum(seen) >= after and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()

    return progress


def assert_whole(path, book):
    """Exactly one result per applicant: an answer, or a line of what is set aside."""
    answers = pd.read_parquet(path)
    assert sorted(answers["row"]) == [row for row in range(APPLICANTS) if row != BAD]
    assert answers["applicant"].is_unique
    rejects = pd.read_csv(path / "_rejects.csv")
    assert rejects[["row", "key", "field"]].to_numpy().tolist() == [
        [BAD, f"a0-{BAD}", "features.fico"]
    ]


def test_a_killed_worker_and_a_killed_scheduler_lose_and_double_nothing(
    book, pricing, cluster, tmp_path
):
    address, manifest = cluster.address(), made_of(book, pricing, ROWS)
    for process in (cluster.scheduler, *cluster.workers):
        doors = psutil.Process(process.pid).net_connections(kind="inet")
        assert {d.laddr.ip for d in doors if d.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
    first = Output.open(tmp_path / "first", manifest)
    with connected(address) as client:
        done = run(book, first, pricing, client, ROWS, killing(cluster.workers[0], after=50))
    assert cluster.workers[0].poll() == -signal.SIGKILL
    assert (done.answered, done.rejected, done.parts) == (APPLICANTS - 1, 1, APPLICANTS // ROWS)
    assert_whole(first.path, book)

    second = Output.open(tmp_path / "second", manifest)
    with (
        pytest.raises(ClusterError, match="the same command goes on"),
        connected(address) as client,
    ):
        run(book, second, pricing, client, ROWS, killing(cluster.scheduler, after=50))
    kept = {p: p.stat().st_mtime_ns for p in second.path.glob("part-*.parquet")}
    assert 5 <= len(kept) < APPLICANTS // ROWS
    with connected(workers=1) as client:
        done = run(book, Output.open(second.path, manifest), pricing, client, ROWS)
    assert done.answered == APPLICANTS - 1
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert_whole(second.path, book)


def test_nobody_at_an_address_is_told(monkeypatch):
    monkeypatch.setattr("batch.cluster._WITHIN_S", 0.5)
    with (
        pytest.raises(ClusterError, match="no Dask scheduler answers at tcp"),
        connected("tcp://127.0.0.1:9"),
    ):
        pass


def test_a_cluster_with_another_engine_or_none_is_refused(cluster, monkeypatch):
    address = cluster.address()
    for engine, told in (("0.0.9", "has engine .*, this command 0.0.9"), (None, "has no engine")):
        if engine:
            monkeypatch.setattr("batch.cluster.__version__", engine)
        else:
            monkeypatch.setattr("batch.cluster.locate", {}.get)
        with pytest.raises(ClusterError, match=told), connected(address):
            pass


def test_a_cluster_whose_workers_are_all_gone_is_told(
    book, pricing, cluster, tmp_path, monkeypatch
):
    address, manifest = cluster.address(), made_of(book, pricing, ROWS)
    monkeypatch.setattr("batch.cluster._WITHIN_S", 2)
    output = Output.open(tmp_path / "offers", manifest)

    def kill_all(_):
        for worker in cluster.workers:
            worker.kill()
            worker.wait()

    with pytest.raises(ClusterError, match="no Dask worker is left"), connected(address) as client:
        run(book, output, pricing, client, ROWS, kill_all)
    with pytest.raises(ClusterError, match="has no worker"), connected(address):
        pass


def test_a_key_that_is_called_like_an_answer_is_refused_before_there_is_any_output(
    portfolio, applicants, pricing, tmp_path
):
    path = tmp_path / "book.csv"
    applicants(2).rename(columns={"applicant": "pair"}).to_csv(path, index=False)
    book = Book(path, portfolio, "pair")
    with pytest.raises(InvalidDataError, match="cannot be called pair"):
        Output.open(tmp_path / "offers", made_of(book, pricing, ROWS))
    assert not (tmp_path / "offers").exists()
