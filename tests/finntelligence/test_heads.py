import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from finntelligence.heads import Head, clipped, is_clipped

COEFFICIENTS = st.lists(st.floats(-5, 5), min_size=3, max_size=3)
FLOORS = st.floats(0, 1)


@given(raw=COEFFICIENTS, floor=FLOORS)
def test_a_signed_coefficient_reaches_its_floor_and_is_else_left_alone(raw, floor):
    heads = tuple(Head(name=f"{s}", phi="one", sign=s, floor=floor) for s in (-1, 0, 1))
    down, free, up = clipped(np.array([raw]), heads)[0]
    assert (down, free, up) == (min(raw[0], -floor), raw[1], max(raw[2], floor))


@given(raw=COEFFICIENTS, floor=FLOORS)
def test_the_slope_above_the_hinge_is_as_steep_as_its_floor(raw, floor):
    heads = (
        Head(name="base", phi="one"),
        Head(name="gap", phi="gap", sign=-1, floor=floor),
        Head(name="gap_hinge", phi="gap_hinge"),
    )
    _, gap, hinge = clipped(np.array([raw]), heads)[0]
    assert gap + hinge <= -floor + 1e-12
    assert hinge == min(raw[2], -floor - gap)


@given(raw=COEFFICIENTS, floor=FLOORS)
def test_only_what_is_said_to_be_clipped_ever_changes(raw, floor):
    heads = (
        Head(name="slope", phi="gap", sign=-1, floor=floor),
        Head(name="kink", phi="gap_hinge"),
        Head(name="gap_hinge", phi="term"),
    )
    changed = clipped(np.array([raw]), heads)[0] != np.array(raw)
    assert [is_clipped(head) for head in heads] == [True, True, False]
    assert not changed[2]


def test_what_is_clipped_is_not_changed_itself():
    raw = np.array([[1.0]])
    clipped(raw, (Head(name="gap", phi="gap", sign=-1, floor=0.02),))
    assert raw.tolist() == [[1.0]]
