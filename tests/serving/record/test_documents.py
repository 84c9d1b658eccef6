"""What decided is kept under the digests that the engine itself names, and brought back whole."""

from dataclasses import replace

import numpy as np
import pytest

from finntelligence.declaration import content_digest
from finntelligence.errors import InvalidDeclarationError, ModelMismatchError
from finntelligence.policy import Policy
from finntelligence.shadow_prices import NO_PRICES, ShadowPrices
from serving.record.documents import documents_of, market_from


@pytest.mark.parametrize("prices", [NO_PRICES, ShadowPrices(principal=0.02, apr=0.1)])
@pytest.mark.parametrize("changes", [{}, {"apr_cap": 0.3, "economics": {"lgd": 1}}])
def test_a_market_is_brought_back_from_its_documents(market, changes, prices):
    policy = Policy.from_mapping(market.portfolio, changes)
    market = replace(market, policy=policy, prices=prices)
    kept = documents_of(market, {market.portfolio.name: changes})
    digests = {part: content_digest(content) for part, content in kept.items()}
    again = market_from(digests, {digests[part]: kept[part] for part in kept}.__getitem__)
    assert digests["portfolio"] == again.portfolio.digest == market.portfolio.digest
    assert digests["policy"] == again.policy.digest == market.policy.digest
    assert again.policy == market.policy
    assert again.prices == prices
    assert digests.get("shadow_prices", NO_PRICES.digest) == prices.digest
    rows = np.linspace(0, 1000, 2 * len(market.risk.features)).reshape(2, -1)
    for model in ("risk", "acceptance"):
        old, new = getattr(market, model), getattr(again, model)
        assert np.array_equal(old.coefficients(rows), new.coefficients(rows))


def test_another_policy_than_the_markets_is_not_kept_for_it(market):
    with pytest.raises(InvalidDeclarationError, match="not the policy that the market prices"):
        documents_of(market, {market.portfolio.name: {"apr_cap": 0.3}})


def test_a_part_that_was_not_kept_is_named(market):
    with pytest.raises(ModelMismatchError, match="no record of acceptance, risk"):
        market_from({"portfolio": "a", "policy": "b"}, {}.__getitem__)
