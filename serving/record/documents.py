"""What decided, kept once by digest: declaration, policy, both models' responses, shadow prices.

With these and the recorded heads a decision can be computed again without the model store.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from finntelligence.declaration import Section, content_digest, merged
from finntelligence.errors import InvalidDeclarationError, ModelMismatchError
from finntelligence.market import Market
from finntelligence.policy import Policy
from finntelligence.portfolio import Portfolio, read_economics
from finntelligence.response import PriceResponse
from finntelligence.shadow_prices import NO_PRICES, ShadowPrices

__all__ = ["documents_of", "market_from", "policy_from"]

Document = Callable[[str], Any]


def documents_of(market: Market, policies: object) -> dict[str, dict[str, Any]]:
    """Return what prices offers as JSON, by part; `policies` is the content of policy.yaml.

    The portfolio's and the policy's digests are those that the engine's versions name.

    Raises:
        InvalidDeclarationError: when the market prices under another policy than `policies` says.
    """
    portfolio = market.portfolio
    section = Section(policies or {}, "policy.yaml")
    own = dict(section.section(portfolio.name).items()) if section.has(portfolio.name) else {}
    content = merged(portfolio.policy, own)
    economics = dict(portfolio.economics)
    if content.get("economics") is not None:
        economics |= read_economics(Section(content["economics"], "policy.economics"))
    policy = {"policy": content, "economics": economics}
    if content_digest(policy) != market.policy.digest:
        raise InvalidDeclarationError("policy.yaml: is not the policy that the market prices under")
    charged = {} if market.prices == NO_PRICES else {"shadow_prices": asdict(market.prices)}
    return {
        **charged,
        "portfolio": dict(portfolio.declaration),
        "policy": policy,
        "risk": _plain(market.risk),
        "acceptance": _plain(market.acceptance),
    }


def policy_from(entry_documents: Mapping[str, str], document: Document) -> Policy:
    """Return the policy that was in force; `document` returns the content under a digest."""
    portfolio = Portfolio.from_mapping(document(entry_documents["portfolio"]))
    return Policy.from_mapping(portfolio, document(entry_documents["policy"])["policy"])


def market_from(entry_documents: Mapping[str, str], document: Document) -> Market:
    """Return what priced the offers of a recorded decision.

    Raises:
        ModelMismatchError: when a part was not recorded.
    """
    missing = {"portfolio", "policy", "risk", "acceptance"} - set(entry_documents)
    if missing:
        raise ModelMismatchError(f"the decision has no record of {', '.join(sorted(missing))}")
    portfolio = Portfolio.from_mapping(document(entry_documents["portfolio"]))
    risk, acceptance = (
        PriceResponse.from_mapping(
            {**document(entry_documents[model]), "portfolio": portfolio.declaration}
        )
        for model in ("risk", "acceptance")
    )
    policy, prices = policy_from(entry_documents, document), NO_PRICES
    if "shadow_prices" in entry_documents:
        prices = ShadowPrices.from_prices(document(entry_documents["shadow_prices"]))
    return Market(
        portfolio=portfolio, policy=policy, risk=risk, acceptance=acceptance, prices=prices
    )


def _plain(response: PriceResponse) -> dict[str, Any]:
    """Return a model's artefact without the declaration, which is kept once."""
    content = response.to_mapping()
    content.pop("portfolio")
    return content
