from dataclasses import replace

import numpy as np
import pytest

from finntelligence import search
from finntelligence.cashflow import apr, monthly_payment, nominal_from_addon
from finntelligence.grid import Cells, Grid
from finntelligence.policy import Policy
from finntelligence.search import best_ticks, best_ticks_numpy
from finntelligence.shadow_prices import NO_PRICES, ShadowPrices
from finntelligence.value import (
    PD_CEILING,
    PD_FLOOR,
    default_hazard,
    hazard_table,
    loan_value,
)

SEARCHES = [best_ticks, best_ticks_numpy]
PRICES = [
    NO_PRICES,
    ShadowPrices(principal=0.03),
    ShadowPrices(principal=-0.02, expected_loss=0.3),
    ShadowPrices(principal=-0.1, expected_loss=0.05, apr=0.2),
]
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
        shape=(n,),
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


def some(cells, rows):
    """The same cells, but only the rows asked for."""
    kept = {n: getattr(cells, n)[rows] for n in Cells.__dataclass_fields__ if n != "shape"}
    return Cells(shape=kept["low"].shape, **kept)


def every_tick(cells, c, grid, horizon, prices):
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
    received = cells.principal[c] * (1 - grid.economics.origination_fee)
    yearly = apr(received, cells.principal[c] * grid.factor[k], grid.terms[k])
    npv = value.npv - prices.charge(cells.principal[c], yearly, value.expected_loss)
    profit = npv / (1 + np.exp(-accept))
    tick = np.arange(len(grid.ticks))
    permitted = (cells.low[c] <= tick) & (tick <= cells.high[c])
    permitted &= (grid.factor[k] <= cells.factor_cap[c]) & (risk <= cells.risk_limit[c])
    permitted &= (value.npv > 0) & (npv > 0)
    if grid.minimum_raroc is not None:
        permitted &= value.raroc >= grid.minimum_raroc
    return np.where(permitted, profit, np.nan), profit, value.npv


@pytest.mark.parametrize("prices", PRICES)
@pytest.mark.parametrize("search_of", SEARCHES)
def test_the_tick_found_is_the_best_of_all_ticks(book, policy, grid, search_of, prices):
    cells = random_cells(grid, 120, seed=3)
    grid = Grid.of(book, policy, prices)
    found = search_of(cells, grid)
    offered = 0
    for c in range(120):
        permitted, profit, value = every_tick(cells, c, grid, book.default.horizon_months, prices)
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
        assert found.npv[c] == pytest.approx(value[tick], abs=near)
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
        alone = search_of(some(cells, slice(c, c + 1)), grid)
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
    none = some(cells, slice(0))
    assert len(search_of(none, grid).tick) == 0
    empty = replace(cells, low=np.full(5, 10.0), high=np.full(5, -1.0))
    assert search_of(empty, grid).tick.tolist() == [-1] * 5


def test_without_the_compiled_search_numpy_searches(grid, monkeypatch):
    cells = random_cells(grid, 30, seed=9)
    monkeypatch.setattr(search, "compiled", None)
    np.testing.assert_array_equal(best_ticks(cells, grid).tick, best_ticks_numpy(cells, grid).tick)


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


@pytest.mark.parametrize("horizon", [1, 2, 4, 12, 36, 84, 360])
@pytest.mark.parametrize("cpr", [0.0, 0.15, 0.6, 0.99])
def test_the_hazard_is_convex_and_then_concave_in_the_logit_of_default(horizon, cpr):
    logit = np.linspace(np.log(PD_FLOOR / (1 - PD_FLOOR)), np.log(PD_CEILING / (1 - PD_CEILING)))
    hazard, slope = hazard_table(logit, horizon, 1 - (1 - cpr) ** (1 / 12)).T
    bend = np.sign(np.where(np.abs(np.diff(slope)) < 1e-12 * hazard.max(), 0, np.diff(slope)))
    assert (np.diff(bend[bend != 0]) <= 0).all()


@pytest.mark.parametrize("term", [1, 2, 4, 12, 60])
def test_the_monthly_rate_is_concave_in_a_flat_interest_rate(term):
    nominal = nominal_from_addon(np.linspace(0, 1, 2001), term)
    assert (np.diff(nominal, 2) <= 1e-9).all()


@pytest.mark.parametrize("term", [1, 4, 36, 600])
def test_the_payment_is_convex_in_the_rate(term):
    factor = monthly_payment(1.0, np.linspace(0, 10, 2001), term)
    assert (np.diff(factor, 2) >= -1e-12).all()


@pytest.mark.parametrize("search_of", SEARCHES)
def test_what_nobody_would_take_is_no_offer_and_no_warning(grid, search_of):
    cells = random_cells(grid, 20, seed=10)
    hopeless = replace(cells, accept_constant=np.full(20, -1000.0))
    assert (search_of(hopeless, grid).tick == -1).all()


@pytest.mark.parametrize("search_of", SEARCHES)
@pytest.mark.parametrize("prices", PRICES)
def test_the_best_of_a_range_is_the_best_of_its_ticks_alone(book, policy, grid, search_of, prices):
    many, width = 60, 200
    cells = random_cells(grid, many, seed=11)
    start = np.random.default_rng(12).integers(0, len(grid.ticks) - width, many).astype(float)
    cells = replace(cells, low=start, high=start + width - 1)
    grid = Grid.of(book, policy, prices)
    found = search_of(cells, grid)
    ticks = (start[:, None] + np.arange(width)).ravel()
    each = replace(some(cells, np.repeat(np.arange(many), width)), low=ticks, high=ticks)
    alone = search_of(each, grid)
    profit = np.where(alone.tick >= 0, alone.profit, 0.0).reshape(many, width)
    np.testing.assert_array_equal(found.tick >= 0, profit.max(axis=1) > 0)
    np.testing.assert_allclose(np.maximum(found.profit, 0), profit.max(axis=1), rtol=1e-12)
    assert (found.tick >= 0).sum() > 10
