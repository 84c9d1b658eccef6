"""A campaign from a book to the prices that single offers bear, and back from what they lent."""

import json
from dataclasses import replace

import numpy as np
import pytest

from batch.book import Book
from batch.campaign import campaign_of, of_plan, read, sample, steer, written
from batch.offers import scored
from batch.pictures import draw_frontier
from finntelligence.campaign import frontier, plan
from finntelligence.errors import InvalidDataError, InvalidDeclarationError
from finntelligence.limits import Limits
from finntelligence.optimiser import optima
from finntelligence.shadow_prices import NO_PRICES, ShadowPrices

PLANNED, FRESH, DAYS = 600, 1500, 12


@pytest.fixture(scope="module")
def book(portfolio, applicants, tmp_path_factory):
    """Return a function: a book of so many applicants."""

    def made(n, seed):
        path = tmp_path_factory.mktemp("books") / "book.parquet"
        applicants(n, seed).to_parquet(path, index=False)
        return Book(path, portfolio)

    return made


@pytest.fixture(scope="module")
def under(book, pricing):
    found = sample(book(PLANNED, seed=1), pricing, most=PLANNED)
    assert found.applicants == found.people == PLANNED
    return found.under


@pytest.fixture(scope="module")
def planned(under):
    free = under(NO_PRICES)
    return plan(under, Limits(budget=0.6 * free.principal))


@pytest.fixture(scope="module")
def content(planned, under, pricing):
    return of_plan(planned, under, FRESH, PLANNED, pricing.versions)


def test_a_sample_is_evenly_spaced_and_leaves_out_what_cannot_be_scored(
    portfolio, applicants, pricing, tmp_path
):
    frame = applicants(100, seed=2)
    frame.loc[40, "fico"] = 0
    frame.to_parquet(tmp_path / "book.parquet", index=False)
    book = Book(tmp_path / "book.parquet", portfolio)
    some = sample(book, pricing, most=13)
    assert (some.applicants, some.people) == (12, 92)  # every eighth but one
    frame[::8].to_parquet(tmp_path / "same.parquet", index=False)
    same = sample(Book(tmp_path / "same.parquet", portfolio), pricing, most=100)
    assert some.under(NO_PRICES) == same.under(NO_PRICES)
    frame[40:41].to_parquet(tmp_path / "bad.parquet", index=False)
    with pytest.raises(InvalidDataError, match="no row that can be scored"):
        sample(Book(tmp_path / "bad.parquet", portfolio), pricing, most=100)


def test_a_plan_survives_its_file_and_prices_the_service(planned, content, tmp_path):
    path = tmp_path / "shadow-prices.json"
    written(path, content)
    again = read(path)
    assert again == json.loads(json.dumps(content))
    assert ShadowPrices.from_mapping(again) == planned.prices
    to_keep = campaign_of(again).course
    assert to_keep.budget == pytest.approx(FRESH * planned.limits.budget)
    assert to_keep.expected(planned.capital) == pytest.approx(planned.expected.principal)


def lent_by(offers):
    """What the customers of a menu are expected to borrow."""
    return sum(each.p_choice * each.principal for each in offers)


def test_single_offers_at_the_steered_prices_use_the_budget_on_a_fresh_sample(
    book, pricing, content
):
    """A menu lends more than the plan's one offer does, and these customers are others."""
    (block,) = book(FRESH, seed=3).blocks(FRESH)
    fresh, used = scored(pricing, block), {}
    rng = np.random.default_rng(4)
    for rows in np.split(np.arange(FRESH), DAYS):
        prices = ShadowPrices.from_mapping(content)
        market = replace(pricing.market, prices=prices)
        asked = [fresh.applications[row] for row in rows]
        found = optima(asked, market, fresh.risk[rows], fresh.acceptance[rows])
        lent = 0.0
        for each in found:  # some answer at once, of the others the record knows the probability
            if each.offers and rng.random() < 0.5:
                p = [offer.p_choice for offer in each.offers]
                amounts = [offer.principal for offer in each.offers]
                lent += float(rng.choice([*amounts, 0.0], p=[*p, 1 - sum(p)]))
            else:
                lent += lent_by(each.offers)
        applicants, before = used.get(prices.digest, (0, 0.0))
        used[prices.digest] = applicants + len(rows), before + lent
        content = steer(content, used).content
    budget = campaign_of(content).course.budget
    assert 0.95 < sum(principal for _, principal in used.values()) / budget < 1.05
    assert len(content["campaign"]["history"]) > 2


def test_a_campaign_that_ended_or_was_replaced_meanwhile_is_not_brought_back(content, tmp_path):
    path = tmp_path / "shadow-prices.json"
    written(path, content)
    before = read(path)
    steered = {**before, "prices": {**before["prices"], "principal": 0.5}}
    written(path, {**before, "campaign": {**before["campaign"], "applicants": 7}})
    with pytest.raises(InvalidDeclarationError, match="has changed meanwhile"):
        written(path, steered, instead_of=before)
    assert read(path)["campaign"]["applicants"] == 7
    path.unlink()
    with pytest.raises(InvalidDeclarationError, match="no campaign is in force"):
        written(path, steered, instead_of=before)
    assert not path.exists()


def test_what_other_prices_lent_uses_a_budget_up(content):
    found = steer(content, {NO_PRICES.digest: (500, 9e9)})
    assert (found.applicants, found.lent, found.elsewhere, found.planned) == (500, 9e9, 9e9, 0)
    assert found.capital > found.before


def test_steering_a_campaign_that_nobody_asked_changes_nothing(content):
    found = steer(content, {})
    assert found.capital == found.before
    assert found.content == content


def test_a_limit_on_ratios_alone_has_nothing_to_steer_to(under, pricing):
    free = under(NO_PRICES)
    found = plan(under, Limits(expected_loss_ratio=0.9 * free.expected_loss_ratio))
    content = of_plan(found, under, FRESH, PLANNED, pricing.versions)
    with pytest.raises(InvalidDeclarationError, match="holds no campaign that can be steered"):
        steer(content, {})


def test_a_price_that_comes_again_is_the_one_in_force(content):
    first, second = {"digest": "a", "capital": 0.1}, {"digest": "b", "capital": 0.2}
    steered = {**content["campaign"], "history": [first, second, first]}
    found = campaign_of({**content, "campaign": steered})
    assert (found.capital, found.capitals) == (0.1, {"a": 0.1, "b": 0.2})


@pytest.mark.parametrize("lost", ["began", "applicants", "limits", "curve", "history"])
def test_a_file_that_lacks_part_of_its_campaign_is_told(content, lost):
    rest = {name: value for name, value in content["campaign"].items() if name != lost}
    with pytest.raises(InvalidDeclarationError, match=f"holds no campaign.*{lost}"):
        campaign_of({**content, "campaign": rest})


@pytest.mark.parametrize(
    ("text", "fact"),
    [(None, "no campaign is in force"), ("{", "cannot be read"), ("{}", "format: is missing")],
)
def test_a_file_that_holds_no_campaign_is_told(tmp_path, text, fact):
    path = tmp_path / "shadow-prices.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InvalidDeclarationError, match=fact):
        read(path)


@pytest.mark.parametrize(("name", "start"), [("f.png", b"\x89PNG"), ("f.svg", b"<?xml")])
def test_the_frontier_is_drawn_in_the_kind_that_its_name_says(under, tmp_path, name, start):
    draw_frontier(frontier(under, [0.0, 0.05, 0.1]), "USD", tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)
