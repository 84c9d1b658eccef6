import numpy as np
import pytest

from finntelligence.groups import Groups, Resamples
from finntelligence.price_gaps import apr_gap, markup_gap, price_dispersion, residual_apr_gap
from finntelligence.screening import Thresholds

BP = 1e-4


def draws(groups, number=200, seed=7):
    return Resamples.draw(len(groups.codes), number, np.random.default_rng(seed))


def book(rows=900, seed=1, labels=("a", "b", "c"), shares=(0.5, 0.3, 0.2)):
    """Applicants whose riskier groups pay more, with noise that grows with risk."""
    rng = np.random.default_rng(seed)
    groups = Groups.of(rng.choice(labels, rows, p=shares))
    risk = rng.normal(0.5 * groups.codes, 1)
    term = rng.choice([24.0, 36, 60], rows)
    noise = rng.normal(0, 0.004 * np.exp(0.4 * risk))
    return groups, {"risk": risk, "term": term}, 0.15 + 0.03 * risk + 2e-4 * term + noise


def least_squares(price, groups, controls):
    """Dense OLS on an intercept, controls and a dummy of every other group; HC1 by the sandwich."""
    dummies = [groups.codes == g for g in groups.others]
    design = np.column_stack([np.ones(len(price)), *controls.values(), *dummies]).astype(float)
    bread = np.linalg.inv(design.T @ design)
    beta = bread @ design.T @ price
    residual = price - design @ beta
    meat = (design * residual[:, None] ** 2).T @ design
    n, p = design.shape
    errors = np.sqrt(np.diag(bread @ meat @ bread) * n / (n - p))
    last = len(groups.others)
    return beta[-last:] / BP, errors[-last:] / BP, residual / BP


# The regression


@pytest.mark.parametrize("names", [(), ("risk",), ("risk", "term")])
def test_gaps_and_errors_are_those_of_dense_least_squares(names):
    groups, controls, apr = book()
    used = {name: controls[name] for name in names}
    gaps, errors, _ = least_squares(apr, groups, used)
    found = residual_apr_gap(apr, used, groups, draws(groups))
    assert [s.value for s in found] == pytest.approx(gaps.tolist())
    assert [s.standard_error for s in found] == pytest.approx(errors.tolist())


def test_without_controls_the_gap_is_the_difference_of_the_means():
    groups, _, apr = book()
    means = [apr[groups.codes == g].mean() for g in range(3)]
    expected = [(means[g] - means[groups.reference]) / BP for g in groups.others]
    raw = apr_gap(apr, groups, draws(groups))
    assert [s.value for s in raw] == pytest.approx(expected)
    bare = residual_apr_gap(apr, {}, groups, draws(groups))
    assert [s.value for s in bare] == pytest.approx(expected)


@pytest.mark.parametrize("surplus", ["constant", "copy", "sum"])
def test_a_control_that_adds_nothing_changes_nothing(surplus):
    groups, controls, apr = book()
    more = {
        "constant": np.full(len(apr), 0.025),
        "copy": 5 - 3 * controls["risk"],
        "sum": controls["risk"] + controls["term"],
    }[surplus]
    plain = residual_apr_gap(apr, controls, groups, draws(groups))
    found = residual_apr_gap(apr, {**controls, surplus: more}, groups, draws(groups))
    for one, other in zip(plain, found, strict=True):
        for name in ("value", "low", "high", "standard_error"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-6)


def test_the_units_of_the_controls_do_not_matter():
    groups, controls, apr = book()
    scaled = {"risk": 1e6 * controls["risk"], "term": controls["term"] / 1e6 + 1}
    plain = residual_apr_gap(apr, controls, groups, draws(groups))
    found = residual_apr_gap(apr, scaled, groups, draws(groups))
    assert [s.value for s in found] == pytest.approx([s.value for s in plain], rel=1e-6)


def test_a_price_of_risk_and_terms_alone_has_no_residual_gap():
    groups, controls, _ = book()
    apr = 0.1 + 0.03 * controls["risk"] + 1e-3 * controls["term"]
    assert all(s.value > 100 and s.flag for s in apr_gap(apr, groups, draws(groups)))
    for screen in residual_apr_gap(apr, controls, groups, draws(groups)):
        assert screen.value == pytest.approx(0, abs=1e-6)
        assert screen.flag is False


def test_a_surcharge_on_one_group_is_found_to_the_basis_point():
    groups, controls, _ = book()
    apr = 0.1 + 0.03 * controls["risk"] + 12 * BP * (groups.codes == 1)
    b, c = residual_apr_gap(apr, controls, groups, draws(groups))
    assert (b.value, c.value) == pytest.approx((12, 0), abs=1e-6)
    assert (b.flag, c.flag) == (True, False)


def test_the_declined_do_not_enter():
    groups, controls, apr = book()
    given = np.random.default_rng(2).random(len(apr)) < 0.7
    some = Groups(labels=groups.labels, codes=groups.codes[given], reference=groups.reference)
    kept = {name: column[given] for name, column in controls.items()}
    expected, errors, _ = least_squares(apr[given], some, kept)
    found = residual_apr_gap(np.where(given, apr, np.nan), controls, groups, draws(groups))
    assert [s.value for s in found] == pytest.approx(expected.tolist())
    assert [s.standard_error for s in found] == pytest.approx(errors.tolist())
    assert [s.rows for s in found] == groups.rows(given)[1:].tolist()


