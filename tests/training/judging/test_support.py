from dataclasses import replace

import numpy as np
import pytest

from training.judging.support import Support, strata

B = 0.1


def at(support, offset):
    return support.listed + offset


def test_the_prices_tested_are_those_drawn_around_the_list(simulated, quotes):
    support = Support.of(simulated, quotes, B)
    policy = simulated.policy
    assert np.nanmax(support.high - support.listed) <= 0.05 + 1e-4
    assert np.nanmin(support.low - support.listed) >= -0.05 - 1e-4
    assert support.low.min() >= policy["minimum_rate"] - 1e-9
    assert support.high.max() <= policy["maximum_rate"] + 1e-9
    assert np.median(support.bandwidth) == pytest.approx(0.01, rel=0.01)


def test_a_price_beyond_those_tested_is_not_covered(simulated, quotes):
    support = Support.of(simulated, quotes, B)
    weights, uncovered = support.weights(at(support, 0.08))
    assert uncovered.all()
    assert not weights.any()
    weights, uncovered = support.weights(at(support, 0.02))
    assert not uncovered.any()
    assert weights.mean() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("offset", [0.0, 0.04, 0.0499])
def test_weights_average_one_in_every_stratum_even_at_the_edge(simulated, quotes, offset):
    support = Support.of(simulated, quotes, B)
    weights, uncovered = support.weights(at(support, offset))
    for code in range(len(support.names)):
        rows = (support.stratum == code) & ~uncovered
        assert weights[rows].mean() == pytest.approx(1)


def test_the_raw_mean_weight_tells_a_wrong_density(simulated, quotes):
    proposed = quotes["list_rate"].to_numpy()
    right = Support.of(simulated, quotes, B).raw_mean(proposed)
    assert right == pytest.approx(1, abs=0.06)
    wrong = Support.of(simulated, quotes.assign(propensity=2 * quotes["propensity"]), B)
    assert wrong.raw_mean(proposed) == pytest.approx(right / 2)
    assert wrong.raw_mean(wrong.low) is None
    assert wrong.raw_mean(np.full(len(quotes), np.nan)) is None


def test_who_gets_no_offer_has_no_weight_and_is_not_uncovered(simulated, quotes):
    support = Support.of(simulated, quotes, B)
    weights, uncovered = support.weights(np.full(len(quotes), np.nan))
    assert not weights.any()
    assert not uncovered.any()


def test_discretionary_prices_test_nothing(simulated, quotes):
    alone = Support.of(simulated, quotes.assign(is_randomised=False), B)
    assert np.isnan(alone.low).all()
    assert alone.weights(quotes["list_rate"].to_numpy())[1].all()
    half = quotes["quote_id"] % 2 == 0
    mixed = Support.of(simulated, quotes.assign(is_randomised=half), B)
    weights, _ = mixed.weights(quotes["list_rate"].to_numpy())
    assert not weights[~half].any()


def test_one_price_alone_is_no_test(simulated, quotes):
    support = Support.of(simulated, quotes.assign(quoted_rate=quotes["list_rate"]), B)
    assert np.isnan(support.bandwidth).all()
    assert {part["absent"] for part in support.found()} == {"tested fewer than two prices"}


def test_a_recorded_density_that_sums_to_one_is_said_to(simulated, quotes):
    whole = Support.of(simulated, quotes, B).found()
    inner = [p for p in whole if p["stratum"].startswith("fico from 660")]
    assert inner
    for part in inner:
        assert part["density_sum"] == pytest.approx(1, abs=0.03)
    double = Support.of(simulated, quotes.assign(propensity=2 * quotes["propensity"]), B).found()
    for part, twice in zip(whole, double, strict=True):
        assert twice["density_sum"] == pytest.approx(part["density_sum"] / 2)


def test_strata_are_cut_by_what_was_drawn_whatever_else_is_in_the_table(simulated, quotes):
    rule = replace(simulated.price.list_rate, cuts=())
    uncut = replace(simulated, price=replace(simulated.price, list_rate=rule))
    drawn = quotes["fico"] < quotes["fico"].median()
    mixed = quotes.assign(is_randomised=drawn)
    alone = mixed[drawn].reset_index(drop=True)
    codes, names = strata(uncut, mixed)
    assert names == strata(uncut, alone)[1]
    assert np.array_equal(codes[drawn], strata(uncut, alone)[0])


def test_a_stratum_is_a_class_in_a_period_unless_that_leaves_too_few(simulated, quotes):
    _, pooled = strata(simulated, quotes)
    assert not any("period" in name for name in pooled)
    assert len(pooled) == len(simulated.price.list_rate.values)
    halves = quotes.assign(period=(quotes["quote_id"] % 2).astype("int64"))
    codes, names = strata(simulated, halves)
    assert all("period" in name for name in names)
    for code in np.unique(codes):
        assert halves.loc[codes == code, "period"].nunique() == 1


def test_kz_densities_sum_to_one_within_risk_and_wave(kz, kz_quotes):
    support = Support.of(kz, kz_quotes, B)
    assert len(support.names) == 6
    cells = kz_quotes.groupby(["risk_class", "period"])
    for _, cell in cells:
        bins = np.floor(cell["quoted_rate"] / 0.005 + 1e-9)
        density = cell.groupby(bins)["propensity"]
        assert (density.nunique() == 1).all()
        assert density.first().sum() * 0.005 == pytest.approx(1)
    for part in support.found():
        assert 1 <= part["density_sum"] < 1.15  # the outer bins are not filled to their ends
