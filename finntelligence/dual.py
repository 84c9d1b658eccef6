"""Exact shadow prices: the dual of choosing at most one offer per applicant under limits.

    most value  V(x)  over choices x  with  excess h_k(x) <= 0  of every limit k

V and h are sums over applicants, so for given prices y >= 0 the best choice is everybody's own:

    g(y) = max over x of V(x) - y . h(x)

g is convex and bounds the value from above (Lagrange); its minimum is the linear relaxation's, and
where it lies are the shadow prices. Each answer of the `oracle` to prices is a cut of g. The cuts'
lower envelope is minimised exactly by a simplex of one row for each limit and one more, and the
oracle is asked again there, until it has nothing better: the cutting planes of Kelley (1960), which
are the column generation of Dantzig and Wolfe (1960) seen from the other side. With piecewise
linear g this ends, at the very prices that a general solver finds.

The number of limits is small and that of offers is not, so this takes milliseconds where a linear
program over all offers takes seconds. Of listed offers `whole_choice` then finds one that keeps all
limits: the choice at prices next above these, and what room it leaves given to whom it gains most.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Dual",
    "Oracle",
    "UnmetLimitError",
    "UnsettledPricesError",
    "dual",
    "one_of_each",
    "whole_choice",
]

Array = NDArray[np.float64]
Oracle = Callable[[Array], tuple[float, Array]]
"""From prices (limits,) to V and h of a choice that maximises V - prices . h."""

_STEPS = 400
_PIVOTS = 1000
_SAME = 1e-12  # relative: what float64 leaves of a difference of sums
_FIRST_NUDGE, _NUDGES = 1e-9, 60  # of the prices: doubled until it suffices, then halved
_EXCHANGES = 200  # of one applicant's offer for a better one that fits into what is left


class UnmetLimitError(ValueError):
    """No choice that the oracle knows keeps limit number `limit`, whatever its price.

    >>> raise UnmetLimitError(0)
    Traceback (most recent call last):
        ...
    finntelligence.dual.UnmetLimitError: no choice keeps limit 0
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"no choice keeps limit {limit}")


class UnsettledPricesError(ValueError):
    """The steps ran out: the best bound may be too high by `gap`, a share of the unlimited value.

    >>> raise UnsettledPricesError(0.003)
    Traceback (most recent call last):
        ...
    finntelligence.dual.UnsettledPricesError: the prices have not settled: 0.3 % apart
    """

    def __init__(self, gap: float) -> None:
        self.gap = gap
        super().__init__(f"the prices have not settled: {100 * gap:.2g} % apart")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dual:
    """The prices of limits, (limits,), in value per unit of excess, and what they bound.

    No choice within the limits is worth more than `bound`. `value` and `excess` are of the best
    choice at these prices; where choices tie there it may exceed a limit by some. `asked` counts
    the oracle's answers.

    >>> Dual(prices=np.zeros(1), bound=9.0, value=9.0, excess=-np.ones(1), asked=1).bound
    9.0
    """

    prices: Array
    bound: float
    value: float
    excess: Array
    asked: int


def dual(oracle: Oracle, limits: int, dearest: float = 100.0, accuracy: float = _SAME) -> Dual:
    """Find the shadow prices of limits.

    No price is above `dearest`: a limit that is not kept there cannot be. The bound is within
    `accuracy`, a share of the unlimited value, of the dual's minimum.

    >>> offers = np.array([[300.0, 200.0], [500.0, 100.0]])  # two applicants, two offers each
    >>> lent = np.array([[10_000.0, 4_000.0], [10_000.0, 1_000.0]])
    >>> found = dual(one_of_each(offers, lent[None], np.array([12_000.0])), limits=1)
    >>> found.prices.round(4).tolist(), round(found.bound, 2)
    ([0.0444], 611.11)

    Raises:
        UnmetLimitError: when no choice keeps one of the limits.
        UnsettledPricesError: when the bound is not that close after 400 of the oracle's answers.
    """
    value, excess = oracle(np.zeros(limits))
    cuts = _Cuts.of(value, excess, dearest)
    asked, bound, prices = 1, value, np.zeros(limits)
    for _ in range(_STEPS):
        prices, level = cuts.lowest()
        value, excess = oracle(prices)
        asked, bound = asked + 1, float(value - prices @ excess)
        if bound - level <= accuracy * cuts.scale:
            break
        cuts.add(value, excess)
    else:
        raise UnsettledPricesError((bound - level) / cuts.scale)
    if (unmet := np.flatnonzero(prices >= dearest * (1 - _SAME))).size:
        raise UnmetLimitError(int(unmet[0]))
    return Dual(prices=prices, bound=bound, value=value, excess=excess, asked=asked)


