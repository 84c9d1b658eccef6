from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finntelligence import search
from finntelligence.cashflow import monthly_payment
from finntelligence.grid import Cells, Grid
from finntelligence.policy import Policy
from finntelligence.shadow_prices import ShadowPrices
from finntelligence.value import PD_CEILING, PD_FLOOR, default_hazard

ENTRIES = [entry.name for entry in fields(Cells) if entry.name != "shape"]
POLICIES = {
    "own": {},
    "with quick prepayment": {"economics": {"prepayment_rate": 0.5, "origination_fee": 0.08}},
    "from a rate of nothing": {"minimum_rate": 0.0, "economics": {"servicing_rate": 0.02}},
}


@pytest.fixture(scope="module", params=POLICIES)
def policy(request, book):
    return Policy.from_mapping(book, POLICIES[request.param])


@pytest.fixture(scope="module")
def grid(book, policy):
    return Grid.of(book, policy)


def test_the_grid_holds_every_rates_payment_and_decay(book, policy, grid):
    np.testing.assert_array_equal(grid.ticks, policy.ticks())
    np.testing.assert_array_equal(grid.terms, policy.terms)
    assert grid.factor.shape == grid.decay.shape == (len(grid.terms), len(grid.ticks))
    payment = monthly_payment(1, grid.nominal, grid.terms[:, None])
    np.testing.assert_allclose(grid.factor, payment, rtol=1e-13)
    np.testing.assert_allclose(grid.decay, (1 + grid.nominal / 12) ** -grid.terms[:, None])
    assert (np.diff(grid.factor, axis=1) > 0).all()


def test_the_hazard_of_any_pd_is_in_the_table_to_nine_digits(book, grid):
    logit = np.linspace(np.log(PD_FLOOR), np.log(PD_CEILING / (1 - PD_CEILING)), 3333)
    for row, term in enumerate(grid.terms):
        exact = default_hazard(1 / (1 + np.exp(-logit)), term, grid.economics.monthly_prepayment)
        found = search._hazard(grid, np.full(len(logit), row), logit)
        np.testing.assert_allclose(found, exact, atol=1e-9)
        assert (np.diff(found) >= 0).all()


@given(
    shape=st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(1, 3)),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_table_of_cells_has_a_row_for_each_with_every_entry_in_it(shape, seed):
    rng = np.random.default_rng(seed)
    # each entry keeps some axes, is 1 along the others, and may lack the first ones
    narrow = {name: np.where(rng.random(3) < 0.5, shape, 1)[rng.integers(4) :] for name in ENTRIES}
    entries = {name: rng.random(tuple(axes)) for name, axes in narrow.items()}
    table = Cells(shape=shape, **entries).table()
    assert table.shape == (np.prod(shape), len(ENTRIES))
    for place, name in enumerate(ENTRIES):
        np.testing.assert_array_equal(
            table[:, place], np.broadcast_to(entries[name], shape).ravel()
        )


def test_some_of_the_cells_are_their_rows_of_the_table():
    rng = np.random.default_rng(6)
    cells = Cells(shape=(4, 3, 2), **{name: rng.random((4, 1, 2)) for name in ENTRIES})
    for places in ([], [7], [23, 0, 4]):
        some = cells.at(np.array(places, dtype=int))
        np.testing.assert_array_equal(some.table(), cells.table()[places])


def test_without_its_charges_a_grid_is_that_of_no_shadow_prices(book, policy, grid):
    charged = Grid.of(book, policy, ShadowPrices(principal=0.1, expected_loss=0.2, apr=0.1))
    alone = charged.uncharged()
    for entry in fields(Grid):
        np.testing.assert_array_equal(getattr(alone, entry.name), getattr(grid, entry.name))


def test_an_entry_that_does_not_broadcast_to_the_cells_is_refused():
    entries = dict.fromkeys(ENTRIES, 0.0) | {"benchmark": np.zeros(3)}
    with pytest.raises(ValueError, match="broadcast"):
        Cells(shape=(2,), **entries).table()
