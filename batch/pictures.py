"""The efficient frontier of a book, drawn."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from batch.output import replacing
from finntelligence.limits import Totals

__all__ = ["draw_frontier"]


def draw_frontier(points: Sequence[tuple[float, Totals]], currency: str, path: Path) -> None:
    """Draw profit and the expected-loss ratio over volume; each point bears its price of capital.

    The file's ending says its kind, `.png` or `.svg`.
    """
    figure = Figure(figsize=(7, 6), layout="constrained")
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    volume = [point.principal / 1e6 for _, point in points]
    profit = [point.profit / 1e3 for _, point in points]
    top.plot(volume, profit, "o-", color="#1f77b4", ms=4)
    for (capital, _), x, y in zip(points[::3], volume[::3], profit[::3], strict=True):
        top.annotate(f"{capital:.2f}", (x, y), textcoords="offset points", xytext=(4, -11))
    top.set(ylabel=f"expected profit, thousand {currency}")
    top.set_title("The most profit at each volume, and its price per unit of capital")
    loss = [100 * point.expected_loss_ratio for _, point in points]
    below.plot(volume, loss, "o-", color="#d95f02", ms=4)
    below.set(ylabel="expected loss, % of principal")
    below.set_xlabel(f"expected principal, million {currency}")
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix.removeprefix("."), dpi=110)
