"""Model cards: what each model is for, made of, shown to do, and not known to do.

The headings are those of Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019). Run as
`python -m training.documents.model_card PORTFOLIO`; writes build/<portfolio>/cards/<model>.html,
and the same content as JSON.
"""

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from finntelligence.fields import Role
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.response import PriceResponse
from training.documents.analyses import PARTS, analyses
from training.documents.lineage import section as lineage_section
from training.documents.subject import Documented, documented
from training.evidence.fair_lending import fair_lending
from training.evidence.page import Section, Table, cell, page
from training.stages import Paths, run_stage, write_json

__all__ = ["SIMULATED", "as_json", "card", "main", "notices"]

log = logging.getLogger(__name__)

SIMULATED = (
    "Simulated: this book comes from a simulator. Everything here was learned from and measured "
    "on made-up customers, and says nothing about real ones."
)
_PURPOSE = {
    Capability.RISK: (
        "Gives the probability that a loan of given amount, term and price ends in default, for "
        "an applicant of this book, so that offers can be priced and declined.",
        "default of those who took a loan",
    ),
    Capability.ACCEPTANCE: (
        "Gives the probability that an applicant of this book takes an offer of given amount, "
        "term and price, so that the price can weigh margin against take-up.",
        "acceptance of quoted offers",
    ),
}
_OUT_OF_SCOPE = (
    "Out of scope: other lenders, products, currencies or countries than this book's; applicants "
    "outside the declared bounds of a field; prices and terms beyond those that were tried; "
    "capital requirements and provisions; collections, marketing or employment decisions; any "
    "use without the engine's policy, whose rules the model does not know.",
    "The model decides nothing alone: the engine applies the policy to both models' "
    "probabilities, and a lender answers for the policy.",
)
_METRICS = (
    "Log-loss judges the probabilities themselves, which a price is computed from; AUC only their "
    "order. Calibration slope 1 and intercept 0 mean that a predicted 20 % happens in 20 of 100. "
    "The semi-elasticity d ln P per price unit, where prices were randomised, judges what the "
    "optimiser relies on most. Wrong turns along the price must be 0.",
    "Brackets hold 95 % intervals: bootstrap over held-out applicants for scores, Wilson's for "
    "shares, Wald's for regressions. The model is kept as it is: they do not say how much another "
    "fit would differ.",
)
_ETHICS = (
    "No field of role protected or group is an input; a field named like a prohibited basis, or "
    "declared a proxy, is refused when the book is read. Inputs can still stand in for a group.",
    "Prices that follow individual price sensitivity can charge more to those who compare less. "
    "The markup over each loan's break-even APR is therefore screened by group.",
)
_NEVER_TESTED = (
    "other lenders, countries or years than those of the data, and an economic downturn",
    "applicants who were declined or took no loan, whose default was never observed",
    "live use: nothing here was measured on decisions that this engine made",
    "inputs that applicants or brokers misstate on purpose",
    "less discriminatory alternatives, and a correction for the number of screens",
)


def card(about: Documented, model: str, level: int = 2) -> list[Section]:
    """Return one model's card as sections whose headings start at `level`."""
    response, figures = about.responses[model], about.evaluation.get(model, {})
    capability = Capability(model)
    sections = [
        _details(about, response, figures),
        Section("Intended Use", texts=[_PURPOSE[capability][0], *_OUT_OF_SCOPE]),
        _factors(response.portfolio),
        Section("Metrics", texts=_METRICS),
        _evaluation_data(about, figures),
        _training_data(about, model),
        *analyses(about, model, figures),
        *_ethics(about, model),
        _caveats(about, response, figures),
    ]
    if about.lineage:
        sections.append(lineage_section(about.lineage, level=2))
    return [replace(each, level=each.level + level - 2) for each in sections]


def notices(about: Documented) -> list[str]:
    """Return what a reader must know first."""
    told = [SIMULATED] if about.portfolio.name == "simulated" else []
    if not about.evaluation:
        told.append("The evaluation of this pair is not on this machine: no figure is shown.")
    if about.lineage is None:
        told.append("This pair was never registered, so no gate has judged it.")
    return told


