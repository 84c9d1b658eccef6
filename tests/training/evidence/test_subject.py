import numpy as np
import pandas as pd
import pytest

from finntelligence.errors import InvalidDataError
from finntelligence.portfolio import Capability
from training.evidence.subject import Subject, repriced, segments
from training.fitting.price_response import columns_of, quoted_terms
from training.stages import Paths
from training.tables import read_table, write_table


@pytest.fixture(scope="module", params=Capability)
def subject(request, trained, simulated):
    return Subject.read(Paths("simulated", trained), request.param, simulated)


def test_predictions_are_those_of_the_quoted_terms(subject):
    rows = subject.holdout[:200]
    terms = quoted_terms(subject.portfolio, rows)
    found = subject.probability(columns_of(subject.portfolio, rows), terms)
    np.testing.assert_array_equal(found, rows["predicted"])


def test_an_offer_to_many_prices_holds_the_offer_at_its_own(subject):
    rows = subject.holdout[:50]
    terms = quoted_terms(subject.portfolio, rows)
    rates = terms.quoted_rate[:, None] + np.array([0.0, 0.02])
    found = subject.probability(
        columns_of(subject.portfolio, rows), repriced(subject.portfolio, terms, rates)
    )
    np.testing.assert_allclose(found[:, 0], rows["predicted"], rtol=1e-12)
    sign = -1 if subject.model is Capability.ACCEPTANCE else 1
    assert (sign * (found[:, 1] - found[:, 0]) > 0).all()


def test_terms_at_their_own_prices_are_what_they_were(subject):
    terms = quoted_terms(subject.portfolio, subject.holdout[:50])
    again = repriced(subject.portfolio, terms, terms.quoted_rate)
    for name in ("principal", "quoted_rate", "nominal_rate", "payment", "benchmark"):
        np.testing.assert_array_equal(getattr(again, name), getattr(terms, name))


@pytest.mark.parametrize(
    ("accepted", "held"), [([], "0 of 0"), ([0, 0, 0], "0 of 3"), ([1], "1 of 1")]
)
def test_a_hold_out_that_judges_nothing_is_refused_by_name(project, simulated, accepted, held):
    path = Paths("simulated").processed / "holdout" / "quotes.parquet"
    few = read_table(path)[: len(accepted)]
    write_table(few.assign(accepted=np.array(accepted, dtype=bool)), path)
    with pytest.raises(InvalidDataError, match=rf"holdout/quotes\.accepted: both .* {held} rows"):
        Subject.read(Paths("simulated"), Capability.ACCEPTANCE, simulated)


def test_outcomes_are_the_models_own(subject):
    target = {"risk": "defaulted", "acceptance": "accepted"}[subject.model]
    for frame in (subject.train, subject.holdout):
        assert (frame["outcome"] == frame[target]).all()


def test_offsets_are_points_above_the_list_price(subject):
    row = subject.holdout.iloc[0]
    assert row["offset"] == pytest.approx(100 * (row["quoted_rate"] - row["list_rate"]))


def test_a_number_has_four_quarters_of_training_and_the_same_cuts_later(subject):
    shares = subject.train["segment"].value_counts(normalize=True)
    assert len(shares) == 4
    assert shares.between(0.2, 0.3).all()
    assert list(subject.holdout["segment"].cat.categories) == list(shares.sort_index().index)
    by_fico = subject.holdout.groupby("segment", observed=True)["fico"].agg(["min", "max"])
    assert (by_fico["min"].to_numpy()[1:] > by_fico["max"].to_numpy()[:-1]).all()


def test_a_categorys_classes_stand_in_the_declared_order(kz):
    frame = pd.DataFrame({"risk_class": ["HIGH", "LOW", "HIGH"]})
    found = segments(kz.price.list_rate, frame, ())
    assert list(found) == ["HIGH", "LOW", "HIGH"]
    assert list(found.categories) == ["LOW", "MEDIUM", "HIGH"]


def test_a_number_that_never_varies_is_one_class_in_use(simulated):
    frame = pd.DataFrame({"fico": [700.0, 700.0]})
    found = segments(simulated.price.list_rate, frame, np.full(3, 700.0))
    assert list(found) == ["fico from 700"] * 2
