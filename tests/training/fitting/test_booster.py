from dataclasses import replace

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import given
from hypothesis import strategies as st

from finntelligence.features import design_matrix
from finntelligence.portfolio import Capability
from finntelligence.response import PHI
from training.fitting import booster
from training.fitting.base_logit import Sample, fit_base, unfitted
from training.fitting.basis import basis_columns
from training.fitting.booster import TreeRows, boosted, grown, head_scale, total_logits, tree_rows
from training.fitting.hyperparameters import FitParams
from training.fitting.price_response import columns_of, quoted_terms
from training.simulate import simulate

ROUNDS = 12


def rows_of(label, margin, sign=0, floor=0.0):
    """Rows of two heads, the second signed, without features."""
    return TreeRows(
        features=(),
        matrix=np.empty((len(label), 0), dtype=np.float32),
        label=np.asarray(label, dtype=np.float32),
        margin=np.asarray(margin, dtype=np.float32),
        sign=np.array([0, sign], dtype=np.float32),
        floor=np.array([0, floor], dtype=np.float32),
    )


@pytest.fixture(scope="module")
def sample(simulated):
    quotes = simulate("W4", quotes=20_000, seed=3).quotes
    return Sample(
        matrix=design_matrix(simulated, columns_of(simulated, quotes)),
        terms=quoted_terms(simulated, quotes),
        control=100 * (quotes["quoted_rate"] - quotes["list_rate"]).to_numpy(),
        outcome=quotes["accepted"].to_numpy(dtype=float),
        modifiers=(),
    )


@pytest.fixture(scope="module")
def base(simulated, sample):
    """The acceptance base, with trees for the first head and the price slope."""
    columns = basis_columns(simulated, sample.matrix)
    shell = unfitted(Capability.ACCEPTANCE, simulated, columns, sample.terms)
    fitted = fit_base(shell, sample, FitParams())
    scale = head_scale(PHI["gap"](sample.terms, fitted), 3)
    heads = [replace(h, tree=h.name in ("base", "gap")) for h in fitted.heads]
    heads[1] = replace(heads[1], scale=scale)
    return replace(fitted, heads=tuple(heads))


@pytest.fixture(scope="module")
def bent(base, sample):
    """The sample with outcomes of a law that no linear part can follow: two features together."""
    p = base.probability(base.coefficients(sample.matrix), sample.terms)
    ups = [
        sample.matrix[:, j] > np.nanmedian(sample.matrix[:, j])
        for j in (base.features.index(name) for name in ("fico", "utilisation"))
    ]
    logit = np.log(p / (1 - p)) + np.where(ups[0] == ups[1], 1.0, -1.0)
    drawn = np.random.default_rng(1).logistic(size=len(p)) < logit
    return replace(sample, outcome=drawn.astype(float))


# The objective


@given(
    outcome=st.sampled_from([0.0, 1.0]),
    phi=st.floats(-2, 2),
    first=st.floats(-3, 3),
    slope=st.floats(0.2, 2),
    sign=st.sampled_from([-1, 0, 1]),
)
def test_where_nothing_is_clipped_the_gradient_is_that_of_the_log_loss(
    outcome, phi, first, slope, sign
):
    margin = np.array([[first, sign * slope if sign else slope]], dtype=np.float32)
    rows = rows_of([[outcome, phi]], margin, sign, floor=0.1)
    gradient, _ = booster._derivatives(margin, rows, 0.0)

    def loss(k, step):
        eta = np.array([first, margin[0, 1]], dtype=float)
        eta[k] += step
        total = eta[0] + phi * eta[1]
        return np.logaddexp(0, total) - outcome * total

    for k in range(2):
        expected = (loss(k, 1e-5) - loss(k, -1e-5)) / 2e-5
        assert gradient[0, k] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("outcome", "phi", "passes"), [
    (1.0, 2.0, False),  # taken though dear: a flatter slope yet, further out
    (0.0, 2.0, True),  # left because dear: a steeper slope, back in
    (1.0, -2.0, True),
    (0.0, -2.0, False),
])  # fmt: skip
def test_a_clipped_slope_passes_only_steps_that_lead_back_in(outcome, phi, passes):
    margin = np.array([[0.0, 0.05]], dtype=np.float32)  # above -0.1, where the clip holds it
    rows = rows_of([[outcome, phi]], margin, sign=-1, floor=0.1)
    gradient, hessian = booster._derivatives(margin, rows, 0.001)
    assert (gradient[0, 1] != 0) == passes
    assert hessian[0, 1] == (pytest.approx(0.25 * 4, rel=0.05) if passes else np.float32(0.001))


def test_a_clipped_slope_counts_at_its_floor():
    margin = np.array([[0.5, 3.0]], dtype=np.float32)
    rows = rows_of([[1.0, 2.0]], margin, sign=-1, floor=0.1)
    assert booster._logits(margin, rows) == pytest.approx(0.5 - 0.1 * 2.0)


def test_derivatives_are_single_precision_of_the_labels_shape(base, sample):
    rows = tree_rows(base, sample)
    for found in booster._derivatives(rows.margin, rows, 1e-3):
        assert found.dtype == np.float32
        assert found.shape == (len(sample.outcome), 2)


# Margins and outputs


def test_margins_are_the_bases_own_logit_with_the_control_term(base, sample):
    rows = tree_rows(base, sample)
    p = base.probability(base.coefficients(sample.matrix), sample.terms)
    control = base.evidence["estimates"]["control"] * sample.control
    expected = np.log(p / (1 - p)) + control
    untouched = grown(rows, FitParams(), depth=3, rounds=0)
    np.testing.assert_allclose(total_logits(untouched, rows), expected, atol=1e-4)


