"""A model card's figures: scores beside its rivals', and what experiments say of the price."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from training.documents.subject import Documented
from training.evidence.page import Section, Table, interval

__all__ = ["PARTS", "analyses"]

PARTS = {"holdout": "all held-out rows", "latest": "latest period", "randomised": "random prices"}
_SCORES = {
    "log_loss": "log-loss",
    "gain": "gain over a constant",
    "auc": "AUC",
    "brier": "Brier",
    "ece": "ECE",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
}


def analyses(about: Documented, model: str, figures: Mapping[str, Any]) -> Iterator[Section]:
    """Yield what evaluation found of one model, and pictures of it; or that there is nothing."""
    if not figures:
        yield Section("Quantitative Analyses", texts=["None on this machine."])
        return
    stems = ("by_predicted", "price_curves", "semi_elasticity")
    captions = ("Observed beside predicted", "Probability along the price", "The price's effect")
    named = zip(stems, captions, strict=True)
    pictures = [
        replace(about.pictures[f"{model}_{stem}"], caption=f"{model}: {caption}")
        for stem, caption in named
        if f"{model}_{stem}" in about.pictures
    ]
    yield Section("Quantitative Analyses", tables=[*_scores(figures)], pictures=pictures)
    price = figures["price"]
    rows = [
        [name, interval(row["randomised"]), interval(row["model_interval"])]
        for name, row in price["semi_elasticity"].items()
        if "absent" not in row
    ]
    slopes, wrong = price["slopes"], price["violations"]["model"]["violations"]
    yield Section(
        "The price's effect",
        level=3,
        texts=[
            f"Slope at the list price, logit per price unit: mean {slopes['mean']:.4f}, middle "
            f"80 % {slopes['low']:.4f} to {slopes['high']:.4f}. Wrong turns: {wrong:,}.",
            *([] if rows else ["No experiment on held-out rows can confirm it."]),
        ],
        tables=[Table(["semi-elasticity", "experiment", "model"], rows)] if rows else [],
    )


def _scores(figures: Mapping[str, Any]) -> Iterator[Table]:
    for part, title in PARTS.items():
        if "rows" not in figures.get(part, {}):
            continue
        columns = {"this model": figures[part]} | {
            name.replace("_", " "): rival[part]
            for name, rival in figures.get("rivals", {}).items()
            if part in rival
        }
        rows = [
            [label, *(interval(column.get(name)) for column in columns.values())]
            for name, label in _SCORES.items()
        ]
        yield Table([title, *columns], rows)
