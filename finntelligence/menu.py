"""Which offers to show together: choice among several is a nested logit with one nest.

A customer shown the menu S first takes a loan or not, then one of its offers. With u the logit of
an offer's `p_accept` when it is shown alone, and the dissimilarity mu in (0, 1]:

    I      = sum over o in S of exp(u_o / mu)
    P(any) = I ** mu / (1 + I ** mu)
    P(o)   = P(any) * exp(u_o / mu) / I

One offer alone keeps its `p_accept`. mu = 1 is the multinomial logit; as mu falls to 0 offers
replace one another and only the likeliest counts. Answers to single offers say nothing of mu: it
is assumed. Source: Train (2009), "Discrete Choice Methods with Simulation", chapter 4.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "DISSIMILARITY",
    "MOST_CANDIDATES",
    "Menu",
    "best_menu",
    "choice_probabilities",
    "menu_profit",
    "shares",
]

Array = NDArray[np.float64]

DISSIMILARITY = 0.5
"""The mu of offers that partly replace one another: an assumption, for single answers tell none."""
MOST_CANDIDATES = 12
"""Offers that a best menu is sought among: each of their 2 ** 12 - 1 menus is valued."""
_TIE = 1e-12  # of the best profit: above rounding, and nothing to show an offer for


@dataclass(frozen=True, slots=True, kw_only=True)
class Menu:
    """The best menu among candidate offers, and what is expected of it.

    `chosen` are positions among the candidates, rising; `p_choice` is P(o) of each in this menu,
    `p_any` their sum, `profit` in currency units per customer asked. An empty menu has neither.
    """

    chosen: tuple[int, ...]
    p_choice: tuple[float, ...]
    p_any: float
    profit: float

    def __post_init__(self) -> None:
        if len(self.chosen) != len(self.p_choice):
            raise ValueError("a menu needs one probability for each chosen offer")

    @classmethod
    def of(
        cls,
        p_accept: ArrayLike,
        npv: ArrayLike,
        dissimilarity: float = DISSIMILARITY,
        size: int = MOST_CANDIDATES,
    ) -> "Menu":
        """Choose with `best_menu`, whose arguments and errors these are.

        >>> menu = Menu.of([0.4, 0.35, 0.3], [300, 500, 600])
        >>> menu.chosen, round(menu.profit, 2)
        ((1, 2), 219.64)
        """
        p, value = _offers(p_accept, npv)
        chosen = best_menu(p, value, dissimilarity, size)
        p_choice, p_any = choice_probabilities(p[list(chosen)], dissimilarity)
        profit = float(value[list(chosen)] @ p_choice)
        return cls(chosen=chosen, p_choice=tuple(p_choice.tolist()), p_any=p_any, profit=profit)


def choice_probabilities(
    p_accept: ArrayLike, dissimilarity: float = DISSIMILARITY
) -> tuple[Array, float]:
    """Return P(o) of each offer of a menu, shape (n,), and P(any), their sum.

    `p_accept`, (n,), is that of each offer shown alone. Of an empty menu nothing is taken.

    >>> p_choice, p_any = choice_probabilities([0.5, 0.2])
    >>> p_choice.round(4).tolist(), round(p_any, 4)
    ([0.4777, 0.0299], 0.5076)

    Raises:
        ValueError: when `p_accept` is not one row of numbers strictly between 0 and 1, or the
            dissimilarity is outside (0, 1].
    """
    p, mu = _probabilities(p_accept), _dissimilarity(dissimilarity)
    p_choice, p_any = shares(p.tolist(), mu)
    return np.array(p_choice), p_any


def menu_profit(p_accept: ArrayLike, npv: ArrayLike, dissimilarity: float = DISSIMILARITY) -> float:
    """Return the expected profit per customer who is shown all these offers together.

    `npv`, (n,), is the value of each loan once booked, in currency units:

        profit = sum over o of P(o) * npv_o

    >>> round(menu_profit([0.35, 0.3], [500, 600]), 2)
    219.64
    >>> round(menu_profit([0.4, 0.35, 0.3], [300, 500, 600]), 2)  # one more offer, less profit
    207.07

    Raises:
        ValueError: as `choice_probabilities`, or when `npv` is not finite or of another shape.
    """
    p, value = _offers(p_accept, npv)
    return float(value @ choice_probabilities(p, dissimilarity)[0])


def best_menu(
    p_accept: ArrayLike,
    npv: ArrayLike,
    dissimilarity: float = DISSIMILARITY,
    size: int = MOST_CANDIDATES,
) -> tuple[int, ...]:
    """Return the positions, rising, of the most profitable menu of at most `size` of the offers.

    Arguments are those of `menu_profit`. Every menu is valued, so none of the chosen offers lowers
    the profit; at equal profit (to 1e-12 of it) fewer offers win, then earlier ones. Offers without
    a positive NPV only take customers from others and are left out; if no other is left, the menu
    is empty. Without a limit on size the best menu is a prefix of the offers by falling NPV:
    Talluri and van Ryzin (2004), "Revenue management under a general discrete choice model of
    consumer behavior", for mu = 1; Davis, Gallego and Topaloglu (2014), "Assortment optimization
    under variants of the nested logit model", for mu <= 1. With a limit it need not be.

    >>> best_menu([0.4, 0.35, 0.3], [300, 500, 600])
    (1, 2)
    >>> best_menu([0.4, 0.35, 0.1], [300, 500, 600], size=1)
    (1,)

    Raises:
        ValueError: as `menu_profit`, or for more than 12 candidates or a `size` below 1.
    """
    p, value = _offers(p_accept, npv)
    mu = _dissimilarity(dissimilarity)
    if p.size > MOST_CANDIDATES or size < 1:
        raise ValueError(f"cannot choose {size} of {p.size} offers (at most {MOST_CANDIDATES})")
    worthy = np.flatnonzero(value > 0)
    if not worthy.size:
        return ()
    shown = _menus(worthy.size, min(size, worthy.size))
    profit = value[worthy] @ _choice(p[worthy], shown, mu)[0]
    first = int(np.argmax(profit >= profit.max() * (1 - _TIE)))
    return tuple(worthy[shown[:, first]].tolist())


def shares(p: list[float], mu: float) -> tuple[list[float], float]:
    """Return `choice_probabilities` of arguments that are known to be right, without arrays.

    >>> p_choice, p_any = shares([0.5, 0.2], 0.5)
    >>> [round(each, 4) for each in p_choice], round(p_any, 4)
    ([0.4777, 0.0299], 0.5076)
    """
    if not p:
        return [], 0.0
    logits = [math.log(each / (1 - each)) for each in p]
    likeliest, best = max(logits), max(p)
    weights = [math.exp((logit - likeliest) / mu) for logit in logits]
    total = math.fsum(weights)
    lift = best * math.expm1(mu * math.log(total))
    p_any = (best + lift) / (1 + lift)
    return [p_any / total * weight for weight in weights], p_any


def _choice(p: Array, shown: NDArray[np.bool_], mu: float) -> tuple[Array, Array]:
    """Return P(o), (offers, menus), and P(any), (menus,); `shown` says which offers a menu has.

    With b a menu's likeliest offer, I ** mu is the odds of b times (I / exp(u_b / mu)) ** mu, which
    lies in [1, n]: nothing overflows, and one offer keeps its `p_accept` to the last bit.
    """
    logit = np.where(shown, np.log(p / (1 - p))[:, None], -np.inf)
    with np.errstate(over="ignore"):  # a far less likely offer at a tiny mu: its weight is 0
        weight = np.exp((logit - logit.max(axis=0)) / mu)
    total = weight.sum(axis=0)
    best = np.where(shown, p[:, None], 0.0).max(axis=0)
    lift = best * np.expm1(mu * np.log(total))
    p_any = (best + lift) / (1 + lift)
    return p_any / total * weight, p_any


@cache  # at most 78 tables, the largest of 48 KB
def _menus(offers: int, size: int) -> NDArray[np.bool_]:
    """Return every menu of 1 to `size` offers, (offers, menus): fewer, then earlier, come first."""
    masks = np.arange(2**offers - 1, 0, -1)  # the first offer is the highest bit
    count = np.bitwise_count(masks)
    masks = masks[np.argsort(count, kind="stable")][: np.count_nonzero(count <= size)]
    shown: NDArray[np.bool_] = (masks >> np.arange(offers)[::-1, None]) & 1 == 1
    shown.setflags(write=False)
    return shown


def _probabilities(p_accept: ArrayLike) -> Array:
    p = np.asarray(p_accept, dtype=float)
    if p.ndim != 1 or not ((p > 0) & (p < 1)).all():  # NaN fails too
        raise ValueError("p_accept must be one row of numbers strictly between 0 and 1")
    return p


def _offers(p_accept: ArrayLike, npv: ArrayLike) -> tuple[Array, Array]:
    p, value = _probabilities(p_accept), np.asarray(npv, dtype=float)
    if value.shape != p.shape:
        raise ValueError(f"npv has shape {value.shape}, p_accept {p.shape}")
    if not np.isfinite(value).all():
        raise ValueError("npv must be finite")
    return p, value


def _dissimilarity(mu: float) -> float:
    if not 0 < mu <= 1:
        raise ValueError(f"dissimilarity must be in (0, 1], not {mu}")
    return mu
