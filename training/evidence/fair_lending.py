"""The fair-lending part of a report: what was screened by group, and what could not be."""

from collections.abc import Iterator, Mapping
from typing import Any

from training.evidence.page import Section, Table, cell, interval

__all__ = ["fair_lending"]

_BESIDE = (
    "The engine's offers stand beside those of a lender without it, who gives what was asked for "
    "at the list price to all whose probability of default is within a cut-off."
)
_SCREEN = ("rows", "flag", "says")
_MEANS = {
    "approved": "share approved",
    "apr": "APR",
    "markup": "APR above break-even",
    "p_accept": "acceptance",
    "expected_profit": "expected profit an applicant",
}
_CALIBRATION = {
    "predicted": "predicted",
    "observed": "observed",
    "error": "predicted less observed",
    "intercept_gap": "logit gap to the reference",
}
_SUSPECTED = {True: "yes", False: "no", None: "too few to tell"}


def fair_lending(fairness: Mapping[str, Any]) -> list[Section]:
    """Return what `screens.screens` found as sections, one a field; or why there is nothing."""
    if not fairness:
        nothing = "Not screened: no field of role group or protected."
        return [Section("Fair lending", texts=[nothing])]
    offers = any("screens" in found for found in fairness.values())
    return [
        Section("Fair lending", texts=[_BESIDE if offers else "No offers: calibration only."]),
        *(_of_field(name, found) for name, found in fairness.items()),
    ]


def _of_field(name: str, found: Mapping[str, Any]) -> Section:
    unknown = f"Of unknown group: {found['unknown']:,}."
    if "reference" not in found:
        texts = [f"{unknown} Fewer than two groups are known: nothing to compare."]
        return Section(f"By {name}", level=3, texts=texts)
    tables = [*_offers(found), *_calibration(found["calibration"]), _proxies(found["proxies"])]
    texts = [f"{unknown} Groups are compared with {found['reference']}, the largest."]
    return Section(f"By {name}", level=3, texts=texts, tables=tables)


def _offers(found: Mapping[str, Any]) -> Iterator[Table]:
    lenders = {"engine": found, "list price": found.get("list_price", {})}
    screened = [
        [lender, screen.replace("_", " "), group, *(cell(one[key]) for key in _SCREEN)]
        for lender, part in lenders.items()
        for screen, groups in part.get("screens", {}).items()
        for group, one in groups.items()
    ]
    if screened:
        yield Table(["offers", "screen", "group", *_SCREEN], screened)
    means = [
        [lender, group, *(interval(part["means"][key][group]) for key in _MEANS)]
        for lender, part in lenders.items()
        for group in part.get("means", {}).get("approved", {})
    ]
    if means:
        yield Table(["offers", "group", *_MEANS.values()], means)


def _calibration(found: Mapping[str, Any]) -> Iterator[Table]:
    rows = [
        [model, group, cell(one["rows"]), cell(one["events"]), *_intervals(one)]
        for model, groups in found.items()
        for group, one in groups.items()
    ]
    if rows:
        yield Table(["calibration", "group", "rows", "events", *_CALIBRATION.values()], rows)


def _intervals(found: Mapping[str, Any]) -> Iterator[str]:
    for key in _CALIBRATION:
        yield interval(found[key])


def _proxies(found: Mapping[str, Any]) -> Table:
    rows = [
        [one["column"], group, cell(one["rows"]), _auc(one), _SUSPECTED[one["suspected"]]]
        for group, columns in found.items()
        for one in columns
    ]
    return Table(["may stand in for the group", "group", "rows", "AUC", "suspected"], rows)


def _auc(strength: Mapping[str, Any]) -> str:
    return interval({"value": strength["auc"], "low": strength["low"], "high": strength["high"]})