def as_json(sections: Sequence[Section]) -> list[dict[str, Any]]:
    """Return sections as JSON holds them; of a picture its caption."""
    return [
        {
            "title": each.title,
            "level": each.level,
            "texts": [str(text) for text in each.texts],
            "tables": [
                {"header": list(table.header), "rows": [list(row) for row in table.rows]}
                for table in each.tables
            ],
            "pictures": [picture.caption for picture in each.pictures],
        }
        for each in sections
    ]


def _details(about: Documented, response: PriceResponse, figures: Mapping[str, Any]) -> Section:
    model, fit = str(response.model), figures.get("fit", {})
    versions = {each.model: each for each in about.lineage.models} if about.lineage else {}
    rows = [["book", f"{response.portfolio.title} ({response.portfolio.name})"]]
    rows.append(["declaration, SHA-256", response.portfolio.digest])
    rows.append(["pair", f"{about.pair} ({about.alias})"])
    if found := versions.get(model):
        rows.append(["version, logged at", f"{found.version}, {found.logged_at}"])
        rows.append(["artefact, SHA-256", found.artefact_sha256])
    rounds = fit.get("rounds", response.evidence.get("rounds", 0))
    return Section(
        "Model Details",
        texts=[
            "Form: logit p = sum over heads of coefficient(x) times phi(offer, x), phi of the "
            "first head 1. A coefficient is linear in a fixed basis of the inputs plus, where the "
            "head has one, the output of an XGBoost ensemble, then clipped to its head's sign; so "
            "the probability is smooth and monotone in the price.",
            f"Trees kept: {rounds} rounds. {_guard(fit)}",
            "Control function: the quoted price's distance from the list price, 0 where the price "
            "was randomised, is a term of the fit alone. It takes up what staff knew and the "
            "inputs do not show, so that this is not read as the price's effect.",
            _calibrated(response),
        ],
        tables=[Table(["", ""], rows), _heads(response, fit)],
    )


def _guard(fit: Mapping[str, Any]) -> str:
    guard = fit.get("slope_guard")
    if not guard:
        return "The slope guard had nothing to judge."
    kept = f"shrunk by {guard['shrink']:g}" if guard["shrink"] else "none"
    return (
        f"Slope guard: one slope fitted alone is {guard['anchor']:.4f} (s.e. "
        f"{guard['anchor_se']:.4f}); the slope's trees after it: {kept}."
    )


def _calibrated(response: PriceResponse) -> str:
    intercept, slope = response.calibration
    if (intercept, slope) == (0.0, 1.0):
        return "The total logit is not recalibrated."
    return f"The total logit is recalibrated: intercept {intercept:.4f}, slope {slope:.4f}."


def _heads(response: PriceResponse, fit: Mapping[str, Any]) -> Table:
    signs = {-1: "falls", 0: "free", 1: "rises"}
    rows = []
    for head in response.heads:
        value = fit.get("estimates", {}).get(head.name)
        error = fit.get("standard_errors", {}).get(head.name)
        told = (
            "" if value is None else f"{value:.4f}" + ("" if error is None else f" ({error:.4f})")
        )
        supported = (
            "yes" if head.supported else "no: never varied, so offers needing it are refused"
        )
        rows.append(
            [head.name, head.phi, signs[head.sign], "yes" if head.tree else "no", supported, told]
        )
    return Table(["head", "phi", "sign", "may have trees", "tried", "estimate (s.e.)"], rows)


def _factors(portfolio: Portfolio) -> Section:
    by_role: dict[Role, list[str]] = {role: [] for role in Role}
    for field in portfolio.fields:
        by_role[field.role].append(field.name)
    rows = [[str(role), ", ".join(names) or "none"] for role, names in by_role.items()]
    return Section(
        "Factors",
        texts=[
            "Groups are compared by the fields of role protected and group, which no model saw."
        ],
        tables=[Table(["role", "fields"], rows)],
    )


