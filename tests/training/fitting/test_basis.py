import numpy as np
import pytest

from finntelligence.basis import BasisColumn
from finntelligence.features import design_matrix
from training.fitting import basis
from training.fitting.basis import basis_columns, slope_modifiers
from training.fitting.price_response import columns_of
from training.simulate import simulate


@pytest.fixture(scope="module")
def matrix(simulated):
    quotes = simulate("W1", quotes=3_000, seed=1).quotes
    return design_matrix(simulated, columns_of(simulated, quotes))


def test_every_number_has_a_line_and_a_curve_and_every_category_its_flags(simulated, matrix):
    kinds = {}
    for column in basis_columns(simulated, matrix):
        kinds.setdefault(column.feature, set()).add(column.kind)
    assert kinds["fico"] == {"z", "square"}
    assert kinds["requested_principal"] == {"z", "square"}
    assert kinds["purpose=medical"] == {"flag"}


def test_z_scores_have_mean_nought_and_unit_spread(simulated, matrix):
    names = [f.name for f in simulated.features]
    column = next(c for c in basis_columns(simulated, matrix) if c.feature == "fico")
    values = column.values(matrix[:, names.index("fico")])
    assert np.mean(values) == pytest.approx(0, abs=1e-12)
    assert np.std(values) == pytest.approx(1)


@pytest.mark.parametrize("value", [7.0, 0.1, 1 / 3])
def test_a_column_that_never_varies_is_left_out(value):
    assert basis._z_column("dti", np.full(1_000, value), log=False) is None


def test_a_column_that_nobody_filled_is_left_out():
    assert basis._z_column("dti", np.full(10, np.nan), log=False) is None


def test_a_logged_column_with_zeros_stays_finite():
    column = np.concatenate([np.zeros(50), np.random.default_rng(0).lognormal(8, 1, 500)])
    z = basis._z_column("income", column, log=True)
    assert np.isfinite(z.values(column)).all()


def test_what_is_not_known_of_everybody_never_modifies_the_slope(kz):
    columns = tuple(
        BasisColumn(feature=name, kind=kind)
        for name, kind in [
            ("bureau_score", "z"),
            ("bureau_score", "missing"),
            ("gross_monthly_income", "z"),
            ("months_dormant", "z"),
            ("months_dormant", "square"),
            ("risk_class=LOW", "flag"),
            ("requested_principal", "z"),
        ]
    )
    chosen = [columns[j].feature for j in slope_modifiers(columns, kz, ())]
    assert chosen == ["months_dormant", "risk_class=LOW", "requested_principal"]


def test_what_drifts_does_not_modify_the_slope(simulated, matrix):
    columns = basis_columns(simulated, matrix)
    steady = set(slope_modifiers(columns, simulated, ()))
    left = set(slope_modifiers(columns, simulated, {"fico", "purpose=medical"}))
    assert {columns[j].feature for j in steady - left} == {"fico", "purpose=medical"}
