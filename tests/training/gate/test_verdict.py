import numpy as np
import pytest

from training.gate.verdict import Verdict, mean_interval, untestable


def verdict(**changes):
    known = {"criterion": "gain", "passed": True, "figure": 1.5, "interval": (1.0, 2.0)}
    return Verdict(**({**known, "bound": "above 1", "why": "it is"} | changes))


def test_a_verdict_says_figure_interval_and_bound():
    assert verdict().says == "gain: 1.5 [1, 2], must be above 1; it is"


def test_what_cannot_be_tested_is_never_called_passed():
    found = untestable("gain", "above 1", "no rows")
    assert (found.passed, found.outcome) == (True, "not testable")
    assert found.says == "gain: not testable: no rows"


@pytest.mark.parametrize(("passed", "outcome"), [(True, "passed"), (False, "FAILED")])
def test_the_outcome_is_in_the_mapping(passed, outcome):
    assert verdict(passed=passed).to_mapping()["outcome"] == outcome


def test_95_of_100_intervals_hold_the_true_mean():
    draws = np.random.default_rng(7).exponential(size=(400, 300))
    held = [low <= 1 <= high for _, (low, high) in map(mean_interval, draws)]
    assert 0.91 < np.mean(held) < 0.98


def test_one_value_has_an_interval_without_end():
    assert mean_interval(np.array([2.0])) == (2.0, (-np.inf, np.inf))
