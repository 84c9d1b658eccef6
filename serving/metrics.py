"""What Prometheus sees of decisions; BentoML's /metrics shows it beside its own and the runners'.

Every process writes its numbers into one folder (PROMETHEUS_MULTIPROC_DIR), from which any worker
answers for all of them. Batches that calls meet in at a runner are BentoML's own
`bentoml_service_adaptive_batch_size`, calls of the gRPC door are in `serving.grpc_metrics`.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.multiprocess import mark_process_dead

from serving.record.entry import Channel

if TYPE_CHECKING:
    from finntelligence.decision import Decision

__all__ = [
    "STAGES",
    "coalesced",
    "decided",
    "forget_dead",
    "own_folder",
    "refused",
    "serves",
    "took",
    "waiting",
]

STAGES = ("validate", "score", "decide", "record")
"""The stages of a request, in the order in which they are passed."""

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10),
)
_ROWS = tuple(2**power for power in range(11))
_MODELS = ("risk", "acceptance")
_PARTS = ("alias", "pair", "policy", "engine")


class _Metrics(NamedTuple):
    decisions: Counter
    degraded: Counter
    reasons: Counter
    problems: Counter
    seconds: Histogram
    models: Gauge
    policies: Gauge
    waiting: Gauge
    coalesced: Histogram


@cache  # a name may be registered once in a process
def _metrics() -> _Metrics:
    return _Metrics(
        decisions=Counter(
            *("finnt_decisions", "Decisions answered."), ("channel", "outcome", "arm")
        ),
        degraded=Counter(
            *(
                "finnt_degraded_decisions",
                "Decisions at list prices, without acceptance.",
            ),
            ("channel", "outcome"),
        ),
        reasons=Counter("finnt_decline_reasons", "Reasons given for declines.", ("code",)),
        problems=Counter("finnt_problems", "Requests refused or failed.", ("door", "code")),
        seconds=Histogram(
            *("finnt_stage_seconds", "How long a stage of a request took, in seconds."),
            ("stage",),
            buckets=_SECONDS,
        ),
        # a dead process says nothing of what is served; of two that live, a reload may be between
        models=Gauge(
            *("finnt_model_info", "1 for each model that is served."),
            ("portfolio", "model", "version"),
            multiprocess_mode="livemax",
        ),
        policies=Gauge(
            *("finnt_policy_info", "1 for the pair and the policy in force."),
            ("portfolio", *_PARTS),
            multiprocess_mode="livemax",
        ),
        waiting=Gauge(
            *("finnt_record_waiting", "Decisions waiting to be durable."),
            multiprocess_mode="livesum",
        ),
        coalesced=Histogram(
            *("finnt_coalesced_rows", "Rows in one call to a model, of one request or of many."),
            ("model",),
            buckets=_ROWS,
        ),
    )


def decided(decision: "Decision", channel: str) -> None:
    """Count a decision that a door answers with, and its reasons; `channel` is the door's."""
    made = _metrics()
    outcome = "offers" if decision.offers else "decline"
    made.decisions.labels(channel, outcome, decision.arm or "none").inc()
    if decision.degraded:
        made.degraded.labels(channel, outcome).inc()
    for reason in decision.reasons:
        made.reasons.labels(reason.code).inc()


def refused(door: str, code: str) -> None:
    """Count a request that a door answers with a problem, by the problem's code."""
    _metrics().problems.labels(door, code).inc()


def took(stage: str, seconds: float) -> None:
    """Count how long a stage of a request took."""
    _timer(stage).observe(seconds)


@cache  # looking a label up takes a lock
def _timer(stage: str) -> Histogram:
    return _metrics().seconds.labels(stage)


def coalesced(model: str, rows: int) -> None:
    """Count the rows of one call to a model."""
    _rows(model).observe(rows)


@cache
def _rows(model: str) -> Histogram:
    return _metrics().coalesced.labels(model)


def waiting(entries: int) -> None:
    """Say how many decisions wait to be durable: the record's lag."""
    _metrics().waiting.set(entries)


def serves(versions: Mapping[str, str], portfolio: str) -> None:
    """Say what this process serves from now on, and no more what it served before.

    `versions` are an engine's, with both models, pair, alias, policy and engine.
    """
    made = _metrics()
    # a label cannot be removed where several processes write, so it falls to 0
    for gauge in (made.models, made.policies):
        for labels in _served.pop(gauge, ()):
            gauge.labels(*labels).set(0)
    for labels in product(get_args(Channel), ("offers", "decline")):
        made.degraded.labels(*labels)  # from 0 on: a first one would else be no rise
    _served[made.models] = [(portfolio, name, versions[name]) for name in _MODELS]
    _served[made.policies] = [(portfolio, *(versions.get(part, "") for part in _PARTS))]
    for gauge, told in _served.items():
        for labels in told:
            gauge.labels(*labels).set(1)


_served: dict[Gauge, list[tuple[str, ...]]] = {}


def own_folder() -> None:
    """Give the service that this process starts a folder of its own, gone when it ends.

    BentoML's is one for each user, and whoever serves next empties it: with staging beside
    production, production's numbers would be gone. To be called before workers are started.
    """
    from bentoml._internal.configuration.containers import BentoMLContainer

    folder = tempfile.mkdtemp(prefix="finntelligence-metrics-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    BentoMLContainer.prometheus_multiproc_dir.set(folder)


def forget_dead() -> None:
    """Drop what processes that were killed said of the present: nobody else would.

    A worker calls it as it starts, which is when the one before it has ended.
    """
    folder = os.environ.get(_FOLDER)
    if not folder:
        return
    for pid in {int(path.stem.rpartition("_")[2]) for path in Path(folder).glob("gauge_live*.db")}:
        if not _lives(pid):
            mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
