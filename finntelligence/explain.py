"""What moves a probability of default: the signed parts of its logit at one offer.

With c_kj what column j adds to the raw coefficient of head k (`PriceResponse.contributions`), b_k
the head's constant, phi_k what it multiplies, and (intercept, slope) the calibration,

    logit = intercept + slope * sum_k phi_k * (sum_j c_kj + b_k) + floor

The columns of a field make one group; the constants of the heads make those of the offer: its
price, payment, term and amount. `floor` is what clipping changed. A part tells something only
against somebody else's: here the mean of the applicants whose loans were booked (`reference_of`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from finntelligence.errors import ModelMismatchError
from finntelligence.features import REQUEST_FEATURES, application_columns, source_of
from finntelligence.heads import is_clipped
from finntelligence.market import Cell, Market, solve
from finntelligence.offers import Application, OfferTerms
from finntelligence.optimiser import terms_at
from finntelligence.response import PHI, PriceResponse

__all__ = [
    "BASE",
    "OFFER_GROUPS",
    "Attribution",
    "Effect",
    "attribution",
    "cell_terms",
    "effects",
    "nearest_cell",
    "reference",
    "reference_of",
]

Array = NDArray[np.float64]

BASE = "offer=base"
"""The group of the model's own constant, alike for everybody. No field's name holds a `=`."""
OFFER_GROUPS: Mapping[str, str] = {
    "offer=price": "Price of the offer against the benchmark",
    "offer=payment": "Monthly payment over income",
    "offer=term": "Term of the offer",
    "offer=principal": "Amount of the offer",
}
"""The groups of what is offered, and what they mean."""
_REQUEST_GROUPS = dict(zip(REQUEST_FEATURES, ("Amount requested", "Term requested"), strict=True))
_GROUP_OF_PHI = {
    "one": BASE,
    "gap": "offer=price",
    "gap_hinge": "offer=price",
    "pti": "offer=payment",
    "term": "offer=term",
    "term_change": "offer=term",
    "principal": "offer=principal",
    "shortfall": "offer=principal",
    "excess": "offer=principal",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """The parts of one logit: the sum of `groups`, and `floor`, is `logit`.

    Groups are the declared features, `REQUEST_FEATURES`, `OFFER_GROUPS` and `BASE`, by name.

    >>> Attribution(groups={"offer=base": -2.0, "fico": 0.5}, floor=0.1, logit=-1.4).groups["fico"]
    0.5
    """

    groups: Mapping[str, float]
    floor: float
    logit: float


def _column_groups(response: PriceResponse) -> tuple[str, ...]:
    """Return the group of each design-matrix column.

    Raises:
        ModelMismatchError: when a column belongs to no declared feature that has a reason.
    """
    groups, unmapped = _known_groups(response.features, response.portfolio.explained)
    if unmapped:
        raise ModelMismatchError(
            f"cannot be explained: no feature of portfolio {response.portfolio.name} with a reason "
            f"is called {', '.join(unmapped)}; declare it with a reason and train again"
        )
    return groups


@lru_cache(maxsize=16)  # a process has few models
def _known_groups(
    features: tuple[str, ...], explained: frozenset[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return each column's group, and the groups that are not explained."""
    groups = tuple(source_of(feature) for feature in features)
    return groups, tuple(sorted(set(groups) - explained - set(REQUEST_FEATURES)))


def _grouped(response: PriceResponse, contributions: Array, phi: Array) -> dict[str, Array]:
    """Return each group's part of the calibrated logits, (n,); `phi` has shape (n, heads)."""
    intercept, slope = response.calibration
    parts = slope * phi[:, :, None] * contributions
    groups = dict.fromkeys((BASE, *OFFER_GROUPS), np.zeros(len(parts)))
    groups[BASE] = np.full(len(parts), intercept)
    for k, head in enumerate(response.heads):
        name = _GROUP_OF_PHI[head.phi]
        groups[name] = groups[name] + parts[:, k, -1]
    columns = parts.sum(axis=1).T
    for name, part in zip(_column_groups(response), columns[:-1], strict=True):
        groups[name] = groups.get(name, 0.0) + part
    return groups


def _phi(response: PriceResponse, terms: OfferTerms) -> Array:
    return np.stack([PHI[head.phi](terms, response) for head in response.heads], axis=1)


