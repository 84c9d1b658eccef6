import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from finntelligence.value import default_hazard
from training.simulate import simulate
from training.simulator.truth import lifetime_pd, truth_at
from training.simulator.worlds import ECONOMICS, WORLDS, Latent, Terms

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "world_vectors.json").read_text(encoding="utf-8")
)


def table(section):
    return pd.DataFrame(section["data"], columns=section["columns"])


@pytest.fixture(scope="module")
def offers():
    return table(VECTORS["offers"])


@pytest.fixture(scope="module")
def applicants(offers):
    return table(VECTORS["applicants"]).iloc[offers["applicant"]].reset_index(drop=True)


def terms_of(offers):
    return Terms(
        principal=offers["principal"],
        term_months=offers["term_months"],
        nominal_rate=offers["nominal_rate"],
    )


@pytest.mark.parametrize("world", VECTORS["worlds"])
@pytest.mark.parametrize("column", ["p_accept", "pd_lifetime", "value"])
def test_the_truth_agrees_with_an_independent_implementation(world, column, applicants, offers):
    known = table(VECTORS["worlds"][world]["truth"])
    found = truth_at(world, applicants, terms_of(offers))
    np.testing.assert_allclose(getattr(found, column), known[column], rtol=1e-6)


@pytest.mark.parametrize("world", WORLDS)
def test_the_market_is_the_same_in_every_world(world, applicants):
    traits = WORLDS[world].traits(applicants)
    np.testing.assert_allclose(traits.benchmark, applicants["benchmark"], rtol=1e-8)


@pytest.mark.parametrize("world", WORLDS)
def test_an_offer_is_worth_the_same_alone_and_in_a_grid(world, applicants, offers):
    rates = np.arange(600, 3600, 10) / 1e4
    terms = terms_of(offers)
    wide = Terms(principal=terms.principal, term_months=terms.term_months, nominal_rate=rates[None])
    grid = truth_at(world, applicants, wide)
    assert grid.value.shape == (len(applicants), len(rates))
    for tick in (0, 70, 299):
        alone = truth_at(
            world,
            applicants,
            Terms(
                principal=terms.principal, term_months=terms.term_months, nominal_rate=rates[tick]
            ),
        )
        np.testing.assert_allclose(grid.p_accept[:, tick], alone.p_accept, rtol=1e-12)
        np.testing.assert_allclose(grid.pd_lifetime[:, tick], alone.pd_lifetime, rtol=1e-12)
        np.testing.assert_allclose(grid.value[:, tick], alone.value, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("world", WORLDS)
def test_dearer_offers_are_taken_less_and_default_more(world, applicants, offers):
    rates = np.arange(600, 3600, 50) / 1e4
    wide = Terms(principal=offers["principal"], term_months=36, nominal_rate=rates[None])
    grid = truth_at(world, applicants, wide)
    assert (np.diff(grid.p_accept) < 0).all()
    assert (np.diff(grid.pd_lifetime) > 0).all()


def test_demand_falls_three_times_as_fast_above_a_reference_price(applicants):
    kinked = WORLDS["W2"]
    traits = kinked.traits(applicants)
    steps = traits.benchmark + np.array([[-0.01], [0.0], [0.01]])
    terms = Terms(principal=traits.requested_principal, term_months=36, nominal_rate=steps)
    below, above = np.diff(kinked.accept_logit(traits, terms, Latent(u=0.0)), axis=0)
    np.testing.assert_allclose(above, 3 * below)


def test_randomised_prices_are_all_that_sets_w1_and_w3_apart(applicants, offers):
    open_book, closed_book = (truth_at(w, applicants, terms_of(offers)) for w in ("W1", "W3"))
    np.testing.assert_array_equal(open_book.value, closed_book.value)


@pytest.mark.parametrize("world", ["W1", "W2", "W4"])
def test_randomised_quotes_behave_as_the_truth_says(world):
    book = simulate(world, quotes=100_000, seed=5)
    arm = book.truth[book.quotes["is_randomised"]]
    taken = book.quotes.loc[book.quotes["is_randomised"], "accepted"]
    noise = np.sqrt((arm["p_accept"] * (1 - arm["p_accept"])).sum())
    assert abs(taken.sum() - arm["p_accept"].sum()) < 3 * noise
    loans = book.loans[book.loans["is_randomised"]]
    expected = book.truth.loc[loans["quote_id"], "pd_lifetime"]
    noise = np.sqrt((expected * (1 - expected)).sum())
    assert abs(loans["defaulted"].sum() - expected.sum()) < 3 * noise


def test_lifetime_pd_undoes_the_hazard_behind_it():
    pds, terms = np.meshgrid([0.01, 0.12, 0.5, 0.9], [24, 36, 60])
    hazard = default_hazard(pds, terms, ECONOMICS.monthly_prepayment)
    np.testing.assert_allclose(lifetime_pd(hazard, terms), pds, rtol=1e-12)


def test_terms_for_other_applicants_are_refused(applicants, offers):
    with pytest.raises(ValueError, match="200 rows of terms for 1 applicants"):
        truth_at("W1", applicants.head(1), terms_of(offers))


@pytest.mark.parametrize("column", ["home", "purpose"])
def test_a_category_no_world_knows_is_refused(column, applicants, offers):
    with pytest.raises(ValueError, match="a category is none of"):
        truth_at("W1", applicants.assign(**{column: "yacht"}), terms_of(offers))
