"""The report of a comparison: a page, its figures as JSON, and a plot."""

import json
import os
import platform
import timeit
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib
import psutil
from matplotlib.figure import Figure
from rich.table import Table

from loadtests.bars import BARS, Measured, Medians, medians, ratios
from loadtests.contenders import CONTENDERS

__all__ = ["bars_table", "machine", "page", "plot", "write"]

_PACKAGES = ("bentoml", "fastapi", "grpcio", "httptools", "uvicorn", "uvloop", "xgboost-cpu")
_HEADINGS = {
    "rate": "requests/s",
    "p50_ms": "p50, ms",
    "p99_ms": "p99, ms",
    "cpu_s_per_1000": "CPU s per 1,000",
    "rss_mb": "RSS, MB",
}
_NAMES = {each.name: f"({each.letter}) {each.name.replace('_', ' ')}" for each in CONTENDERS}


def machine() -> dict[str, Any]:
    """Return what the figures were measured on and with, and how busy it was before."""
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "compiler": platform.python_compiler(),
        "loop_ms": round(_loop_ms(), 1),
        "packages": {name: version(name) for name in _PACKAGES},
        "load_before": round(os.getloadavg()[0], 2),
    }


def _loop_ms() -> float:
    """Return how long a loop of calls and attributes takes: builds of one Python differ twofold."""
    made = "class Pair:\n def __init__(self, a): self.a = a\n def plus(self, b): return self.a + b"
    loop = "for i in range(100_000): total = Pair(i).plus(len({'i': i}))"
    return 1e3 * min(timeit.repeat(loop, made, number=1, repeat=7))


def write(rounds: Sequence[Measured], about: Mapping[str, Any], folder: Path) -> dict[str, float]:
    """Write report.md, report.json and report.png into a folder; return the bars' values."""
    found = medians(rounds)
    values = ratios(found)
    content = {
        **about,
        "ratios": values,
        "bars": [
            {**asdict(bar), "value": values[bar.key], "holds": bar.holds(values[bar.key])}
            for bar in BARS
            if bar.key in values
        ],
        "medians": [
            {"contender": contender, "tool": tool, "connections": connections, **figures}
            for (contender, tool, connections), figures in found.items()
        ],
        "rounds": [asdict(each) for each in rounds],
    }
    (folder / "report.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(page(found, values, about), encoding="utf-8")
    plot(found).savefig(folder / "report.png", dpi=120)
    return values


def page(found: Medians, values: Mapping[str, float], about: Mapping[str, Any]) -> str:
    """Return the page."""
    on, trees = about["machine"], about["trees"]
    packages = ", ".join(f"{name} {number}" for name, number in on["packages"].items())
    lines = [
        "# Speed, compared",
        "",
        f"`make bench`, {about['rounds']} interleaved rounds of {about['seconds']:g} s, medians; "
        f"{on['cores']} cores, load {on['load_before']} before; Python {on['python']} "
        f"({on['compiler']}; a loop of 100,000 calls takes {on['loop_ms']} ms), {packages}. "
        "Decisions of (a), (b), (c) and (f) are recorded and durable before they are answered. The "
        "generators run on the same cores. The served models keep "
        f"{trees['risk']} (risk) and {trees['acceptance']} (acceptance) rounds of trees beside "
        "their linear parts: docs/decisions/0014 says what more would cost.",
        "",
        *(f"- ({each.letter}) {each.name.replace('_', ' ')}: {each.said}" for each in CONTENDERS),
        "",
        "## Bars",
        "",
        "| key | what | bound | aim | value | |",
        "|---|---|---|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in _bar_rows(values)),
        "",
        "## Figures",
        "",
        "| contender | by | connections | " + " | ".join(_HEADINGS.values()) + " |",
        "|" + "---|" * (3 + len(_HEADINGS)),
        *(
            f"| {_NAMES[name] if tool != 'h2load gRPC' else '(c) gRPC'} | {tool} | {connections} | "
            + " | ".join(f"{figures[each]:.4g}" for each in _HEADINGS)
            + " |"
            for (name, tool, connections), figures in found.items()
        ),
        "",
        "![requests a second](report.png)",
        "",
    ]
    return "\n".join(lines)


def _bar_rows(values: Mapping[str, float]) -> list[tuple[str, ...]]:
    return [
        (
            bar.key,
            bar.said,
            f"at {'most' if bar.at_most else 'least'} {bar.bound:g}",
            "" if bar.aim is None else f"{bar.aim:g}",
            f"{values[bar.key]:.2f}" if bar.key in values else "not measured",
            _verdict(bar.holds(values[bar.key])) if bar.key in values else "",
        )
        for bar in BARS
    ]


def _verdict(holds: bool) -> str:
    return "holds" if holds else "MISSED"


def bars_table(values: Mapping[str, float]) -> Table:
    """Return the bars as a table of the terminal."""
    table = Table("key", "bound", "aim", "value", "")
    for key, _, *rest in _bar_rows(values):
        table.add_row(key, *rest)
    return table


def plot(found: Medians) -> Figure:
    """Return a bar chart of requests a second: contenders, by connections, over HTTP."""
    matplotlib.use("agg")
    names = [each.name for each in CONTENDERS if any(key[0] == each.name for key in found)]
    loads = sorted({connections for _, tool, connections in found if tool == "wrk"})
    figure = Figure(figsize=(9, 0.6 + 0.7 * len(names)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / max(len(loads), 1)
    for place, load in enumerate(loads):
        rates = [found.get((name, "wrk", load), {}).get("rate", 0.0) for name in names]
        at = [i + place * height for i in range(len(names))]
        drawn = axes.barh(at, rates, height, label=f"{load} connections")
        axes.bar_label(drawn, fmt="%.0f", padding=2, fontsize=8)
    axes.set_yticks([i + 0.4 - height / 2 for i in range(len(names))], [_NAMES[n] for n in names])
    axes.invert_yaxis()
    axes.set_xlabel("requests a second")
    axes.legend()
    return figure
