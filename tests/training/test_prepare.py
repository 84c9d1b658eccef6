from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from finntelligence.errors import InvalidDataError
from training import prepare
from training.simulate import simulate
from training.stages import Paths, file_digest, read_json
from training.tables import holdout_rows, read_table, write_table

ROOT = Path(__file__).parents[2]


def periods(counts):
    """Return a shuffled column with so many rows of each period."""
    column = np.repeat(list(counts), list(counts.values()))
    return pd.Series(np.random.default_rng(0).permutation(column))


def test_the_newest_periods_are_held_out_whole_where_they_fit():
    period = periods({1: 50, 2: 30, 3: 12, 4: 8})
    assert set(period[holdout_rows(period, 0.2, 7)]) == {3, 4}
    assert holdout_rows(period, 0.2, 7).sum() == 20
    assert set(period[holdout_rows(period, 0.19, 7)]) == {4}


def test_a_random_part_of_a_newest_period_that_is_too_large_is_held_out():
    period = periods({1: 40, 2: 60})
    held = holdout_rows(period, 0.2, 7)
    assert held.sum() == 20
    assert set(period[held]) == {2}


def test_a_seed_is_a_holdout():
    period = periods({1: 400, 2: 600})
    first, again, other = (holdout_rows(period, 0.2, seed) for seed in (1, 1, 2))
    pd.testing.assert_series_equal(first, again)
    assert not first.equals(other)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    period=st.lists(st.integers(0, 30), min_size=1, max_size=200).map(pd.Series),
    share=st.floats(0.01, 0.99),
)
def test_no_training_row_is_newer_than_a_held_out_one(period, share):
    held = holdout_rows(period, share, 7)
    assert held.index.equals(period.index)
    assert held.sum() <= share * len(period) + 0.5
    if held.any() and not held.all():
        assert period[~held].max() <= period[held].min()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    period=st.lists(st.integers(0, 30), min_size=1, max_size=200).map(pd.Series),
    share=st.floats(0.01, 0.99),
)
def test_a_random_holdout_is_of_its_size_and_does_not_look_at_the_periods(period, share):
    held = holdout_rows(period, share, 7, at_random=True)
    assert held.sum() == round(share * len(period))
    assert held.tolist() == holdout_rows(period[::-1], share, 7, at_random=True).tolist()


def test_the_rows_keep_their_own_labels():
    period = pd.Series([1, 2, 2, 2], index=[10, 20, 30, 40])
    held = holdout_rows(period, 0.25, 7)
    assert held.index.tolist() == [10, 20, 30, 40]
    assert held.sum() == 1


@pytest.fixture(scope="module")
def split(tmp_path_factory, trained):
    """Both parts of both tables of a small book, and the project they lie in."""
    return trained, {
        part: {
            name: read_table(Paths("simulated", trained).processed / part / f"{name}.parquet")
            for name in ("quotes", "loans")
        }
        for part in ("train", "holdout")
    }


def test_loans_follow_their_quotes(split):
    _, parts = split
    for part in parts.values():
        taken = part["quotes"].loc[part["quotes"]["accepted"], "quote_id"]
        assert set(part["loans"]["quote_id"]) == set(taken)


def test_no_quote_is_in_both_parts_and_none_is_lost(split):
    root, parts = split
    train, holdout = (set(parts[p]["quotes"]["quote_id"]) for p in ("train", "holdout"))
    before = read_table(Paths("simulated", root).interim / "quotes.parquet")
    assert not train & holdout
    assert train | holdout == set(before["quote_id"])


def test_training_ends_before_the_holdout_begins(split):
    _, parts = split
    for name in ("quotes", "loans"):
        assert parts["train"][name]["period"].max() < parts["holdout"][name]["period"].min()


def test_the_record_counts_the_rows_and_names_the_data(split):
    root, parts = split
    paths = Paths("simulated", root)
    record = read_json(paths.build / "prepare.json")
    for part, tables in parts.items():
        for name, table in tables.items():
            assert record[f"{part}_{name}"] == len(table)
            assert record["sha256"][name] == file_digest(paths.interim / f"{name}.parquet")


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """A function: both parts of the loans of a book declared without offers."""
    monkeypatch.chdir(tmp_path)
    content = yaml.safe_load((ROOT / "portfolios" / "simulated.yaml").read_text())
    (tmp_path / "portfolios").mkdir()
    (tmp_path / "params.yaml").write_text("prepare: {holdout_share: 0.2, seed: 7}")
    paths = Paths("lender")
    loans = simulate("W1", quotes=2_000, seed=2).loans

    def both(change=lambda loans: loans, **declared):
        write_table(change(loans), paths.interim / "loans.parquet")
        (tmp_path / "portfolios" / "lender.yaml").write_text(
            yaml.safe_dump(content | {"name": "lender", "capabilities": ["risk"]} | declared)
        )
        prepare.main("lender")
        return [
            read_table(paths.processed / part / "loans.parquet") for part in ("train", "holdout")
        ]

    return both


def test_a_book_without_offers_is_split_by_its_loans(prepared):
    train, holdout = prepared()
    assert not (Paths("lender").processed / "train" / "quotes.parquet").exists()
    assert train["period"].max() < holdout["period"].min()


def test_a_book_that_says_so_is_judged_on_a_random_part(prepared):
    train, holdout = prepared(holdout="random")
    assert len(holdout) == round(0.2 * (len(train) + len(holdout)))
    assert set(train["period"]) == set(holdout["period"])
    assert not set(train["quote_id"]) & set(holdout["quote_id"])


@pytest.mark.parametrize(("change", "complaint"), [
    (lambda loans: loans.assign(defaulted=False), "train/loans.* 0 with and .*bring a longer"),
    (lambda loans: loans.assign(defaulted=loans["period"] < 12), "holdout/loans.* 0 with and"),
    (lambda loans: loans[loans["period"] < 1].assign(period=0)[:1], "train/loans"),
    (lambda loans: loans[:0], "train/loans.* 0 with and 0 without"),
])  # fmt: skip
def test_a_part_that_can_teach_or_judge_no_model_is_one_clear_error(prepared, change, complaint):
    with pytest.raises(InvalidDataError, match=complaint):
        prepared(change)


def test_loans_of_one_outcome_are_no_error_where_no_model_is_of_them(prepared):
    """A book that declares acceptance alone brings loans too, and nothing is fitted on them."""
    quotes = simulate("W1", quotes=2_000, seed=2).quotes
    write_table(quotes, Paths("lender").interim / "quotes.parquet")
    train, _ = prepared(lambda loans: loans.assign(defaulted=False), capabilities=["acceptance"])
    assert len(train) > 0
