import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from finntelligence.errors import InvalidDeclarationError
from training.simulate import Simulation, cost_of_funds_path, main, simulate
from training.simulator.worlds import HOMES, PURPOSES, WORLDS

ROOT = Path(__file__).parents[2]
VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "world_vectors.json").read_text(encoding="utf-8")
)
QUOTE_COLUMNS = [
    "quote_id",
    "annual_income",
    "fico",
    "dti",
    "employment_years",
    "home",
    "purpose",
    "delinquencies",
    "inquiries",
    "utilisation",
    "open_accounts",
    "group",
    "requested_principal",
    "requested_term_months",
    "principal",
    "term_months",
    "quoted_rate",
    "list_rate",
    "is_randomised",
    "propensity",
    "accepted",
    "period",
    "cost_of_funds",
]
LOWEST, HIGHEST = 0.0599, 0.3599


@pytest.fixture(scope="module", params=WORLDS)
def world(request):
    return request.param


@pytest.fixture(scope="module")
def book(world):
    return simulate(world, quotes=20_000, seed=11)


@pytest.mark.parametrize("world", VECTORS["worlds"])
def test_the_moments_of_a_log_are_those_of_an_independent_one(world, capsys):
    start = time.perf_counter()
    book = simulate(world, quotes=200_000, seed=0)
    seconds = time.perf_counter() - start
    with capsys.disabled():
        sys.stdout.write(f"\n{world}: 200,000 quotes with their truth in {seconds:.1f} s\n")
    known = VECTORS["worlds"][world]["moments_200k"]
    for seen, moment in (
        (book.quotes["accepted"], "accept"),
        (book.loans["defaulted"], "booked_default"),
        (book.quotes["quoted_rate"], "mean_rate"),
        (book.quotes["is_randomised"], "randomised_share"),
    ):
        assert abs(seen.mean() - known[moment]) < 3 * seen.std() / np.sqrt(len(seen)), moment


def test_a_seed_is_a_log(world):
    first, again, other = (simulate(world, quotes=500, seed=seed) for seed in (3, 3, 4))
    for name in ("quotes", "loans", "truth"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(again, name))
    assert not first.quotes["annual_income"].equals(other.quotes["annual_income"])


def test_worlds_share_applicants_and_staff_prices():
    books = {world: simulate(world, quotes=2_000, seed=3).quotes for world in WORLDS}
    offered = [column for column in QUOTE_COLUMNS if column != "accepted"]
    for world in ("W2", "W4"):
        pd.testing.assert_frame_equal(books[world][offered], books["W1"][offered])
    staff = ~books["W1"]["is_randomised"]
    pd.testing.assert_frame_equal(books["W3"][staff], books["W1"][staff])


def test_a_quote_has_exactly_the_columns_a_lender_logs(book):
    assert list(book.quotes) == QUOTE_COLUMNS
    kinds = {column: dtype.kind for column, dtype in book.quotes.dtypes.items()}
    assert {c for c, kind in kinds.items() if kind == "b"} == {"is_randomised", "accepted"}
    assert book.quotes["quote_id"].tolist() == list(range(20_000))
    assert book.quotes["quote_id"].dtype == np.int64
    assert not book.quotes.drop(columns="propensity").isna().any(axis=None)


def test_what_the_lender_cannot_see_is_in_no_table_it_has(book):
    hidden = {"u", "xi", "cn", "benchmark", "p_accept", "pd_lifetime", "value"}
    assert set(book.truth) == hidden | {"quote_id"}
    assert hidden.isdisjoint(book.quotes)
    assert hidden.isdisjoint(book.loans)
    assert not book.truth.isna().any(axis=None)


def test_loans_are_the_accepted_quotes_and_how_they_ended(book):
    accepted = book.quotes[book.quotes["accepted"]].drop(columns=["propensity", "accepted"])
    assert list(book.loans) == [*accepted, "defaulted"]
    pd.testing.assert_frame_equal(
        book.loans.drop(columns="defaulted"), accepted.reset_index(drop=True)
    )
    assert book.loans["defaulted"].dtype == bool


def test_categories_and_periods_are_the_declared_ones(book):
    quotes = book.quotes
    assert set(quotes["home"]) == set(HOMES)
    assert set(quotes["purpose"]) == set(PURPOSES)
    assert set(quotes["group"]) == {"a", "b"}
    assert set(quotes["period"]) == set(range(24))
    np.testing.assert_array_equal(quotes["cost_of_funds"], cost_of_funds_path()[quotes["period"]])


