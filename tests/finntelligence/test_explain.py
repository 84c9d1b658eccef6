from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finntelligence.errors import ModelMismatchError
from finntelligence.explain import (
    BASE,
    OFFER_GROUPS,
    attribution,
    cell_terms,
    effects,
    nearest_cell,
    reference,
    reference_of,
)
from finntelligence.features import (
    REQUEST_FEATURES,
    application_columns,
    design_matrix,
    source_of,
)
from finntelligence.offers import application
from finntelligence.optimiser import terms_at

CLOSE = 1e-5


def unclipped(model):
    """Return the model with free heads and no calibration: its coefficients are the raw ones."""
    phis = {"gap_hinge": "term"}  # a hinge is never free
    heads = tuple(replace(h, sign=0, phi=phis.get(h.phi, h.phi)) for h in model.heads)
    return replace(model, heads=heads, calibration=(0.0, 1.0))


@pytest.fixture(scope="module")
def harsh(book, models):
    """A calibrated risk model with trees on two heads, one of which clips more often than not."""
    risk = models(book)[0]
    heads = tuple(replace(h, tree=h.name in ("base", "pti")) for h in risk.heads)
    linear = risk.linear.copy()
    linear[2, 0] = -0.1
    return replace(risk, heads=heads, linear=linear, calibration=(0.2, 0.8))


@pytest.fixture(scope="module")
def grown(forest, harsh):
    return forest(harsh)


@pytest.fixture(scope="module")
def matrix(book, rows):
    return design_matrix(book, rows(book, 60, seed=2))


@pytest.mark.parametrize("kind", [0, 1], ids=["risk", "acceptance"])
@pytest.mark.parametrize("trees", [False, True], ids=["linear", "trees"])
def test_contributions_sum_to_the_raw_coefficients(book, models, matrix, forest, kind, trees):
    model = unclipped(models(book)[kind])
    said = forest(model) if trees else model
    parts = said.contributions(matrix)
    assert parts.shape == (len(matrix), len(model.heads), len(model.features) + 1)
    np.testing.assert_allclose(parts.sum(axis=2), said.coefficients(matrix), atol=CLOSE)
    assert trees == bool(np.abs(parts - model.contributions(matrix)).max() > 0.1)


def test_a_linear_part_comes_from_its_own_column_alone(book, models, matrix):
    model = models(book)[0]
    before = model.contributions(matrix)
    for j in range(len(model.features)):
        moved = matrix.copy()
        moved[:, j] = np.where(np.isnan(moved[:, j]), 1.0, moved[:, j] * 0.5 + 1)
        after = model.contributions(moved)
        others = np.arange(len(model.features) + 1) != j
        np.testing.assert_array_equal(after[:, :, others], before[:, :, others])


def test_one_row_has_the_contributions_it_has_in_a_batch(grown, matrix):
    together = grown.contributions(matrix)
    alone = np.concatenate([grown.contributions(matrix[i : i + 1]) for i in range(5)])
    np.testing.assert_array_equal(alone, together[:5])


@given(data=st.data(), rate=st.floats(0.04, 0.35), trees=st.booleans())
def test_groups_and_floor_sum_to_the_logit_of_the_models_own_probability(
    market, grown, requests, data, rate, trees
):
    harsh = grown.response
    book = harsh.portfolio
    applied = application(book, **data.draw(requests(book)))
    under = replace(market(book), risk=harsh)
    terms = terms_at(
        applied,
        under,
        np.array([applied.requested_principal]),
        np.array([float(applied.requested_term_months)]),
        np.array([rate]),
    )
    row = design_matrix(book, application_columns(applied))
    said = grown if trees else harsh
    coefficients = said.coefficients(row)
    parts = attribution(harsh, said.contributions(row)[0], coefficients[0], terms)
    assert sum(parts.groups.values()) + parts.floor == pytest.approx(parts.logit, abs=CLOSE)
    p = harsh.probability(coefficients, terms)[0]
    assert 1 / (1 + np.exp(-parts.logit)) == pytest.approx(p, rel=1e-9)


def at_list_price(asked):
    """Return the terms of what was asked for, at the list price."""
    applied, book = asked.application, asked.market.portfolio
    columns = application_columns(applied)
    term, funds = columns["requested_term_months"], asked.market.policy.economics.cost_of_funds
    rate = book.price.list_rate.rate(columns, term, funds)
    return terms_at(applied, asked.market, columns["requested_principal"], term, rate)


def attributed(asked, model):
    """Return a model's attribution of what was asked for, at the list price."""
    row = design_matrix(model.portfolio, application_columns(asked.application))
    said = model.contributions(row)[0], model.coefficients(row)[0]
    return attribution(model, *said, at_list_price(asked))


def test_the_floor_is_exactly_what_clipping_changed(book, models, ask):
    asked, model = ask(book), models(book)[0]
    assert attributed(asked, model).floor == pytest.approx(0, abs=1e-12)
    linear = model.linear.copy()
    linear[2, 0] = -0.3  # of a head that must be at least 0.001
    clipping = replace(model, linear=linear, calibration=(0.1, 0.7))
    terms = at_list_price(asked)
    income = terms.monthly_income if terms.monthly_income > 0 else model.income_fill
    share = np.minimum(terms.payment / income, 0.5)
    expected = 0.7 * (0.001 + 0.3) * 10 * float(share[0])
    assert attributed(asked, clipping).floor == pytest.approx(expected, rel=1e-9)


