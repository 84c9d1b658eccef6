import copy
import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finntelligence import cashflow
from finntelligence.errors import ModelMismatchError
from finntelligence.features import design_matrix, feature_names
from finntelligence.heads import ALONG_PRICE, Head
from finntelligence.offers import OfferTerms
from finntelligence.policy import Policy
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.response import FORMAT, PHI, PriceResponse, unsupported

KINDS = ("risk", "acceptance")
ONE = Head(name="base", phi="one")


@pytest.fixture(scope="module", params=KINDS)
def model(request, book, models):
    """Each of the two models of each of the two books."""
    return models(book)[KINDS.index(request.param)]


@pytest.fixture(scope="module")
def applicants(book, rows):
    return rows(book, 150, seed=11)


@pytest.fixture(scope="module")
def matrix(book, applicants):
    return design_matrix(book, applicants)


def tree_outputs(model, n, seed=5, spread=1.0):
    """What a booster might say: float32, one output per tree head."""
    rng = np.random.default_rng(seed)
    return (spread * rng.standard_normal((n, len(model.tree_heads)))).astype(np.float32)


def at_every_rate(book, applicants, rates):
    """Terms of what each applicant asked for at every rate, (applicants, rates)."""
    principal, term = (
        applicants[name][:, None] for name in ("requested_principal", "requested_term_months")
    )
    quoted = np.broadcast_to(rates, (len(principal), len(rates)))
    nominal = cashflow.nominal_rate(quoted, term, book.price.convention)
    return OfferTerms(
        principal=principal,
        term_months=term,
        quoted_rate=quoted,
        nominal_rate=nominal,
        payment=cashflow.monthly_payment(principal, nominal, term),
        benchmark=book.price.benchmark.rate(applicants, term[:, 0], 0.04)[:, None],
        requested_principal=principal,
        requested_term_months=term,
        monthly_income=book.affordability.monthly_income(applicants)[:, None],
    )


def one_offer(**changes):
    """The terms of a single made-up offer."""
    terms = {
        "principal": 1000.0,
        "term_months": 36.0,
        "quoted_rate": 0.12,
        "nominal_rate": 0.12,
        "payment": 33.2,
        "benchmark": 0.10,
        "requested_principal": 1000.0,
        "requested_term_months": 36.0,
        "monthly_income": 2000.0,
    }
    return OfferTerms(**{k: np.array([float(v)]) for k, v in (terms | changes).items()})


# --- along the price ---------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0.0, 1.0, 20.0])
def test_a_higher_price_is_always_less_welcome_and_always_riskier(
    model, book, applicants, matrix, spread
):
    rates = Policy.from_mapping(book).ticks()
    trees = tree_outputs(model, len(matrix), spread=spread)
    coefficients = model.coefficients(matrix, trees)[:, None, :]
    found = model.probability(coefficients, at_every_rate(book, applicants, rates))
    steps = np.diff(found) * (-1 if model.model is Capability.ACCEPTANCE else 1)
    assert (steps >= 0).all()
    told_apart = 1 - found[:, :-1] > 1e-9  # nearer to one, a tick is less than a float can tell
    assert told_apart.mean() > 0.3
    assert (steps > 0)[told_apart].all()


@given(
    linear=st.lists(st.floats(-3, 3), min_size=6, max_size=6),
    trees=st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=2),
)
def test_no_acceptance_slope_is_flatter_than_its_floor_on_either_side_of_the_benchmark(
    book, models, matrix, linear, trees
):
    acceptance = models(book)[1]
    weights = np.column_stack([linear, acceptance.linear[:, 1:]])
    model = replace(acceptance, linear=weights)
    outputs = np.tile(np.array(trees, dtype=np.float32), (len(matrix), 1))
    coefficients = model.coefficients(matrix, outputs)
    position = {head.name: k for k, head in enumerate(model.heads)}
    gap, hinge = coefficients[:, position["gap"]], coefficients[:, position["gap_hinge"]]
    floor = book.price.slope_floor
    assert (gap <= -floor).all()
    assert (gap + hinge <= -floor + 1e-12).all()
    for name in ("term_change", "shortfall"):
        assert (coefficients[:, position[name]] <= 0).all()


