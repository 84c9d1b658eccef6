"""The oracle: what an offer is truly worth in a simulated world.

The hidden normals are integrated out by Gauss-Hermite quadrature, so the truth is known at any
offer to any applicant. It judges models; it never reaches a feature table.
"""

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finntelligence.value import loan_value
from training.simulator.worlds import (
    COMPETITOR_NOISE,
    DEMAND_SHOCK,
    ECONOMICS,
    WORLDS,
    Latent,
    Terms,
    Traits,
    World,
)

__all__ = ["Truth", "lifetime_pd", "truth_at"]

Array = NDArray[np.float64]
Nodes = tuple[tuple[float, float], ...]

_CELLS = 1 << 14  # offers in a chunk, so that its temporaries stay in cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """P(accept), P(default within the term | accepted), and E[accepted * NPV] in dollars."""

    p_accept: Array
    pd_lifetime: Array
    value: Array


def truth_at(world: str, applicants: Any, terms: Terms) -> Truth:
    """Return the truth of offers to applicants.

    `applicants` maps the quote log's column names to columns (a frame will do). Each of the terms
    is a number, a column of one offer to each applicant, or a matrix whose rows are offers to one
    applicant; a matrix of one row is offered to everybody. For a grid of rates:

        truth_at("W1", quotes, Terms(principal=9000, term_months=36, nominal_rate=rates[None]))

    The answer has a row for each applicant, and is a matrix if any of the terms is.
    """
    laws = WORLDS[world]
    traits = laws.traits(applicants)
    count = len(traits.taste)
    given = [np.asarray(getattr(terms, f.name), dtype=float) for f in fields(terms)]
    columns = [each[:, None] if each.ndim == 1 else each for each in given]
    shape = np.broadcast_shapes((count, 1), *(each.shape for each in columns))
    if shape[0] != count:
        raise ValueError(f"{shape[0]} rows of terms for {count} applicants")
    offers = [np.broadcast_to(each, shape) for each in columns]
    found = np.empty((3, *shape))
    step = max(1, _CELLS // shape[1])
    for start in range(0, count, step):
        rows = slice(start, start + step)
        principal, term_months, rate = (each[rows] for each in offers)
        some = Terms(principal=principal, term_months=term_months, nominal_rate=rate)
        found[:, rows] = _integrate(laws, traits.column(rows), some)
    is_matrix = any(each.ndim > 1 for each in given)
    p_accept, pd_lifetime, value = found if is_matrix else found[..., 0]
    return Truth(p_accept=p_accept, pd_lifetime=pd_lifetime, value=value)


def lifetime_pd(hazard: Array, term_months: ArrayLike) -> Array:
    """Return P(ever default within the term) with prepayment competing.

    The inverse of `finntelligence.value.default_hazard`: with q = (1 - hazard) * (1 - s),

        pd = hazard * (1 - q ** term_months) / (1 - q)

    >>> float(lifetime_pd(np.array(0.004491803509), 36).round(9))
    0.12
    """
    log_q = np.log1p(-hazard) + np.log1p(-ECONOMICS.monthly_prepayment)
    return hazard * np.expm1(np.asarray(term_months) * log_q) / np.expm1(log_q)


def _integrate(world: World, traits: Traits, terms: Terms) -> tuple[Array, Array, Array]:
    """Integrate acceptance, accepted defaults and accepted value over private risk."""
    accepted = defaulted = value = np.zeros(())
    for u, weight in _nodes(world):
        hazard = traits.hazard(terms, u)
        taken = weight * _p_accept_given(world, traits, terms, u)
        booked = loan_value(
            terms.principal,
            terms.nominal_rate,
            terms.term_months,
            hazard,
            ECONOMICS,
            traits.cost_of_funds,
        )
        accepted = accepted + taken
        defaulted = defaulted + taken * lifetime_pd(hazard, terms.term_months)
        value = value + taken * booked.npv
    return accepted, defaulted / accepted, value


def _p_accept_given(world: World, traits: Traits, terms: Terms, u: float) -> Array:
    """P(accept | u). Without a kink, demand shock and competitors' noise sum to one normal."""
    nodes = _nodes(world)
    if not world.is_kinked:
        noise = 100 * COMPETITOR_NOISE * traits.sensitivity_at(u)
        spread = np.hypot(DEMAND_SHOCK, noise)
        return _mean_logistic(world.accept_logit(traits, terms, Latent(u=u)), spread, nodes)
    total: Array = np.zeros(())
    for node, weight in nodes:
        logit = world.accept_logit(traits, terms, Latent(u=u, cn=COMPETITOR_NOISE * node))
        total = total + weight * _mean_logistic(logit, DEMAND_SHOCK, nodes)
    return total


def _mean_logistic(mean: Array, spread: ArrayLike, nodes: Nodes) -> Array:
    """E[logistic(X)] for X ~ N(mean, spread^2); one exponential of `mean` serves every node."""
    odds_against = np.exp(-mean)
    total: Array = np.zeros(())
    for node, weight in nodes:
        total = total + weight / (1 + odds_against * np.exp(-np.asarray(spread) * node))
    return total


def _nodes(world: World) -> Nodes:
    """Nine nodes for each of two normals; seven where a kink keeps all three apart."""
    return _normal_nodes(7 if world.is_kinked else 9)


@cache
def _normal_nodes(count: int) -> Nodes:
    """Nodes and weights that integrate against the standard normal density."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return tuple(zip(nodes.tolist(), (weights / weights.sum()).tolist(), strict=True))
