"""What Prometheus sees of the gRPC door."""

from dataclasses import dataclass
from functools import cache

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

__all__ = ["GrpcMetrics", "metrics"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcMetrics:
    """Calls by method and code, how long they took, and how many are open."""

    calls: Counter
    seconds: Histogram
    open: Gauge


@cache  # a name may be registered once in a process
def metrics(registry: CollectorRegistry = REGISTRY) -> GrpcMetrics:
    """Return the door's metrics in a registry."""
    return GrpcMetrics(
        calls=Counter("finnt_grpc_calls", "Calls answered.", ("method", "code"), registry=registry),
        seconds=Histogram(
            *("finnt_grpc_seconds", "How long a call took, in seconds."),
            ("method",),
            buckets=_SECONDS,
            registry=registry,
        ),
        open=Gauge(
            *("finnt_grpc_open_calls", "Calls being answered."),
            registry=registry,
            multiprocess_mode="livesum",
        ),
    )