class _Cuts:
    """The known choices, and the simplex over their mixtures within the limits.

    A basis has one column for each limit and one for the mixture's weights, which sum to 1. Beside
    the choices there are two columns for each limit: what it leaves free, worth nothing, and an
    excess at the dearest price.
    """

    def __init__(self, columns: Array, worth: Array, basis: list[int], scale: float) -> None:
        self.columns, self.worth, self.basis, self.scale = columns, worth, basis, scale

    @classmethod
    def of(cls, value: float, excess: Array, dearest: float) -> "_Cuts":
        limits = len(excess)
        free = np.vstack([np.eye(limits), np.zeros(limits)])
        columns = np.hstack([free, -free, np.append(excess, 1.0)[:, None]])
        worth = np.concatenate([np.zeros(limits), np.full(limits, -dearest), [value]])
        basis = [k + limits * int(excess[k] > 0) for k in range(limits)]
        return cls(columns, worth, [*basis, 2 * limits], max(abs(value), 1e-300))

    def add(self, value: float, excess: Array) -> None:
        self.columns = np.hstack([self.columns, np.append(excess, 1.0)[:, None]])
        self.worth = np.append(self.worth, value)

    def lowest(self) -> tuple[Array, float]:
        """Return where the cuts' envelope is lowest, and how low."""
        target = np.zeros(len(self.columns))
        target[-1] = 1.0
        for _ in range(_PIVOTS):
            held = self.columns[:, self.basis]
            prices = np.linalg.solve(held.T, self.worth[self.basis])
            gain = self.worth - prices @ self.columns
            gain[self.basis] = 0.0
            best = int(np.argmax(gain))
            if gain[best] <= _SAME * self.scale:
                break
            weights, change = np.linalg.solve(held, np.stack([target, self.columns[:, best]], 1)).T
            falls = change > _SAME * np.abs(change).max()
            ratio = np.where(falls, np.maximum(weights, 0) / np.where(falls, change, 1.0), np.inf)
            self.basis[int(np.argmin(ratio))] = best
        return np.maximum(prices[:-1], 0.0), float(prices[-1])


def one_of_each(value: Array, use: Array, most: Array) -> Oracle:
    """Return the oracle of listed offers: of each applicant's row at most one is chosen.

    `value` (n, m) is what each offer is worth, `use` (limits, n, m) what it takes of each limit, of
    which there is `most` (limits,). An offer is chosen if it is worth more than its charge.

    >>> oracle = one_of_each(np.array([[300.0, 200.0]]), np.array([[[10.0, 4.0]]]), np.array([5.0]))
    >>> oracle(np.zeros(1)), oracle(np.array([20.0]))
    ((300.0, array([5.])), (200.0, array([-1.])))
    """
    listed, takes = value.ravel(), use.reshape(len(use), -1)

    def oracle(prices: Array) -> tuple[float, Array]:
        best = _best(value, use, prices)
        places = (np.arange(len(value)) * value.shape[1] + best)[best >= 0]
        return float(listed[places].sum()), takes[:, places].sum(axis=1) - most

    return oracle


def whole_choice(value: Array, use: Array, most: Array, prices: Array) -> NDArray[np.int64]:
    """Return the place of each applicant's offer, (n,), -1 for none, within all limits.

    Arguments are those of `one_of_each`; `prices` the limits' own, from `dual`.

    >>> offers = np.array([[300.0, 200.0], [500.0, 100.0]])
    >>> lent = np.array([[10_000.0, 4_000.0], [10_000.0, 1_000.0]])
    >>> whole_choice(offers, lent[None], np.array([14_000.0]), np.array([0.0167])).tolist()
    [1, 0]

    Raises:
        UnmetLimitError: when none was found at prices a few times as high.
    """
    step = np.maximum(prices, prices.max())
    failed, nudge, suffices, kept = 0.0, 0.0, np.inf, None
    for _ in range(_NUDGES):
        chosen = _best(value, use, prices + nudge * step)
        left = most - _taken(use, chosen).sum(axis=1)
        if (left >= 0).all():
            suffices, kept = nudge, chosen
        else:
            failed = nudge
        if suffices - failed <= _FIRST_NUDGE:
            break
        nudge = max(2 * failed, _FIRST_NUDGE) if kept is None else (failed + suffices) / 2
    if kept is None:
        raise UnmetLimitError(int(np.argmin(left)))
    return _exchanged(value, use, most, kept)


def _best(value: Array, use: Array, prices: Array) -> NDArray[np.int64]:
    """Return the place of everybody's best offer, -1 where none is worth its charge."""
    charged = value - (prices @ use.reshape(len(use), -1)).reshape(value.shape)
    best = charged.argmax(axis=1)
    return np.where(charged[np.arange(len(value)), best] > 0, best, -1)


def _taken(use: Array, chosen: NDArray[np.int64]) -> Array:
    """Return what each applicant's offer takes of each limit, (limits, n)."""
    return np.where(chosen >= 0, use[:, np.arange(len(chosen)), chosen], 0.0)


def _exchanged(
    value: Array, use: Array, most: Array, chosen: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Give what is left to the applicant whose value gains most by it, one after another."""
    chosen = chosen.copy()
    for _ in range(_EXCHANGES):
        taken, now = _taken(use, chosen), _taken(value[None], chosen)[0]
        left = most - taken.sum(axis=1)
        gain = value - now[:, None]
        fits = (use - taken[:, :, None] <= left[:, None, None]).all(axis=0)
        best = int(np.argmax(np.where(fits, gain, 0.0)))
        row, place = divmod(best, value.shape[1])
        if not (fits[row, place] and gain[row, place] > 0):
            break
        chosen[row] = place
    return chosen
