"""The one path from an application to a decision; every door calls it, through `operations`.

It takes what scores and explains as arguments: tests pass plain functions.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from finntelligence.counter_offer import CounterOffer, alternatives, counter_offer
from finntelligence.decision import Decision, decide
from finntelligence.features import application_columns, design_matrix
from finntelligence.market import Market
from finntelligence.offers import Application
from finntelligence.optimiser import optimum
from serving.json_log import said_of
from serving.tracing import stage

__all__ = [
    "Answer",
    "Engine",
    "Score",
    "handle",
    "in_process",
    "log_decision",
]

log = logging.getLogger(__name__)

Array = NDArray[np.float64]
Score = Callable[[Array], Awaitable[Array]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A decision and the id under which it is recorded: the pair's, then 32 hex digits.

    `heads` are the coefficients that it was decided on, by model.
    """

    decision_id: str
    decision: Decision
    heads: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """All that deciding needs: what prices, exact versions and the scorers.

    `explain_risk` returns the risk model's contributions, (n, heads, features + 1). `versions` has
    a "pair", with which each decision's id begins. `documents` has the digest under which the
    record keeps each part of what prices (`serving.record.documents`).
    """

    market: Market
    versions: Mapping[str, str]
    score_risk: Score
    score_acceptance: Score
    explain_risk: Score
    documents: Mapping[str, str] = field(default_factory=dict)

    async def score(self, rows: Array) -> tuple[Array, Array]:
        """Ask both models at once about n rows; return coefficients, each (n, heads), risk first.

        Raises:
            ModelUnavailableError: when a model does not answer.
        """
        risk, acceptance = await asyncio.gather(self.score_risk(rows), self.score_acceptance(rows))
        return risk, acceptance


async def handle(application: Application, engine: Engine, *, explain: bool = False) -> Answer:
    """Score both models on a validated application and decide.

    The risk model is asked for its contributions where somebody is declined, for the reasons, and
    where `explain` asks why the first offer is as it is.

    Raises:
        ModelUnavailableError: when a model does not answer.
    """
    market = engine.market
    row = design_matrix(market.portfolio, application_columns(application))
    with stage("score"):
        risk, acceptance = await engine.score(row)
    pair = risk[0], acceptance[0]
    with stage("decide"):
        found = optimum(application, market, *pair)
        contributions = None
        if explain or not found.offers:
            contributions = (await engine.explain_risk(row))[0]
        decision = decide(application, market, pair, engine.versions, found, contributions)
        if not decision.offers:
            decision = replace(decision, counter_offer=await _counter_offer(application, engine))
    decision_id = f"{engine.versions['pair']}-{uuid.uuid4().hex}"
    heads = {"risk": tuple(pair[0].tolist()), "acceptance": tuple(pair[1].tolist())}
    return Answer(decision_id=decision_id, decision=decision, heads=heads)


async def _counter_offer(application: Application, engine: Engine) -> CounterOffer | None:
    """Ask the whole engine about the nearest other requests of a declined applicant."""
    market = engine.market
    others = alternatives(application, market.portfolio, market.policy)
    if not others:
        return None
    columns = [application_columns(other) for other in others]
    rows = np.concatenate([design_matrix(market.portfolio, c) for c in columns])
    return counter_offer(others, market, *await engine.score(rows))


def in_process(answer: Callable[[Array], Array]) -> Score:
    """Return what asks a model that lives in this process."""

    async def score(rows: Array) -> Array:
        return answer(rows)

    return score


def log_decision(answer: Answer) -> None:
    """Tell a decision in one log line; it holds nothing of the applicant."""
    decision = answer.decision
    rules = [reason.code for reason in decision.reasons if not reason.is_factor]
    log.info(
        "decision %s: %d offers, reasons %s and %d factors, decided by %s",
        answer.decision_id,
        len(decision.offers),
        ",".join(rules) or "none",
        len(decision.reasons) - len(rules),
        " ".join(f"{name}={version}" for name, version in decision.versions.items()),
        extra=said_of(answer.decision_id, decision),
    )
