"""Whether the price slope's interval means what it says, on logs like KZ's whose slope is known.

Run as `python -m training.simulator.slope_recovery [LOGS]`; the report goes to build/worlds. A log
has as many offers as mailer waves 1 and 2 of Karlan and Zinman (2008), rates drawn within the risk
class as there, and about as many takers. Simulated: no client of theirs is in it.
"""

import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from finntelligence.portfolio import Capability, Portfolio
from finntelligence.rates import Price
from training.fitting.hyperparameters import FitParams
from training.fitting.price_response import PriceResponseModel
from training.stages import read_params, run_stage, write_json
from training.tables import load_portfolio, validated_quotes

__all__ = ["OFFERS", "SLOPE", "main", "offers_of_known_slope", "recovery"]

log = logging.getLogger(__name__)

OFFERS = 24_557
SLOPE = -0.04
"""Logit of take-up per point of monthly rate: near what the published file shows on all waves."""

_REPORT = Path("build/worlds/slope_recovery.json")
_CLASS_SHARES = {"LOW": 0.12, "MEDIUM": 0.13, "HIGH": 0.75}
_LEVEL = {"LOW": -1.4, "MEDIUM": -1.8, "HIGH": -2.5}  # logit of take-up at the standard rate
_LOWEST_RATE = 0.0325
_LOGS = 100
_WITHIN = 1.96  # standard errors in a 95 % interval


def offers_of_known_slope(portfolio: Portfolio, seed: int) -> pd.DataFrame:
    """Return a canonical table of quotes in which take-up falls by `SLOPE` for everybody."""
    rng = np.random.Generator(np.random.PCG64(seed))
    risk_class = rng.choice(list(_CLASS_SHARES), OFFERS, p=list(_CLASS_SHARES.values()))
    standard = portfolio.price.list_rate.rate({"risk_class": risk_class}, 4, 0.0)
    rate = rng.uniform(_LOWEST_RATE, standard).round(4)
    score, own = rng.normal(0, 1, (2, OFFERS))
    dormant = rng.integers(1, 24, OFFERS)
    loans = rng.poisson(4, OFFERS)
    level = np.array([_LEVEL[name] for name in risk_class])
    taste = 0.2 * score - 0.1 * score**2 + 0.3 * own - 0.06 * dormant + 0.05 * loans
    logit = level + taste + SLOPE * (rate - standard) / Price.UNIT
    return validated_quotes(
        portfolio,
        pd.DataFrame(
            {
                "quote_id": np.arange(OFFERS),
                "risk_class": risk_class,
                "bureau_score": np.clip(600 + 60 * score, 300, 900),
                "internal_score": np.clip(40 + 12 * own, 1, 100),
                "months_dormant": dormant,
                "prior_loans": loans,
                "last_term_months": rng.choice([4, 6, 12], OFFERS, p=[0.8, 0.1, 0.1]),
                "gross_monthly_income": np.exp(rng.normal(8.1, 0.5, OFFERS)),
                "educated": np.where(rng.random(OFFERS) < 0.4, "yes", "no"),
                **{name: np.nan for name in ("female", "married", "age", "dependants")},
                **{name: np.nan for name in ("province", "rural")},
                "requested_principal": 1000.0,
                "requested_term_months": 4,
                "principal": 1000.0,
                "term_months": 4,
                "quoted_rate": rate,
                "list_rate": standard,
                "is_randomised": True,
                "propensity": 1 / (standard - _LOWEST_RATE),
                "accepted": rng.logistic(size=OFFERS) < logit,
                "period": rng.integers(1, 3, OFFERS),
                "cost_of_funds": portfolio.economics["cost_of_funds"],
            }
        ),
    )


def recovery(portfolio: Portfolio, params: FitParams, seeds: Iterable[int]) -> dict[str, Any]:
    """Fit one log for each seed; return the slopes, their errors and how often truth is within."""
    found = []
    for seed in seeds:
        quotes = offers_of_known_slope(portfolio, seed)
        model = PriceResponseModel(portfolio, Capability.ACCEPTANCE, **vars(params))
        evidence = model.fit(quotes, quotes["accepted"]).evidence_
        slope, error = evidence["estimates"]["gap"], evidence["standard_errors"]["gap"]
        covered = abs(slope - SLOPE) <= _WITHIN * error
        found.append({"seed": seed, "slope": slope, "standard_error": error, "covered": covered})
        if len(found) % 10 == 0:
            log.info("slope recovery: %d logs, truth within %d", len(found), _covered(found))
    return {"simulated": True, "slope": SLOPE, "covered": _covered(found), "logs": found}


def _covered(found: list[dict[str, Any]]) -> int:
    return sum(bool(entry["covered"]) for entry in found)


def main(logs: int = _LOGS) -> None:
    """Run the experiment and write its report."""
    params = read_params(str(Capability.ACCEPTANCE), FitParams)
    report = recovery(load_portfolio("kz2008"), params, range(logs))
    write_json(_REPORT, report)
    log.info("slope recovery: truth within %d of %d; %s", report["covered"], logs, _REPORT)


if __name__ == "__main__":
    run_stage(main, *(int(each) for each in sys.argv[1:]))
