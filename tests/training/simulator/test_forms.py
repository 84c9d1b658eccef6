from pathlib import Path

import numpy as np
import pytest

from finntelligence.policy import Policy
from finntelligence.portfolio import Capability
from training.fitting.price_response import columns_of
from training.simulate import simulate
from training.simulator.forms import FORMS, fit_params
from training.simulator.shelf import Shelf, booked_value

ROOT = Path(__file__).parents[3]
NO_CAPS = {"apr_cap": None, "pti_cap": None, "dti_cap": None, "pd_cutoff": None}


@pytest.fixture(scope="module")
def forms(simulated):
    book = simulate("W1", quotes=4_000, seed=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return {name: fit(simulated, book) for name, fit in FORMS.items()}


@pytest.fixture(scope="module")
def shelf(simulated):
    columns = columns_of(simulated, simulate("W1", quotes=20, seed=6).quotes)
    return Shelf.of(simulated, Policy.from_mapping(simulated, NO_CAPS), columns)


def believed(form, shelf, cell, tick):
    terms = shelf.offers(cell, tick)
    pd = form.default(shelf.columns, terms)
    return form.accept(shelf.columns, terms) * booked_value(shelf, terms, pd).npv


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("asked", [False, True])
def test_a_form_chooses_the_best_by_its_own_models(name, asked, forms, shelf):
    form, shelf = forms[name], shelf.asked() if asked else shelf
    cell, tick = shelf.ladder(1)
    there = np.take_along_axis(shelf.high >= shelf.low, cell, axis=1)
    most = np.where(there, believed(form, shelf, cell, tick), -np.inf).max(axis=1)
    found = form.choose(shelf)
    ours = believed(form, shelf, found.cell[:, None], found.tick[:, None])[:, 0]
    np.testing.assert_array_equal(found.tick >= 0, most > 0)
    np.testing.assert_allclose(ours[most > 0], most[most > 0], rtol=1e-6)
    assert (most > 0).sum() > 10


@pytest.mark.parametrize("name", FORMS)
def test_a_form_prices_dearer_offers_as_taken_less_and_riskier(name, forms, shelf):
    cell, tick = shelf.part(slice(0, 5)).asked().ladder(20)
    few = shelf.part(slice(0, 5))
    on = np.take_along_axis(few.asked().high >= few.low, cell, axis=1).reshape(5, -1)
    terms = few.offers(cell, tick)
    for model, sign in ((forms[name].accept, -1), (forms[name].default, 1)):
        p = model(few.columns, terms)
        for row in range(5):
            steps = sign * np.diff(p[row, on[row]])
            assert (steps >= 0).all()
            assert steps.max() > 0


def test_every_form_is_fitted_with_the_pipelines_settings(monkeypatch):
    monkeypatch.chdir(ROOT)
    settings = fit_params()
    assert list(settings) == [Capability.RISK, Capability.ACCEPTANCE]
    assert settings[Capability.ACCEPTANCE].slope_ridge == 300
