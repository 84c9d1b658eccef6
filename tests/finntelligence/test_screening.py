import numpy as np
import pytest

from finntelligence.groups import Estimate, Groups
from finntelligence.screening import DISCLAIMER, GroupMean, Measure

FOUND = Estimate(value=0.75, low=0.7, high=0.8125)


def screen(found=FOUND, is_adverse=True, counted=(60, 40), **more):
    groups = Groups.of(["a"] * 60 + ["b"] * 40)
    measure = Measure(
        name="ratio",
        reads="rates in the ratio {}",
        digits=2,
        limit="0.8",
        groups=groups,
        counted=np.array(counted),
        least_rows=30,
    )
    return measure.screen(1, found, is_adverse, **more)


@pytest.mark.parametrize("is_adverse", [True, False])
def test_a_screen_is_flagged_if_it_is_adverse(is_adverse):
    found = screen(is_adverse=is_adverse)
    assert found.flag is is_adverse
    word = "flagged" if is_adverse else "not flagged"
    expected = f"b against a: rates in the ratio 0.75 [0.70, 0.81]; {word}, limit 0.8. {DISCLAIMER}"
    assert found.says == expected


@pytest.mark.parametrize("counted", [(60, 29), (29, 60)])
def test_too_few_on_either_side_are_shown_and_not_flagged(counted):
    found = screen(counted=counted)
    assert (found.value, found.flag) == (0.75, None)
    assert f"too few to flag, {counted[1]} against {counted[0]}" in found.says


def test_without_a_figure_nothing_is_flagged():
    found = screen(found=Estimate(value=None, low=None, high=None))
    assert (found.value, found.flag) == (None, None)
    assert "no figure" in found.says


def test_a_figure_without_an_interval_says_so():
    assert "0.75 [?, ?]" in screen(found=Estimate(value=0.75, low=None, high=None)).says


def test_a_screen_holds_what_it_was_given():
    found = screen(standard_error=0.02, p_value=0.01)
    assert (found.name, found.group, found.reference) == ("ratio", "b", "a")
    assert (found.rows, found.reference_rows) == (40, 60)
    assert (found.value, found.low, found.high) == (0.75, 0.7, 0.8125)
    assert (found.standard_error, found.p_value) == (0.02, 0.01)


def test_a_mean_is_an_estimate_with_a_name():
    mean = GroupMean.of("b", 40, FOUND)
    assert (mean.group, mean.rows) == ("b", 40)
    assert (mean.value, mean.low, mean.high) == (0.75, 0.7, 0.8125)
