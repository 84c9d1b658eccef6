"""The plots folder of one portfolio: which figure of the evidence becomes which file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from finntelligence.portfolio import Portfolio
from training.evidence import figures
from training.evidence.findings import Evidence
from training.evidence.reliability import write_series

__all__ = ["draw", "draw_judgement", "slug"]

_LABELS = {
    "predicted": "predicted probability",
    "offset": "price units above list",
    "offset_randomised": "price units above list, randomised prices only",
}


def slug(text: str) -> str:
    """Return a text as part of a file name.

    >>> slug("fico from 660 below 694")
    'fico_from_660_below_694'
    """
    return "".join(c if c.isalnum() else "_" for c in text).strip("_").lower()


def draw(model: str, evidence: Evidence, portfolio: Portfolio, folder: Path) -> None:
    """Write one model's series (CSV, for `dvc plots`) and pictures (PNG)."""
    found, title = evidence.found, f"{portfolio.name}: {model}"
    for by, rows in found["calibration"].items():
        if "absent" not in rows:
            write_series(rows, folder / f"{model}_by_{by}.csv")
            figures.draw_reliability(rows, _LABELS[by], title, folder / f"{model}_by_{by}.png")
    _draw_price(model, found["price"], title, folder)
    _draw_importance(model, evidence, title, folder)
    points = found["learning_curve"]
    write_series(_learned(points), folder / f"{model}_learning_curve.csv")
    figures.draw_learning_curve(points, title, folder / f"{model}_learning_curve.png")
    figures.draw_bars(
        found["stability"],
        "population stability index, train to hold-out",
        title,
        folder / f"{model}_stability.png",
    )


def draw_judgement(found: Mapping[str, Any], portfolio: Portfolio, folder: Path) -> None:
    """Draw what policies would have earned, and the densities behind it, where there is any."""
    values = {name: p["dr"] for name, p in found["policies"].items() if "dr" in p}
    if values:
        label = f"{portfolio.currency} a request, doubly robust, 95 %"
        title = f"{portfolio.name}: policies"
        figures.draw_policies(values, label, title, folder / "judgement.png")
    densities = {s["stratum"]: s["density"] for s in found["support"] if "density" in s}
    if densities:
        title = f"{portfolio.name}: prices drawn"
        figures.draw_densities(densities, title, folder / "densities.png")


def _draw_price(model: str, price: Mapping[str, Any], title: str, folder: Path) -> None:
    observed = price["observed"]
    figures.draw_price_curves(
        price["curves"], observed, title, folder / f"{model}_price_curves.png"
    )
    for segment, rows in observed.items() if "absent" not in observed else ():
        write_series(rows, folder / f"{model}_price_{slug(segment)}.csv")
    if any("absent" not in row for row in price["semi_elasticity"].values()):
        path = folder / f"{model}_semi_elasticity.png"
        figures.draw_elasticities(price["semi_elasticity"], title, path)


def _draw_importance(model: str, evidence: Evidence, title: str, folder: Path) -> None:
    importance, parts, rows = (
        evidence.found["importance"],
        evidence.attribution,
        evidence.explained,
    )
    named = {**parts.fields, **{f"offer: {name}": part for name, part in parts.offer.items()}}
    ranks = {
        name: rows[name].rank(pct=True).fillna(0.5).to_numpy()
        for name in parts.fields
        if pd.api.types.is_numeric_dtype(rows[name])
    }
    figures.draw_contributions(named, ranks, title, folder / f"{model}_contributions.png")
    figures.draw_dependence(importance["dependence"], title, folder / f"{model}_dependence.png")
    figures.draw_bars(
        {row["input"]: row["log_loss"] for row in importance["permutation"]},
        "growth of the log-loss when permuted",
        title,
        folder / f"{model}_permutation.png",
    )


def _learned(points: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    return [
        {
            "value": point["rows"],
            "observed": point["log_loss"]["value"],
            "low": point["log_loss"]["low"],
            "high": point["log_loss"]["high"],
        }
        for point in points
    ]
