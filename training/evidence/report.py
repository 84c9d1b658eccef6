"""The evidence of one portfolio for a person to read: one HTML file that needs nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finntelligence.portfolio import Capability, Portfolio
from training.evidence.fair_lending import fair_lending
from training.evidence.off_policy import off_policy
from training.evidence.page import Picture, Section, Table, cell, interval, page

__all__ = ["report"]

_SIMULATED = (
    "Simulated: this book comes from a simulator. Everything here was learned from and measured on "
    "made-up customers, and says nothing about real ones."
)
_INTERVALS = (
    "Brackets hold 95 % intervals. Those of scores come from resampling the held-out applicants, "
    "with the model as it is: they say how much another sample of such applicants could differ, "
    "not how much another fit would. Intervals of shares are Wilson's, those of regressions Wald's."
)
_NOT_CLAIMED = (
    "Not claimed: that the figures hold for other customers, lenders or years than those held out; "
    "that a default model knows those who took no loan, whose outcome was never observed; that "
    "contributions are causes, as they say what the model uses and no more; that expected profit "
    "is profit, as it is the models' own expectation; that a fairness screen is a legal finding."
)
_SCORES = {
    "auc": "AUC",
    "log_loss": "log-loss",
    "gain": "gain over a constant",
    "brier": "Brier",
    "ece": "ECE (15 bins)",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
}
_PARTS = {
    "holdout": "all held-out rows",
    "latest": "latest held-out period",
    "randomised": "held-out rows at randomised prices",
}
_SHIFTED, _MOVED = 0.25, 0.1


def report(
    portfolio: Portfolio,
    found: Mapping[str, Any],
    plots: Path,
    sources: Mapping[str, Mapping[str, Any]],
) -> str:
    """Return the report as HTML, every text escaped and every picture in `plots` embedded.

    `found` is evaluation.json's content; `sources` says, by model, which rows it is about.
    """
    sections = [_about(portfolio, sources)]
    for model in sorted(portfolio.capabilities):
        sections += _of_model(str(model), found[str(model)], plots, portfolio)
    if "decisions" in found:
        sections.append(_of_engine(found["decisions"], portfolio))
    if "judgement" in found:
        sections.append(off_policy(found["judgement"], plots, portfolio.currency))
    sections += fair_lending(found["fairness"])
    notices = [_SIMULATED] if portfolio.name == "simulated" else []
    return page(f"{portfolio.title}: evidence", notices, sections)


def _about(portfolio: Portfolio, sources: Mapping[str, Mapping[str, Any]]) -> Section:
    held = "a random part" if portfolio.random_holdout else "the newest part"
    names = list(next(iter(sources.values())))
    rows = [[name, *(cell(source[name]) for source in sources.values())] for name in names]
    return Section(
        "What this is about",
        texts=(
            f"Book {portfolio.name}, in {portfolio.currency}. Models are judged on {held} of the "
            "history, which they never saw; where figures include other rows, their label says so. "
            f"Default: {portfolio.default.definition}.",
            f"Declaration of the book: SHA-256 {portfolio.digest}.",
            _INTERVALS,
            _NOT_CLAIMED,
        ),
        tables=[Table(["", *sources], rows)],
    )


def _of_model(
    model: str, found: Mapping[str, Any], plots: Path, portfolio: Portfolio
) -> list[Section]:
    def pictures(**captions: str) -> list[Picture]:
        paths = {plots / f"{model}_{stem}.png": caption for stem, caption in captions.items()}
        return [Picture.of(path, caption) for path, caption in paths.items() if path.exists()]

    return [
        Section(f"{model.capitalize()}: scores", texts=_score_texts(found), tables=_scores(found)),
        Section(
            "Calibration",
            level=3,
            pictures=pictures(
                by_predicted="Observed beside predicted, by prediction",
                by_offset="Observed beside predicted, by price",
                by_offset_randomised="Observed beside predicted, by price, where it was randomised",
            ),
        ),
        Section(
            "The price",
            level=3,
            texts=_price_texts(model, found, portfolio),
            tables=[_monotone(found["price"]), *_elasticities(found["price"])],
            pictures=pictures(
                semi_elasticity="The price's effect: experiment and models",
                price_curves="Probability along the price, by segment",
            ),
        ),
        Section(
            "What the model uses",
            level=3,
            texts=[
                f"Shapley values of {found['importance']['rows']:,} held-out rows; they sum to the "
                f"model's logit within {found['importance']['additivity_error']:.1e}."
            ],
            pictures=pictures(
                contributions="Every applicant's contributions to the logit",
                dependence="Contribution along a field's values, with its middle 80 %",
                permutation="Growth of the log-loss when one input is permuted",
            ),
        ),
        Section(
            "Fit, stability and learning",
            level=3,
            texts=[*_stability_texts(found["stability"]), *_fit_texts(found["fit"])],
            pictures=pictures(
                stability="Population stability index, train to hold-out",
                learning_curve="Log-loss after fewer rows; the last point is the model itself",
            ),
        ),
    ]


def _score_texts(found: Mapping[str, Any]) -> list[str]:
    absent = found["latest"].get("absent")
    share = found["holdout"]["ece_if_calibrated"]
    return [
        f"Were every prediction true, chance alone would bring the ECE to {share:.4f} or "
        "more in one sample of twenty. A true model has calibration slope 1 and intercept 0.",
        *([f"Latest period: none of its own, {absent}."] if absent else []),
    ]


def _scores(found: Mapping[str, Any]) -> list[Table]:
    tables = []
    for part, title in _PARTS.items():
        if "absent" in found.get(part, {"absent": ""}):
            continue
        columns = {"model": found[part]} | {
            name.replace("_", " "): rival[part]
            for name, rival in found["rivals"].items()
            if part in rival
        }
        rows = [["rows, events", *(f"{c['rows']:,}, {c['events']:,}" for c in columns.values())]]
        for name, label in (_SCORES | {"model_gains": "model gains over it"}).items():
            cells = [interval(column.get(name)) for column in columns.values()]
            rows.append([label, *cells])
        tables.append(Table([title, *columns], rows))
    return tables


def _price_texts(model: str, found: Mapping[str, Any], portfolio: Portfolio) -> list[str]:
    price, texts = found["price"], []
    overall, *others = price["semi_elasticity"].values()
    if "absent" in overall and any("absent" not in other for other in others):
        texts.append(
            f"No experiment on held-out rows can confirm the price's effect: {overall['absent']}."
        )
    elif "absent" in overall:
        texts.append(
            f"No experiment can confirm the price's effect: {overall['absent']}. What the model "
            "says of it rests on how staff set prices and on assumptions."
        )
    if model == Capability.RISK:
        declared, fit = portfolio.price, found["fit"]
        prior = f"{declared.risk_slope_mean:.4f} (s.d. {declared.risk_slope_sd:.4f})"
        posterior = f"{fit['estimates']['gap']:.4f} (s.e. {fit['standard_errors']['gap']:.4f})"
        texts.append(
            f"Default's slope on the price, logit per price unit: assumed {prior} before the data, "
            f"{posterior} after. Randomised prices show it among those who took the loan."
        )
    slopes, error = price["slopes"], found["fit"]["standard_errors"]["gap"]
    texts.append(
        f"Slope at the list price, logit per price unit: mean {slopes['mean']:.4f} (the fit's "
        f"standard error is {error:.4f}), the middle 80 % of applicants {slopes['low']:.4f} to "
        f"{slopes['high']:.4f}. One price unit is one percentage point of the quoted rate."
    )
    return texts


def _monotone(price: Mapping[str, Any]) -> Table:
    keys = ("violations", "violating_applicants", "flat_steps", "applicants", "ticks")
    header = ["wrong turns along the price", *(key.replace("_", " ") for key in keys)]
    rows = [
        [name.replace("_", " "), *(f"{counts[key]:,}" for key in keys)]
        for name, counts in price["violations"].items()
    ]
    return Table(header, rows)


def _elasticities(price: Mapping[str, Any]) -> list[Table]:
    found = price["semi_elasticity"]
    known = [row for row in found.values() if "absent" not in row]
    if not known:
        return []
    told = ("rows", "events", "randomised", "model", "model_interval")
    believers = [k for k in known[0] if k not in told]
    rows = []
    for name, row in found.items():
        if "absent" in row:
            rows.append([name, row["absent"], *("" for _ in ("", "", "", *believers))])
            continue
        counts = f"{row['rows']:,}", f"{row['events']:,}"
        beliefs = (f"{row[k]:.4f}" for k in believers)
        pair = interval(row["randomised"]), interval(row["model_interval"])
        rows.append([name, *counts, *pair, *beliefs])
    header = ["semi-elasticity, held-out rows", "rows", "events", "experiment", "model"]
    return [Table([*header, *(k.replace("_", " ") for k in believers)], rows)]


def _stability_texts(stability: Mapping[str, float]) -> list[str]:
    def above(limit: float) -> str:
        names = [f"{name} {psi:.2f}" for name, psi in stability.items() if psi >= limit]
        return ", ".join(names) or "none"

    return [
        f"Shifted between training and hold-out (index from {_SHIFTED}): {above(_SHIFTED)}. "
        f"Worth watching (from {_MOVED}): {above(_MOVED)}."
    ]


def _fit_texts(fit: Mapping[str, Any]) -> list[str]:
    texts = [f"{fit['rounds']} rounds of trees on top of the linear parts."]
    if drifting := ", ".join(sorted(fit["drifting_features"])):
        texts.append(
            f"Drifted while it was learned from, and so barred from the price slope: {drifting}."
        )
    if guard := fit["slope_guard"]:
        kept = f"shrunk by {guard['shrink']:g}" if guard["shrink"] else "none"
        texts.append(
            f"Slope guard: a logit of one price slope has {guard['anchor']:.4f} "
            f"(s.e. {guard['anchor_se']:.4f}); trees of the slope after it: {kept}."
        )
    if fit["calibration"].get("applied"):
        intercept, slope = (fit["calibration"][name] for name in ("intercept", "slope"))
        texts.append(f"Recalibrated: intercept {intercept:.4f}, slope {slope:.4f}.")
    return texts


def _of_engine(decisions: Mapping[str, Any], portfolio: Portfolio) -> Section:
    bound = ", ".join(f"{code} {share:.1%}" for code, share in decisions["bound_by"].items())
    rows = [
        ["applicants decided on", f"{decisions['applicants']:,}"],
        ["got an offer", f"{decisions['offered_share']:.1%}"],
        ["price held by a rule", f"{decisions['bound_share']:.1%}"],
        ["by rule", bound or "none"],
        ["mean move from the list price, price units", f"{decisions['mean_move']:+.2f}"],
        ["median elasticity of acceptance", f"{decisions['median_elasticity']:.2f}"],
        [
            f"expected profit an applicant, {portfolio.currency}",
            f"{decisions['expected_profit_per_applicant']:.2f}",
        ],
    ]
    return Section("Decisions on held-out applicants", tables=[Table(["", ""], rows)])
