"""The rival's models, fitted on a small book, and what they price."""

import os
import shutil
from pathlib import Path

import pytest

from finntelligence.policy import Policy
from loadtests.grid_pricer import GridPricer, train
from training.simulate import simulate
from training.stages import Paths
from training.tables import load_portfolio, write_table

ROOT = Path(__file__).parents[2]
QUESTIONS = 40


@pytest.fixture(scope="session")
def small_book():
    return simulate("W1", quotes=4_000, seed=4)


@pytest.fixture(scope="session")
def rival_folder(small_book, tmp_path_factory):
    """A project that holds a small book, with the rival's models fitted on it."""
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "portfolios", root / "portfolios")
    shutil.copy(ROOT / "policy.yaml", root)
    for name in ("quotes", "loans"):
        table = Paths("simulated", root).processed / "train" / f"{name}.parquet"
        write_table(getattr(small_book, name), table)
    before = Path.cwd()
    os.chdir(root)
    try:
        train("simulated", root)
    finally:
        os.chdir(before)
    return root


@pytest.fixture(scope="session")
def portfolio():
    return load_portfolio("simulated", ROOT)


@pytest.fixture(scope="session")
def pricer(rival_folder, portfolio):
    return GridPricer(portfolio, Policy.from_mapping(portfolio), rival_folder)


@pytest.fixture(scope="session")
def priced(small_book, portfolio, pricer):
    """Requests and what they are offered."""
    names = ("requested_principal", "requested_term_months")
    rows = small_book.quotes[:QUESTIONS].to_dict("records")
    asked = [
        {**{name: row[name] for name in names}, "features": {f: row[f] for f in features}}
        for row in rows
        for features in [[field.name for field in portfolio.features]]
    ]
    return [(each, pricer.offers(*each.values())) for each in asked]
