"""What another pricing policy would have earned on quotes whose price was drawn at random.

One row is one request: a price was drawn from a density that was recorded, and a reward observed.
A policy proposes another price for it, or NaN for no offer, which earns 0 exactly. Prices are
continuous, so a row tells of the prices within a bandwidth of the one drawn (Kallus and Zhou 2018,
"Policy Evaluation and Optimization with Continuous Treatments").

Rows are arrays of shape (n,). `counts` of shape (..., n) says how often each row counts, once
unless given; estimates have its leading shape, so that many bootstrap draws cost one product.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Estimates",
    "direct_method",
    "doubly_robust",
    "effective_sample_size",
    "epanechnikov",
    "estimates",
    "inverse_propensity",
    "kernel_weights",
    "price_shift",
    "self_normalised",
    "window_mass",
]

Array = NDArray[np.float64]


class Estimates(NamedTuple):
    """One policy's value per request in the rewards' unit, by each of the four estimators.

    >>> Estimates(dm=1.0, ips=2.0, snips=3.0, dr=4.0)._asdict()["dr"]
    4.0
    """

    dm: ArrayLike
    ips: ArrayLike
    snips: ArrayLike
    dr: ArrayLike


def epanechnikov(distance: ArrayLike) -> Array:
    """Return the kernel 3/4 (1 - distance ** 2) within distance 1, else 0 (Epanechnikov 1969).

    >>> epanechnikov([-1.5, 0, 0.5]).tolist()
    [0.0, 0.75, 0.5625]
    """
    return np.asarray(0.75 * np.maximum(1 - np.square(np.asarray(distance, dtype=float)), 0.0))


def kernel_weights(
    price: ArrayLike, proposal: ArrayLike, density: ArrayLike, bandwidth: ArrayLike
) -> Array:
    """Return how much each row tells of the proposed price, (n,).

        weight = K((price - proposal) / bandwidth) / (bandwidth * density)

    Its mean over prices drawn from the density is 1 where the whole window was tested. All in one
    unit of price. The weight is 0 where nothing is proposed (NaN), and where the price had no
    density (NaN). Such a price was cut off at a bound, and so has an atom there: its row stays in
    the population, for to leave it out would select on the price.

    >>> kernel_weights([0.10, 0.12, 0.10], [0.11, 0.11, np.nan], 10.0, 0.02).round(4).tolist()
    [2.8125, 2.8125, 0.0]
    """
    b, p = np.asarray(bandwidth, dtype=float), np.asarray(density, dtype=float)
    distance = (np.asarray(price, dtype=float) - np.asarray(proposal, dtype=float)) / b
    return np.asarray(np.nan_to_num(epanechnikov(distance) / (b * p), nan=0.0))


def window_mass(price: Array, density: Array, proposal: Array, bandwidth: float) -> Array:
    """Return the mean weight that an experiment's rows give each proposed price, (m,).

    `price` and `density` (n,) are of one experiment, all of whose prices could have been drawn for
    any of its rows. The mass is 1 in the midst of the prices tested, 1/2 at their edge and 0
    beyond. Weights over it are right in level there, not in slope: at an edge the prices that tell
    lie 3/8 of a bandwidth inside on average (`price_shift`). Weights that mended the slope too
    would be worth less than half as many rows. NaN where nothing is proposed.

    >>> price, density = np.linspace(0.05, 0.15, 1001), np.full(1001, 10.0)
    >>> window_mass(price, density, np.array([0.10, 0.15, 0.17]), 0.01).round(2).tolist()
    [1.0, 0.5, 0.0]
    """
    order = np.argsort(price)
    sorted_price = price[order]
    share = np.nan_to_num(1 / density[order], nan=0.0) / len(price)
    # the kernel is a parabola: sums of 1, x and x * x over the window say all, about a middle
    middle = float(sorted_price.mean())
    x, at = sorted_price - middle, np.asarray(proposal, dtype=float) - middle
    sums = [np.concatenate([[0.0], np.cumsum(share * x**k)]) for k in range(3)]
    first = np.searchsorted(x, at - bandwidth, side="left")
    after = np.searchsorted(x, at + bandwidth, side="right")
    zeroth, linear, square = (s[after] - s[first] for s in sums)
    spread = (square - 2 * at * linear + at**2 * zeroth) / bandwidth**2
    return np.asarray(0.75 * (zeroth - spread) / bandwidth)


def price_shift(weights: Array, price: Array, proposal: Array) -> float:
    """Return the weighted mean of price drawn less proposal, in their unit; 0 without weights.

    Times the reward's slope it is the bias of `self_normalised` where rewards are linear in the
    price, and times the slope of the model's error that of `doubly_robust`.

    >>> price, density = np.linspace(0.05, 0.15, 1001), np.full(1001, 10.0)
    >>> weights = kernel_weights(price, 0.15, density, 0.01)
    >>> round(price_shift(weights, price, np.full(1001, 0.15)), 4)
    -0.0037
    """
    told = weights > 0
    total = float(weights[told].sum())
    return float(weights[told] @ (price - proposal)[told]) / total if total > 0 else 0.0


def effective_sample_size(weights: Array) -> float:
    """Return (sum of weights) ** 2 / sum of squares: as many rows of equal weight tell as much.

    >>> effective_sample_size(np.array([1.0, 1.0, 0.0])), effective_sample_size(np.zeros(3))
    (2.0, 0.0)
    """
    squares = float(np.sum(weights**2))
    return float(np.sum(weights)) ** 2 / squares if squares > 0 else 0.0


def direct_method(modelled: Array, counts: Array | None = None) -> Array:
    """Return the mean of a model's reward at the proposed prices; NaN, no offer, is 0.

    `modelled` has shape (n,), or that of `counts` where each draw has its own model.

    >>> float(direct_method(np.array([90.0, np.nan, 60.0])))
    50.0
    """
    return _mean(np.nan_to_num(modelled, nan=0.0), counts)


def inverse_propensity(weights: Array, reward: Array, counts: Array | None = None) -> Array:
    """Return the mean of weight * reward (Horvitz and Thompson 1952), unbiased but for the kernel.

    >>> float(inverse_propensity(np.array([2.0, 0.0]), np.array([60.0, 999.0])))
    60.0
    """
    return _mean(weights * reward, counts)


def self_normalised(
    weights: Array, reward: Array, offered: NDArray[np.bool_], counts: Array | None = None
) -> Array:
    """Return the share offered times sum(weight * reward) / sum(weight).

    A little biased, and far steadier than `inverse_propensity` (Swaminathan and Joachims 2015,
    "The Self-Normalized Estimator for Counterfactual Learning"). 0 where no row has weight.

    >>> two = np.array([2.0, 1.0, 0.0]), np.array([60.0, 90.0, 0.0])
    >>> round(float(self_normalised(*two, np.array([True, True, False]))), 2)
    46.67
    """
    total, sum_ = _mean(weights, counts), _mean(weights * reward, counts)
    ratio = np.divide(sum_, total, out=np.zeros_like(sum_), where=total > 0)
    return np.asarray(_mean(offered.astype(float), counts) * ratio)


def doubly_robust(
    weights: Array, residual: Array, modelled: Array, counts: Array | None = None
) -> Array:
    """Return `direct_method` corrected by the weighted mean of reward less model.

    `residual` is the reward less the model's at the price that was drawn, `modelled` the model's at
    the proposed price, NaN for no offer. Right if either the model or the densities are (Dudik,
    Langford and Li 2011, "Doubly Robust Policy Evaluation and Learning"). As the model is taken at
    the price drawn, its error and not the reward's slope makes the bandwidth's bias.

    >>> float(doubly_robust(np.ones(2), np.array([10.0, -4.0]), np.array([50.0, 60.0])))
    58.0
    """
    offered = np.isfinite(modelled)
    correction = self_normalised(weights, residual, offered, counts)
    return np.asarray(direct_method(modelled, counts) + correction)


def estimates(
    weights: Array,
    reward: Array,
    modelled_drawn: Array,
    modelled: Array,
    counts: Array | None = None,
) -> Estimates:
    """Return all four: `modelled_drawn` is the model's reward at the prices drawn.

    >>> weights, reward = np.array([1.5, 0.5]), np.array([80.0, 40.0])
    >>> found = estimates(weights, reward, np.array([70.0, 50.0]), np.array([75.0, 45.0]))
    >>> [float(value) for value in found]
    [60.0, 70.0, 70.0, 65.0]
    """
    offered = np.isfinite(modelled)
    return Estimates(
        dm=direct_method(modelled, counts),
        ips=inverse_propensity(weights, reward, counts),
        snips=self_normalised(weights, reward, offered, counts),
        dr=doubly_robust(weights, reward - modelled_drawn, modelled, counts),
    )


def _mean(values: Array, counts: Array | None) -> Array:
    """Return the mean over rows, each as often as it counts."""
    if counts is None:
        return np.asarray(values.mean(axis=-1))
    return np.asarray((counts * values).sum(axis=-1) / counts.sum(axis=-1))