@given(raw=st.lists(st.floats(-5, 5), min_size=5, max_size=5), slope=st.floats(0.1, 3))
def test_a_signed_coefficient_keeps_its_sign_and_floor_and_a_free_one_its_value(
    simulated, models, raw, slope
):
    risk = models(simulated)[0]
    model = replace(risk, linear=np.array(raw)[:, None], basis=(), calibration=(0.25, slope))
    found = model.coefficients(np.zeros((1, len(model.features))))[0] / slope
    found[0] -= 0.25 / slope
    for head, value, before in zip(model.heads, found, raw, strict=True):
        floor = head.sign * max(head.sign * before, head.floor) if head.sign else before
        assert value == pytest.approx(floor, abs=1e-12)


def test_a_hinge_within_its_bound_is_left_alone(simulated, models, matrix):
    acceptance = models(simulated)[1]
    hinge = [head.name for head in acceptance.heads].index("gap_hinge")
    coefficients = acceptance.coefficients(matrix)
    assert (coefficients[:, hinge] == acceptance.linear[hinge, 0]).any()


# --- one row and many --------------------------------------------------------------------------


def test_one_row_has_the_bits_of_the_same_row_in_a_batch(model, book, applicants, matrix):
    trees = tree_outputs(model, len(matrix))
    together = model.coefficients(matrix, trees)
    terms = at_every_rate(book, applicants, Policy.from_mapping(book).ticks()[::50])
    surface = model.probability(together[:, None, :], terms)
    for i in range(len(matrix)):
        alone = model.coefficients(matrix[i : i + 1], trees[i : i + 1])
        assert alone.tobytes() == together[i].tobytes()
        known = [f.name for f in fields(OfferTerms) if getattr(terms, f.name) is not None]
        its_terms = OfferTerms(**{name: getattr(terms, name)[i] for name in known})
        assert model.probability(alone[0], its_terms).tobytes() == surface[i].tobytes()


def test_a_single_tree_output_may_come_as_a_flat_array(book, models, matrix):
    risk = models(book)[0]
    flat = tree_outputs(risk, len(matrix))[:, 0]
    np.testing.assert_array_equal(
        risk.coefficients(matrix, flat), risk.coefficients(matrix, flat[:, None])
    )


def test_a_booster_of_no_rounds_is_a_booster_that_says_zero(model, matrix):
    zeros = np.zeros((len(matrix), len(model.tree_heads)), dtype=np.float32)
    np.testing.assert_array_equal(model.coefficients(matrix), model.coefficients(matrix, zeros))


def test_trees_move_their_own_heads_by_their_scale_and_no_other(book, models, matrix):
    acceptance = models(book)[1]
    free = tuple(replace(head, sign=0) for head in acceptance.heads[:-1])
    model = replace(acceptance, heads=free, linear=acceptance.linear[:-1])
    trees = tree_outputs(model, len(matrix))
    moved = model.coefficients(matrix, trees) - model.coefficients(matrix)
    assert model.tree_heads == (0, 1)
    np.testing.assert_allclose(moved[:, 0], trees[:, 0], atol=1e-12)
    np.testing.assert_allclose(moved[:, 1], 0.5 * trees[:, 1], atol=1e-12)
    assert (moved[:, 2:] == 0).all()


# --- the form ----------------------------------------------------------------------------------


def test_the_probability_is_the_logistic_of_coefficients_times_their_terms(book, models):
    for model in models(book):
        terms = one_offer(principal=900, requested_principal=1000, term_months=24)
        coefficients = np.linspace(-0.5, 0.5, len(model.heads))
        pairs = zip(coefficients, model.heads, strict=True)
        logit = sum(c * float(PHI[head.phi](terms, model)[0]) for c, head in pairs)
        found = float(model.probability(coefficients, terms)[0])
        assert found == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-14)


def test_along_the_price_a_logit_is_a_constant_and_slopes(model, book, applicants, matrix):
    rates = Policy.from_mapping(book).ticks()[::40]
    terms = at_every_rate(book, applicants, rates)
    coefficients = model.coefficients(matrix, tree_outputs(model, len(matrix)))[:, None, :]
    unpriced = replace(terms, quoted_rate=terms.benchmark, payment=np.full((1, 1), np.nan))
    line = model.along_price(coefficients, unpriced)
    slopes = {phi: getattr(line, phi) for phi in ALONG_PRICE}
    logit = line.constant + sum(s * PHI[phi](terms, model) for phi, s in slopes.items())
    known = model.probability(coefficients, terms)
    np.testing.assert_allclose(1 / (1 + np.exp(-logit)), known, rtol=1e-12)


