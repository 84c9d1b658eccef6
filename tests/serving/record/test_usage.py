import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from finntelligence.shadow_prices import NO_PRICES, ShadowPrices
from serving.record.entry import Outcome, OutcomeKind
from serving.record.errors import UnknownDecisionError
from serving.record.retention import prune
from serving.record.usage import lent

ACCEPTED, REFUSED = OutcomeKind.ACCEPTED, OutcomeKind.DECLINED_BY_CUSTOMER
NOW = datetime.now(UTC)
A_DAY = timedelta(days=1)
LONG_AGO = NOW - 1000 * A_DAY
DEAR = ShadowPrices(principal=0.02)


@pytest.fixture
def recorded(decided, log, market):
    """Return a function: record a decision some days ago, and what became of it; its offers."""
    example = market.portfolio.example

    def made(kind=None, offer=None, fico=705, prices=NO_PRICES, days=0, **changes):
        request = {**example, "features": {**example["features"], "fico": fico}}
        entry = decided(market, request, at=NOW - days * A_DAY, **changes)
        if prices != NO_PRICES:
            versions = {**entry.versions, "shadow_prices": prices.digest}
            entry = replace(entry, versions=versions)
        asyncio.run(log.append(entry))
        if kind is not None:
            known = {"decision_id": entry.decision_id, "on": entry.at.date()}
            asyncio.run(log.attach(Outcome(kind=kind, offer=offer, **known)))
        return entry.answer["offers"]

    return made


@pytest.fixture
def found(log, market):
    """Return a function: what was lent, by the digest of the prices."""

    def read(since=LONG_AGO, days=30, portfolio=market.portfolio.name):
        return lent(log.engine, portfolio, since, NOW - days * A_DAY)

    return read


def open_of(offers):
    return sum(each["p_choice"] * each["principal"] for each in offers)


def test_what_was_taken_counts_whole_and_what_is_open_by_its_probability(recorded, found):
    offers = recorded(ACCEPTED, offer=1)
    recorded(REFUSED, fico=706)
    still_open = recorded(fico=707)
    applicants, principal = found()[NO_PRICES.digest]
    assert applicants == 3
    assert principal == pytest.approx(offers[1]["principal"] + open_of(still_open))


def test_of_an_applicants_decisions_the_last_alone_is_open(recorded, found):
    recorded(days=3)
    recorded(days=2)
    last = recorded(prices=DEAR, days=1)
    assert found() == {DEAR.digest: (1, pytest.approx(open_of(last)))}
    recorded(REFUSED, prices=DEAR)
    assert found() == {DEAR.digest: (1, 0)}


def test_whoever_took_a_loan_leaves_no_other_offer_open(recorded, found):
    offers = recorded(ACCEPTED, offer=0, days=2)
    recorded(prices=DEAR)
    assert found() == {
        NO_PRICES.digest: (0, offers[0]["principal"]),
        DEAR.digest: (1, 0),
    }
    recorded(ACCEPTED, offer=0, prices=DEAR)
    assert found()[DEAR.digest] == (1, offers[0]["principal"])


def test_applicants_are_known_by_their_key_before_their_features(recorded, found):
    recorded(applicant_key="a")
    recorded(applicant_key="b")
    recorded(applicant_key="a", fico=800)
    assert found()[NO_PRICES.digest][0] == 2


def test_an_offer_that_nobody_answered_expires_and_a_loan_does_not(recorded, found):
    offers = recorded(days=31)
    recorded(ACCEPTED, offer=0, fico=800, days=31)
    applicants, principal = found(days=30)[NO_PRICES.digest]
    assert (applicants, principal) == (2, offers[0]["principal"])
    assert found(days=32)[NO_PRICES.digest][1] > principal


def test_decisions_before_a_day_and_of_another_book_do_not_count(recorded, found):
    recorded(days=3)
    recorded(fico=800, prices=DEAR)
    assert list(found(since=NOW - A_DAY)) == [DEAR.digest]
    assert found(portfolio="another") == {}


def test_what_retention_removed_is_told_and_not_taken_for_nothing(recorded, found, log, market):
    recorded(days=9)
    recorded()
    prune(log.engine, NOW - 5 * A_DAY, market.portfolio.name)
    with pytest.raises(UnknownDecisionError, match="what they lent is not known"):
        found(since=NOW - 6 * A_DAY)
    assert found(since=NOW - 5 * A_DAY)[NO_PRICES.digest][0] == 1
    assert found(portfolio="another") == {}
