from dataclasses import replace

import numpy as np
import pytest

from finntelligence import search
from finntelligence.cashflow import monthly_payment
from finntelligence.policy import Policy
from finntelligence.search import Cells, Grid, best_ticks, best_ticks_numpy
from finntelligence.value import PD_CEILING, PD_FLOOR, default_hazard, loan_value

SEARCHES = [best_ticks, best_ticks_numpy]
POLICIES = {
    "own": {},
    "with a return to reach": {"minimum_raroc": 0.4},
    "with capital that pays": {"economics": {"hurdle_rate": 0.0}},
    "with quick prepayment": {"economics": {"prepayment_rate": 0.5, "origination_fee": 0.08}},
    "that lives on its fee": {
        "economics": {"origination_fee": 0.25, "cost_of_funds": 0.25, "servicing_cost": 40.0}
    },
    "from a rate of nothing": {"minimum_rate": 0.0, "economics": {"servicing_rate": 0.02}},
}


@pytest.fixture(scope="module", params=POLICIES)
def policy(request, book):
    return Policy.from_mapping(book, POLICIES[request.param])


@pytest.fixture(scope="module")
def grid(book, policy):
    return Grid.of(book, policy)


def random_cells(grid, n, seed):
    """Cells of every kind: flat and steep, kinked, risky, capped, narrow, and empty."""
    rng = np.random.default_rng(seed)
    last = len(grid.ticks) - 1
    ends = np.sort(rng.integers(0, last + 1, (n, 2)), axis=1)
    ends[: n // 2] = [0, last]
    ends[-3:] = ends[-3:, ::-1] + [1, 0]
    row = rng.integers(0, len(grid.terms), n)
    gap = -np.exp(rng.uniform(np.log(1e-5), np.log(2.0), n))
    middle = grid.factor[row, rng.integers(0, last + 1, n)]
    return Cells(
        low=ends[:, 0].astype(float),
        high=np.minimum(ends[:, 1], last).astype(float),
        row=row,
        principal=np.exp(rng.uniform(np.log(500), np.log(40_000), n)),
        benchmark=rng.uniform(0.02, 0.3, n),
        accept_constant=rng.normal(-0.5, 1.5, n),
        accept_gap=gap,
        accept_hinge=np.where(rng.random(n) < 0.5, gap * rng.uniform(-0.9, 1.0, n), 0.0),
        risk_constant=rng.normal(-2.5, 1.5, n),
        risk_gap=np.maximum(rng.normal(0.02, 0.02, n), 0) * rng.choice([1.0, 10.0], n),
        risk_pti=rng.uniform(0.001, 0.4, n),
        pti_scale=rng.uniform(0.5, 10, n),
        risk_limit=np.where(rng.random(n) < 0.3, rng.normal(-1, 1, n), np.inf),
        factor_cap=np.where(rng.random(n) < 0.3, middle, np.inf),
    )


def every_tick(cells, c, grid, horizon, shadow_price):
    """The profit at every tick of one cell, NaN where not permitted; and at all ticks, as is."""
    k = int(cells.row[c])
    gap = 100 * (grid.ticks - cells.benchmark[c])
    slope, hinge = cells.accept_gap[c], cells.accept_hinge[c]
    accept = cells.accept_constant[c] + slope * gap + hinge * np.maximum(gap, 0)
    share = np.minimum(cells.pti_scale[c] * grid.factor[k], 0.5)
    risk = cells.risk_constant[c] + cells.risk_gap[c] * gap + 10 * cells.risk_pti[c] * share
    hazard = default_hazard(
        1 / (1 + np.exp(-risk)), horizon or grid.terms[k], grid.economics.monthly_prepayment
    )
    value = loan_value(cells.principal[c], grid.nominal[k], grid.terms[k], hazard, grid.economics)
    npv = value.npv - shadow_price * cells.principal[c]
    profit = npv / (1 + np.exp(-accept))
    tick = np.arange(len(grid.ticks))
    permitted = (cells.low[c] <= tick) & (tick <= cells.high[c])
    permitted &= (grid.factor[k] <= cells.factor_cap[c]) & (risk <= cells.risk_limit[c])
    permitted &= npv > 0
    if grid.minimum_raroc is not None:
        permitted &= value.raroc >= grid.minimum_raroc
    return np.where(permitted, profit, np.nan), profit


@pytest.mark.parametrize("shadow_price", [0.0, 0.03])
@pytest.mark.parametrize("search_of", SEARCHES)
def test_the_tick_found_is_the_best_of_all_ticks(book, grid, search_of, shadow_price):
    cells = random_cells(grid, 120, seed=3)
    found = search_of(cells, grid, shadow_price)
    offered = 0
    for c in range(120):
        permitted, profit = every_tick(cells, c, grid, book.default.horizon_months, shadow_price)
        near = 1e-9 * cells.principal[c]  # between the hazard's table and Newton's method
        if np.isnan(permitted).all():
            assert found.tick[c] == -1
            continue
        best = np.nanmax(permitted)
        if best <= near:
            continue
        tick = found.tick[c]
        assert permitted[tick] >= best - near
        assert found.profit[c] == pytest.approx(best, abs=near)
        assert found.npv[c] * found.p_accept[c] == pytest.approx(found.profit[c], rel=1e-12)
        if 0 < tick < len(grid.ticks) - 1:
            assert found.below[c] == pytest.approx(profit[tick - 1], abs=near)
            assert found.above[c] == pytest.approx(profit[tick + 1], abs=near)
        offered += 1
    assert offered > 25


@pytest.mark.parametrize("search_of", SEARCHES)
def test_the_last_tick_is_the_last_within_the_limits_on_payment_and_risk(grid, search_of):
    cells = random_cells(grid, 200, seed=4)
    last = search_of(cells, grid).last
    for c in range(200):
        k = int(cells.row[c])
        gap = 100 * (grid.ticks - cells.benchmark[c])
        share = np.minimum(cells.pti_scale[c] * grid.factor[k], 0.5)
        risk = cells.risk_constant[c] + cells.risk_gap[c] * gap + 10 * cells.risk_pti[c] * share
        fits = (grid.factor[k] <= cells.factor_cap[c]) & (risk <= cells.risk_limit[c])
        tick = np.arange(len(grid.ticks))
        inside = np.flatnonzero(fits & (cells.low[c] <= tick) & (tick <= cells.high[c]))
        if len(inside):
            assert last[c] == inside[-1]
        else:
            assert last[c] < cells.low[c]


@pytest.mark.skipif(not search.COMPILED, reason="the search is not compiled here")
def test_compiled_and_numpy_find_the_same(grid):
    cells = random_cells(grid, 1000, seed=5)
    one, other = best_ticks(cells, grid), best_ticks_numpy(cells, grid)
    np.testing.assert_array_equal(one.last, other.last)
    near = 1e-9 * cells.principal
    assert (np.abs(np.maximum(one.profit, 0) - np.maximum(other.profit, 0)) <= near).all()
    clear = np.maximum(one.profit, other.profit) > near
    assert (one.tick[clear] == other.tick[clear]).mean() > 0.99
    same = clear & (one.tick == other.tick)
    np.testing.assert_allclose(one.p_accept[same], other.p_accept[same], rtol=1e-12)
    np.testing.assert_allclose(one.risk_logit[same], other.risk_logit[same], atol=1e-12)


@pytest.mark.parametrize("search_of", SEARCHES)
def test_a_cell_has_the_same_answer_alone_and_among_others(grid, search_of):
    cells = random_cells(grid, 60, seed=6)
    together = search_of(cells, grid)
    for c in range(60):
        alone = search_of(
            Cells(**{n: getattr(cells, n)[c : c + 1] for n in Cells.__dataclass_fields__}), grid
        )
        assert alone.tick[0] == together.tick[c]
        assert alone.profit[0] == together.profit[c]


@pytest.mark.parametrize("search_of", SEARCHES)
def test_at_equal_profit_the_lowest_tick_wins(simulated, search_of):
    own = Grid.of(simulated, Policy.from_mapping(simulated))
    level = {
        name: np.ascontiguousarray(np.broadcast_to(getattr(own, name)[..., :1], own.factor.shape))
        for name in ("factor", "decay", "nominal", "monthly")
    }
    flat = replace(own, ticks=np.full_like(own.ticks, 0.15), **level)
    cells = random_cells(own, 100, seed=7)
    keeps = np.isfinite(cells.risk_limit) | np.isfinite(cells.factor_cap)
    found = search_of(cells, flat)
    offered = (found.tick >= 0) & ~keeps
    assert offered.sum() > 5
    np.testing.assert_array_equal(found.tick[offered], cells.low[offered])


@pytest.mark.parametrize("search_of", SEARCHES)
def test_no_cells_and_empty_cells_have_no_tick(grid, search_of):
    cells = random_cells(grid, 5, seed=8)
    none = Cells(**{n: getattr(cells, n)[:0] for n in Cells.__dataclass_fields__})
    assert len(search_of(none, grid).tick) == 0
    empty = replace(cells, low=np.full(5, 10.0), high=np.full(5, -1.0))
    assert search_of(empty, grid).tick.tolist() == [-1] * 5


def test_without_the_compiled_search_numpy_searches(grid, monkeypatch):
    cells = random_cells(grid, 30, seed=9)
    monkeypatch.setattr(search, "compiled", None)
    np.testing.assert_array_equal(best_ticks(cells, grid).tick, best_ticks_numpy(cells, grid).tick)


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


@pytest.mark.skipif(not search.COMPILED, reason="the search is not compiled here")
@pytest.mark.parametrize(
    "wrong",
    [
        {"row": np.array([99])},
        {"row": np.array([-1])},
        {"high": np.array([1e9])},
        {"low": np.array([-1.0])},
    ],
)
def test_the_compiled_search_refuses_a_cell_outside_the_grid(grid, wrong):
    cells = random_cells(grid, 1, seed=1)
    inside = replace(cells, low=np.array([0.0]), high=np.array([5.0]))
    with pytest.raises(ValueError, match="cell 0 is outside the grid"):
        best_ticks(replace(inside, **wrong), grid)