@pytest.mark.parametrize(
    ("phi", "changes", "value"),
    [
        ("one", {}, 1),
        ("gap", {}, 2),
        ("gap", {"quoted_rate": 0.09}, -1),
        ("gap_hinge", {}, 2),
        ("gap_hinge", {"quoted_rate": 0.09}, 0),
        ("term_change", {}, 0),
        ("term_change", {"term_months": 24}, math.log(1.5)),
        ("term_change", {"term_months": 54}, math.log(1.5)),
        ("shortfall", {"principal": 600}, 0.4),
        ("shortfall", {"principal": 1600}, 0),
        ("excess", {"principal": 1600}, 0.6),
        ("excess", {"principal": 600}, 0),
        ("pti", {}, 0.166),
        ("pti", {"monthly_income": 50}, 5),
        ("pti", {"monthly_income": 0}, 5),
        ("term", {}, 0),
        ("term", {"term_months": 72}, math.log(2)),
        ("principal", {"principal": 12_500}, 0),
    ],
)
def test_what_a_head_multiplies_is_its_formula(simulated, models, phi, changes, value):
    found = PHI[phi](one_offer(**changes), models(simulated)[0])
    assert float(found[0]) == pytest.approx(value, abs=1e-12)


def test_unknown_income_counts_as_the_income_training_filled_in(book, models):
    risk = models(book)[0]
    unknown, filled = (
        one_offer(monthly_income=income, payment=800) for income in (math.nan, risk.income_fill)
    )
    coefficients = np.linspace(0.1, 0.5, len(risk.heads))
    assert risk.probability(coefficients, unknown) == risk.probability(coefficients, filled)


def test_calibration_moves_and_stretches_the_total_logit(book, models, matrix):
    for model in models(book):
        calibrated = replace(model, calibration=(0.3, 0.8))
        terms, offer = one_offer(term_months=24, principal=900), (slice(5), None)
        plain, moved = (m.coefficients(matrix)[offer] for m in (model, calibrated))
        before, after = (model.probability(c, terms) for c in (plain, moved))
        logit = np.log(before / (1 - before))
        np.testing.assert_allclose(np.log(after / (1 - after)), 0.3 + 0.8 * logit, atol=1e-12)


def test_an_offer_that_needs_what_was_never_tried_is_a_guess(kz, simulated, models):
    tried, untried = models(simulated)[1], models(kz)[1]
    for changes, guess in (
        ({}, False),
        ({"principal": 999}, True),
        ({"principal": 1001}, True),
        ({"term_months": 24}, False),
        ({"quoted_rate": 0.3}, False),
    ):
        assert unsupported(untried, one_offer(**changes)).tolist() == [guess]
        assert unsupported(tried, one_offer(**changes)).tolist() == [False]


# --- as an artefact ----------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-12, 1e-3, 1.0]))
def test_a_model_read_back_from_json_is_the_model_to_the_bit(
    book, models, matrix, through_json, seed, scale
):
    for made in models(book):
        rng = np.random.default_rng(seed)
        linear = made.linear * (1 + scale * rng.standard_normal(made.linear.shape))
        model = replace(made, linear=linear, calibration=(rng.normal(), 0.5 + rng.random()))
        again = PriceResponse.from_mapping(through_json(model.to_mapping()))
        assert (again.model, again.features) == (model.model, model.features)
        assert (again.basis, again.heads) == (model.basis, model.heads)
        assert (again.calibration, again.income_fill) == (model.calibration, model.income_fill)
        assert again.evidence == model.evidence
        assert again.portfolio.digest == model.portfolio.digest
        assert again.linear.tobytes() == model.linear.tobytes()
        trees = tree_outputs(model, len(matrix))
        found = again.coefficients(matrix, trees)
        assert found.tobytes() == model.coefficients(matrix, trees).tobytes()


def test_a_model_is_taken_for_what_it_is(model, book, changed):
    model.refuse_other(model.model, book, len(model.tree_heads))
    again = Portfolio.from_mapping(changed(book.name, {}))
    model.refuse_other(model.model, again, len(model.tree_heads))


def test_a_model_is_refused_for_another_question(book, models):
    risk, acceptance = models(book)
    with pytest.raises(ModelMismatchError, match="is a risk model, not acceptance"):
        risk.refuse_other(Capability.ACCEPTANCE, book, 1)
    with pytest.raises(ModelMismatchError, match="is a acceptance model, not risk"):
        acceptance.refuse_other(Capability.RISK, book, 2)


