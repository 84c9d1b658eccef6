import math

import numpy as np
import pytest

from finntelligence.errors import InvalidDeclarationError
from finntelligence.limits import Limits, Totals

USED = Totals(profit=50.0, loans=0.4, principal=4000.0, expected_loss=200.0, apr_sum=640.0)
ALL = Limits(budget=5000.0, minimum_volume=1000.0, expected_loss_ratio=0.04, average_apr=0.2)
DUALS = np.array([0.05, 0.01, 0.3, 0.1])


def test_each_limit_is_exceeded_by_what_is_used_beyond_it():
    np.testing.assert_allclose(ALL.excess(USED), [-1000, -3000, 200 - 160, 640 - 800])


def test_what_a_loan_is_charged_is_what_its_use_of_each_limit_costs():
    """Lagrange: the charge on all loans is the duals' excess, but for the amounts of the limits."""
    prices = ALL.prices(DUALS)
    charged = prices.charge(USED.principal, USED.average_apr, USED.expected_loss)
    assert charged == pytest.approx(DUALS @ ALL.excess(USED) + 0.05 * 5000 - 0.01 * 1000)
    assert ALL.capital(DUALS) == pytest.approx(0.04)


def test_only_the_limits_in_force_count():
    assert Limits(average_apr=0.1).in_force == ("average_apr",)
    np.testing.assert_allclose(Limits(average_apr=0.1).excess(USED), [240])


def test_amounts_are_shared_among_applicants_and_ratios_are_not():
    assert ALL.per_applicant(1000) == Limits(
        budget=5.0, minimum_volume=1.0, expected_loss_ratio=0.04, average_apr=0.2
    )


def test_ratios_are_of_what_is_lent_and_nothing_lent_has_none():
    assert (USED.expected_loss_ratio, USED.average_apr) == (0.05, 0.16)
    assert USED.times(3).principal == 12_000
    assert USED.times(0).expected_loss_ratio == USED.times(0).average_apr == 0


@pytest.mark.parametrize(
    "wrong",
    [{"budget": 0}, {"average_apr": math.nan}, {"budget": 1.0, "minimum_volume": 2.0}],
)
def test_an_impossible_limit_is_refused_by_name(wrong):
    with pytest.raises(InvalidDeclarationError, match=f"limits.{list(wrong)[-1]}: must"):
        Limits(**wrong)
