"""A small book of applicants, and what prices it: models written down here."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from batch.offers import Pricing
from finntelligence import __version__
from finntelligence.basis import BasisColumn
from finntelligence.explain import reference_of
from finntelligence.features import application_columns, design_matrix, feature_names
from finntelligence.heads import Head
from finntelligence.market import Market
from finntelligence.offers import application
from finntelligence.optimiser import terms_at
from finntelligence.policy import Policy
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.response import PriceResponse

ROOT = Path(__file__).parents[2]
SCORE = BasisColumn(feature="fico", kind="z", low=550, high=850, mean=700, sd=50)
VERSIONS = {"pair": "0a0a0a0a-0b0b0b0b", "portfolio": "p", "policy": "q", "engine": __version__}


@pytest.fixture(scope="session")
def portfolio():
    text = (ROOT / "portfolios" / "simulated.yaml").read_text(encoding="utf-8")
    return Portfolio.from_mapping(yaml.safe_load(text))


def response(portfolio, model, base, slope, sign):
    return PriceResponse(
        model=model,
        portfolio=portfolio,
        features=feature_names(portfolio),
        basis=(SCORE,),
        heads=(Head(name="base", phi="one"), Head(name="gap", phi="gap", sign=sign, floor=0.001)),
        linear=np.array([base, slope]),
        calibration=(0.0, 1.0),
        income_fill=4000.0,
        evidence={},
    )


@pytest.fixture(scope="session")
def pricing(portfolio):
    """What prices the book: a low score means much risk, so that some are declined."""
    market = Market(
        portfolio=portfolio,
        policy=Policy.from_mapping(portfolio),
        risk=response(portfolio, Capability.RISK, [-2.5, -1.2], [0.02, 0.0], 1),
        acceptance=response(portfolio, Capability.ACCEPTANCE, [0.0, -0.3], [-0.2, -0.03], -1),
    )
    example = application(portfolio, **portfolio.example)
    columns = application_columns(example)
    principal, term = columns["requested_principal"], columns["requested_term_months"]
    rate = portfolio.price.benchmark.rate(columns, term, market.policy.economics.cost_of_funds)
    contributions = market.risk.contributions(design_matrix(portfolio, columns))
    terms = terms_at(example, market, principal, term, rate)
    approved = reference_of(market.risk, contributions, terms)
    known = replace(market, risk=replace(market.risk, evidence={"reference": approved}))
    return Pricing(
        market=known,
        versions=VERSIONS,
        score_risk=known.risk.coefficients,
        score_acceptance=known.acceptance.coefficients,
        explain_risk=known.risk.contributions,
    )


@pytest.fixture(scope="session")
def applicants(portfolio):
    """Return a function: a frame of n applicants like the declared example."""

    def drawn(n, seed=0):
        rng = np.random.default_rng(seed)
        frame = pd.DataFrame([portfolio.example["features"]] * n)
        return frame.assign(
            applicant=[f"a{seed}-{i}" for i in range(n)],
            fico=rng.integers(560, 850, n),
            annual_income=np.exp(rng.normal(11, 0.6, n)).round(2),
            home=rng.choice(["rent", "own", "mortgage"], n),
            requested_principal=rng.uniform(1000, 40_000, n).round(2),
            requested_term_months=rng.choice([24, 36, 48, 60], n),
            group="a",  # what no application carries is not read
        )

    return drawn
