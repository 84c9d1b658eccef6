"""The monitoring plan: what to watch, against which figure of this pair, and what to do then.

Windows come from the pair's own figures. A window of n outcomes at a rate p knows the logit of p to
a standard error of 1 / sqrt(n p (1 - p)); it is long enough once three of them are the shift to be
noticed. By chance alone the stability index of K bins times n nears chi-square, K - 1 degrees.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from training.documents.subject import Documented
from training.evidence.page import Section, Table, interval

__all__ = ["plan", "window_rows"]

SHIFT = 0.2  # of a logit: about 3 points at 20 %
WATCH, DRIFTED = 0.1, 0.25  # the limits that the evaluation report and the drift screen use
AIR = 0.8  # the adverse impact ratio's internal limit
CHANCE = 16.92  # 95 % point of chi-square with 9 degrees of freedom, for 10 bins
SLOPE = 0.1  # of a calibration slope, as the gate's
SLOPE_ERROR = 0.2  # of the price's effect, as a share of it
_OUTCOME = {"acceptance": "quotes answered", "risk": "loans whose horizon has passed"}
_HEADER = ["what", "measured on", "now", "act when", "then"]


def window_rows(rate: float, shift: float = SHIFT) -> int:
    """Return how many outcomes at a rate make three standard errors of its logit `shift`."""
    return math.ceil(9 / (shift**2 * rate * (1 - rate)))


def plan(about: Documented) -> list[Section]:
    """Return the plan, with the limits and windows of this very pair."""
    if not about.evaluation:
        nothing = "No plan: its limits come from the pair's evaluation, which is not here."
        return [Section("Monitoring plan", texts=[nothing])]
    models = {model: about.evaluation[model] for model in about.responses}
    rows = [row for model, found in models.items() for row in _of_model(model, found)]
    rows += [*_fairness(about.evaluation.get("fairness", {}))]
    return [
        Section(
            "Monitoring plan",
            texts=[
                "The engine does not run this plan by itself: it names the figures, the windows "
                "and the limits that the pair's own evaluation implies. Every measure is taken on "
                "whole periods, of the pair in force alone; a new pair starts its own windows.",
            ],
            tables=[Table(_HEADER, rows)],
        ),
        Section("Stability limits by input", level=3, tables=[_inputs(models)]),
        Section("Refit triggers", level=3, tables=[Table(["refit when"], [*_triggers(about)])]),
    ]


def _of_model(model: str, found: Mapping[str, Any]) -> Iterator[list[str]]:
    holdout = found["holdout"]
    rate = holdout["events"] / holdout["rows"]
    intercept, slope = holdout.get("calibration_intercept"), holdout.get("calibration_slope")
    rows = window_rows(rate)
    window = f"the last {rows:,} {_OUTCOME[model]}{_in_periods(rows, found)}"
    largest = max(found["stability"].items(), key=lambda item: item[1])
    few = math.ceil(CHANCE / WATCH * 4)
    yield [
        f"{model}: stability of each input and of the prediction",
        f"applicants of a period beside training rows, at least {few:,} "
        f"(chance keeps the index below {CHANCE / few:.3f} in 95 of 100)",
        f"largest {largest[0]} {largest[1]:.3f}{_past(largest[1] >= DRIFTED)}",
        f"{WATCH:g}: look; {DRIFTED:g} in two periods running: act",
        "find the cause; refit",
    ]
    yield [
        f"{model}: observed beside predicted",
        window,
        f"{rate:.1%} observed; intercept {interval(intercept)}"
        f"{_past(_beyond(intercept, 0, SHIFT))}",
        f"recalibration intercept beyond {SHIFT:g} with its 95 % interval clear of 0",
        "recalibrate by a refit; until then quote within the tested price range",
    ]
    yield [
        f"{model}: observed beside predicted, by tenth of price",
        f"ten times that: {10 * rows:,} {_OUTCOME[model]}",
        f"calibration slope {interval(slope)}{_past(_beyond(slope, 1, SLOPE))}",
        f"any tenth beyond {SHIFT:g} logit and three standard errors, or a slope more than "
        f"{SLOPE:g} from 1 with its interval clear of 1",
        "stop moves away from the list price; test prices anew; refit",
    ]
    yield _price(model, found)


def _in_periods(rows: int, found: Mapping[str, Any]) -> str:
    latest = found.get("latest", {}).get("rows")
    return f" ({rows / latest:.2g} of the latest held-out period's)" if latest else ""


def _price(model: str, found: Mapping[str, Any]) -> list[str]:
    effect, what = found["price"]["semi_elasticity"]["all"], f"{model}: the price's effect"
    if "absent" in effect:
        return [
            what,
            "quotes at randomised prices",
            f"not known by experiment: {effect['absent']}",
            "at once: it cannot be monitored without randomised prices",
            "randomise a share of quotes within the policy",
        ]
    seen = effect["randomised"]
    error = (seen["high"] - seen["low"]) / (2 * 1.96)
    needed = math.ceil(effect["rows"] * (error / (SLOPE_ERROR * abs(seen["value"]))) ** 2)
    share = found["fit"]["randomised_share"]
    return [
        what,
        f"{needed:,} rows at randomised prices, for a standard error of {SLOPE_ERROR:.0%} of it",
        f"semi-elasticity {interval(seen)}, the model's {interval(effect['model_interval'])}"
        f"{_past(not seen['low'] <= effect['model'] <= seen['high'])}; "
        f"{share:.0%} of training rows were randomised",
        "the model's own lies outside the experiment's 95 % interval, or fewer rows are randomised",
        "refit; restore the randomised share",
    ]


def _fairness(found: Mapping[str, Any]) -> Iterator[list[str]]:
    for field, part in found.items():
        for group, one in part.get("screens", {}).get("adverse_impact_ratio", {}).items():
            yield [
                f"approvals of {field} {group}: adverse impact ratio",
                f"at least {one['rows']:,} applicants of the group"
                + (", too few to flag as yet: more are needed" if one["flag"] is None else ""),
                f"{interval(one)}{_past(one['value'] is not None and one['value'] < AIR)}",
                f"below {AIR:g}, or its interval wholly below {_low(one)}",
                "stop the pair's promotion; review with a named sign-off, or roll back",
            ]
    if not found:
        yield [
            "adverse impact",
            "nothing: no field of role group or protected",
            "not screened",
            "cannot be seen",
            "bring a field for fairness tests",
        ]


def _beyond(found: Mapping[str, Any] | None, true: float, limit: float) -> bool:
    """Whether a figure is further off than the limit, and its interval clear of the true one."""
    if found is None or found["value"] is None or found["low"] is None:
        return False
    return abs(found["value"] - true) > limit and not found["low"] <= true <= found["high"]


def _past(limit_passed: bool) -> str:
    return " (past the limit already)" if limit_passed else ""


def _low(one: Mapping[str, Any]) -> str:
    return f"{one['low']:.3f}" if one.get("low") is not None else "1"


def _inputs(models: Mapping[str, Mapping[str, Any]]) -> Table:
    names = dict.fromkeys(name for found in models.values() for name in found["stability"])
    rows = [
        [name, *(_index(found["stability"].get(name)) for found in models.values())]
        for name in names
    ]
    limits = [f"{WATCH:g}", f"{DRIFTED:g}"]
    return Table(
        ["input", *(f"{model}, now" for model in models), "look from", "act from"],
        [[*row, *limits] for row in rows],
    )


def _index(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _triggers(about: Documented) -> Iterator[list[str]]:
    newest = {span.rpartition(" ")[2] for span in about.data.periods.values()}
    yield ["any limit above is passed and the cause is not an error in the data"]
    yield ["the book's declaration changes: the engine refuses models of another declaration"]
    yield ["the policy is to allow prices or terms beyond those that were tried"]
    yield ["funding costs leave the range that the history had"]
    yield [
        "a year of new outcomes is there, whatever the limits say"
        + (f" (newest period learned from or held out: {max(newest, key=int)})" if newest else "")
    ]
