"""The report of a comparison: a page, its figures as JSON, and a plot."""

import json
import os
import platform
import subprocess
import timeit
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
import psutil
from matplotlib.figure import Figure
from rich.table import Column, Table

from loadtests.bars import (
    BARS,
    Bar,
    Measured,
    Medians,
    Ratio,
    Round,
    Tool,
    best,
    by_round,
    medians,
    ratios,
)
from loadtests.contenders import CONTENDERS
from runners.store import ROOT

__all__ = ["bars_table", "code_of", "machine", "page", "plot", "write"]

_PACKAGES = ("bentoml", "fastapi", "grpcio", "httptools", "uvicorn", "uvloop", "xgboost-cpu")
_HEADINGS = {
    "rate": "requests/s",
    "p50_ms": "p50, ms",
    "p99_ms": "p99, ms",
    "cpu_s_per_1000": "CPU s per 1,000",
    "rss_mb": "RSS, MB",
}
_OVER = {"rate": "requests/s", "p50_ms": "p50", "cpu_s_per_1000": "CPU", "rss_mb": "RSS"}
_NAMES = {each.name: f"({each.letter}) {each.name.replace('_', ' ')}" for each in CONTENDERS}
_SHOWN: dict[tuple[str, Tool], str] = {
    **{(name, "wrk"): said for name, said in _NAMES.items()},
    ("separate", "h2load"): "(a) by h2load",
    ("separate", "h2load gRPC"): "(c) gRPC by h2load",
}


def machine() -> dict[str, Any]:
    """Return what the figures were measured on and with, and how busy it was before."""
    return {
        "code": code_of(ROOT),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "compiler": platform.python_compiler(),
        "loop_ms": round(_loop_ms(), 1),
        "packages": {name: version(name) for name in _PACKAGES},
        "load_before": round(os.getloadavg()[0], 2),
    }


def code_of(root: Path) -> str:
    """Return a folder's commit, marked "-dirty" where files differ from it, the report's aside."""
    git = ["git", "-C", str(root)]
    try:
        commit = _printed([*git, "rev-parse", "--short", "HEAD"])
        changed = _printed([*git, "status", "--porcelain", "--", ".", ":!loadtests/report.*"])
    except (FileNotFoundError, subprocess.CalledProcessError):
        return "of no commit"
    return f"{commit}-dirty" if changed else commit