def attribution(
    response: PriceResponse, contributions: Array, coefficients: Array, terms: OfferTerms
) -> Attribution:
    """Attribute one applicant's logit at one offer.

    `contributions` (heads, features + 1) and `coefficients` (heads,) are the model's for the
    applicant; `terms` have shape (1,).

    >>> cell = nearest_cell(asked, market, (risk, acceptance), 12_000, 36)
    >>> dearest = cell_terms(asked, market, cell, np.array([cell.final]))
    >>> contributions = market.risk.contributions(np.zeros((1, 20)))[0]  # it sees no column
    >>> parts = attribution(market.risk, contributions, risk, dearest)
    >>> [(name, round(part, 3)) for name, part in parts.groups.items() if part]
    [('offer=base', -2.197), ('offer=price', 0.117)]

    Raises:
        ModelMismatchError: when a column belongs to no declared feature that has a reason.
    """
    phi = _phi(response, terms)
    intercept, slope = response.calibration
    floor = 0.0
    for k, head in enumerate(response.heads):
        if is_clipped(head):
            clipped = (coefficients[k] - intercept * (k == 0)) / slope
            floor += slope * float(phi[0, k] * (clipped - contributions[k].sum()))
    grouped = _grouped(response, contributions[None], phi)
    return Attribution(
        groups={name: float(part[0]) for name, part in grouped.items()},
        floor=floor,
        logit=float(np.sum(coefficients * phi[0])),
    )


def reference_of(
    response: PriceResponse, contributions: Array, terms: OfferTerms
) -> dict[str, float]:
    """Return the mean part of each group over approved applicants, for `evidence["reference"]`.

    `contributions` (n, heads, features + 1) are the model's for n applicants whose loans were
    booked, and `terms` (n,) the loans' own.

    >>> approved = reference_of(market.risk, market.risk.contributions(np.zeros((2, 20))), terms)
    >>> round(approved["offer=price"], 3)  # one loan at the benchmark, one a point above it
    0.01

    Raises:
        ModelMismatchError: when a column belongs to no declared feature that has a reason.
    """
    grouped = _grouped(response, contributions, _phi(response, terms))
    return {name: float(part.mean()) for name, part in grouped.items()}


def reference(response: PriceResponse) -> Mapping[str, float]:
    """Return what `reference_of` found when the model was trained.

    >>> reference(market.risk)
    Traceback (most recent call last):
        ...
    finntelligence.errors.ModelMismatchError: lacks the mean contributions of approved applicants, \
against which a decline is explained; train it again

    Raises:
        ModelMismatchError: when it is absent or not of this model's groups, so that no decline
            could be given its reasons.
    """
    found: Mapping[str, float] = response.evidence.get("reference", {})
    if set(found) != {BASE, *OFFER_GROUPS, *_column_groups(response)}:
        raise ModelMismatchError(
            "lacks the mean contributions of approved applicants, against which a decline is "
            "explained; train it again"
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one group adds to the logit of default, against the mean approved applicant.

    >>> Effect(group="dti", label="Existing debt over income", effect=0.31).effect
    0.31
    """

    group: str
    label: str
    effect: float


def effects(parts: Attribution, response: PriceResponse) -> tuple[Effect, ...]:
    """Return what each group adds against the mean approved applicant, the largest first.

    >>> from dataclasses import replace
    >>> contributions = market.risk.contributions(np.zeros((2, 20)))
    >>> approved = reference_of(market.risk, contributions, terms)
    >>> model = replace(market.risk, evidence={"reference": approved})
    >>> cell = nearest_cell(asked, market, (risk, acceptance), 12_000, 36)
    >>> dearest = cell_terms(asked, market, cell, np.array([cell.final]))
    >>> largest = effects(attribution(model, contributions[0], risk, dearest), model)[0]
    >>> largest.label, round(largest.effect, 3)
    ('Price of the offer against the benchmark', 0.107)

    Raises:
        ModelMismatchError: as `reference`.
    """
    approved = reference(response)
    labels = {field.name: field.meaning for field in response.portfolio.features}
    labels |= {**_REQUEST_GROUPS, **OFFER_GROUPS}
    found = (
        Effect(group=name, label=label, effect=parts.groups[name] - approved[name])
        for name, label in labels.items()
    )
    return tuple(sorted(found, key=lambda effect: -abs(effect.effect)))


def nearest_cell(
    application: Application,
    market: Market,
    coefficients: tuple[Array, Array],
    principal: float,
    term_months: float,
) -> Cell:
    """Return the cell of the policy's menu nearest in term, then in amount.

    `coefficients` are the risk and the acceptance model's for the applicant, each (heads,).

    >>> cell = nearest_cell(asked, market, (risk, acceptance), 11_000, 40)
    >>> cell.principal, cell.term_months
    (12000.0, 36)
    """
    risk, acceptance = coefficients
    solution = solve(application_columns(application), market, risk[None], acceptance[None])
    return solution.nearest(0, principal, term_months)


def cell_terms(
    application: Application, market: Market, cell: Cell, ticks: NDArray[np.int64]
) -> OfferTerms:
    """Return the full terms of a cell at positions among the policy's quotable rates, (rates,).

    >>> cell = nearest_cell(asked, market, (risk, acceptance), 12_000, 36)
    >>> cell_terms(asked, market, cell, np.array([cell.first])).quoted_rate.tolist()
    [0.085]
    """
    rates = market.grid.ticks[ticks]
    principal, term = np.full(rates.shape, cell.principal), np.full(rates.shape, cell.term_months)
    return terms_at(application, market, principal, term.astype(float), rates)
