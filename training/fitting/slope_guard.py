"""How many trees a model gets, and the guard that keeps them from bending the price response.

The anchor is a logit with one price slope for everybody and the control term: simple enough that
its slope is trusted. If the slope of the model with trees is further than one standard error from
it, the slope's trees are shrunk more; at last the slope gets none. Two slopes can be compared:

    mean     the mean over the rows of everyone's slope. Where slopes differ between people, it
             differs from the anchor even if both are right: a logit that leaves the differences
             out estimates a flatter slope, weighted by how uncertain each outcome is.
    implied  the slope of the anchor's own form fitted to the model's probabilities: like for like.
"""

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finntelligence.errors import InvalidDeclarationError
from finntelligence.portfolio import Capability
from finntelligence.response import PHI, PriceResponse
from training.fitting.artefact import Artefact
from training.fitting.base_logit import Sample, fit_base
from training.fitting.booster import Boosting, boosted, grown, head_scale, total_logits, tree_rows
from training.fitting.hyperparameters import FitParams

__all__ = ["Ensemble", "guarded"]

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

_DEPTH = {Capability.ACCEPTANCE: 3, Capability.RISK: 4}
_COMPARED = ("mean", "implied")
_GAP = 1  # the price slope's position among the heads


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """A base with its trees, the total logits of its own rows, and what was found on the way.

    `boosting` is None where there were no rows to hold out, `guard` empty where the slope has no
    trees to guard.
    """

    artefact: Artefact
    logits: Array
    boosting: Boosting | None
    guard: dict[str, Any]


def guarded(
    base: PriceResponse, sample: Sample, held: NDArray[np.bool_] | None, params: FitParams
) -> Ensemble:
    """Return the base with as many trees as the held-out rows ask for and the guard lets through.

    `base` is fitted on the whole sample; `held` marks the rows that early stopping judges by, None
    for data too small to spare any: then there are no trees. Where the price slope varies with x it
    has trees as well, and then no tree splits on a feature that may not modify it.

    Raises:
        InvalidDeclarationError: when `params.guard` names no slope to compare.
    """
    if params.guard not in _COMPARED:
        raise InvalidDeclarationError(
            f"params.yaml: acceptance.guard: must be {' or '.join(_COMPARED)}, is {params.guard!r}"
        )
    rest = fit_base(base, sample.part(~held), params) if held is not None else base
    growth = _Growth(base=base, rest=rest, sample=sample, held=held, params=params)
    if not sample.modifiers:
        return growth.ensemble(None)
    anchor, error = _one_slope(base, sample, sample.outcome, params)
    tried: list[dict[str, Any]] = []
    for shrink in (*params.shrink, None):
        found = growth.ensemble(shrink)
        rounds = found.artefact.booster.num_boosted_rounds()
        slopes = {
            "mean": float(np.mean(found.artefact.coefficients(sample.matrix)[:, _GAP])),
            "implied": _one_slope(base, sample, 1 / (1 + np.exp(-found.logits)), params)[0],
        }
        tried.append({"shrink": shrink, "rounds": rounds, **slopes})
        log.info(
            "  slope guard: mean slope %.4f, implied %.4f, anchor %.4f (s.e. %.4f); %s",
            *(slopes["mean"], slopes["implied"], anchor, error),
            f"slope trees shrunk by {shrink:g}" if shrink else "no slope trees",
        )
        if rounds == 0 or abs(slopes[params.guard] - anchor) <= error:
            break
    guard = {"anchor": anchor, "anchor_se": error, "tried": tried, "shrink": tried[-1]["shrink"]}
    return replace(found, guard=guard)


def _one_slope(
    base: PriceResponse, sample: Sample, outcome: Array, params: FitParams
) -> tuple[float, float]:
    """Return slope and standard error of the base's form with one price slope for everybody."""
    same = replace(sample, outcome=outcome, modifiers=())
    evidence = fit_base(base, same, params).evidence
    return evidence["estimates"]["gap"], evidence["standard_errors"]["gap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Growth:
    """What trees grow on: the base of all rows, and that of the rows not held out."""

    base: PriceResponse
    rest: PriceResponse
    sample: Sample
    held: NDArray[np.bool_] | None
    params: FitParams

    def ensemble(self, shrink: float | None) -> Ensemble:
        """Return the base with its trees; those of the slope shrunk, or left out for None."""
        depth = self.params.depth or _DEPTH[self.base.model]
        base, rest = (
            self._with_tree_heads(self.base, shrink),
            self._with_tree_heads(self.rest, shrink),
        )
        barred = self._barred() if shrink else ()
        boosting = None
        if self.held is not None:
            learned = tree_rows(rest, self.sample.part(~self.held), barred)
            judged = tree_rows(rest, self.sample.part(self.held), barred)
            boosting = boosted(learned, judged, self.params, depth)
        rows = tree_rows(base, self.sample, barred)
        booster = grown(rows, self.params, depth, boosting.rounds if boosting else 0)
        return Ensemble(
            artefact=Artefact(booster, base),
            logits=total_logits(booster, rows),
            boosting=boosting,
            guard={},
        )

    def _with_tree_heads(self, response: PriceResponse, shrink: float | None) -> PriceResponse:
        heads = [replace(response.heads[0], tree=True), *response.heads[1:]]
        if shrink:
            # one scale for both bases, or the rounds found on the one would not fit the other
            scale = head_scale(PHI["gap"](self.sample.terms, self.base), shrink)
            heads[_GAP] = replace(heads[_GAP], tree=True, scale=scale)
        return replace(response, heads=tuple(heads))

    def _barred(self) -> tuple[str, ...]:
        allowed = {self.base.basis[j].feature for j in self.sample.modifiers}
        return tuple(name for name in self.base.features if name not in allowed)
