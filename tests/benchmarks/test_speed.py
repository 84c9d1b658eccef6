"""How long an optimum takes, beside the plain scan of every tick, in the same run.

`pytest tests/benchmarks --benchmark-only` prints the table; run as a test it times little.
"""

import numpy as np
import pytest

from finntelligence.features import application_columns
from finntelligence.market import solve
from finntelligence.offers import application
from finntelligence.optimiser import candidates, optimum, terms_at

WIDE = {"trust_region": {"below": 0.5, "above": 0.5}}  # 12 cells x 3,001 ticks


@pytest.fixture(scope="module")
def asked(market, portfolio, coefficients):
    under = market(WIDE)
    assert len(under.grid.ticks) == 3001
    applicant = application(portfolio, **portfolio.example)
    risk, acceptance = coefficients(under, application_columns(applicant))
    return applicant, under, risk[0], acceptance[0]


def scan(applicant, under, risk, acceptance):
    """Value every tick of every cell with numpy and take the best permitted one of each."""
    best = []
    for term in under.policy.terms:
        for principal in under.policy.principals(applicant.requested_principal):
            ticks = under.policy.ticks()
            terms = terms_at(
                applicant,
                under,
                np.full(ticks.shape, principal),
                np.full(ticks.shape, float(term)),
                ticks,
            )
            best.append(
                np.max(candidates(applicant, under, risk, acceptance, terms).expected_profit)
            )
    return best


@pytest.mark.benchmark(group="one applicant, 12 cells x 3,001 ticks")
def test_one_applicant(benchmark, asked):
    assert benchmark(optimum, *asked).offers


@pytest.mark.benchmark(group="one applicant, 12 cells x 3,001 ticks")
def test_one_applicant_by_plain_scan(benchmark, asked):
    assert max(benchmark.pedantic(scan, asked, rounds=5)) > 0


@pytest.mark.benchmark(group="10,000 applicants at once")
def test_ten_thousand_applicants(benchmark, market, applicants, coefficients):
    under, columns = market(WIDE), applicants(10_000)
    arguments = (columns, under, *coefficients(under, columns))
    found = benchmark.pedantic(solve, arguments, rounds=3, warmup_rounds=1)
    assert (found.optima.tick >= 0).mean() > 0.2