def _printed(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _loop_ms() -> float:
    """Return how long a loop of calls and attributes takes: builds of one Python differ twofold."""
    made = "class Pair:\n def __init__(self, a): self.a = a\n def plus(self, b): return self.a + b"
    loop = "for i in range(100_000): total = Pair(i).plus(len({'i': i}))"
    return 1e3 * min(timeit.repeat(loop, made, number=1, repeat=7))


def write(readings: Sequence[Measured], about: Mapping[str, Any], folder: Path) -> dict[str, Ratio]:
    """Write report.md, report.json and report.png into a folder; return the bars' values."""
    found, values = medians(readings), ratios(readings)
    content = {
        **about,
        "ratios": {key: ratio.value for key, ratio in values.items()},
        "bars": [
            {
                **asdict(bar),
                "rounds": (ratio := values[bar.key]).rounds,
                "value": ratio.value,
                "holds": bar.holds(ratio.value),
            }
            for bar in BARS
            if bar.key in values
        ],
        "medians": [
            {"contender": contender, "tool": tool, "connections": connections, **figures}
            for (contender, tool, connections), figures in found.items()
        ],
        "readings": [asdict(each) for each in readings],
    }
    (folder / "report.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(page(readings, about), encoding="utf-8")
    plot(found).savefig(folder / "report.png", dpi=120)
    return values


def page(readings: Sequence[Measured], about: Mapping[str, Any]) -> str:
    """Return the page."""
    on, trees, found = about["machine"], about["trees"], medians(readings)
    packages = ", ".join(f"{name} {number}" for name, number in on["packages"].items())
    lines = [
        "# Speed, compared",
        "",
        f"{about['rounds']} interleaved rounds of {about['seconds']:g} s, medians; "
        f"{about['minutes']:.1f} minutes in all; code {on['code']}; {on['cores']} cores, load "
        f"{on['load_before']} before; Python {on['python']} "
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
        "Each ratio is taken within a round; its median is held to the bar.",
        "",
        "| key | what | bound | aim | value | | rounds |",
        "|---|---|---|---|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in _bar_rows(ratios(readings))),
        "",
        "## Beside the rival and the limit",
        "",
        "By wrk: each ratio within a round, then the median; the rival at its best in each figure.",
        "",
        "| contender | connections | "
        + " | ".join(f"{said} over (d)" for said in _OVER.values())
        + " | requests/s over (e) |",
        "|" + "---|" * (3 + len(_OVER)),
        *("| " + " | ".join(row) + " |" for row in _ratio_rows(found, readings)),
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


def _bar_rows(values: Mapping[str, Ratio]) -> list[tuple[str, ...]]:
    return [
        (
            bar.key,
            bar.said,
            f"at {'most' if bar.at_most else 'least'} {bar.bound:g}",
            "" if bar.aim is None else f"{bar.aim:g}",
            *(_told(bar, values[bar.key]) if bar.key in values else ("not measured", "", "")),
        )
        for bar in BARS
    ]


def _told(bar: Bar, ratio: Ratio) -> tuple[str, str, str]:
    verdict = "holds" if bar.holds(ratio.value) else "MISSED"
    return f"{ratio.value:.2f}", verdict, ", ".join(f"{each:.2f}" for each in ratio.rounds)


def _ratio_rows(found: Medians, readings: Sequence[Measured]) -> list[tuple[str, ...]]:
    """Return the ratios of every contender's figures, load by load, to the rival's and (e)'s."""
    rounds = by_round(readings)
    rows = []
    for name, tool, load in found:
        if tool == "wrk":
            beside = [("rival", figure) for figure in _OVER] + [("limit", "rate")]
            told = (_beside(rounds, name, load, *each) for each in beside)
            rows.append((_NAMES[name], str(load), *told))
    return rows


def _beside(rounds: Sequence[Round], name: str, load: int, other: str, figure: str) -> str:
    """Return the median of a figure's ratios within the rounds; nothing where there is none."""
    told = []
    for found in rounds:
        with suppress(KeyError):
            own: float = getattr(found[name, "wrk", load], figure)
            told.append(own / best(found, other, load, figure))
    return f"{median(told):.2f}" if told else ""


def bars_table(values: Mapping[str, Ratio]) -> Table:
    """Return the bars as a table of the terminal."""
    table = Table(Column("key", no_wrap=True), "bound", "aim", "value", "", "rounds")
    for key, _, *rest in _bar_rows(values):
        table.add_row(key, *rest)
    return table


def plot(found: Medians) -> Figure:
    """Return a bar chart of requests a second by connections: by wrk, and of both doors of (a)."""
    matplotlib.use("agg")
    measured = {(name, tool) for name, tool, _ in found}
    shown = {each: said for each, said in _SHOWN.items() if each in measured}
    loads = sorted({connections for _, tool, connections in found if tool == "wrk"})
    figure = Figure(figsize=(9, 0.6 + 0.7 * len(shown)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / max(len(loads), 1)
    for place, load in enumerate(loads):
        rates = [found.get((*each, load), {}).get("rate", 0.0) for each in shown]
        at = [i + place * height for i in range(len(shown))]
        drawn = axes.barh(at, rates, height, label=f"{load} connections")
        axes.bar_label(drawn, fmt="%.0f", padding=2, fontsize=8)
    axes.set_yticks([i + 0.4 - height / 2 for i in range(len(shown))], list(shown.values()))
    axes.invert_yaxis()
    axes.set_xlabel("requests a second")
    axes.legend()
    return figure
