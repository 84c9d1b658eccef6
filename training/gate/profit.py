"""What a pair's offers earn: no less than the champion's, nor than the incumbent's list price.

Where the truth is known, fresh applicants of the same world judge; else logged quotes do, off
policy, and what those cannot tell is not claimed.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finntelligence.market import solve
from training.gate.pair import Pair
from training.gate.verdict import Verdict, mean_interval, untestable
from training.simulator.contest import shelves
from training.simulator.oracle import best_offers, earned, incumbent
from training.simulator.shelf import Choice, Shelf

__all__ = ["CRITERION", "attained", "chosen", "estimated"]

Array = NDArray[np.float64]

CRITERION = "value of the offers"
"""How the gate calls this criterion."""

_BOUND = "not below 0 with its whole interval"


def attained(
    challenger: Pair, champion: Pair | None, world: str, applicants: int, seed: int
) -> Verdict:
    """Judge by the truth: per cent of the attainable profit, of fresh applicants of a world.

    Without a champion the incumbent's list prices stand in its place.
    """
    shelf = shelves(challenger.portfolio, world, applicants, seed)["trust"]
    most = earned(world, shelf, best_offers(world, shelf)).mean()
    ours, theirs = (
        earned(world, shelf, incumbent(world, shelf) if pair is None else chosen(pair, shelf))
        for pair in (challenger, champion)
    )
    figure, interval = mean_interval(100 * (ours - theirs) / most)
    rival = "the list price" if champion is None else "the champion"
    return Verdict(
        criterion=CRITERION,
        passed=interval[1] >= 0,
        figure=figure,
        interval=interval,
        bound=_BOUND,
        why=f"in per cent of what is attainable the challenger earns {100 * ours.mean() / most:.1f}"
        f", {rival} {100 * theirs.mean() / most:.1f}, of {applicants:,} fresh applicants",
    )


def chosen(pair: Pair, shelf: Shelf) -> Choice:
    """Return a pair's most profitable offer to each applicant of a shelf."""
    market = pair.market(shelf.policy)
    optima = solve(shelf.columns, market, *pair.both(shelf.columns)).optima
    tick = optima.tick.reshape(shelf.low.shape)
    off = (tick < 0) | (shelf.high < shelf.low)
    profit = np.where(off, -np.inf, optima.profit.reshape(tick.shape))
    cell, rows = profit.argmax(axis=1), np.arange(len(tick))
    return Choice(cell=cell, tick=np.where(off[rows, cell], -1, tick[rows, cell]))


def estimated(found: Mapping[str, Any], challenger: str, rival: str) -> Verdict:
    """Judge by what logged quotes say of two policies: by their doubly robust difference.

    Where one of the two has no value, as its prices were never tested, nothing is judged.
    """
    for name in (challenger, rival):
        if reason := found["policies"][name]["refused_because"]:
            return untestable(CRITERION, _BOUND, f"{name}: {reason}")
    difference = found["differences"][challenger]["dr"]
    return Verdict(
        criterion=CRITERION,
        passed=difference["high"] >= 0,
        figure=difference["value"],
        interval=(difference["low"], difference["high"]),
        bound=_BOUND,
        why=f"a quote, off policy and doubly robust, against {rival}, "
        f"by {found['randomised_rows']:,} randomised quotes",
    )
