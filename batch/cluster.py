"""Work for a Dask cluster: one of our own on this machine, or one that is there already."""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from pydoc import locate
from typing import Any, TypeVar

from dask.system import CPU_COUNT
from distributed import Client, Future, KilledWorker, LocalCluster, wait
from distributed.comm.core import CommClosedError

from batch.errors import ClusterError
from finntelligence import __version__

__all__ = ["answers", "connected"]

Given = TypeVar("Given")
Answer = TypeVar("Answer")

_AHEAD = 2  # tasks for each worker: one at work, one waiting
_WITHIN_S = 15
_AGAIN = "what is finished is kept, the same command goes on from there"


@contextmanager
def connected(
    scheduler: str | None = None, workers: int | None = None, modules: Sequence[str] = ()
) -> Iterator[Client]:
    """Yield a client of the cluster at an address; without one, of a cluster on this machine.

    Ours has a process for each core, or so many `workers`, which start, and import the `modules`
    that their work will need, while the client goes on; its processes trust only one another.

    Raises:
        ClusterError: when nothing answers at the address, no worker is there, or one has another
            engine than we.
    """
    for name in ("distributed", "distributed.nanny", "distributed.http"):  # Dask sets its own
        logging.getLogger(name).setLevel(logging.ERROR)
    with ExitStack() as stack:
        if scheduler is None:
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=0,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    scheduler_kwargs={"dashboard": False},
                    security=True,
                    silence_logs=logging.ERROR,
                    preload=list(modules),
                )
            )
            client = stack.enter_context(Client(cluster))
            cluster.scale(workers or CPU_COUNT)  # a client that comes later would wait for them
            yield client
            return
        try:
            client = stack.enter_context(Client(scheduler, timeout=_WITHIN_S))
        except (OSError, TimeoutError, ValueError) as error:
            raise ClusterError(f"no Dask scheduler answers at {scheduler}") from error
        try:
            client.wait_for_workers(1, timeout=_WITHIN_S)
        except TimeoutError as error:
            raise ClusterError(f"the Dask scheduler at {scheduler} has no worker") from error
        _refuse_other_engines(client)
        yield client


def _refuse_other_engines(client: Client) -> None:
    # asked by a function that every Python has: a worker may not know this project
    for worker, engine in client.run(locate, "finntelligence.__version__").items():
        if engine != __version__:
            has = f"engine {engine}" if engine else "no engine"
            raise ClusterError(f"the Dask worker {worker} has {has}, this command {__version__}")


def answers(
    client: Client, work: Callable[..., Answer], shared: object, given: Iterable[Given]
) -> Iterator[tuple[Given, Answer]]:
    """Yield work(shared, each) for each that is given, as they end; memory holds a few at once.

    A worker that dies is replaced and its work done again.

    Raises:
        ClusterError: when the scheduler or all workers are gone, or work keeps killing them.
    """
    # computed, not scattered: it can be brought back when the worker that has it dies
    kept = client.submit(_same, shared, pure=False)
    waiting: dict[Future, Given] = {}
    rest = iter(given)

    def more() -> None:
        threads = max(sum(client.nthreads().values()), 1)
        while len(waiting) < _AHEAD * threads:
            each = next(rest, None)
            if each is None:
                return
            waiting[client.submit(work, kept, each, pure=False)] = each

    try:
        more()
        while waiting:
            for future in _ended(client, waiting):
                answer = future.result()
                yield waiting.pop(future), answer
                more()
    except KilledWorker as error:
        raise ClusterError(f"workers die of this work: {error}; {_AGAIN}") from error
    except (CancelledError, CommClosedError, OSError, TimeoutError) as error:
        raise ClusterError(f"the Dask scheduler is gone; {_AGAIN}") from error


def _ended(client: Client, waiting: Collection[Future]) -> Iterable[Future]:
    """Return futures that have ended, at least one."""
    while True:
        try:
            done: Iterable[Future] = wait(
                list(waiting), timeout=_WITHIN_S, return_when="FIRST_COMPLETED"
            ).done
            return done
        except TimeoutError:
            _wait_for_a_worker(client)


def _wait_for_a_worker(client: Client) -> None:
    try:
        client.wait_for_workers(1, timeout=_WITHIN_S)
    except TimeoutError as error:
        raise ClusterError(f"no Dask worker is left; {_AGAIN}") from error


def _same(value: Any) -> Any:
    return value
