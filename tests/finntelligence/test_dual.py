import time

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import linprog

from finntelligence.dual import (
    UnmetLimitError,
    UnsettledPricesError,
    dual,
    one_of_each,
    whole_choice,
)

APPLICANTS, OFFERS = 1500, 42


class Menu:
    """Offers to many applicants, as a lender would list them, and limits that bind."""

    def __init__(self, seed, budget=0.75, loss=None, applicants=APPLICANTS):
        rng = np.random.default_rng(seed)
        n, m = applicants, OFFERS
        lent = rng.choice([0.5, 0.75, 1.0], (n, m)) * np.exp(rng.normal(9.2, 0.6, (n, 1)))
        dearer = np.linspace(-0.05, 0.05, m)[None]
        lost = np.exp(rng.normal(-2.5, 0.6, (n, 1))) * (1 + 3 * dearer)
        p_accept = 1 / (1 + np.exp(30 * dearer - rng.normal(0, 1, (n, 1))))
        self.value = p_accept * lent * (0.1 + dearer - lost)
        volume = p_accept * lent
        best = self.value.argmax(axis=1)
        row = np.flatnonzero(self.value.max(axis=1) > 0)
        free = volume[row, best[row]].sum()
        rows, self.most = [volume], np.array([budget * free])
        if loss is not None:
            ratio = (volume * lost)[row, best[row]].sum() / free
            rows.append(volume * (lost - loss * ratio))
            self.most = np.append(self.most, 0.0)
        self.use = np.stack(rows)

    @property
    def all(self):
        return self.value, self.use, self.most

    def dual(self):
        return dual(one_of_each(*self.all), len(self.most))

    def highs(self):
        """The linear relaxation's prices and value, by a general solver."""
        n, m = self.value.shape
        one_each = sp.kron(sp.eye(n), np.ones((1, m)))
        rows = sp.vstack([one_each, sp.csr_matrix(self.use.reshape(len(self.use), -1))]).tocsr()
        most = np.concatenate([np.ones(n), self.most])
        found = linprog(-self.value.ravel(), A_ub=rows, b_ub=most, method="highs-ds")
        return -found.ineqlin.marginals[n:], -found.fun


@pytest.mark.parametrize(("budget", "loss"), [(0.75, None), (0.25, None), (0.75, 0.9), (0.5, 0.8)])
def test_prices_and_bound_are_those_of_a_general_solver_found_much_faster(budget, loss):
    menu = Menu(seed=1, budget=budget, loss=loss)
    took = np.inf
    for _ in range(3):  # another process may have had the core
        began = time.perf_counter()
        found = menu.dual()
        took = min(took, time.perf_counter() - began)
    began = time.perf_counter()
    prices, value = menu.highs()
    assert time.perf_counter() - began > 50 * took
    np.testing.assert_allclose(found.prices, prices, rtol=1e-6)
    assert found.bound == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("loss", [None, 0.9])
@pytest.mark.parametrize("seed", range(4))
def test_a_whole_choice_within_all_limits_loses_next_to_nothing(seed, loss):
    menu = Menu(seed, loss=loss)
    found = menu.dual()
    chosen = whole_choice(*menu.all, found.prices)
    given = np.flatnonzero(chosen >= 0)
    assert (menu.use[:, given, chosen[given]].sum(axis=1) <= menu.most).all()
    value = menu.value[given, chosen[given]].sum()
    assert found.bound * (1 - 2e-4) < value <= found.bound * (1 + 1e-12)


@pytest.mark.parametrize("accuracy", [1e-12, 0.05])
def test_no_prices_bound_the_value_from_below(accuracy):
    menu = Menu(seed=5, loss=0.9, applicants=200)
    exact, found = menu.dual(), dual(one_of_each(*menu.all), 2, accuracy=accuracy)
    assert found.bound == found.value - found.prices @ found.excess
    assert exact.bound <= found.bound * (1 + 1e-12)
    assert found.bound <= exact.bound + accuracy * exact.value * 1.2


def test_a_limit_that_does_not_bind_costs_nothing():
    menu = Menu(seed=2, budget=1.5, applicants=100)
    found = menu.dual()
    assert found.prices.tolist() == [0]
    assert found.value == found.bound
    assert (found.excess < 0).all()


def test_a_tighter_budget_is_dearer_and_earns_less():
    found = [Menu(seed=3, budget=b, applicants=200).dual() for b in (0.9, 0.6, 0.3)]
    assert sorted(d.prices[0] for d in found) == [d.prices[0] for d in found]
    assert sorted((d.bound for d in found), reverse=True) == [d.bound for d in found]


def test_a_minimum_is_reached_at_a_price_that_pays_for_it():
    value, volume = np.array([[5.0], [-1.0], [-4.0]]), np.ones((3, 1))
    oracle = one_of_each(value, -volume[None], np.array([-2.0]))
    found = dual(oracle, limits=1)
    assert found.prices == pytest.approx([1.0])
    assert found.bound == pytest.approx(4.0)


def test_prices_that_have_not_settled_are_never_passed_off_as_exact(monkeypatch):
    menu = Menu(seed=6, loss=0.9, applicants=200)
    exact, steps = menu.dual(), 3
    assert exact.asked > steps
    monkeypatch.setattr("finntelligence.dual._STEPS", steps)
    with pytest.raises(UnsettledPricesError, match="have not settled") as told:
        menu.dual()
    assert told.value.gap > 0
    assert dual(one_of_each(*menu.all), 2, accuracy=1.01 * told.value.gap).asked <= steps + 1


def test_what_no_choice_can_keep_is_told():
    menu = Menu(seed=4, applicants=20)
    use, most = np.stack([menu.use[0], -np.ones_like(menu.value)]), np.array([1e12, -21.0])
    with pytest.raises(UnmetLimitError) as told:
        dual(one_of_each(menu.value, use, most), limits=2)
    assert told.value.limit == 1
    with pytest.raises(UnmetLimitError):
        whole_choice(menu.value, use, most, np.array([0.0, 100.0]))
