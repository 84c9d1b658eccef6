"""The usual way to price: two classifiers that see the offer, asked about a grid of candidates.

Kept as fast as it can be: what no applicant changes is computed once, both models see 1,200 rows
that are filled in place, and everything else is one numpy expression over the grid. It values with
the core's own `loan_value` and keeps the core's policy, so it differs from the engine in its models
and its search alone. The simulated book only: rates are nominal and yearly.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from finntelligence.cashflow import apr, capped_payment, contract_payments, monthly_payment
from finntelligence.features import feature_names, source_of
from finntelligence.grid import TABLE_NODES
from finntelligence.policy import Policy
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.value import PD_CEILING, PD_FLOOR, hazard_table, loan_value
from training.fitting.rivals import PlainClassifier
from training.stages import Paths, load_policy
from training.tables import load_portfolio, read_table
from training.train import TARGETS

__all__ = ["CANDIDATES", "GridPricer", "train"]

Array = NDArray[np.float64]

_RATES = 100  # for each of 4 terms and 3 principals
CANDIDATES = 12 * _RATES
"""Rows that both models score for one applicant."""
_TRAINED_ON = 40_000
_SHOWN = 3


def train(portfolio: str, folder: Path) -> None:
    """Fit both classifiers on the last training rows of a portfolio; save them in a folder."""
    declared, paths = load_portfolio(portfolio), Paths(portfolio)
    for model, (name, target) in TARGETS.items():
        frame = read_table(paths.processed / "train" / f"{name}.parquet")[-_TRAINED_ON:]
        fitted = PlainClassifier(declared, model).fit(frame, frame[target])
        assert fitted.booster is not None, "fit makes one"
        fitted.booster.save_model(folder / f"{model}.ubj")


class GridPricer:
    """Prices one applicant at a time, in one thread."""

    def __init__(self, portfolio: Portfolio, policy: Policy, folder: Path) -> None:
        self._portfolio, self._policy = portfolio, policy
        self._columns = [
            (source_of(name), name.partition("=")[2] or None) for name in feature_names(portfolio)
        ]
        self._risk, self._acceptance = (
            _one_thread(folder / f"{model}.ubj")
            for model in (Capability.RISK, Capability.ACCEPTANCE)
        )
        self._terms = np.array(policy.terms, dtype=float)[:, None, None]
        self._ladder = np.linspace(-policy.trust_below, policy.trust_above, _RATES)
        own = len(self._columns)
        shape = len(policy.terms), len(policy.principal_ratios), _RATES
        self._for_risk = np.zeros((*shape, own + 6), dtype=np.float32)
        self._for_acceptance = self._for_risk[..., :-1].copy()
        logit = (np.log(p / (1 - p)) for p in (PD_FLOOR, PD_CEILING))
        self._logit = np.linspace(*logit, TABLE_NODES)
        prepaid = policy.economics.monthly_prepayment
        self._hazards = [hazard_table(self._logit, n, prepaid)[:, 0] for n in policy.terms]

    @classmethod
    def of(cls, portfolio: str, folder: Path) -> "GridPricer":
        """Return the pricer of a portfolio under the policy in force."""
        declared = load_portfolio(portfolio)
        return cls(declared, load_policy(declared), folder)

    def offers(self, principal: float, term_months: float, features: Mapping[str, Any]) -> Any:
        """Return the best offers, best first: of each (principal, term) one, at most three."""
        policy, book = self._policy, self._portfolio
        asked = {**features, "requested_principal": principal, "requested_term_months": term_months}
        columns = {name: np.array([value]) for name, value in asked.items()}
        terms, funds = self._terms, policy.economics.cost_of_funds
        principals = policy.principals(principal)[None, :, None]
        listed = book.price.list_rate.rate(columns, terms, funds)
        ticks = np.round((listed + self._ladder) / policy.tick) * policy.tick
        rates = np.clip(ticks, policy.minimum_rate, policy.maximum_rate)
        payments = principals * monthly_payment(1.0, rates, terms)
        income = book.affordability.monthly_income(columns)[0]
        share = payments / max(income, 1e-9)
        gaps = rates - book.price.benchmark.rate(columns, terms, funds)
        p_accept, pd = self._scored(
            asked, (terms, principals, principals / principal, rates, gaps, share)
        )
        logit = np.log(pd / (1 - pd))
        of_terms = zip(logit, self._hazards, strict=True)
        hazard = np.stack([np.interp(row, self._logit, table) for row, table in of_terms])
        npv = loan_value(principals, rates, terms, hazard, policy.economics).npv
        permitted = (npv > 0) & self._affordable(principals, payments, share, pd, columns)
        profit = np.where(permitted, p_accept * npv, -np.inf).reshape(-1, _RATES)
        at = profit.argmax(axis=1)
        best = profit[np.arange(len(at)), at]
        shown = [cell for cell in np.argsort(-best)[:_SHOWN] if best[cell] > 0]
        chosen = [np.unravel_index(cell * _RATES + at[cell], p_accept.shape) for cell in shown]
        return [
            self._offer(
                float(principals[0, k, 0]),
                policy.terms[n],
                float(rates[n, 0, j]),
                (float(p_accept[n, k, j]), float(pd[n, k, j]), float(npv[n, k, j])),
            )
            for n, k, j in chosen
        ]

    def _scored(self, asked: Mapping[str, Any], offered: tuple[Array, ...]) -> tuple[Array, Array]:
        """Return p_accept and the lifetime PD of every candidate."""
        row = [float(asked[f] if v is None else asked[f] == v) for f, v in self._columns]
        both = self._for_acceptance, self._for_risk
        for matrix in both:
            matrix[..., : len(row)] = row
            for place in range(len(row), matrix.shape[-1]):
                matrix[..., place] = offered[place - len(row)]
        p_accept, pd = (
            model.inplace_predict(matrix.reshape(-1, matrix.shape[-1]), validate_features=False)
            for model, matrix in zip((self._acceptance, self._risk), both, strict=True)
        )
        shape = self._for_risk.shape[:-1]
        return p_accept.reshape(shape), pd.reshape(shape).astype(float)

    def _affordable(
        self, principals: Array, payments: Array, share: Array, pd: Array, columns: Any
    ) -> NDArray[np.bool_]:
        policy = self._policy
        received = principals * (1 - policy.economics.origination_fee)
        debts = self._portfolio.affordability.debt_share(columns)[0]
        caps = policy.pti_cap, policy.dti_cap, policy.pd_cutoff
        pti, dti, cutoff = (np.inf if cap is None else cap for cap in caps)
        within = (share <= min(pti, dti - debts)) & (pd <= cutoff)
        if policy.apr_cap is not None:
            within &= payments <= capped_payment(received, policy.apr_cap, self._terms)
        return within

    def _offer(
        self, principal: float, term: int, rate: float, valued: tuple[float, float, float]
    ) -> dict[str, float]:
        p_accept, pd, npv = valued
        received = principal * (1 - self._policy.economics.origination_fee)
        level, total = contract_payments(principal, rate, term)
        return {
            "principal": principal,
            "term_months": term,
            "quoted_rate": rate,
            "nominal_rate": rate,
            "apr": float(apr(received, level, term)),
            "monthly_payment": level,
            "total_cost": round(total - received, 2),
            "p_accept": p_accept,
            "pd_lifetime": pd,
            "expected_profit": p_accept * npv,
        }


def _one_thread(path: Path) -> xgb.Booster:
    booster = xgb.Booster(model_file=path)
    booster.set_param({"nthread": 1})
    return booster