def _evaluation_data(about: Documented, figures: Mapping[str, Any]) -> Section:
    held = "A random part" if about.portfolio.random_holdout else "The newest part"
    rows = [
        [title, f"{figures[part]['rows']:,}", f"{figures[part]['events']:,}"]
        for part, title in PARTS.items()
        if "rows" in figures.get(part, {})
    ]
    return Section(
        "Evaluation Data",
        texts=[f"{held} of the history, which the model never saw.", *_absent(figures)],
        tables=[Table(["part", "rows", "events"], rows), _periods(about)] if rows else [],
    )


def _absent(figures: Mapping[str, Any]) -> Iterator[str]:
    for part, title in PARTS.items():
        if figures and (part not in figures or "absent" in figures[part]):
            why = figures.get(part, {}).get("absent", "the data has no such rows, or no others")
            yield f"Not judged on {title}: {why}."


def _training_data(about: Documented, model: str) -> Section:
    portfolio, figures = about.portfolio, about.evaluation.get(model, {})
    horizon = portfolio.default.horizon_months
    within = f"{horizon} months" if horizon else "the contract's own term"
    fit = figures.get("fit", {})
    rows = [[name, value] for name, value in about.data.source.items()]
    rows += [[f"{name}", cell(fit[name])] for name in ("rows", "events") if name in fit]
    if "randomised_share" in fit:
        rows.append(["share at randomised prices", f"{fit['randomised_share']:.1%}"])
    return Section(
        "Training Data",
        texts=[
            f"Learns {_PURPOSE[Capability(model)][1]}.",
            f"Default: {portfolio.default.definition}. Horizon: {within}.",
            "An absent number counts as the mean in the linear part, beside a flag for its "
            "absence; trees see it as absent.",
        ],
        tables=[Table(["", ""], rows), _periods(about)],
    )


def _periods(about: Documented) -> Table:
    rows = [[name, span] for name, span in about.data.periods.items()]
    return Table(["periods", ""], rows or [["not known here: this machine lacks the data", ""]])


def _ethics(about: Documented, model: str) -> Iterator[Section]:
    yield Section("Ethical Considerations", texts=_ETHICS)
    if "fairness" not in about.evaluation:
        yield Section("Fairness screens", level=3, texts=["Not screened on this machine."])
        return
    only = {
        field: {**found, "calibration": _of(found.get("calibration", {}), model)}
        for field, found in about.evaluation["fairness"].items()
    }
    for each in fair_lending(only):
        yield replace(each, level=each.level + 1)


def _of(calibration: Mapping[str, Any], model: str) -> dict[str, Any]:
    return {name: found for name, found in calibration.items() if name == model}


def _caveats(about: Documented, response: PriceResponse, figures: Mapping[str, Any]) -> Section:
    untried = [head.name for head in response.heads if not head.supported]
    drifting = sorted(figures.get("fit", {}).get("drifting_features", {}))
    texts = [
        "Contributions of inputs say what the model uses; they are not causes.",
        *([f"Never varied in the data, so not offered: {', '.join(untried)}."] if untried else []),
        *([f"Drifted in the training data: {', '.join(drifting)}."] if drifting else []),
    ]
    if response.model is Capability.RISK:
        price = response.portfolio.price
        texts.append(
            "The effect of the price on default starts from an assumed slope of "
            f"{price.risk_slope_mean:g} (s.d. {price.risk_slope_sd:g}) logit per price unit."
        )
    rows = [[text] for text in _NEVER_TESTED]
    return Section("Caveats and Recommendations", texts=texts, tables=[Table(["not tested"], rows)])


def main(portfolio_name: str) -> None:
    """Write the cards of the pair in force."""
    about = documented(portfolio_name)
    for model in about.responses:
        sections = card(about, model)
        folder = Paths(portfolio_name).build / "cards"
        title = f"Model card: {model} of {about.portfolio.title}"
        told = notices(about)
        content = {"title": title, "pair": about.pair, "notices": told}
        write_json(folder / f"{model}.json", {**content, "sections": as_json(sections)})
        (folder / f"{model}.html").write_text(page(title, told, sections), encoding="utf-8")
        log.info("%s: wrote %s", portfolio_name, folder / f"{model}.html")


if __name__ == "__main__":
    run_stage(main, sys.argv[1])
