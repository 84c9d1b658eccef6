"""What other policies would have earned, as a section of the report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.evidence.page import Picture, Section, Table

__all__ = ["off_policy", "policy_rows"]

_ESTIMATORS = {
    "dm": "direct method (DM)",
    "ips": "inverse propensity (IPS)",
    "snips": "self-normalised (SNIPS)",
    "dr": "doubly robust (DR)",
}
_PICTURES = {
    "judgement": "What each policy would have earned a request, doubly robust, with 95 % intervals",
    "densities": "The densities that prices were drawn from, as recorded or estimated, by stratum",
}
_MOST_STRATA = 12


def off_policy(found: Mapping[str, Any], plots: Path, currency: str) -> Section:
    """Return the section; `found` is what `training.judging.judge.judged` returns."""
    title = "Policies judged on logged quotes"
    if found["refused_because"]:
        return Section(title, texts=[f"Nothing is claimed: {found['refused_because']}."])
    shown = {plots / f"{stem}.png": caption for stem, caption in _PICTURES.items()}
    return Section(
        title,
        texts=[
            f"On {found['randomised_rows']:,} held-out quotes at randomised prices; "
            f"{found['left_out']}. Of {found['atoms']:,} the price was cut off at a bound: they "
            "have no density and tell of no other price, but stay among the requests. Intervals "
            f"are of {found['params']['replicates']:,} bootstrap draws of applicants, the "
            "acceptance model refitted in each.",
            *(f"Assumed: {text}" for text in found["assumptions"]),
        ],
        tables=[Table(*policy_rows(found, currency)), _strata(found["support"])],
        pictures=[Picture.of(path, text) for path, text in shown.items() if path.exists()],
    )


def policy_rows(found: Mapping[str, Any], currency: str) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the policies' table: money to the cent, or why there is none."""
    names = list(found["policies"])
    rows = []
    for kind, label in _ESTIMATORS.items():
        cells = [_money(policy.get(kind)) for policy in found["policies"].values()]
        rows.append([f"{label}, {currency} a request", *cells])
    gains = (found["differences"].get(name, {}).get("dr") for name in names)
    rows.append(["DR, difference to the baseline", *map(_money, gains)])
    for key, label, form in (
        ("ess", "effective sample size", ",.0f"),
        ("raw_weight", "mean weight off the edges (1 if densities are right)", ".3f"),
        ("price_shift", "mean of drawn less proposed rate", "+.5f"),
        ("uncovered_share", "requests at prices not tested", ".1%"),
        ("declined_share", "requests declined", ".1%"),
        ("mean_rate", "mean rate offered", ".4f"),
    ):
        figures = (policy.get(key) for policy in found["policies"].values())
        rows.append([label, *("" if figure is None else f"{figure:{form}}" for figure in figures)])
    refused = [policy["refused_because"] or "" for policy in found["policies"].values()]
    if any(refused):
        rows.append(["refused, because", *refused])
    return ["policy", *names], rows


def _money(found: Mapping[str, float] | None) -> str:
    if found is None:
        return ""
    return f"{found['value']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def _strata(support: list[dict[str, Any]]) -> Table:
    header = ["stratum", "rows", "tested, points from list", "bandwidth, points", "density sums to"]
    rows = []
    for part in support[:_MOST_STRATA]:
        if "absent" in part:
            rows.append([part["stratum"], f"{part['rows']:,}", part["absent"], "", ""])
            continue
        low, high, width = (100 * part[key] for key in ("lowest", "highest", "bandwidth"))
        reach = f"{low:+.2f} to {high:+.2f}"
        sums = f"{part['density_sum']:.3f}"
        rows.append([part["stratum"], f"{part['rows']:,}", reach, f"{width:.2f}", sums])
    if len(support) > _MOST_STRATA:
        rows.append([f"and {len(support) - _MOST_STRATA} more", "", "", "", ""])
    return Table(header, rows)
