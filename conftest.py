"""What doctests have at hand: a book, a market that prices it, and one question to that market.

`book` is the simulated portfolio and `asked` its example request: 12,000 USD over 36 months. The
models of `market` are made by hand and know nothing of the applicant, so their coefficients `risk`
and `acceptance` are everybody's: at the benchmark one in ten defaults and one in two accepts, and
each point of price above it moves these logits by 0.02 and -0.2. `terms` are what was asked for, at
the benchmark and a point above; `cells` the one cell of it, at any quotable rate.
"""

import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from finntelligence.features import application_columns, feature_names
from finntelligence.grid import Cells
from finntelligence.heads import Head
from finntelligence.market import Market
from finntelligence.offers import application
from finntelligence.optimiser import terms_at
from finntelligence.policy import Policy
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.response import PriceResponse

pytest_plugins = ["tests.postgresql"]  # only the topmost conftest may name one

BOOK = Path(__file__).parent / "portfolios" / "simulated.yaml"


def response(book, model, sign, base, gap):
    """Return the model of one constant and one slope."""
    return PriceResponse(
        model=model,
        portfolio=book,
        features=feature_names(book),
        basis=(),
        heads=(Head(name="base", phi="one"), Head(name="gap", phi="gap", sign=sign)),
        linear=np.array([[base], [gap]]),
        calibration=(0.0, 1.0),
        income_fill=4000.0,
        evidence={},
    )


@pytest.fixture(autouse=True, scope="session")
def at_hand(doctest_namespace):
    """Give every doctest the names above."""
    book = Portfolio.from_mapping(yaml.safe_load(BOOK.read_text(encoding="utf-8")))
    market = Market(
        portfolio=book,
        policy=Policy.from_mapping(book),
        risk=response(book, Capability.RISK, +1, base=-math.log(9), gap=0.02),
        acceptance=response(book, Capability.ACCEPTANCE, -1, base=0.0, gap=-0.2),
    )
    asked = application(book, **book.example)
    funds = market.policy.economics.cost_of_funds
    benchmark = book.price.benchmark.rate(application_columns(asked), 36, funds)
    doctest_namespace.update(
        book=book,
        market=market,
        asked=asked,
        risk=market.risk.linear[:, 0],
        acceptance=market.acceptance.linear[:, 0],
        terms=terms_at(
            asked, market, np.full(2, 12_000.0), np.full(2, 36.0), benchmark + np.array([0.0, 0.01])
        ),
        cells=Cells(
            shape=(1,),
            low=0,
            high=len(market.grid.ticks) - 1,
            row=market.policy.terms.index(36),
            principal=12_000.0,
            benchmark=benchmark,
            accept_constant=0.0,
            accept_gap=-0.2,
            accept_hinge=0.0,
            risk_constant=-math.log(9),
            risk_gap=0.02,
            risk_pti=0.0,
            pti_scale=0.0,
            risk_limit=math.inf,
            factor_cap=math.inf,
        ),
    )
