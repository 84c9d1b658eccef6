from pathlib import Path

import pytest
import yaml

from finntelligence.portfolio import Portfolio

SIMULATED = Path(__file__).parents[2] / "portfolios" / "simulated.yaml"


@pytest.fixture(scope="session")
def portfolio():
    return Portfolio.from_mapping(yaml.safe_load(SIMULATED.read_text(encoding="utf-8")))
