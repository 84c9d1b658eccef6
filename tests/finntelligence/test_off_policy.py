import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finntelligence.off_policy import (
    direct_method,
    doubly_robust,
    effective_sample_size,
    epanechnikov,
    estimates,
    inverse_propensity,
    kernel_weights,
    price_shift,
    self_normalised,
    window_mass,
)

LOW, HIGH, B = 0.05, 0.15, 0.01
GRID = LOW + (HIGH - LOW) * (np.arange(200_000) + 0.5) / 200_000  # every price alike
UNIFORM = np.full(len(GRID), 1 / (HIGH - LOW))

seeds = st.integers(0, 2**32 - 1)


def rows_of(seed, n=40):
    """Return a few rows of an experiment with uneven densities, and a policy's proposals."""
    rng = np.random.default_rng(seed)
    price, proposal = rng.uniform(LOW, HIGH, (2, n))
    return price, rng.uniform(5, 20, n), np.where(rng.random(n) < 0.2, np.nan, proposal)


def test_the_kernel_is_a_density():
    u = (np.arange(100_000) + 0.5) / 50_000 - 1
    assert epanechnikov(u).mean() * 2 == pytest.approx(1)


@pytest.mark.parametrize("proposal", [0.07, 0.1, 0.13])
def test_ips_of_a_reward_linear_in_the_price_is_the_reward_at_the_proposal(proposal):
    weights = kernel_weights(GRID, proposal, UNIFORM, B)
    assert inverse_propensity(weights, 500 - 3000 * GRID) == pytest.approx(500 - 3000 * proposal)


def test_the_bandwidth_biases_ips_by_a_fifth_of_its_square_times_the_bend():
    weights = kernel_weights(GRID, 0.1, UNIFORM, B)
    assert inverse_propensity(weights, GRID**2) == pytest.approx(0.1**2 + B**2 / 5)


@given(st.floats(0.5, 2))
def test_ips_does_not_mind_which_prices_were_drawn_more_often(steepness):
    price = LOW + (HIGH - LOW) * ((np.arange(100_000) + 0.5) / 100_000) ** steepness
    place = (price - LOW) / (HIGH - LOW)
    density = 1 / ((HIGH - LOW) * steepness * place ** (1 - 1 / steepness))
    weights = kernel_weights(price, 0.1, density, B)
    assert inverse_propensity(weights, 500 - 3000 * price) == pytest.approx(200, rel=1e-3)


def test_a_price_cut_off_at_a_bound_stays_in_the_population_without_weight():
    wanted = GRID - 0.02
    cut = wanted < LOW  # one in five
    price, density = np.maximum(wanted, LOW), np.where(cut, np.nan, UNIFORM)
    weights, reward = kernel_weights(price, 0.09, density, B), 500 - 3000 * price
    assert inverse_propensity(weights, reward) == pytest.approx(230)
    assert inverse_propensity(weights[~cut], reward[~cut]) == pytest.approx(
        230 / 0.8
    )  # a selection


@given(seeds)
def test_the_mass_tested_is_the_mean_weight_of_the_experiments_rows(seed):
    price, density, proposal = rows_of(seed)
    density[::7] = np.nan
    mass = window_mass(price, density, proposal, B)
    for at, found in zip(proposal, mass, strict=True):
        expected = kernel_weights(price, at, density, B).mean() if np.isfinite(at) else np.nan
        assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("proposal", [LOW, LOW + 0.3 * B, 0.1, HIGH - 0.7 * B, HIGH])
def test_a_linear_reward_is_off_by_its_slope_times_the_price_shift_and_dr_is_not(proposal):
    mass = window_mass(GRID, UNIFORM, np.array([proposal]), B)
    weights = kernel_weights(GRID, proposal, UNIFORM, B) / mass
    at, reward = np.full(len(GRID), proposal), 500 - 3000 * GRID
    shift = price_shift(weights, GRID, at)
    found = estimates(weights, reward, reward, 500 - 3000 * at)
    assert found.snips - (500 - 3000 * proposal) == pytest.approx(-3000 * shift, abs=1e-6)
    assert found.ips == pytest.approx(found.snips)
    assert found.dr == pytest.approx(500 - 3000 * proposal)


