"""Random applicants of the simulated book, and what answers them: models made by hand."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from finntelligence.basis import BasisColumn
from finntelligence.features import design_matrix, feature_names
from finntelligence.heads import Head
from finntelligence.market import Market
from finntelligence.policy import Policy
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.response import PriceResponse

ROOT = Path(__file__).parents[2]
BASIS = (
    BasisColumn(feature="fico", kind="z", low=580, high=840, mean=700, sd=50),
    BasisColumn(feature="annual_income", kind="z", log=True, low=9e3, high=4e5, mean=11.1, sd=0.5),
)


def model(portfolio, kind, heads, linear):
    return PriceResponse(
        model=kind,
        portfolio=portfolio,
        features=feature_names(portfolio),
        basis=BASIS,
        heads=heads,
        linear=np.array(linear),
        calibration=(0.0, 1.0),
        income_fill=4000.0,
        evidence={},
    )


@pytest.fixture(scope="session")
def portfolio():
    return Portfolio.from_mapping(
        yaml.safe_load((ROOT / "portfolios" / "simulated.yaml").read_text())
    )


@pytest.fixture(scope="session")
def market(portfolio):
    """A function: the market under the default policy with changes, with or without a hinge."""

    def build(changes=None, hinge=0.0):
        risk = model(
            portfolio,
            Capability.RISK,
            (
                Head(name="base", phi="one"),
                Head(name="gap", phi="gap", sign=1),
                Head(name="pti", phi="pti", sign=1, floor=0.001),
                Head(name="term", phi="term"),
                Head(name="principal", phi="principal"),
            ),
            [[-2.0, -0.5, -0.3], [0.02, 0, 0], [0.3, 0, 0], [1.0, 0, 0], [0.1, 0, 0]],
        )
        acceptance = model(
            portfolio,
            Capability.ACCEPTANCE,
            (
                Head(name="base", phi="one"),
                Head(name="gap", phi="gap", sign=-1, floor=0.02),
                Head(name="term_change", phi="term_change", sign=-1),
                Head(name="shortfall", phi="shortfall", sign=-1),
                Head(name="gap_hinge", phi="gap_hinge"),
            ),
            [[-0.8, -0.3, 0.0], [-0.23, -0.05, 0.02], [-0.45, 0, 0], [-2.2, 0, 0], [hinge, 0, 0]],
        )
        policy = Policy.from_mapping(portfolio, changes)
        return Market(portfolio=portfolio, policy=policy, risk=risk, acceptance=acceptance)

    return build


@pytest.fixture(scope="session")
def applicants(portfolio):
    """A function: n applicants as columns, spread as in the simulated book."""

    def draw(n, seed=0):
        rng = np.random.default_rng(seed)
        columns = {
            "annual_income": np.exp(rng.normal(11.0, 0.6, n)),
            "fico": np.clip(rng.normal(700, 50, n), 580, 850),
            "dti": rng.uniform(0, 40, n),
            "home": rng.choice(np.array(["rent", "own", "mortgage"]), n),
            "purpose": rng.choice(np.array(portfolio.field("purpose").values), n),
            "requested_principal": np.round(rng.uniform(1000, 40000, n), -2),
            "requested_term_months": rng.choice(np.array([24.0, 36, 48, 60]), n),
        }
        rest = {f.name for f in portfolio.features} - set(columns)
        return columns | {name: rng.integers(0, 12, n).astype(float) for name in rest}

    return draw


@pytest.fixture(scope="session")
def coefficients():
    """A function: both models' coefficients for applicants in columns."""

    def of(market, columns):
        matrix = design_matrix(market.portfolio, columns)
        return market.risk.coefficients(matrix), market.acceptance.coefficients(matrix)

    return of