def test_quotes_are_in_hundreds_and_whole_basis_points_within_the_limits(book):
    quotes = book.quotes
    assert quotes["principal"].between(1_000, 40_000).all()
    assert (quotes["principal"] % 100 == 0).all()
    assert set(quotes["term_months"]) == {24, 36, 48, 60}
    assert quotes["quoted_rate"].between(LOWEST, HIGHEST).all()
    np.testing.assert_array_equal(quotes["quoted_rate"], quotes["quoted_rate"].round(4))


@pytest.mark.parametrize(
    ("fico", "listed"), [(619, 0.285), (620, 0.255), (700, 0.150), (799, 0.098), (800, 0.086)]
)
def test_the_list_price_steps_down_at_each_score_cut(fico, listed):
    quotes = simulate("W1", quotes=50_000, seed=2).quotes
    tier = quotes[quotes["fico"] == fico]
    funds, months = tier["cost_of_funds"], tier["term_months"]
    added = (funds - 0.04) + 0.012 * np.log(months / 36) / np.log(60 / 36)
    np.testing.assert_allclose(tier["list_rate"] - added, listed, rtol=1e-12)
    assert len(tier) > 0


def test_only_randomised_prices_left_unclipped_have_a_density(book):
    quotes = book.quotes
    known = quotes["propensity"].notna()
    inside = quotes["quoted_rate"].between(LOWEST, HIGHEST, inclusive="neither")
    assert (quotes.loc[known, "propensity"] == 10.0).all()
    assert quotes.loc[known, "is_randomised"].all()
    assert known[quotes["is_randomised"] & inside].all()
    half_tick = 0.5e-4
    move = (quotes["quoted_rate"] - quotes["list_rate"])[known].abs()
    assert (move <= 0.05 + half_tick + 1e-12).all()


def test_a_clipped_randomised_price_has_no_density():
    quotes = simulate("W1", quotes=20_000, seed=11).quotes
    clipped = quotes["is_randomised"] & quotes["propensity"].isna()
    assert clipped.any()
    assert quotes.loc[clipped, "quoted_rate"].isin([LOWEST, HIGHEST]).all()


def test_a_lender_without_a_test_has_no_densities():
    quotes = simulate("W3", quotes=5_000, seed=1).quotes
    assert not quotes["is_randomised"].any()
    assert quotes["propensity"].isna().all()


def test_staff_price_keen_demand_up_and_chance_does_not():
    book = simulate("W1", quotes=50_000, seed=2)
    move = book.quotes["quoted_rate"] - book.quotes["list_rate"]
    at_random = book.quotes["is_randomised"]
    assert np.corrcoef(move[~at_random], book.truth.loc[~at_random, "xi"])[0, 1] > 0.7
    assert abs(np.corrcoef(move[at_random], book.truth.loc[at_random, "xi"])[0, 1]) < 0.05


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"world": "W9"}, "simulate.world: must be one of W1, W2, W3, W4, is 'W9'"),
        ({"quotes": 0}, "simulate.quotes: must be 1 or more, is 0"),
    ],
)
def test_parameters_no_log_can_have_are_refused(change, complaint):
    with pytest.raises(InvalidDeclarationError, match=complaint):
        Simulation(**{"world": "W1", "quotes": 10, "seed": 1, **change})


def test_a_wrong_parameter_ends_the_stage_in_one_line(tmp_path):
    section = {"world": "W9", "quotes": 10, "seed": 1}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"simulate": section}))
    done = subprocess.run(
        [sys.executable, "-m", "training.simulate"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == ("params.yaml: simulate.world: must be one of W1, W2, W3, W4, is 'W9'\n")


def test_the_stage_writes_three_whole_tables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    section = {"world": "W2", "quotes": 400, "seed": 9}
    Path("params.yaml").write_text(yaml.safe_dump({"simulate": section}), encoding="utf-8")
    main()
    folder = Path("data/interim/simulated")
    names = ("loans", "quotes", "truth")
    assert sorted(path.name for path in folder.iterdir()) == [f"{name}.parquet" for name in names]
    expected = simulate(**section)
    for name in names:
        written = pd.read_parquet(folder / f"{name}.parquet")
        pd.testing.assert_frame_equal(written, getattr(expected, name))
