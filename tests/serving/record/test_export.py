"""The record as a book's quotes: training takes it as it takes any other."""

import asyncio
import json

import pandas as pd
import pytest

from finntelligence.errors import InvalidDataError
from serving.record.entry import Outcome, OutcomeKind
from serving.record.export import as_jsonl, as_quotes
from training.tables import quotes_schema, validated_quotes


@pytest.fixture
def book(log, decided, any_engine):
    """Record decisions of each book: taken at random, taken, declined, and unanswered."""
    market = any_engine.market
    made = {}
    for name, kind, offer in (
        ("first", OutcomeKind.ACCEPTED, 0),
        ("last", OutcomeKind.ACCEPTED, -1),
        ("none", OutcomeKind.DECLINED_BY_CUSTOMER, None),
        ("unknown", None, None),
    ):
        entry = decided(market, propensity=0.25 if name in ("first", "last") else None)
        asyncio.run(log.append(entry))
        made[name] = entry
        if kind:
            place = len(entry.answer["offers"]) - 1 if offer == -1 else offer
            outcome = Outcome(
                decision_id=entry.decision_id, kind=kind, on=entry.at.date(), offer=place
            )
            asyncio.run(log.attach(outcome))
    return market, made


def row_of(frame, entry):
    quote_id = int(entry.decision_id[-32:][:15], 16)
    return frame[frame["quote_id"] == quote_id].iloc[0]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_training_takes_the_exported_quotes(log, book, tmp_path, kind):
    market, made = book
    path = tmp_path / f"quotes.{kind}"
    assert as_quotes(log.engine, market.portfolio, path) == 3
    read = pd.read_parquet(path) if kind == "parquet" else pd.read_csv(path)
    quotes = validated_quotes(market.portfolio, read)
    assert list(quotes.columns) == list(quotes_schema(market.portfolio).columns)
    first, last, none = (row_of(quotes, made[name]) for name in ("first", "last", "none"))
    assert (first["accepted"], last["accepted"], none["accepted"]) == (True, True, False)
    for row, entry, place in ((first, "first", 0), (last, "last", -1), (none, "none", 0)):
        offer = made[entry].answer["offers"][place]
        for name in ("principal", "term_months", "quoted_rate"):
            assert row[name] == offer[name]
        for name, value in made[entry].request["features"].items():
            assert row[name] == value
    assert (first["is_randomised"], first["propensity"]) == (True, 0.25)
    assert not none["is_randomised"]
    assert first["cost_of_funds"] == market.policy.economics.cost_of_funds


def test_the_list_price_is_that_of_the_policy_in_force(log, book, tmp_path):
    market, made = book
    path = tmp_path / "quotes.parquet"
    as_quotes(log.engine, market.portfolio, path)
    row = row_of(pd.read_parquet(path), made["none"])
    columns = {name: [value] for name, value in made["none"].request["features"].items()}
    frame = pd.DataFrame(columns)
    rule = market.portfolio.price.list_rate
    listed = rule.rate(
        {rule.field: frame[rule.field].to_numpy()}, row["term_months"], row["cost_of_funds"]
    )
    assert row["list_rate"] == float(listed[0])


def test_an_offer_other_than_the_first_was_not_randomised(log, book, tmp_path):
    market, made = book
    if len(made["last"].answer["offers"]) == 1:
        pytest.fail("the book's example must be shown several offers")
    path = tmp_path / "quotes.parquet"
    as_quotes(log.engine, market.portfolio, path)
    assert not row_of(pd.read_parquet(path), made["last"])["is_randomised"]


def test_json_lines_hold_every_decision_with_its_outcomes(log, book, tmp_path):
    market, made = book
    path = tmp_path / "decisions.jsonl"
    assert as_jsonl(log.engine, market.portfolio.name, path) == 4
    lines = {each["decision_id"]: each for each in map(json.loads, path.read_text().splitlines())}
    for name, entry in made.items():
        line = lines[entry.decision_id]
        assert line["request"] == entry.request
        assert len(line["outcomes"]) == (name != "unknown")
    assert as_jsonl(log.engine, "another", path) == 0


def test_a_file_of_another_kind_is_refused_and_nothing_is_left(log, market, tmp_path):
    with pytest.raises(InvalidDataError, match=r"must end in \.parquet or \.csv"):
        as_quotes(log.engine, market.portfolio, tmp_path / "quotes.xlsx")
    with pytest.raises(InvalidDataError, match="cannot be written"):
        as_quotes(log.engine, market.portfolio, tmp_path / "no" / "quotes.csv")
    assert not list(tmp_path.glob("*quotes*"))
