"""What was measured, its medians, the ratios that matter, and the bars they are held to."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from statistics import median
from typing import Any, Literal

__all__ = [
    "BARS",
    "OPEN_CONNECTIONS",
    "Bar",
    "Key",
    "Measured",
    "Medians",
    "Ratio",
    "Round",
    "best",
    "by_round",
    "medians",
    "ratios",
]

Tool = Literal["wrk", "h2load", "h2load gRPC", "open loop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One contender under one load in one round.

    `rate` is answered requests a second, `cpu_s_per_1000` the CPU seconds of all its processes for
    1,000 of them, `rss_mb` their memory at the end.
    """

    contender: str
    tool: Tool
    connections: int
    round: int
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_s_per_1000: float
    rss_mb: float

    @property
    def key(self) -> "Key":
        """What was measured, in whichever round."""
        return self.contender, self.tool, self.connections


Key = tuple[str, Tool, int]
"""Contender, tool and connections."""
Medians = Mapping[Key, Mapping[str, float]]
"""The median over the rounds of each figure."""
Round = Mapping[Key, Measured]
"""The readings of one round."""

_FIGURES = tuple(f.name for f in fields(Measured))[4:]


def medians(readings: Iterable[Measured]) -> dict[Key, dict[str, float]]:
    """Return the median of each figure over the rounds."""
    found: dict[Key, list[dict[str, Any]]] = {}
    for each in readings:
        found.setdefault(each.key, []).append(asdict(each))
    return {
        key: {name: median(each[name] for each in several) for name in _FIGURES}
        for key, several in found.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What a figure of the report is held to; `aim` is what we would like."""

    key: str
    said: str
    bound: float
    at_most: bool = False
    aim: float | None = None

    def holds(self, value: float) -> bool:
        """Whether a value keeps the bar.

        >>> Bar(key="x", said="", bound=4).holds(4.1), Bar(key="y", said="", bound=50).holds(49)
        (True, False)
        """
        return value <= self.bound if self.at_most else value >= self.bound


def _over(one: str, other: str, connections: int, bound: float, aim: float | None = None) -> Bar:
    said = f"requests/s, {_NAMES[one]} over {_NAMES[other]}, {connections} connections"
    return Bar(key=f"{one}_over_{other}_{connections}", said=said, bound=bound, aim=aim)


_NAMES = {
    "separate": "(a) separate",
    "embedded": "(b) embedded",
    "rival": "(d) rival at its best",
    "limit": "(e) limit",
    "depends": "(f) plain depends",
}
BARS = (
    _over("separate", "rival", 16, 4, aim=6),
    _over("separate", "rival", 64, 4, aim=6),
    _over("separate", "depends", 16, 2.5),
    _over("separate", "depends", 64, 2.5),
    _over("separate", "limit", 64, 0.4, aim=0.6),
    _over("embedded", "limit", 64, 0.6),
    _over("embedded", "rival", 64, 6),
    Bar(
        key="separate_p50_1_over_rival",
        said="p50 at 1 connection, (a) separate over (d) rival at its best",
        bound=1,
        at_most=True,
    ),
    Bar(
        key="separate_p99_open_70_ms",
        said="p99 in ms at 70 % of (a)'s peak, open loop",
        bound=50,
        at_most=True,
    ),
    Bar(
        key="grpc_over_http_16",
        said="requests/s, (c) gRPC over HTTP, both by h2load, 16 connections",
        bound=1,
    ),
)
"""The bars, in the order of the report."""
OPEN_CONNECTIONS = 64
"""Connections of the open loop."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A bar's value in each round, and their median, which the bar is held to."""

    rounds: tuple[float, ...]

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return median(self.rounds)


def by_round(readings: Iterable[Measured]) -> list[Round]:
    """Return the readings of each round."""
    rounds: dict[int, dict[Key, Measured]] = {}
    for each in readings:
        rounds.setdefault(each.round, {})[each.key] = each
    return list(rounds.values())


def best(found: Round, name: str, connections: int, figure: str) -> float:
    """Return a contender's figure under wrk, of the rival that of its better variant.

    Raises:
        KeyError: when it was not measured.
    """
    there: list[float] = [
        getattr(reading, figure)
        for (contender, tool, load), reading in found.items()
        if (tool, load) == ("wrk", connections) and contender.partition("_")[0] == name
    ]
    if not there:
        raise KeyError(name)
    return max(there) if figure == "rate" else min(there)


def ratios(readings: Iterable[Measured]) -> dict[str, Ratio]:
    """Return every bar whose contenders were measured.

    A ratio is taken within a round, for a machine is not the same in the next one. The rival is at
    its best there: the better of one process and two, load by load.
    """
    rounds = by_round(readings)
    values: dict[str, Ratio] = {}
    for bar in BARS:
        told: list[float] = []
        for found in rounds:
            with suppress(KeyError):
                told.append(_value(bar.key, found))
        if told:
            values[bar.key] = Ratio(tuple(told))
    return values


def _value(key: str, found: Round) -> float:
    if key == "grpc_over_http_16":
        return found["separate", "h2load gRPC", 16].rate / found["separate", "h2load", 16].rate
    if key == "separate_p99_open_70_ms":
        return found["separate", "open loop", OPEN_CONNECTIONS].p99_ms
    if key == "separate_p50_1_over_rival":
        return best(found, "separate", 1, "p50_ms") / best(found, "rival", 1, "p50_ms")
    one, _, rest = key.partition("_over_")
    other, _, connections = rest.rpartition("_")
    load = int(connections)
    return best(found, one, load, "rate") / best(found, other, load, "rate")
