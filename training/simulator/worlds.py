"""The simulator's worlds: the laws by which applicants accept and default.

W1 has linear risk and demand. W2 kinks demand at the market's benchmark. W3 is W1 with a lender
who never randomises a price. W4 has thresholds and interactions in both risk and demand.

Three independent normals stay hidden from the lender's log: private risk `u`, the demand shock
`xi` that staff sense when they set a price, and `cn`, the competitors' noise around the benchmark.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finntelligence.cashflow import MONTHS, monthly_payment
from finntelligence.value import Economics

__all__ = [
    "COMPETITOR_NOISE",
    "DEMAND_SHOCK",
    "ECONOMICS",
    "HOMES",
    "PURPOSES",
    "WORLDS",
    "Latent",
    "Terms",
    "Traits",
    "World",
    "term_step",
]

Array = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]

HOMES = ("rent", "own", "mortgage")
PURPOSES = (
    "debt_consolidation",
    "credit_card",
    "home_improvement",
    "other",
    "major_purchase",
    "medical",
    "small_business",
)
ECONOMICS = Economics(
    cost_of_funds=0.04,  # where the path starts: each quote carries its own month's
    origination_fee=0.03,
    lgd=0.90,
    recovery_lag_months=12,
    acquisition_cost=150,
    servicing_cost=5,
    servicing_rate=0,
    capital_ratio=0.10,
    hurdle_rate=0.15,
    prepayment_rate=0.15,
)
COMPETITOR_NOISE = 0.02  # standard deviation of `cn`, a fraction of rate
DEMAND_SHOCK = 0.50  # logits of acceptance for one standard deviation of `xi`
_HOME_RISK = (0.16, 0.06, -0.10)
_PURPOSE_RISK = (0.05, -0.05, 0.0, 0.08, 0.0, 0.12, 0.45)
_PURPOSE_TASTE = (0.10, 0.05, -0.05, 0.0, -0.10, 0.20, 0.25)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is offered; numbers or arrays that broadcast against the applicants."""

    principal: ArrayLike
    term_months: ArrayLike
    nominal_rate: ArrayLike


