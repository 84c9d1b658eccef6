"""The evidence as pictures: the same figures give the same bytes."""

import itertools
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

__all__ = [
    "draw_bars",
    "draw_contributions",
    "draw_densities",
    "draw_dependence",
    "draw_elasticities",
    "draw_learning_curve",
    "draw_policies",
    "draw_price_curves",
    "draw_reliability",
]

Array = NDArray[np.float64]
Row = Mapping[str, Any]

# colours that the colour-blind can tell apart (Okabe and Ito 2008)
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#6f6f6f"
_STYLE = {
    "font.size": 9,
    "text.parse_math": False,  # a currency's $ is no formula
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#e5e5e5",
    "legend.frameon": False,
}
_TOLD = ("rows", "events", "randomised", "model_interval")
_MARKS = {"model": ("D", BLUE), "truth": ("*", GREEN)}
_RIVAL_MARKS = (("s", GREY), ("^", GREY))
_MOST_BARS = 15
_MOST_STRATA = 6


@contextmanager
def _figure(path: Path, rows: int = 1, columns: int = 1, size: Any = None) -> Iterator[Any]:
    """Yield the axes of a figure that is saved on leaving, whatever a user's own style is."""
    style: Any = {**mpl.rcParamsDefault, **_STYLE}
    del style["backend"]  # a figure of its own needs none, and the user's stays as it is
    with mpl.rc_context(style):
        figure = Figure(figsize=size or (6, 4), layout="constrained")
        yield figure.subplots(rows, columns, squeeze=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110, metadata={"Software": None})


def draw_reliability(rows: Sequence[Row], label: str, title: str, path: Path) -> None:
    """Draw observed shares with their intervals beside predicted ones."""
    with _figure(path) as axes:
        ax = axes[0, 0]
        _observed(ax, rows, "observed, 95 % interval")
        ax.plot(_of(rows, "value"), _of(rows, "predicted"), color=BLUE, label="predicted")
        ax.set(xlabel=label, ylabel="share", title=title)
        ax.legend()


def draw_price_curves(
    curves: Mapping[str, Row], observed: Mapping[str, Any], title: str, path: Path
) -> None:
    """Draw every segment's probability along the price, and what randomised prices showed."""
    columns = min(len(curves), 2)
    height = -(-len(curves) // columns)
    with _figure(path, height, columns, (4.2 * columns, 3 * height)) as axes:
        for ax in axes.flat[len(curves) :]:
            ax.set_axis_off()
        for ax, (segment, curve) in zip(axes.flat, curves.items(), strict=False):
            ax.fill_between(
                curve["offset"],
                curve["low"],
                curve["high"],
                color=BLUE,
                alpha=0.15,
                lw=0,
                label="middle 80 % of applicants",
            )
            ax.plot(curve["offset"], curve["mean"], color=BLUE, label="model, mean")
            if "absent" not in observed and segment in observed:
                _observed(ax, observed[segment], "at randomised prices, 95 %")
            ax.set(title=segment, xlabel="price units above list", ylabel="probability")
        axes[0, 0].legend(fontsize=7)
        axes[0, 0].figure.suptitle(title)


def draw_elasticities(found: Mapping[str, Row], title: str, path: Path) -> None:
    """Draw each class's experiment with its interval, and what the models believe of it."""
    known = {name: row for name, row in found.items() if "absent" not in row}
    names = list(known)[::-1]
    others = [k for k in known[names[0]] if k not in (*_TOLD, *_MARKS)]
    marks = _MARKS | dict(zip(others, _RIVAL_MARKS, strict=False))
    with _figure(path, size=(6, 1.4 + 0.6 * len(names))) as axes:
        ax = axes[0, 0]
        place = np.arange(len(names))
        estimates = [known[name]["randomised"] for name in names]
        value = np.array(_of(estimates, "value"))
        reach = [value - _of(estimates, "low"), _of(estimates, "high") - value]
        ax.errorbar(
            value, place, xerr=reach, fmt="o", color=ORANGE, capsize=3, label="experiment, 95 %"
        )
        for line, (name, (mark, colour)) in enumerate(marks.items(), start=1):
            if name in known[names[0]]:
                believed = [known[n].get(name, np.nan) for n in names]
                label = name.replace("_", " ")
                ax.plot(believed, place - 0.13 * line, mark, color=colour, ms=5, label=label)
        ax.axvline(0, color="black", lw=0.8)
        ax.set_yticks(place, [textwrap.fill(name, 26) for name in names])
        ax.set(xlabel="semi-elasticity: d ln P for one price unit more", title=title)
        ax.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))


def draw_contributions(
    contributions: Mapping[str, Array], colours: Mapping[str, Array], title: str, path: Path
) -> None:
    """Draw every applicant's contribution of each input; colour is the input's rank, low to high.

    `colours` holds ranks from 0 to 1; inputs without an order are grey.
    """
    size = {
        name: float(np.mean(np.abs(part))) for name, part in contributions.items() if part.any()
    }
    names = sorted(size, key=lambda name: (-size[name], name))[:_MOST_BARS][::-1]
    with _figure(path, size=(7, 1.2 + 0.32 * len(names))) as axes:
        ax = axes[0, 0]
        for place, name in enumerate(names):
            part = contributions[name]
            shade = colours.get(name)
            style = {"c": shade, "cmap": "viridis"} if shade is not None else {"color": GREY}
            ax.scatter(part, place + _heights(part), s=3, lw=0, rasterized=True, **style)
        ax.axvline(0, color="black", lw=0.8)
        ax.set_yticks(range(len(names)), names)
        ax.set(xlabel="contribution to the logit; dark is a low value, light a high", title=title)


