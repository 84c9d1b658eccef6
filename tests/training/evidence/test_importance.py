from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from finntelligence.portfolio import Capability
from training.evidence.attribution import Attribution, attribution
from training.evidence.importance import PRICE, dependence, permutation, summary
from training.evidence.subject import Subject
from training.fitting.price_response import quoted_terms
from training.stages import Paths


@pytest.fixture(scope="module")
def subject(trained, simulated):
    return Subject.read(Paths("simulated", trained), Capability.ACCEPTANCE, simulated)


# Summary


def test_the_largest_contribution_comes_first_and_shares_sum_to_one(subject):
    found = summary(attribution(subject, subject.holdout[:300]))
    sizes = [row["mean_absolute"] for row in found]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(row["share"] for row in found) == pytest.approx(1)
    assert found[0]["input"] == "offer: gap"  # by construction of the simulator


def test_a_summary_is_of_absolute_contributions():
    parts = Attribution(
        fields={"fico": np.array([1.0, -3.0])},
        offer={"gap": np.array([0.5, 0.5])},
        base=0.0,
        residual=np.zeros(2),
        logit=np.array([1.5, -2.5]),
    )
    fico, gap = summary(parts)
    assert (fico["input"], fico["mean_absolute"], fico["share"]) == ("fico", 2, 0.8)
    assert (gap["input"], gap["spread"]) == ("offer: gap", 0)
    assert parts.additivity_error == 0


# Dependence


def test_dependence_on_a_number_rises_with_what_rises():
    values = pd.Series(np.arange(100.0))
    found = dependence(values, np.arange(100.0) / 10)
    assert [row["rows"] for row in found] == [10] * 10
    assert all(row["mean"] == pytest.approx(row["value"] / 10) for row in found)
    assert all(row["low"] < row["mean"] < row["high"] for row in found)


def test_dependence_on_a_category_is_by_category():
    found = dependence(pd.Series(["b", "a", "b"]), np.array([1.0, 5, 3]))
    assert [(row["value"], row["mean"], row["rows"]) for row in found] == [("a", 5, 1), ("b", 2, 2)]


def test_what_is_absent_has_a_place_of_its_own():
    found = dependence(pd.Series([1.0, np.nan, 1.0, np.nan]), np.array([1.0, 7, 1, 9]))
    assert [(row["value"], row["mean"]) for row in found] == [(1.0, 1), ("absent", 8)]


# Permutation


def test_what_the_model_needs_costs_most_when_dealt_out_anew(subject):
    found = permutation(subject, subject.holdout, seed=1)
    losses = {row["input"]: row["log_loss"] for row in found}
    assert list(losses.values()) == sorted(losses.values(), reverse=True)
    assert set(losses) == {f.name for f in subject.portfolio.features} | {
        *("requested_principal", "requested_term_months", PRICE)
    }
    assert found[0]["input"] in (PRICE, "fico", "requested_principal")
    assert losses[PRICE] > 0


def test_permuting_what_never_varies_costs_nothing(subject):
    rows = subject.holdout[:300].assign(open_accounts=8.0)
    losses = {row["input"]: row for row in permutation(subject, rows, seed=1)}
    assert (losses["open_accounts"]["log_loss"], losses["open_accounts"]["spread"]) == (0, 0)


@pytest.mark.parametrize(
    ("read", "name"),
    [
        (lambda terms: terms.payment / terms.monthly_income, "annual_income"),
        (lambda terms: np.log(terms.requested_principal), "requested_principal"),
        (lambda terms: terms.requested_term_months / 12, "requested_term_months"),
    ],
)
def test_what_only_the_offer_is_compared_with_matters_too(subject, read, name):
    def probability(_, terms):
        return 1 / (1 + np.exp(-read(terms)))

    rows = subject.holdout[:2_000]
    p = probability(None, quoted_terms(subject.portfolio, rows))
    rows = rows.assign(outcome=(np.random.default_rng(2).random(len(p)) < p).astype(float))
    model = SimpleNamespace(portfolio=subject.portfolio, probability=probability)
    losses = {row["input"]: row["log_loss"] for row in permutation(model, rows, seed=1)}
    assert losses[name] > 0
    assert losses["fico"] == 0


def test_a_field_of_the_list_price_leaves_the_benchmark_as_it_was_quoted(subject):
    model = SimpleNamespace(
        portfolio=subject.portfolio,
        probability=lambda _, terms: 1 / (1 + np.exp(10 * terms.benchmark)),
    )
    found = permutation(model, subject.holdout[:300], seed=1)
    assert {row["log_loss"] for row in found} == {0}


def test_a_seed_is_an_importance(subject):
    rows = subject.holdout[:200]
    assert permutation(subject, rows, seed=1) == permutation(subject, rows, seed=1)
