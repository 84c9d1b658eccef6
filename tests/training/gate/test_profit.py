import pytest

from finntelligence.portfolio import Capability
from tests.challengers import halved
from training.gate.profit import attained, chosen, estimated
from training.simulator.contest import shelves

ACCEPTANCE = Capability.ACCEPTANCE
DIFFERENCE = {"value": 1.0, "low": -1.0, "high": 3.0}


def judged(difference=DIFFERENCE, reasons=(None, None)):
    ours, theirs = ({"refused_because": reason} for reason in reasons)
    return {
        "randomised_rows": 500,
        "policies": {"ours": ours, "theirs": theirs},
        "differences": {"ours": {"dr": difference}},
    }


def test_a_fitted_pair_earns_more_than_the_list_price(pair):
    found = attained(pair, None, "W1", 300, 7)
    assert found.passed
    assert found.interval[0] > 0
    assert "the list price" in found.why


def test_a_pair_that_earns_less_than_the_champion_fails(pair, changed):
    flat = changed(ACCEPTANCE, lambda response: halved(halved(response)))
    found = attained(flat, pair, "W1", 300, 7)
    assert (found.passed, found.figure < 0) == (False, True)
    assert attained(pair, flat, "W1", 300, 7).figure == pytest.approx(-found.figure)


def test_what_is_chosen_lies_on_the_shelf(pair, simulated):
    shelf = shelves(simulated, "W1", 50, 7)["trust"]
    choice = chosen(pair, shelf)
    offered = choice.tick >= 0
    assert offered.any()
    rows = offered.nonzero()[0]
    low, high = (side[rows, choice.cell[rows]] for side in (shelf.low, shelf.high))
    assert ((low <= choice.tick[rows]) & (choice.tick[rows] <= high)).all()


@pytest.mark.parametrize(("high", "passed"), [(3.0, True), (-0.1, False)])
def test_off_policy_a_pair_fails_if_the_whole_interval_is_below_zero(high, passed):
    found = estimated(judged(DIFFERENCE | {"value": -1.0, "high": high}), "ours", "theirs")
    assert (found.passed, found.interval) == (passed, (-1.0, high))


@pytest.mark.parametrize("reasons", [("too rare", None), (None, "too rare")])
def test_off_policy_a_refused_value_is_not_claimed(reasons):
    found = estimated(judged(reasons=reasons), "ours", "theirs")
    assert found.outcome == "not testable"
    assert "too rare" in found.why
