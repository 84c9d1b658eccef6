from dataclasses import asdict, replace

import numpy as np
import pytest

from finntelligence.errors import InvalidDeclarationError
from finntelligence.features import design_matrix
from finntelligence.portfolio import Capability
from training.fitting import slope_guard
from training.fitting.base_logit import Sample, fit_base, unfitted
from training.fitting.basis import basis_columns, slope_modifiers
from training.fitting.hyperparameters import FitParams
from training.fitting.price_response import columns_of, quoted_terms
from training.fitting.slope_guard import guarded
from training.simulate import simulate

# trees whatever they gain: what they gain is another module's matter
FEW = {"rounds": 15, "patience": 15, "eta": 0.1, "gain_errors": -1000}


@pytest.fixture(scope="module")
def problem(simulated):
    """Base, sample and held-out rows of a book with non-linear demand."""
    quotes = simulate("W4", quotes=15_000, seed=3).quotes
    matrix = design_matrix(simulated, columns_of(simulated, quotes))
    columns = basis_columns(simulated, matrix)
    sample = Sample(
        matrix=matrix,
        terms=quoted_terms(simulated, quotes),
        control=np.where(
            quotes["is_randomised"], 0, 100 * (quotes["quoted_rate"] - quotes["list_rate"])
        ),
        outcome=quotes["accepted"].to_numpy(dtype=float),
        modifiers=slope_modifiers(columns, simulated, {"dti"}),
    )
    shell = unfitted(Capability.ACCEPTANCE, simulated, columns, sample.terms)
    held = (quotes["period"] > 18).to_numpy()
    return fit_base(shell, sample, FitParams()), sample, held


@pytest.fixture
def anchored(monkeypatch):
    """A function: let the anchor's slope and standard error be these, whatever the data say."""

    def pretend(slope, error):
        one_slope = slope_guard._one_slope
        calls = []

        def first_is_the_anchor(*arguments):
            calls.append(arguments)
            return (slope, error) if len(calls) == 1 else one_slope(*arguments)

        monkeypatch.setattr(slope_guard, "_one_slope", first_is_the_anchor)

    return pretend


def tree_heads(ensemble):
    response = ensemble.artefact.response
    return [response.heads[k].name for k in response.tree_heads]


def test_a_slope_near_its_anchor_keeps_its_trees(problem, anchored):
    anchored(-0.25, 10.0)
    found = guarded(*problem, FitParams(**FEW))
    assert found.guard["shrink"] == 3
    assert len(found.guard["tried"]) == 1
    assert tree_heads(found) == ["base", "gap"]
    assert found.artefact.booster.num_boosted_rounds() > 0


def test_a_slope_far_from_its_anchor_loses_its_trees_in_the_end(problem, anchored):
    anchored(-2.0, 0.001)
    found = guarded(*problem, FitParams(**FEW))
    assert [t["shrink"] for t in found.guard["tried"]] == [3, 10, 30, None]
    assert found.guard["shrink"] is None
    assert tree_heads(found) == ["base"]


def test_the_more_the_slopes_trees_are_shrunk_the_nearer_they_stay_to_the_base(problem, anchored):
    base, sample, held = problem
    anchored(-2.0, 0.001)
    guarded(base, sample, held, FitParams(**FEW))
    growth = slope_guard._Growth(
        base=base, rest=base, sample=sample, held=None, params=FitParams(**FEW)
    )
    moved = []
    for shrink in (3, 10, 30):
        rows = slope_guard.tree_rows(growth._with_tree_heads(base, shrink), sample)
        booster = slope_guard.grown(rows, FitParams(), depth=3, rounds=15)
        response = growth._with_tree_heads(base, shrink)
        raw = booster.inplace_predict(rows.matrix)
        with_trees, without = (
            response.coefficients(sample.matrix, trees)[:, 1] for trees in (raw, None)
        )
        moved.append(np.std(with_trees - without))
    assert moved[0] > 2 * moved[1] > 4 * moved[2] > 0


def test_without_gain_there_is_nothing_to_shrink(problem, anchored):
    anchored(-2.0, 0.001)
    found = guarded(*problem, FitParams(rounds=0))
    assert len(found.guard["tried"]) == 1
    np.testing.assert_array_equal(
        found.artefact.coefficients(problem[1].matrix), problem[0].coefficients(problem[1].matrix)
    )


def test_the_implied_slope_of_a_base_is_its_anchor_where_the_mean_is_not(problem):
    base, sample, held = problem
    guard = guarded(base, sample, held, FitParams(rounds=0)).guard
    tried = guard["tried"][0]
    assert tried["implied"] == pytest.approx(guard["anchor"], abs=0.2 * guard["anchor_se"])
    assert abs(tried["mean"] - guard["anchor"]) > abs(tried["implied"] - guard["anchor"])


@pytest.mark.parametrize("compared", ["mean", "implied"])
def test_the_guard_compares_the_slope_it_is_told_to(problem, anchored, compared):
    probe = guarded(*problem, FitParams(**FEW)).guard["tried"][0]
    anchored(probe[compared], 1e-5)
    found = guarded(*problem, FitParams(**FEW, guard=compared))
    assert len(found.guard["tried"]) == 1


def test_no_tree_splits_on_what_may_not_modify_the_slope(problem, anchored):
    anchored(-0.25, 10.0)
    with_slope_trees = guarded(*problem, FitParams(**FEW)).artefact.booster
    base, sample, held = problem
    one_slope = guarded(base, replace(sample, modifiers=()), held, FitParams(**FEW))
    assert "dti" not in with_slope_trees.get_score()
    assert "dti" in one_slope.artefact.booster.get_score()
    assert one_slope.guard == {}


def test_rows_too_few_to_hold_any_out_get_no_trees(problem):
    base, sample, _ = problem
    found = guarded(base, replace(sample, modifiers=()), None, FitParams(**FEW))
    assert found.boosting is None
    assert found.artefact.booster.num_boosted_rounds() == 0


@pytest.mark.parametrize(("model", "depth"), [(Capability.ACCEPTANCE, 3), (Capability.RISK, 4)])
def test_each_model_has_a_depth_of_its_own_unless_told_otherwise(
    problem, model, depth, monkeypatch
):
    base, sample, held = problem
    seen = []
    boosted = slope_guard.boosted
    monkeypatch.setattr(slope_guard, "boosted", lambda *a: seen.append(a[-1]) or boosted(*a))
    for told in (None, 5):
        params = replace(FitParams(rounds=1), depth=told)
        guarded(replace(base, model=model), replace(sample, modifiers=()), held, params)
    assert seen == [depth, 5]
    assert asdict(params)["depth"] == 5


def test_a_guard_that_compares_nothing_known_is_refused_before_any_fit(problem):
    with pytest.raises(
        InvalidDeclarationError, match="guard: must be mean or implied, is 'median'"
    ):
        guarded(*problem, FitParams(guard="median"))