def test_raw_output_is_what_the_core_adds_to_the_linear_part(base, sample):
    rows = tree_rows(base, sample)
    trees = grown(rows, FitParams(), depth=3, rounds=ROUNDS)
    raw = trees.inplace_predict(sample.matrix.astype(np.float32))
    assert np.ptp(raw, axis=0).min() > 0
    p = base.probability(base.coefficients(sample.matrix, raw), sample.terms)
    control = base.evidence["estimates"]["control"] * sample.control
    expected = np.log(p / (1 - p)) + control
    np.testing.assert_allclose(total_logits(trees, rows), expected, atol=1e-4)


def test_one_head_alone_has_trees_too(base, sample):
    alone = replace(base, heads=tuple(replace(h, tree=h.name == "base") for h in base.heads))
    rows = tree_rows(alone, sample)
    trees = grown(rows, FitParams(), depth=3, rounds=ROUNDS)
    raw = trees.inplace_predict(sample.matrix.astype(np.float32))
    assert raw.shape == (len(sample.outcome),)
    assert np.ptp(raw) > 0
    assert total_logits(trees, rows).shape == (len(sample.outcome),)


def test_no_tree_splits_on_a_barred_feature(base, sample):
    used = {
        barred: set(
            grown(tree_rows(base, sample, barred), FitParams(), depth=3, rounds=ROUNDS)
            .trees_to_dataframe()["Feature"]
        )
        for barred in ((), ("fico", "utilisation"))
    }  # fmt: skip
    assert {"fico", "utilisation"} <= used[()]
    assert not {"fico", "utilisation"} & used[("fico", "utilisation")]


def test_a_scaled_phi_has_one_over_the_shrinkage_as_root_mean_square():
    phi = np.array([1.0, -2.0, 3.0])
    assert np.sqrt(np.mean((phi * head_scale(phi, 10)) ** 2)) == pytest.approx(0.1)


# Early stopping


def parts(base, sample):
    late = np.arange(len(sample.outcome)) % 5 == 0
    return tree_rows(base, sample.part(~late)), tree_rows(base, sample.part(late))


def test_trees_that_gain_on_held_out_rows_are_kept(base, bent):
    learned, judged = parts(base, bent)
    found = boosted(learned, judged, FitParams(), depth=3)
    assert found.rounds > 5
    assert found.gain > 2 * found.gain_error > 0


def test_the_best_rounds_logits_are_those_of_a_booster_of_as_many(base, bent):
    learned, judged = parts(base, bent)
    found = boosted(learned, judged, FitParams(), depth=3)
    assert found.rounds > 5
    again = grown(learned, FitParams(), depth=3, rounds=found.rounds)
    np.testing.assert_allclose(total_logits(again, judged), found.logits, atol=1e-5)


def test_trees_that_learn_noise_are_all_dropped(base, sample):
    noise = np.random.default_rng(0).permutation(sample.outcome)
    learned, judged = parts(base, replace(sample, outcome=noise))
    flat = np.log(noise.mean() / (1 - noise.mean()))
    level = np.array([flat, -1.0], dtype=np.float32)
    learned, judged = (
        replace(rows, margin=np.tile(level, (len(rows.label), 1)), label=rows.label * [1, 0])
        for rows in (learned, judged)
    )
    found = boosted(learned, judged, FitParams(eta=0.5, min_child_weight=4), depth=6)
    assert found.rounds == 0
    np.testing.assert_array_equal(
        found.logits, total_logits(grown(judged, FitParams(), 3, 0), judged)
    )


def test_trees_whose_gain_may_be_luck_are_dropped(base, bent):
    learned, judged = parts(base, bent)
    found = boosted(learned, judged, FitParams(), depth=3)
    assert found.rounds > 5
    wanted = FitParams(gain_errors=1.01 * found.gain / found.gain_error)
    assert boosted(learned, judged, wanted, depth=3).rounds == 0


def test_no_more_rounds_are_tried_than_patience_allows(base, sample, monkeypatch):
    tried = []
    newest = xgb.Booster.inplace_predict
    monkeypatch.setattr(
        xgb.Booster, "inplace_predict", lambda *a, **k: tried.append(1) or newest(*a, **k)
    )
    learned, judged = parts(base, sample)
    found = boosted(learned, judged, FitParams(patience=3, gain_errors=-1000), depth=3)
    assert len(tried) == found.rounds + 3


def test_progress_is_logged_now_and_then(base, sample, caplog):
    learned, judged = parts(base, sample)
    with caplog.at_level("INFO", logger="training.fitting.booster"):
        boosted(learned, judged, FitParams(rounds=60, patience=60), depth=3)
    assert len(caplog.messages) == 1
    assert "round 50" in caplog.text


def test_the_same_rows_give_the_same_trees_to_the_bit(base, sample):
    rows = tree_rows(base, sample)
    files = [
        bytes(grown(rows, FitParams(), depth=3, rounds=ROUNDS).save_raw("ubj")) for _ in range(2)
    ]
    assert files[0] == files[1]


@pytest.mark.parametrize(("count", "least"), [(4_999, 5), (29_999, 10), (30_000, 20)])
def test_a_leaf_of_a_smaller_book_needs_less_weight(count, least, monkeypatch):
    seen = {}
    monkeypatch.setattr(booster.xgb, "QuantileDMatrix", lambda *_, **__: None)
    monkeypatch.setattr(booster.xgb, "train", lambda settings, *_, **__: seen.update(settings))
    grown(rows_of(np.zeros((count, 2)), np.zeros((count, 2))), FitParams(), depth=3, rounds=1)
    assert seen["min_child_weight"] == least