@dataclass(frozen=True, slots=True, kw_only=True)
class Latent:
    """The hidden normals: `u` and `xi` are standard, `cn` is a fraction of rate."""

    u: Array | float
    xi: Array | float = 0.0
    cn: Array | float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What applicants bring to every offer.

    `taste` is the acceptance logit at the benchmark, `sensitivity` the logits lost for each
    percentage point above it, `risk` the log hazard, `burden` scales the effect of the payment.
    `benchmark` is the market's rate at 36 months.
    """

    taste: Array
    sensitivity: Array
    risk: Array
    burden: Array
    benchmark: Array
    annual_income: Array
    requested_principal: Array
    requested_term_months: Array
    cost_of_funds: Array

    def column(self, rows: slice) -> "Traits":
        """Return the chosen applicants as a column, to broadcast against rows of offers."""
        return Traits(**{f.name: getattr(self, f.name)[rows, None] for f in fields(self)})

    def benchmark_at(self, term_months: ArrayLike) -> Array:
        """Return the market's rate at the offered term."""
        return self.benchmark + 0.010 * term_step(term_months)

    def sensitivity_at(self, u: Array | float) -> Array:
        """Return the price sensitivity: the privately risky have fewer lenders to turn to."""
        return self.sensitivity * np.exp(-0.20 * u)

    def hazard(self, terms: Terms, u: Array | float) -> Array:
        """Return the monthly default hazard, 1 - exp(-intensity).

        intensity = .0044 * exp(risk + .45 u + 3 burden (min(PTI, .4) - .05) + .25 ln(term / 36))
        """
        payment = monthly_payment(terms.principal, terms.nominal_rate, terms.term_months)
        pti = np.minimum(payment * MONTHS / self.annual_income, 0.4)
        stretch = 0.25 * np.log(np.asarray(terms.term_months) / 36)
        log_hazard = self.risk + 0.45 * u + 3.0 * self.burden * (pti - 0.05) + stretch
        return -np.expm1(-0.0044 * np.exp(log_hazard))


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One set of laws; the slopes multiply the price's effect below and above the benchmark."""

    taste: Callable[[Columns], Array]
    sensitivity: Callable[[Columns], Array]
    risk: Callable[[Columns], Array]
    burden: Callable[[Columns], Array]
    slope_below: float = 1.0
    slope_above: float = 1.0
    randomised_share: float = 0.15

    @property
    def is_kinked(self) -> bool:
        """Whether demand has a reference price."""
        return self.slope_below != self.slope_above

    def traits(self, applicants: Mapping[str, Any]) -> Traits:
        """Read applicants from columns named and measured as in the quote log."""
        a = {name: np.asarray(applicants[name]) for name in (*_NUMBERS, "home", "purpose")}
        a |= {name: a[name].astype(float) for name in _NUMBERS}
        zf, funds = _credit(a), a["cost_of_funds"]
        return Traits(
            taste=self.taste(a),
            sensitivity=self.sensitivity(a),
            risk=self.risk(a),
            burden=self.burden(a),
            benchmark=np.clip(0.145 - 0.035 * zf + 0.006 * zf**2 + (funds - 0.04), 0.06, 0.32),
            annual_income=a["annual_income"],
            requested_principal=a["requested_principal"],
            requested_term_months=a["requested_term_months"],
            cost_of_funds=funds,
        )

    def accept_logit(self, traits: Traits, terms: Terms, latent: Latent) -> Array:
        """Return the logit of acceptance once the hidden normals are known."""
        term_months = np.asarray(terms.term_months)
        ratio = np.asarray(terms.principal) / traits.requested_principal
        wrong_size = np.where(ratio < 1, 2.2 * (1 - ratio), 0.5 * (ratio - 1))
        wrong_term = 0.45 * np.abs(np.log(term_months / traits.requested_term_months))
        market = traits.benchmark_at(term_months) + latent.cn
        gap_pp = 100 * (np.asarray(terms.nominal_rate) - market)
        if self.is_kinked:
            gap_pp = gap_pp * np.where(gap_pp < 0, self.slope_below, self.slope_above)
        drawn = traits.taste + 0.30 * latent.u + DEMAND_SHOCK * latent.xi
        return drawn - traits.sensitivity_at(latent.u) * gap_pp - wrong_term - wrong_size


def term_step(term_months: ArrayLike) -> Array:
    """Return ln(term / 36) in units of the step from 36 to 60 months.

    >>> term_step([36, 60]).tolist()
    [0.0, 1.0]
    """
    return np.log(np.asarray(term_months) / 36) / np.log(60 / 36)


def _credit(a: Columns) -> Array:
    """FICO in steps of 50 around 700."""
    return (a["fico"] - 700) / 50


def _size(a: Columns) -> Array:
    """Log of the requested principal around 12,500."""
    return np.log(a["requested_principal"] / 12_500)


def _points(values: NDArray[Any], names: tuple[str, ...], points: tuple[float, ...]) -> Array:
    found = np.select([values == name for name in names], points, np.nan)
    if np.isnan(found).any():
        raise ValueError(f"a category is none of {', '.join(names)}")
    return found


def _linear_taste(a: Columns) -> Array:
    purpose = _points(a["purpose"], PURPOSES, _PURPOSE_TASTE)
    return -1.00 - 0.30 * _credit(a) - 0.10 * _size(a) + purpose


def _linear_sensitivity(a: Columns) -> Array:
    return 0.28 * np.exp(0.20 * np.clip(_credit(a), -2, 2) + 0.20 * _size(a))


def _linear_risk(a: Columns) -> Array:
    return (
        -0.50 * _credit(a)
        + 0.022 * (a["dti"] - 18.5)
        - 0.22 * np.log(a["annual_income"] / 65_000)
        + 0.10 * np.minimum(a["inquiries"], 6)
        + 0.09 * np.minimum(a["delinquencies"], 5)
        + 0.006 * (a["utilisation"] - 50)
        - 0.012 * a["employment_years"]
        + _points(a["home"], HOMES, _HOME_RISK)
        + _points(a["purpose"], PURPOSES, _PURPOSE_RISK)
    )


