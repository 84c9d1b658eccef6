"""Fair-lending screens: no flag that the champion does not have, unless a person answers for it.

A first champion faces the list price, which the book's own lender charges.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from finntelligence.policy import Policy
from training.evidence.offered import best_offers, list_offers
from training.evidence.screens import ScreenParams, screens
from training.fitting.price_response import columns_of
from training.gate.pair import Pair
from training.gate.sign_off import SignOff
from training.gate.verdict import Verdict, untestable
from training.simulator.oracle import INCUMBENT_PD

__all__ = ["CRITERION", "Screens", "covers", "fairness", "needed", "screened", "unscreened"]

Screens = Mapping[str, Mapping[str, Any]]
"""Screens by `field/screen/group`, each as `finntelligence.screening.Screen` has it."""

CRITERION = "fairness: flagged screens that need a sign-off"
_BOUND = "0 without a named sign-off"
_LOWER_IS_WORSE = "adverse_impact_ratio"


def screened(
    pair: Pair, policy: Policy, rows: pd.DataFrame, params: ScreenParams
) -> tuple[Screens, Screens]:
    """Return the screens of what a pair offers these applicants, and of the list price."""
    market, both = pair.market(policy), pair.both(columns_of(pair.portfolio, rows))
    listed = list_offers(rows, market, both, policy.pd_cutoff or INCUMBENT_PD)
    found = screens(
        rows, best_offers(rows, market, both), pair.portfolio, {}, params, listed=listed
    )
    compared = {field: each for field, each in found.items() if "screens" in each}
    return _keyed(compared), _keyed({f: each["list_price"] for f, each in compared.items()})


def needed(challenger: Screens, rival: Screens) -> dict[str, Mapping[str, Any]]:
    """Return the flagged screens that need a sign-off.

    They are those that the rival lacks, and those in which it is better beyond the challenger's
    interval.
    """
    return {
        name: screen
        for name, screen in challenger.items()
        if screen["flag"] and not _as_bad(screen, rival.get(name))
    }


def covers(signed: SignOff, screen: Mapping[str, Any]) -> bool:
    """Whether an earlier signature holds for a screen: its figure is no worse than was signed."""
    if signed.value is None:
        return False
    if screen["name"] == _LOWER_IS_WORSE:
        return bool(screen["value"] >= signed.value)
    sign = 1 if signed.value >= 0 else -1
    return bool(0 <= sign * screen["value"] <= sign * signed.value)


def fairness(flags: Screens, signed: Mapping[str, SignOff], rival: str) -> Verdict:
    """Judge the flags that need a sign-off by those that have one."""
    told = [
        f"{name}: {screen['says']}{_signature(signed.get(name))}" for name, screen in flags.items()
    ]
    unsigned = set(flags) - set(signed)
    return Verdict(
        criterion=CRITERION,
        passed=not unsigned,
        figure=float(len(unsigned)),
        interval=None,
        bound=_BOUND,
        why="; ".join(told) or f"no flag that {rival} has not as well",
    )


def unscreened(reason: str) -> Verdict:
    """Return the verdict where there is nothing to screen."""
    return untestable(CRITERION, _BOUND, reason)


def _as_bad(screen: Mapping[str, Any], rival: Mapping[str, Any] | None) -> bool:
    """Whether a rival has the same flag, and its figure is not on the better side of ours."""
    if rival is None or not rival["flag"]:
        return False
    if screen["name"] == _LOWER_IS_WORSE:
        return bool(rival["value"] <= screen["high"])
    sign = 1 if screen["value"] >= 0 else -1  # some screens are flagged either way
    return bool(sign * rival["value"] >= min(sign * screen["low"], sign * screen["high"]))


def _signature(signed: SignOff | None) -> str:
    return "" if signed is None else f" Signed off by {signed.by}: {signed.reason}"


def _keyed(found: Mapping[str, Any]) -> Screens:
    return {
        f"{field}/{name}/{group}": screen
        for field, each in found.items()
        for name, groups in each["screens"].items()
        for group, screen in groups.items()
    }
