import bentoml
import pytest

from training.promote import PromoteParams, promote
from training.publish import publish
from training.status import portfolio_rows

SIMULATED, KZ, LENDER = "simulated", "kz2008", "lending_club"


@pytest.fixture
def rows(project):
    """A function: the row of each portfolio by its name, as of now."""
    return lambda: {row[0]: row[1:] for row in portfolio_rows(project)}


def test_every_declared_book_has_its_row(rows):
    assert set(rows()) == {SIMULATED, KZ, LENDER}


def test_a_book_without_data_has_nothing(rows):
    assert rows()[KZ] == ("not added", "none", "none", "none", "none")


def test_a_book_without_offers_is_never_published(rows):
    assert rows()[LENDER] == ("not added", "risk only", "none", "none", "none")


def test_a_trained_book_is_here_and_not_yet_published(rows):
    assert rows()[SIMULATED] == ("here", "none", "none", "none", "none")


def test_a_published_book_shows_its_pair_its_versions_and_a_whole_store(rows):
    pair = promote(SIMULATED, PromoteParams(minimum_gain=0.0, applicants=100, bootstrap=20))["pair"]
    assert rows()[SIMULATED] == ("here", "none", "version 1", "version 1", "none")
    served = publish(SIMULATED)
    assert rows()[SIMULATED] == ("here", pair, "version 1", "version 1", "whole")
    bentoml.models.delete(served["models"]["risk"]["tag"])
    assert rows()[SIMULATED][-1] == "lacks the pair: run make pipeline"