def _even_burden(a: Columns) -> Array:
    return np.ones_like(a["dti"])


def _kinked_taste(a: Columns) -> Array:
    return _linear_taste(a) - 0.10


def _kinked_sensitivity(a: Columns) -> Array:
    keen = np.isin(a["purpose"], PURPOSES[1::2])
    return _linear_sensitivity(a) * np.where(keen, 1.30, 0.85)


def _bent_taste(a: Columns) -> Array:
    zf = _credit(a)
    refinances = np.isin(a["purpose"], PURPOSES[:2])
    return (
        -0.85
        - 0.55 * np.maximum(zf - 0.4, 0)
        + 0.25 * np.minimum(zf + 1, 0)
        - 0.35 * np.tanh(np.log(a["annual_income"] / 65_000) / 0.35)
        - 0.10 * _size(a)
        + 0.45 * ((a["utilisation"] > 70) & refinances)
        - 0.60 * ((a["inquiries"] >= 2) & (zf > 0))
        + 0.30 * ((a["dti"] > 25) & (a["home"] == "rent"))
        + _points(a["purpose"], PURPOSES, _PURPOSE_TASTE)
    )


def _bent_sensitivity(a: Columns) -> Array:
    shops = np.isin(a["purpose"], PURPOSES[:2]) & (a["fico"] >= 720)
    pressed = np.isin(a["purpose"], PURPOSES[5:]) | (a["utilisation"] > 80)
    stretched = (a["requested_term_months"] == 60) & (a["annual_income"] < 50_000)
    keen = np.select([shops, pressed], [1.70, 0.55], 1.0) * np.where(stretched, 0.70, 1.0)
    keen = keen * np.where(a["inquiries"] >= 2, 1.25, 1.0)
    slope = 0.15 * np.clip(_credit(a), -2, 2) + 0.20 * np.clip(_size(a), -1, 1)
    return 0.25 * keen * np.exp(slope)


def _bent_risk(a: Columns) -> Array:
    zf, inquiries, late = _credit(a), a["inquiries"], a["delinquencies"]
    thin = (inquiries >= 3) | ((inquiries >= 1) & (a["open_accounts"] < 8))
    settled = (a["home"] == "mortgage") & (a["employment_years"] >= 5)
    venture = (a["purpose"] == "small_business") | ((a["purpose"] == "other") & (zf < 0))
    return (
        -0.10
        - 0.25 * zf
        + 0.55 * np.maximum(-0.6 - zf, 0)
        - 0.35 * np.maximum(zf - 1, 0)
        + 0.70 * ((a["utilisation"] > 75) & (late >= 1))
        + 0.25 * (a["utilisation"] > 95)
        - 0.40 * np.tanh((a["annual_income"] - 55_000) / 30_000)
        + 0.045 * np.maximum(a["dti"] - 22, 0)
        + 0.45 * thin
        - 0.30 * settled
        + 0.10 * np.minimum(late, 3)
        + 0.50 * venture
    )


def _uneven_burden(a: Columns) -> Array:
    return np.where(a["dti"] > 25, 1.80, 0.80)


_NUMBERS = (
    *("annual_income", "fico", "dti", "employment_years", "delinquencies", "inquiries"),
    *("utilisation", "open_accounts", "requested_principal", "requested_term_months"),
    "cost_of_funds",
)
_LINEAR = World(
    taste=_linear_taste, sensitivity=_linear_sensitivity, risk=_linear_risk, burden=_even_burden
)
_KINKED = replace(
    _LINEAR, taste=_kinked_taste, sensitivity=_kinked_sensitivity, slope_below=0.5, slope_above=1.5
)
_BENT = World(
    taste=_bent_taste, sensitivity=_bent_sensitivity, risk=_bent_risk, burden=_uneven_burden
)
WORLDS = {"W1": _LINEAR, "W2": _KINKED, "W3": replace(_LINEAR, randomised_share=0.0), "W4": _BENT}