@pytest.mark.parametrize(("proposal", "shift"), [(LOW, 3 / 8), (0.1, 0), (HIGH, -3 / 8)])
def test_the_prices_that_tell_of_an_edge_lie_three_eighths_of_a_bandwidth_inside(proposal, shift):
    weights = kernel_weights(GRID, proposal, UNIFORM, B)
    found = price_shift(weights, GRID, np.full(len(GRID), proposal))
    assert found / B == pytest.approx(shift, abs=1e-3)


@given(seeds)
def test_who_gets_no_offer_has_no_part_in_the_price_shift(seed):
    price, density, proposal = rows_of(seed)
    weights, offered = kernel_weights(price, proposal, density, B), np.isfinite(proposal)
    found = price_shift(weights, price, proposal)
    assert found == pytest.approx(price_shift(*(x[offered] for x in (weights, price, proposal))))
    assert abs(found) <= B
    assert price_shift(np.zeros(len(price)), price, proposal) == 0


@given(seeds)
def test_a_model_that_is_exact_makes_dr_the_direct_method(seed):
    price, density, proposal = rows_of(seed)
    weights = kernel_weights(price, proposal, density, B)
    found = estimates(weights, 500 - 3000 * price, 500 - 3000 * price, 500 - 3000 * proposal)
    assert found.dr == pytest.approx(found.dm)


@given(seeds)
def test_a_model_that_says_nothing_makes_dr_the_self_normalised_estimate(seed):
    price, density, proposal = rows_of(seed)
    weights = kernel_weights(price, proposal, density, 0.05)
    found = estimates(weights, price, np.zeros(len(price)), 0 * proposal)
    assert found.dr == pytest.approx(found.snips)


def test_dr_mends_a_wrong_model_where_the_densities_are_right():
    weights = kernel_weights(GRID, 0.1, UNIFORM, B)
    reward, wrong = 500 - 3000 * GRID, 900 - 1000 * GRID
    modelled = np.full(len(GRID), 900 - 1000 * 0.1)
    assert direct_method(modelled) == pytest.approx(800)
    assert doubly_robust(weights, reward - wrong, modelled) == pytest.approx(200)


@given(seeds)
def test_who_gets_no_offer_earns_nothing_in_any_estimate(seed):
    price, density, _ = rows_of(seed)
    none = np.full(len(price), np.nan)
    weights = kernel_weights(price, none, density, B)
    assert estimates(weights, price, price, none) == (0, 0, 0, 0)
    half = np.where(np.arange(len(price)) % 2 == 0, np.nan, 0.1)
    offered = np.isfinite(half)
    sure = self_normalised(np.ones(len(price)) * offered, np.full(len(price), 80.0), offered)
    assert sure == pytest.approx(40)
    assert direct_method(np.where(offered, 80.0, np.nan)) == pytest.approx(40)


@given(seeds, st.floats(0.01, 100), st.floats(-1000, 1000))
def test_the_self_normalised_estimate_moves_with_the_rewards_and_not_the_weights_scale(
    seed, scale, shift
):
    price, density, proposal = rows_of(seed)
    weights = kernel_weights(price, proposal, density, 0.08)
    offered = np.isfinite(proposal)
    found = self_normalised(weights, price, offered)
    assert self_normalised(scale * weights, price, offered) == pytest.approx(found)
    moved = self_normalised(weights, price + shift, offered)
    assert moved == pytest.approx(found + shift * offered.mean(), abs=1e-9)


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=50), st.floats(0.01, 100))
def test_the_effective_sample_size_is_at_most_the_rows_and_has_no_scale(weights, scale):
    weights = np.array(weights).round(3)
    ess = effective_sample_size(weights)
    assert (ess == 0) == (weights.sum() == 0)
    if ess:
        assert 1 - 1e-9 <= ess <= np.count_nonzero(weights) + 1e-9
    assert effective_sample_size(scale * weights) == pytest.approx(ess)
    assert effective_sample_size(np.full(9, scale)) == pytest.approx(9)


@given(seeds)
def test_counting_rows_is_the_same_as_repeating_them(seed):
    price, density, proposal = rows_of(seed)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(price), (3, len(price)))
    counts = np.stack([np.bincount(each, minlength=len(price)) for each in drawn])
    weights = kernel_weights(price, proposal, density, B)
    told = weights, 7 - price, price**2, proposal**2
    together = estimates(*told, counts)
    for place, rows in enumerate(drawn):
        alone = estimates(*(each[rows] for each in told))
        assert np.stack(together)[:, place] == pytest.approx(np.array(alone))