def draw_dependence(found: Mapping[str, Sequence[Row]], title: str, path: Path) -> None:
    """Draw the mean contribution along each field's values, and its middle 80 %."""
    height = -(-len(found) // 2)
    with _figure(path, height, 2, (8, 2.8 * height)) as axes:
        for ax in axes.flat[len(found) :]:
            ax.set_axis_off()
        for ax, (name, rows) in zip(axes.flat, found.items(), strict=False):
            numbers = [row for row in rows if not isinstance(row["value"], str)]
            texts = [row for row in rows if isinstance(row["value"], str)]
            if numbers:
                x = _of(numbers, "value")
                ax.fill_between(
                    x, _of(numbers, "low"), _of(numbers, "high"), color=BLUE, alpha=0.15, lw=0
                )
                ax.plot(x, _of(numbers, "mean"), ".-", color=BLUE)
            for row in texts if not numbers else ():
                ax.errorbar(
                    [row["value"]],
                    [row["mean"]],
                    # a few large contributions can take the mean beyond the middle 80 %
                    yerr=np.maximum([[row["mean"] - row["low"]], [row["high"] - row["mean"]]], 0),
                    fmt="o",
                    color=BLUE,
                    capsize=3,
                )
            if numbers and texts:  # an absent number
                ax.axhline(texts[0]["mean"], color=GREY, ls="--", label="absent")
                ax.legend(fontsize=7)
            ax.tick_params(axis="x", labelrotation=30 if texts and not numbers else 0)
            ax.set(title=name, ylabel="contribution")
        axes[0, 0].figure.suptitle(title)


def draw_bars(values: Mapping[str, float], label: str, title: str, path: Path) -> None:
    """Draw the largest values, largest on top."""
    names = sorted(values, key=lambda name: (-values[name], name))[:_MOST_BARS][::-1]
    with _figure(path, size=(6, 1.2 + 0.25 * len(names))) as axes:
        axes[0, 0].barh(names, [values[name] for name in names], color=BLUE)
        axes[0, 0].set(xlabel=label, title=title)


def draw_learning_curve(points: Sequence[Row], title: str, path: Path) -> None:
    """Draw the hold-out's log-loss over the rows that were learned from."""
    with _figure(path) as axes:
        ax = axes[0, 0]
        losses = [point["log_loss"] for point in points]
        value = np.array(_of(losses, "value"))
        # of few resamples both percentiles may lie on one side of the value
        reach = np.maximum([value - _of(losses, "low"), _of(losses, "high") - value], 0)
        ax.errorbar(_of(points, "rows"), value, yerr=reach, fmt="o-", color=BLUE, capsize=3)
        ax.set_xscale("log")
        ax.set_xticks(_of(points, "rows"), [f"{rows:,}" for rows in _of(points, "rows")])
        ax.minorticks_off()
        ax.set(xlabel="rows learned from", ylabel="log-loss on the hold-out", title=title)


def draw_policies(values: Mapping[str, Row], label: str, title: str, path: Path) -> None:
    """Draw every policy's value with its interval, the first on top."""
    names = list(values)[::-1]
    with _figure(path, size=(6, 1.2 + 0.4 * len(names))) as axes:
        ax = axes[0, 0]
        rows = [values[name] for name in names]
        value = np.array(_of(rows, "value"))
        # of few resamples both percentiles may lie on one side of the value
        reach = np.maximum([value - _of(rows, "low"), _of(rows, "high") - value], 0)
        ax.errorbar(value, names, xerr=reach, fmt="o", color=BLUE, capsize=3)
        ax.axvline(0, color="black", lw=0.8)
        ax.set(xlabel=label, title=title)
        ax.margins(y=0.3)


def draw_densities(strata: Mapping[str, Sequence[Sequence[float]]], title: str, path: Path) -> None:
    """Draw each stratum's pairs of price, less list, and density; the first few strata."""
    some = dict(itertools.islice(strata.items(), _MOST_STRATA))
    height = -(-len(some) // 2)
    with _figure(path, height, 2, (8, 2.2 * height)) as axes:
        for ax in axes.flat[len(some) :]:
            ax.set_axis_off()
        for ax, (name, pairs) in zip(axes.flat, some.items(), strict=False):
            offset, density = np.array(pairs).T
            ax.plot(100 * offset, density / 100, ".", ms=3, color=BLUE)
            ax.set_ylim(bottom=0)
            ax.set(title=name, xlabel="price units above list", ylabel="density")
        axes[0, 0].figure.suptitle(title)


def _of(rows: Sequence[Row], name: str) -> list[Any]:
    return [row[name] for row in rows]


def _observed(ax: Axes, rows: Sequence[Row], label: str) -> None:
    share = np.array(_of(rows, "observed"))
    reach = [share - _of(rows, "low"), _of(rows, "high") - share]
    x = _of(rows, "value")
    ax.errorbar(x, share, yerr=reach, fmt="o", ms=4, color=ORANGE, capsize=3, label=label)


def _heights(values: Array, reach: float = 0.35) -> Array:
    """Spread points of like value above and below their line, as a swarm does."""
    count = 60
    edges = np.linspace(values.min(), values.max() + 1e-12, count)
    place = np.searchsorted(edges, values)
    heights = np.zeros(len(values))
    largest = max(np.bincount(place).max(), 1)
    for each in np.unique(place):
        rows = np.flatnonzero(place == each)
        # outwards from the middle: 0, 1, -1, 2, -2, ...
        steps = (np.arange(len(rows)) + 1) // 2 * np.where(np.arange(len(rows)) % 2, 1, -1)
        heights[rows] = steps * 2 * reach / largest
    return heights
