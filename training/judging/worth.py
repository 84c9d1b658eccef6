"""What a quote is worth if it is accepted: one neutral model, the same for every policy.

A policy must not be judged by its own default model. This one is the base logit without trees,
fitted on the training loans.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finntelligence.features import design_matrix
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.response import PriceResponse
from finntelligence.value import Economics, default_hazard, loan_value
from training.evidence.subject import repriced
from training.fitting.base_logit import fit_base, unfitted
from training.fitting.basis import basis_columns
from training.fitting.hyperparameters import FitParams
from training.fitting.price_response import columns_of, quoted_terms, sample_of

__all__ = ["Worth", "neutral_risk", "worth_of"]

Array = NDArray[np.float64]

Worth = Callable[[Array], Array]
"""From rates (n,) to the NPV of each quote at them, were it accepted."""


def neutral_risk(
    portfolio: Portfolio, loans: pd.DataFrame, settings: FitParams | None = None
) -> PriceResponse:
    """Return the default model behind `worth_of`, fitted on canonical loans."""
    sample = sample_of(portfolio, loans, loans["defaulted"])
    columns = basis_columns(portfolio, sample.matrix)
    shell = unfitted(Capability.RISK, portfolio, columns, sample.terms)
    return fit_base(shell, sample, settings or FitParams())


def worth_of(
    portfolio: Portfolio,
    loans: pd.DataFrame,
    quotes: pd.DataFrame,
    economics: Economics,
    settings: FitParams | None = None,
) -> Worth:
    """Return what each of the quotes is worth at a rate, its principal and term as they were.

    Funds cost what they cost when it was quoted.
    """
    risk = neutral_risk(portfolio, loans, settings)
    coefficients = risk.coefficients(design_matrix(portfolio, columns_of(portfolio, quotes)))
    terms = quoted_terms(portfolio, quotes)
    funds = quotes["cost_of_funds"].to_numpy(dtype=float)
    horizon = portfolio.default.horizon_months or terms.term_months

    def worth(rates: Array) -> Array:
        at = repriced(portfolio, terms, rates)
        pd_lifetime = risk.probability(coefficients, at)
        hazard = default_hazard(pd_lifetime, horizon, economics.monthly_prepayment)
        lent = at.principal, at.nominal_rate, at.term_months
        return loan_value(*lent, hazard, economics, funds).npv

    return worth
