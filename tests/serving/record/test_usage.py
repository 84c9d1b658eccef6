import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from finntelligence.shadow_prices import NO_PRICES, ShadowPrices
from serving.record.entry import Outcome, OutcomeKind
from serving.record.usage import lent

DEAR = ShadowPrices(principal=0.02)


@pytest.fixture
def recorded(decided, log, market):
    """Return a function: record a decision of the example, and what became of it."""

    def made(kind=None, offer=None, **changes):
        entry = decided(market, **changes)
        asyncio.run(log.append(entry))
        if kind is not None:
            known = {"decision_id": entry.decision_id, "on": entry.at.date()}
            asyncio.run(log.attach(Outcome(kind=kind, offer=offer, **known)))
        return entry

    return made


def test_what_was_taken_counts_whole_and_what_is_open_by_its_probability(log, recorded, market):
    offers = recorded(OutcomeKind.ACCEPTED, offer=1).answer["offers"]
    recorded(OutcomeKind.DECLINED_BY_CUSTOMER)
    recorded()
    found = lent(log.engine, market.portfolio.name, datetime(2000, 1, 1, tzinfo=UTC))
    applicants, principal = found[NO_PRICES.digest]
    open_ = sum(each["p_choice"] * each["principal"] for each in offers)
    assert applicants == 3
    assert principal == pytest.approx(offers[1]["principal"] + open_)


def test_decisions_are_kept_apart_by_the_prices_they_were_made_at(log, recorded, market):
    first = recorded()
    versions = {**first.versions, "shadow_prices": DEAR.digest}
    later = recorded(versions=versions, at=first.at + timedelta(days=1))
    found = lent(log.engine, market.portfolio.name, first.at)
    assert {digest: count for digest, (count, _) in found.items()} == {
        NO_PRICES.digest: 1,
        DEAR.digest: 1,
    }
    assert list(lent(log.engine, market.portfolio.name, later.at)) == [DEAR.digest]
    assert lent(log.engine, "another", first.at) == {}