def test_the_bootstrap_agrees_with_the_robust_error():
    groups, controls, apr = book(rows=3_000)
    for screen in residual_apr_gap(apr, controls, groups, draws(groups, 800)):
        reach = (screen.high - screen.low) / 2
        assert reach / (1.96 * screen.standard_error) == pytest.approx(1, abs=0.12)


def test_a_group_that_the_controls_give_away_has_no_figure():
    groups, controls, apr = book()
    away = {**controls, "district": (groups.codes == 1).astype(float)}
    b, c = residual_apr_gap(apr, away, groups, draws(groups))
    assert (b.value, b.flag, b.p_value) == (None, None, None)
    assert "other columns tell the group" in b.says
    expected = residual_apr_gap(apr, controls, groups, draws(groups))[1]
    assert c.value == pytest.approx(expected.value)


def test_a_group_that_got_no_offer_has_no_figure_and_spoils_no_other():
    groups, controls, apr = book()
    none = np.where(groups.codes == 1, np.nan, apr)
    b, c = residual_apr_gap(none, controls, groups, draws(groups))
    assert (b.value, b.rows) == (None, 0)
    assert c.low < c.value < c.high


def test_one_loan_of_each_group_leaves_nothing_to_tell_the_error_from():
    groups = Groups.of(["a", "b"])
    (screen,) = apr_gap(np.array([0.1, 0.2]), groups, draws(groups))
    assert screen.value == pytest.approx(1_000)
    assert (screen.standard_error, screen.p_value, screen.flag) == (None, None, None)


def test_a_control_without_a_value_is_refused():
    groups, controls, apr = book()
    controls["term"][3] = np.nan
    with pytest.raises(ValueError, match="control 'term'"):
        residual_apr_gap(apr, controls, groups, draws(groups))
    apr[3] = np.nan  # nothing was offered, so nothing is missing
    assert residual_apr_gap(apr, controls, groups, draws(groups))


# Flags


@pytest.mark.parametrize(
    ("gap", "noise", "flag"),
    [(4, 1, False), (6, 1, True), (-6, 1, True), (6, 400, False)],
)
def test_a_flag_needs_size_and_certainty(gap, noise, flag):
    rng = np.random.default_rng(3)
    groups = Groups.of(["a"] * 600 + ["b"] * 400)
    apr = 0.2 + rng.normal(0, noise * BP, 1_000) + gap * BP * (groups.codes == 1)
    (screen,) = apr_gap(apr, groups, draws(groups))
    assert screen.flag is flag


def test_without_any_difference_one_in_twenty_is_flagged():
    rng, groups = np.random.default_rng(4), Groups.of(["a"] * 150 + ["b"] * 50)
    spread = np.repeat([0.01, 0.04], [150, 50])  # unequal, which the plain test gets wrong
    resamples, limits = draws(groups, 2), Thresholds(least_gap=0)
    flags = [
        apr_gap(rng.normal(0.2, spread), groups, resamples, limits)[0].flag for _ in range(400)
    ]
    assert 0.02 <= np.mean(flags) <= 0.09


# Markup and dispersion


def test_a_price_of_cost_plus_the_same_for_all_has_no_markup_gap():
    groups, _, cost = book()
    for screen in markup_gap(cost + 0.04, cost, groups, draws(groups)):
        assert screen.value == pytest.approx(0, abs=1e-6)
    assert min(s.value for s in apr_gap(cost + 0.04, groups, draws(groups))) > 100


def test_the_markup_gap_is_the_gap_of_the_markup():
    groups, _, cost = book()
    apr = cost + 0.04 + 20 * BP * (groups.codes == 2)
    b, c = markup_gap(apr, cost, groups, draws(groups))
    assert (b.value, c.value) == pytest.approx((0, 20), abs=1e-6)
    assert (b.name, b.flag, c.flag) == ("markup_gap", False, True)


def test_dispersion_is_the_spread_of_what_the_controls_leave():
    groups, controls, apr = book()
    _, _, residual = least_squares(apr, groups, controls)
    for g, found in enumerate(price_dispersion(apr, controls, groups, draws(groups))):
        expected = residual[groups.codes == g].std()
        assert (found.group, found.value) == (groups.labels[g], pytest.approx(expected))
        assert found.low < expected < found.high


def test_individual_pricing_widens_the_dispersion():
    groups, controls, apr = book()
    listed = 0.1 + 0.03 * controls["risk"]
    narrow = price_dispersion(listed, {"risk": controls["risk"]}, groups, draws(groups))
    wide = price_dispersion(apr, {"risk": controls["risk"]}, groups, draws(groups))
    for one, other in zip(narrow, wide, strict=True):
        assert one.value == pytest.approx(0, abs=1e-3)
        assert other.value > 40
