import numpy as np
import pytest

from finntelligence.groups import area_under_curve
from finntelligence.proxies import proxy_strength
from finntelligence.screening import Thresholds

MEMBER = np.arange(400) % 4 == 0


def noise(seed=1):
    return np.random.default_rng(seed).normal(size=400)


def strength(column, **thresholds):
    (found,) = proxy_strength({"x": column}, MEMBER, Thresholds(**thresholds))
    return found


def test_the_strength_is_the_area_under_the_curve_with_its_interval():
    column = noise() + MEMBER
    found, area = strength(column), area_under_curve(column, MEMBER)
    assert (found.auc, found.low, found.high) == (area.value, area.low, area.high)
    assert (found.column, found.rows) == ("x", 400)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_column_that_is_the_group_is_suspected_either_way_round(sign):
    found = strength(sign * MEMBER.astype(float))
    assert (found.auc, found.suspected) == ((1 + sign) / 2, True)


def test_a_column_without_a_difference_tells_nothing():
    found = strength(np.full(400, 3.0))
    assert (found.auc, found.suspected) == (0.5, False)


@pytest.mark.parametrize(("limit", "suspected"), [(0.70, True), (0.85, False)])
def test_the_threshold_is_the_callers(limit, suspected):
    found = strength(noise() + MEMBER, proxy_auc=limit)
    assert 0.70 < found.auc < 0.85
    assert found.suspected is suspected


def test_the_strongest_comes_first_whatever_its_sign():
    columns = {"none": noise(), "weak": noise(2) + 0.5 * MEMBER, "strong": noise(3) - 2 * MEMBER}
    found = proxy_strength(columns, MEMBER)
    assert [each.column for each in found] == ["strong", "weak", "none"]
    assert found[0].auc < 0.2


def test_absent_values_are_left_out():
    column = noise() + MEMBER
    known = np.arange(400) < 300
    found = strength(np.where(known, column, np.nan))
    assert found.rows == 300
    assert found.auc == area_under_curve(column[known], MEMBER[known]).value


def test_a_column_without_values_has_no_strength():
    found = strength(np.full(400, np.nan))
    assert (found.rows, found.auc, found.low, found.suspected) == (0, None, None, None)


@pytest.mark.parametrize(("members", "suspected"), [(29, None), (30, True)])
def test_too_few_members_are_shown_and_not_suspected(members, suspected):
    member = np.arange(400) < members
    (found,) = proxy_strength({"x": member.astype(float)}, member)
    assert (found.auc, found.suspected) == (1, suspected)
