from dataclasses import fields

import numpy as np
import pytest
from sklearn.metrics import log_loss

from finntelligence.offers import OfferTerms
from finntelligence.policy import Policy
from finntelligence.portfolio import Capability
from training.fitting.hyperparameters import FitParams
from training.fitting.price_response import columns_of, quoted_terms
from training.fitting.rivals import LogitRival, PlainClassifier
from training.simulate import simulate

KINDS = {
    "classifier": PlainClassifier,
    "logit": lambda book, model: LogitRival(book, model, FitParams(minimum_events=100)),
}
MODELS = (Capability.RISK, Capability.ACCEPTANCE)


def rows_of(book, model):
    """Return the table a model learns from, and its outcomes."""
    if model is Capability.RISK:
        return book.loans, book.loans["defaulted"]
    return book.quotes, book.quotes["accepted"]


@pytest.fixture(scope="module")
def book():
    return simulate("W1", quotes=6_000, seed=5)


@pytest.fixture(scope="module")
def rivals(simulated, book):
    """Every rival, fitted: (kind, model) to rival."""
    return {
        (kind, model): make(simulated, model).fit(*rows_of(book, model))
        for kind, make in KINDS.items()
        for model in MODELS
    }


@pytest.fixture(scope="module")
def fresh():
    return simulate("W1", quotes=6_000, seed=6)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_dearer_is_taken_less_and_defaults_more_at_every_tick(
    kind, model, rivals, simulated, fresh
):
    some = fresh.quotes.head(30)
    rates = Policy.from_mapping(simulated).ticks()
    shape = len(some), len(rates)
    wide = some.loc[some.index.repeat(len(rates))].assign(quoted_rate=np.tile(rates, len(some)))
    flat = quoted_terms(simulated, wide)
    terms = OfferTerms(
        **{
            f.name: getattr(flat, f.name).reshape(shape)
            for f in fields(flat)
            if f.name != "apr_cap"
        }
    )
    p = rivals[kind, model].probability(columns_of(simulated, some), terms)
    steps = np.diff(p, axis=1) * (1 if model is Capability.RISK else -1)
    assert p.shape == shape
    assert steps.min() >= 0
    assert steps.max() > 0


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_offer_is_the_same_alone_and_in_a_matrix(kind, model, rivals, simulated, fresh):
    some = fresh.quotes.head(50)
    columns, terms = columns_of(simulated, some), quoted_terms(simulated, some)
    column = OfferTerms(
        **{f.name: getattr(terms, f.name)[:, None] for f in fields(terms) if f.name != "apr_cap"}
    )
    rival = rivals[kind, model]
    alone = rival.probability(columns, terms)
    np.testing.assert_array_equal(rival.probability(columns, column), alone[:, None])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_rival_beats_a_constant_on_rows_it_never_saw(kind, model, rivals, simulated, book, fresh):
    frame, outcome = rows_of(fresh, model)
    p = rivals[kind, model].probability(
        columns_of(simulated, frame), quoted_terms(simulated, frame)
    )
    constant = np.full(len(frame), rows_of(book, model)[1].mean())
    assert log_loss(outcome, p) < log_loss(outcome, constant) - 0.005


def test_the_same_seed_gives_the_same_classifier(rivals, simulated, book):
    again = PlainClassifier(simulated, Capability.RISK).fit(*rows_of(book, Capability.RISK))
    assert again.booster.save_raw() == rivals["classifier", Capability.RISK].booster.save_raw()


def test_a_classifier_has_to_be_fitted_first(simulated, book):
    some = book.quotes.head(1)
    with pytest.raises(ValueError, match="must be fitted first"):
        PlainClassifier(simulated, Capability.RISK).probability(
            columns_of(simulated, some), quoted_terms(simulated, some)
        )


def test_without_the_rate_only_the_payment_tells_of_the_price(simulated, book, fresh):
    frame, outcome = rows_of(book, Capability.ACCEPTANCE)
    blind = PlainClassifier(simulated, Capability.ACCEPTANCE, sees_rate=False).fit(frame, outcome)
    asked = rows_of(fresh, Capability.ACCEPTANCE)[0]
    columns, dearer = columns_of(simulated, asked), asked.assign(quoted_rate=asked.list_rate + 0.05)
    p, q = (blind.probability(columns, quoted_terms(simulated, f)) for f in (asked, dearer))
    assert p.std() > 0.01
    np.testing.assert_array_equal(p, q)
    frame, outcome = rows_of(book, Capability.RISK)
    blind = PlainClassifier(simulated, Capability.RISK, sees_rate=False).fit(frame, outcome)
    p, q = (blind.probability(columns, quoted_terms(simulated, f)) for f in (asked, dearer))
    assert (p != q).any()


def test_a_classifier_is_blind_to_who_set_the_price(rivals, simulated, book):
    """The very rows at which the logit's control term looks tell the classifier nothing."""
    frame, outcome = rows_of(book, Capability.ACCEPTANCE)
    relabelled = frame.assign(is_randomised=~frame["is_randomised"])
    plain = PlainClassifier(simulated, Capability.ACCEPTANCE).fit(relabelled, outcome)
    assert (
        plain.booster.save_raw() == rivals["classifier", Capability.ACCEPTANCE].booster.save_raw()
    )
    logit = LogitRival(simulated, Capability.ACCEPTANCE, FitParams()).fit(relabelled, outcome)
    known = LogitRival(simulated, Capability.ACCEPTANCE, FitParams()).fit(frame, outcome)
    slopes = (each.response.evidence["estimates"]["gap"] for each in (logit, known))
    assert abs(np.diff(list(slopes))[0]) > 0.01


def test_the_logit_is_made_by_hand(rivals):
    """Neither squares nor trees nor a hinge; modifiers of the slope, and a control term."""
    response = rivals["logit", Capability.ACCEPTANCE].response
    assert {column.kind for column in response.basis} == {"z", "flag"}
    assert response.tree_heads == ()
    assert "gap_hinge" not in [head.name for head in response.heads]
    slope = response.linear[[head.name for head in response.heads].index("gap")]
    assert np.count_nonzero(slope[1:]) == len(response.basis)
    assert response.evidence["wald_z"]["control"] > 3


def test_with_few_events_the_logits_slope_is_one_constant(simulated, book):
    frame, outcome = rows_of(book, Capability.ACCEPTANCE)
    few = LogitRival(simulated, Capability.ACCEPTANCE, FitParams(minimum_events=10**6))
    response = few.fit(frame, outcome).response
    slope = response.linear[[head.name for head in response.heads].index("gap")]
    assert np.count_nonzero(slope) == 1


def test_a_drifting_column_may_not_modify_the_slope(simulated, book):
    frame, outcome = rows_of(book, Capability.ACCEPTANCE)
    moved = frame.assign(dti=frame["dti"] + frame["period"])
    params = FitParams(minimum_events=100)
    response = LogitRival(simulated, Capability.ACCEPTANCE, params).fit(moved, outcome).response
    place = [column.feature for column in response.basis].index("dti")
    assert response.linear[1, 1 + place] == 0
    assert response.linear[0, 1 + place] != 0
