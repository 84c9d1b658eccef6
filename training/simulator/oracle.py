"""What offers truly earn in a simulated world, and the most that any lender could earn there."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from training.simulator.shelf import Choice, Shelf
from training.simulator.truth import Truth, lifetime_pd, truth_at
from training.simulator.worlds import WORLDS, Terms

__all__ = ["INCUMBENT_PD", "best_offers", "earned", "incumbent", "truth_of"]

Array = NDArray[np.float64]
Ticks = NDArray[np.int64]

INCUMBENT_PD = 0.45
"""The incumbent declines applicants whose true PD, at average private risk, is above this."""

_STEPS = (40, 8, 1)  # ticks between neighbours, from the first look to the last


def truth_of(world: str, shelf: Shelf, cell: Ticks, tick: Ticks) -> Truth:
    """Return the truth of the offers at positions of shape (n, m)."""
    return truth_at(world, shelf.columns, _terms(shelf, cell, tick))


def best_offers(world: str, shelf: Shelf) -> Choice:
    """Return the offers of a lender who knows the truth; decline where none earns anything.

    The truth is smooth along the price: each look is at the neighbourhood of the last one's best.
    """
    near = shelf
    for step in _STEPS:
        cell, tick = near.ladder(step)
        found = truth_of(world, near, cell, tick).value.reshape(*shelf.low.shape, -1)
        place = found.argmax(axis=2)[..., None]
        best = np.take_along_axis(tick.reshape(found.shape), place, axis=2)[..., 0]
        low, high = np.maximum(shelf.low, best - step), np.minimum(shelf.high, best + step)
        near = replace(shelf, low=low, high=high)
    most = np.where(shelf.high < shelf.low, -np.inf, found.max(axis=2))
    chosen, rows = most.argmax(axis=1), np.arange(len(most))
    return Choice(cell=chosen, tick=np.where(most[rows, chosen] > 0, best[rows, chosen], -1))


def incumbent(world: str, shelf: Shelf) -> Choice:
    """Return what was asked for at the list price, but decline the true PD above `INCUMBENT_PD`.

    The PD is that of average private risk: no estimate stands in the incumbent's way.
    """
    cell = shelf.asked().high.argmax(axis=1)[:, None]
    listed = np.take_along_axis(shelf.list_rate, cell, axis=1)
    nearest = np.rint((listed - shelf.policy.minimum_rate) / shelf.policy.tick)
    tick = np.clip(nearest, 0, len(shelf.rates) - 1).astype(np.int64)
    terms = _terms(shelf, cell, tick)
    traits = WORLDS[world].traits(shelf.columns).column(slice(None))
    pd_lifetime = lifetime_pd(traits.hazard(terms, 0.0), terms.term_months)
    return Choice(cell=cell[:, 0], tick=np.where(pd_lifetime > INCUMBENT_PD, -1, tick)[:, 0])


def earned(world: str, shelf: Shelf, choice: Choice) -> Array:
    """Return the expected dollars that each applicant's offer earns, (n,); a decline earns 0."""
    truth = truth_of(world, shelf, choice.cell[:, None], choice.tick[:, None])
    return np.where(choice.tick < 0, 0.0, truth.value[:, 0])


def _terms(shelf: Shelf, cell: Ticks, tick: Ticks) -> Terms:
    offers = shelf.offers(cell, tick)
    return Terms(
        principal=offers.principal,
        term_months=offers.term_months,
        nominal_rate=offers.nominal_rate,
    )
