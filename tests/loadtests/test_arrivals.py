import pytest

from loadtests.arrivals import users_at


@pytest.mark.parametrize("seconds", [0, 1, 4, 5, 20, 25, 29])
def test_users_leave_as_they_came(seconds):
    there = users_at(seconds, peak=50, ramp=10, hold=10)
    back = users_at(30 - seconds, peak=50, ramp=10, hold=10)
    assert back is None or there == back


def test_without_a_ramp_all_are_there_at_once_and_the_test_ends_with_the_hold():
    assert users_at(0, peak=7, ramp=0, hold=3)[0] == 7
    assert users_at(3, peak=7, ramp=0, hold=3) is None


def test_somebody_is_always_there_until_the_end():
    assert users_at(0, peak=1, ramp=60, hold=1)[0] == 1