def test_a_model_is_refused_under_any_other_declaration(model, book, books, changed):
    other = books[next(name for name in books if name != book.name)]
    renewed = Portfolio.from_mapping(changed(book.name, {"economics.lgd.value": 0.5}))
    for portfolio in (other, renewed):
        with pytest.raises(ModelMismatchError, match=portfolio.digest[:12]):
            model.refuse_other(model.model, portfolio, len(model.tree_heads))


@pytest.mark.parametrize("extra", [-1, 1])
def test_a_model_is_refused_when_its_booster_has_another_number_of_outputs(model, book, extra):
    outputs = len(model.tree_heads) + extra
    with pytest.raises(ModelMismatchError, match=f"{outputs} outputs"):
        model.refuse_other(model.model, book, outputs)


def test_a_model_is_refused_when_its_columns_are_not_its_books(model, book):
    for features in (feature_names(book)[::-1], feature_names(book)[:-1]):
        with pytest.raises(ModelMismatchError, match="feature columns"):
            replace(model, features=features).refuse_other(model.model, book, len(model.tree_heads))


def test_weights_that_do_not_fit_the_heads_are_refused(model):
    for linear in (model.linear[:-1], model.linear[:, :-1], model.linear[0]):
        with pytest.raises(ModelMismatchError, match="does not fit"):
            replace(model, linear=linear)


@pytest.mark.parametrize(
    ("heads", "problem"),
    [
        ((Head(name="base", phi="gap"),), "the first head must have phi one"),
        ((), "the first head must have phi one"),
        ((ONE, Head(name="gap", phi="gap", sign=1, floor=-0.1)), "must be at least 0"),
        ((ONE, Head(name="gap", phi="gap", sign=-1, floor=math.nan)), "must be at least 0"),
        ((ONE, Head(name="a", phi="pti", sign=1), Head(name="b", phi="pti")), "at most one .* pti"),
        ((ONE, Head(name="kink", phi="gap_hinge")), "gap_hinge needs one of phi gap"),
    ],
)
def test_heads_that_could_not_be_read_are_refused(model, heads, problem):
    linear = np.zeros((len(heads), model.linear.shape[1]))
    with pytest.raises(ModelMismatchError, match=problem):
        replace(model, heads=heads, linear=linear)


def test_clipping_asks_what_a_head_multiplies_and_not_its_name(book, models, matrix):
    acceptance = models(book)[1]
    steep = acceptance.linear.copy()
    steep[-1, 0] = 5.0  # the hinge would turn the slope round
    model = replace(acceptance, linear=steep)
    names = [f"head {k}" for k in range(len(model.heads))]
    pairs = zip(model.heads, names, strict=True)
    renamed = replace(model, heads=tuple(replace(head, name=name) for head, name in pairs))
    np.testing.assert_array_equal(renamed.coefficients(matrix), model.coefficients(matrix))


@pytest.mark.parametrize("slope", [0.0, -1.0, math.nan])
def test_a_calibration_that_would_turn_the_order_round_is_refused(model, slope):
    with pytest.raises(ModelMismatchError, match="slope must be above 0"):
        replace(model, calibration=(0.0, slope))


@pytest.mark.parametrize("found", [None, "finntelligence.price-response/2", "pickle"])
def test_another_format_is_refused_by_name(model, found):
    with pytest.raises(ModelMismatchError, match=f"{found!r}, this engine reads {FORMAT!r}"):
        PriceResponse.from_mapping({**model.to_mapping(), "format": found})


def test_an_artefact_without_one_of_its_entries_is_refused(simulated, models):
    whole = models(simulated)[0].to_mapping()
    for key in whole:
        content = {k: v for k, v in whole.items() if k != key}
        with pytest.raises(ModelMismatchError, match=key):
            PriceResponse.from_mapping(content)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("heads", 1, "phi"), "magic"),
        (("heads", 1, "name"), "base"),
        (("heads", 1, "magic"), 1),
        (("basis", 0, "feature"), "magic"),
        (("basis", 0, "kind"), "magic"),
        (("model",), "magic"),
        (("linear", 0, 0), math.nan),
    ],
)
def test_an_artefact_that_contradicts_itself_is_refused(simulated, models, path, value):
    content = copy.deepcopy(models(simulated)[0].to_mapping())
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(ModelMismatchError):
        PriceResponse.from_mapping(content)


def test_a_hopeless_offer_has_probability_zero_without_a_warning(simulated, models):
    risk = models(simulated)[0]
    assert risk.probability(np.array([-800.0, 0, 0, 0, 0]), one_offer()) == [0.0]
