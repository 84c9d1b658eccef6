"""The heads of a model: its coefficients, and the signs they may take."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["ALONG_PRICE", "Head", "clipped", "is_clipped", "problem_of"]

Array = NDArray[np.float64]

ALONG_PRICE = ("gap", "gap_hinge", "pti")
"""The phi that move with the price of an offer; all others are constant along it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """One coefficient of the logit: what it multiplies, and which sign it may take.

    `sign` -1 or +1 clips the coefficient at `floor` on that side; 0 leaves it free. `tree` says
    that the booster has an output for it, in the order of the heads; that output times `scale`
    is added to the linear part. `supported` is False where training never varied `phi`, so that
    offers which need it would be guesses.

    >>> slope = Head(name="gap", phi="gap", sign=-1, floor=0.02)
    >>> clipped(np.array([[-0.3], [0.1]]), (slope,)).tolist()
    [[-0.3], [-0.02]]
    """

    name: str
    phi: str
    sign: int = 0
    floor: float = 0.0
    tree: bool = False
    scale: float = 1.0
    supported: bool = True


def is_clipped(head: Head) -> bool:
    """Whether `clipped` may change the coefficient: it has a sign to keep, or is the gap's hinge.

    >>> is_clipped(Head(name="kink", phi="gap_hinge")), is_clipped(Head(name="base", phi="one"))
    (True, False)
    """
    return head.sign != 0 or head.phi == "gap_hinge"


def clipped(raw: Array, heads: tuple[Head, ...]) -> Array:
    """Return raw coefficients, (n, heads), each signed one at or beyond its floor.

    Then the hinge, so that slope + hinge keeps the sign and floor of the slope. Heads go by `phi`:
    one is the gap's at most, one its hinge's.

    >>> gap = Head(name="gap", phi="gap", sign=-1, floor=0.02)
    >>> hinge = Head(name="gap_hinge", phi="gap_hinge")
    >>> clipped(np.array([[-0.2, 0.3], [-0.2, -0.1]]), (gap, hinge)).round(9).tolist()
    [[-0.2, 0.18], [-0.2, -0.1]]
    """
    low, high = _bounds(heads)
    result: Array = np.minimum(np.maximum(raw, low), high)
    position = {head.phi: k for k, head in enumerate(heads)}
    if "gap_hinge" in position:
        slope, hinge = position["gap"], position["gap_hinge"]
        floor = heads[slope].floor
        result[:, hinge] = np.minimum(result[:, hinge], -floor - result[:, slope])
    return result


@lru_cache(maxsize=16)  # a process has few models
def _bounds(heads: tuple[Head, ...]) -> tuple[Array, Array]:
    """Return what each head's coefficient may not be below and above, (heads,) each."""
    return (
        np.array([head.floor if head.sign > 0 else -np.inf for head in heads]),
        np.array([-head.floor if head.sign < 0 else np.inf for head in heads]),
    )


def problem_of(heads: tuple[Head, ...]) -> str | None:
    """Say why clipping, calibration or the search could not read these heads; None if they can.

    >>> problem_of((Head(name="base", phi="one"), Head(name="kink", phi="gap_hinge")))
    'a head of phi gap_hinge needs one of phi gap beside it'
    """
    phis = [head.phi for head in heads]
    if phis[:1] != ["one"]:
        return "the first head must have phi one: it takes the calibration's intercept"
    if not all(head.floor >= 0 for head in heads if head.sign):  # NaN fails too
        return "the floor of a signed head must be at least 0"
    if repeated := [phi for phi in ALONG_PRICE if phis.count(phi) > 1]:
        return f"at most one head may have phi {repeated[0]}"
    if "gap_hinge" in phis and "gap" not in phis:
        return "a head of phi gap_hinge needs one of phi gap beside it"
    return None
