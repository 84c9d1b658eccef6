import numpy as np
import pytest
from scipy.stats import spearmanr

from finntelligence.policy import Policy
from training.judging.worth import neutral_risk, worth_of
from training.simulate import simulate
from training.simulator.truth import truth_at
from training.simulator.worlds import Terms
from training.tables import validated_loans


@pytest.fixture(scope="module")
def loans(simulated):
    """More loans than `loans` elsewhere: what is off here should be the form, not the sample."""
    return validated_loans(simulated, simulate("W1", quotes=40_000, seed=3).loans)


@pytest.fixture(scope="module")
def economics(simulated):
    return Policy.from_mapping(simulated).economics


def test_the_neutral_model_has_no_trees_and_rises_in_the_price(simulated, loans):
    risk = neutral_risk(simulated, loans)
    gap = next(head for head in risk.heads if head.phi == "gap")
    assert gap.sign == 1
    assert risk.evidence["estimates"]["gap"] > 0


def test_a_loan_is_worth_more_at_a_higher_rate(simulated, quotes, loans, economics):
    worth = worth_of(simulated, loans, quotes, economics)
    listed = quotes["list_rate"].to_numpy()
    assert (worth(listed + 0.02) > worth(listed)).mean() > 0.99


def test_worth_is_near_the_simulators_truth(simulated, quotes, loans, economics):
    worth = worth_of(simulated, loans, quotes, economics)
    rates = quotes["quoted_rate"].to_numpy()
    terms = {name: quotes[name].to_numpy() for name in ("principal", "term_months")}
    truth = truth_at("W1", quotes, Terms(**terms, nominal_rate=rates))
    assert spearmanr(worth(rates), truth.value / truth.p_accept).statistic > 0.95
    off = np.average(worth(rates) - truth.value / truth.p_accept, weights=truth.p_accept)
    assert abs(off) < 0.01 * quotes["principal"].mean()


def test_funds_cost_what_they_cost_when_it_was_quoted(simulated, quotes, loans, economics):
    dear = worth_of(simulated, loans, quotes.assign(cost_of_funds=0.06), economics)
    cheap = worth_of(simulated, loans, quotes.assign(cost_of_funds=0.02), economics)
    rates = quotes["quoted_rate"].to_numpy()
    # the benchmark moves with funds, and what is cheap beside it is safer: not for everyone
    assert (dear(rates) < cheap(rates)).mean() > 0.99


def test_a_row_is_worth_the_same_alone(simulated, quotes, loans, economics):
    rates = quotes["quoted_rate"].to_numpy()
    together = worth_of(simulated, loans, quotes, economics)(rates)
    few = worth_of(simulated, loans, quotes[:7], economics)(rates[:7])
    assert few == pytest.approx(together[:7])
    assert np.isfinite(together).all()
