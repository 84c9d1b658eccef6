"""Books with price experiments: simulated ones, a pair of models, and a cheap judge."""

from dataclasses import replace

import pytest

from finntelligence.features import design_matrix
from finntelligence.market import Market
from finntelligence.portfolio import Capability
from training.books import kz2008
from training.fitting.hyperparameters import FitParams
from training.fitting.price_response import PriceResponseModel, columns_of
from training.simulate import simulate
from training.simulator.worlds import WORLDS
from training.stages import load_policy
from training.tables import holdout_rows, validated_loans, validated_quotes


@pytest.fixture(scope="session")
def tested(simulated):
    """8,000 quotes of W1, each at a randomised price, and their loans."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(WORLDS, "tested", replace(WORLDS["W1"], randomised_share=1.0))
        book = simulate("tested", quotes=8_000, seed=11)
    return validated_quotes(simulated, book.quotes), validated_loans(simulated, book.loans)


@pytest.fixture
def quotes(tested):
    return tested[0].copy()


@pytest.fixture
def loans(tested):
    return tested[1].copy()


def engine_of(portfolio, quotes, loans, root):
    """Return a market fitted without trees, and what gives both coefficients for quotes."""
    bare = {"rounds": 0, "minimum_events": 500}
    tables = {
        Capability.RISK: (loans, loans["defaulted"]),
        Capability.ACCEPTANCE: (quotes, quotes["accepted"]),
    }
    pair = {
        model: PriceResponseModel(portfolio, model, **vars(FitParams(**bare))).fit(*table).artefact_
        for model, table in tables.items()
    }
    market = Market(
        portfolio=portfolio,
        policy=load_policy(portfolio, root),
        risk=pair[Capability.RISK].response,
        acceptance=pair[Capability.ACCEPTANCE].response,
    )

    def both(rows):
        matrix = design_matrix(portfolio, columns_of(portfolio, rows))
        return tuple(
            pair[model].coefficients(matrix) for model in (Capability.RISK, Capability.ACCEPTANCE)
        )

    return market, both


@pytest.fixture(scope="session")
def engine(simulated, tested, request):
    return engine_of(simulated, *tested, request.config.rootpath)


@pytest.fixture(scope="session")
def kz_tables(kz, kz_file):
    return kz2008.tables(kz, kz_file)


@pytest.fixture(scope="session")
def kz_quotes(kz_tables):
    return kz_tables.quotes


@pytest.fixture(scope="session")
def kz_engine(kz, kz_tables, request):
    """A market of the real book, what gives coefficients, and which quotes it never saw."""
    quotes, loans = kz_tables.quotes, kz_tables.loans
    held = holdout_rows(quotes["period"], 0.2, seed=7)
    known = loans[~loans["quote_id"].isin(quotes["quote_id"][held])].reset_index(drop=True)
    learned = quotes[~held].reset_index(drop=True)
    return (*engine_of(kz, learned, known, request.config.rootpath), held)