def test_the_groups_are_the_declared_features_the_request_and_the_offer(book, ask):
    asked = ask(book)
    declared = {field.name for field in book.features}
    expected = declared | set(REQUEST_FEATURES) | set(OFFER_GROUPS) | {BASE}
    assert set(attributed(asked, asked.market.risk).groups) == expected


def test_the_flags_of_a_category_are_one_group(simulated, ask):
    asked = ask(simulated, features={"home": "rent"})
    parts = attributed(asked, asked.market.risk).groups
    other = attributed(ask(simulated, features={"home": "own"}), asked.market.risk).groups
    assert parts["home"] - other["home"] == pytest.approx(0.2)
    assert {name: parts[name] for name in parts if name != "home"} == {
        name: other[name] for name in other if name != "home"
    }


def test_a_column_of_no_declared_feature_is_refused_by_name(book, ask):
    asked = ask(book)
    features = (*asked.market.risk.features[:-1], "shoe_size")
    odd = replace(asked.market.risk, features=features)
    with pytest.raises(ModelMismatchError, match="shoe_size"):
        attributed(asked, odd)
    with pytest.raises(ModelMismatchError, match="shoe_size"):
        reference(odd)


def test_the_reference_is_the_mean_of_each_group(book, ask, usual):
    model = ask(book).market.risk
    some = [usual(book, seed) for seed in range(8)]
    rows = [design_matrix(book, application_columns(each.application)) for each in some]
    terms = [at_list_price(each) for each in some]
    together = type(terms[0])(
        **{
            name: np.concatenate([getattr(t, name) for t in terms])
            for name in terms[0].__slots__
            if getattr(terms[0], name) is not None
        }
    )
    found = reference_of(model, model.contributions(np.concatenate(rows)), together)
    each = [attributed(one, model).groups for one in some]
    for name, mean in found.items():
        assert mean == pytest.approx(np.mean([groups[name] for groups in each]), abs=1e-12)
    assert set(found) == set(each[0])


@pytest.mark.parametrize("evidence", [{}, {"reference": {}}, {"reference": {"fico": 0.1}}])
def test_a_model_without_its_reference_must_be_trained_again(book, ask, evidence):
    model = replace(ask(book).market.risk, evidence=evidence)
    with pytest.raises(ModelMismatchError, match="train it again"):
        reference(model)


def test_the_reference_survives_the_artefact(book, ask, through_json):
    model = ask(book).market.risk
    again = type(model).from_mapping(through_json(model.to_mapping()))
    assert reference(again) == reference(model)


def test_nothing_moves_the_mean_approved_applicant(book, ask):
    asked = ask(book)  # the declared example is the only approved one of the hand-made models
    found = effects(attributed(asked, asked.market.risk), asked.market.risk)
    assert [effect.effect for effect in found] == pytest.approx([0] * len(found), abs=1e-12)


def test_effects_lead_from_the_approved_mean_to_the_logit_largest_first(book, usual):
    for seed in range(20):
        asked = usual(book, seed)
        model = asked.market.risk
        parts = attributed(asked, model)
        found = effects(parts, model)
        start = sum(reference(model).values())
        total = start + sum(effect.effect for effect in found) + parts.floor
        assert total == pytest.approx(parts.logit, abs=1e-9)
        sizes = [abs(effect.effect) for effect in found]
        assert sizes == sorted(sizes, reverse=True)
        assert all(effect.label for effect in found)
        assert BASE not in {effect.group for effect in found}


def test_the_nearest_cell_is_what_was_asked_for_where_that_is_on_the_menu(book, usual):
    for seed in range(20):
        applied, under, *coefficients = usual(book, seed).all
        principal, term = applied.requested_principal, applied.requested_term_months
        cell = nearest_cell(applied, under, tuple(coefficients), principal, term)
        offered = under.policy.principals(principal)
        assert cell.term_months == term
        assert cell.principal == offered[np.nanargmin(np.abs(offered - principal))]
        terms = cell_terms(applied, under, cell, np.arange(cell.first, cell.final + 1))
        assert set(terms.principal) == {cell.principal}
        assert set(terms.term_months) == {float(term)}
        np.testing.assert_array_equal(
            terms.quoted_rate, under.policy.ticks()[cell.first : cell.final + 1]
        )


def test_a_request_off_the_menu_is_explained_at_the_nearest_cell(simulated, ask):
    applied, under, *coefficients = ask(simulated, {"terms": [24, 60], "menu_size": 1}).all
    cell = nearest_cell(applied, under, tuple(coefficients), 7_000.0, 48)
    assert (cell.principal, cell.term_months) == (6_000.0, 60)


def test_every_column_of_a_book_has_a_group(book, ask):
    model = ask(book).market.risk
    assert {source_of(feature) for feature in model.features} <= set(reference(model))
