"""One fitted model with the rows it was fitted on and the rows it is judged on."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from finntelligence import cashflow
from finntelligence.errors import InvalidDataError
from finntelligence.features import design_matrix
from finntelligence.offers import OfferTerms
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.rates import Price, RateRule
from training.fitting.artefact import Artefact, load_artefact
from training.fitting.price_response import columns_of, quoted_terms
from training.stages import Paths
from training.tables import read_table
from training.train import TARGETS

__all__ = ["Subject", "repriced", "segments"]

Array = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]

_QUARTERS = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is judged, and on which rows.

    Both tables are canonical, with the columns `outcome` (0 or 1), `predicted`, `offset` (price
    units above the list price) and `segment` (the class that the list price goes by).
    """

    portfolio: Portfolio
    artefact: Artefact
    train: pd.DataFrame
    holdout: pd.DataFrame

    @classmethod
    def read(cls, paths: Paths, model: Capability, portfolio: Portfolio) -> "Subject":
        """Read a model and both parts of the table that it learns from.

        Raises:
            InvalidDataError: where a part is empty or of one outcome, which judges nothing.
        """
        artefact = load_artefact(paths.model(model), model, portfolio)
        table, target = TARGETS[model]
        parts = {
            part: read_table(paths.processed / part / f"{table}.parquet")
            for part in ("train", "holdout")
        }
        for part, frame in parts.items():
            if frame[target].nunique() < 2:
                raise InvalidDataError(
                    f"{part}/{table}.{target}: both outcomes are needed to judge a model by; "
                    f"{int(frame[target].sum())} of {len(frame)} rows are true"
                )
        rule = portfolio.price.list_rate
        cuts = np.quantile(parts["train"][rule.field], _QUARTERS) if not rule.categories else ()
        judged = {}
        for part, frame in parts.items():
            judged[part] = frame.assign(
                outcome=frame[target].astype(float),
                predicted=_predicted(artefact, portfolio, frame),
                offset=(frame["quoted_rate"] - frame["list_rate"]) / Price.UNIT,
                segment=segments(rule, frame, cuts),
            )
        return cls(portfolio=portfolio, artefact=artefact, **judged)

    @property
    def model(self) -> Capability:
        """Which of the two models it is."""
        return self.artefact.response.model

    def probability(self, columns: Columns, terms: OfferTerms) -> Array:
        """Return the probability at terms of shape (n,) or (n, m), offered to n applicants."""
        coefficients = self.artefact.coefficients(design_matrix(self.portfolio, columns))
        wide = coefficients[:, None] if np.ndim(terms.quoted_rate) > 1 else coefficients
        return self.artefact.response.probability(wide, terms)


def _predicted(artefact: Artefact, portfolio: Portfolio, frame: pd.DataFrame) -> Array:
    coefficients = artefact.coefficients(design_matrix(portfolio, columns_of(portfolio, frame)))
    return artefact.response.probability(coefficients, quoted_terms(portfolio, frame))


def segments(rule: RateRule, frame: pd.DataFrame, cuts: ArrayLike) -> pd.Categorical:
    """Return the class of each row: the list price's category, or the part between the `cuts`."""
    if rule.categories:
        return pd.Categorical(frame[rule.field], categories=rule.categories)
    edges = np.unique(np.asarray(cuts, dtype=float))
    bounds = [f"{edge:.15g}" for edge in edges]
    between = [f"from {low} below {high}" for low, high in itertools.pairwise(bounds)]
    steps = [f"below {bounds[0]}", *between, f"from {bounds[-1]}"]
    place = np.searchsorted(edges, frame[rule.field].to_numpy(), side="right")
    return pd.Categorical.from_codes(place, [f"{rule.field} {step}" for step in steps])


def repriced(portfolio: Portfolio, terms: OfferTerms, quoted_rate: Array) -> OfferTerms:
    """Return the terms of n offers at other rates, `quoted_rate` of shape (n,) or (n, m)."""
    each = (slice(None), *(None,) * (quoted_rate.ndim - 1))
    wide = {
        name: np.broadcast_to(getattr(terms, name)[each], quoted_rate.shape)
        for name in (
            *("principal", "term_months", "benchmark", "monthly_income"),
            *("requested_principal", "requested_term_months"),
        )
    }
    nominal = cashflow.nominal_rate(quoted_rate, wide["term_months"], portfolio.price.convention)
    payment = cashflow.monthly_payment(wide["principal"], nominal, wide["term_months"])
    return OfferTerms(quoted_rate=quoted_rate, nominal_rate=nominal, payment=payment, **wide)
