"""The one path from an application to a decision; every door calls it, through `operations`.

It takes what scores and explains as arguments: tests pass plain functions.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from finntelligence.counter_offer import CounterOffer, alternatives, approvable, counter_offer
from finntelligence.decision import Decision, decide
from finntelligence.errors import ModelUnavailableError
from finntelligence.features import RowEncoder
from finntelligence.list_price import at_list_price, list_price_optimum, no_answer
from finntelligence.market import Market
from finntelligence.offers import Application
from finntelligence.optimiser import Optimum, optima
from serving.json_log import said_of
from serving.spared import Spared
from serving.together import Together
from serving.tracing import stage

__all__ = [
    "Answer",
    "Engine",
    "Score",
    "ScoreBoth",
    "Scorer",
    "handle",
    "in_process",
    "log_decision",
]

log = logging.getLogger(__name__)

Array = NDArray[np.float64]
Score = Callable[[Array], Awaitable[Array]]
ScoreBoth = Callable[[Array], Awaitable[tuple[Array, Array]]]
Asked = tuple[Application, Array, Array]


@dataclass(frozen=True, slots=True)
class Answer:
    """A decision and the id under which it is recorded: the pair's, then 32 hex digits.

    `heads` are the coefficients that it was decided on, by model that answered.
    """

    decision_id: str
    decision: Decision
    heads: Mapping[str, tuple[float, ...]]


class Scorer(Protocol):
    """A loaded model that is asked in this process about rows of the design matrix."""

    def coefficients(self, rows: Array) -> Array:
        """Return every head's coefficient, (n, heads)."""

    def contributions(self, rows: Array) -> Array:
        """Return what each column adds to each head, (n, heads, features + 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """All that deciding needs: what prices, exact versions and the scorers.

    `explain_risk` returns the risk model's contributions, (n, heads, features + 1); `score_both`
    asks both models at once, where something does that better than to ask each. `versions` has
    a "pair", with which each decision's id begins. `documents` has the digest under which the
    record keeps each part of what prices (`serving.record.documents`); `provenance` is what shipped
    with the models about them (`serving.wire_models`). `listed` is the market at list prices,
    tabulated once, where the policy degrades. `row` returns an application's row of the design
    matrix, (1, features), and `optimum` the offers to one of the applicants whom the models
    answered at once: an application and both models' coefficients.
    `spared` asks the acceptance model for those who can do without it.
    """

    market: Market
    versions: Mapping[str, str]
    score_risk: Score
    score_acceptance: Score
    explain_risk: Score
    score_both: ScoreBoth | None = None
    documents: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    spared: Score = field(init=False)
    listed: Market | None = field(init=False)
    row: RowEncoder = field(init=False)
    optimum: Together[Asked, Optimum] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "spared", Spared(self.score_acceptance))
        degrades = self.market.policy.degrade is not None
        object.__setattr__(self, "listed", at_list_price(self.market) if degrades else None)
        object.__setattr__(self, "row", RowEncoder(self.market.portfolio))
        object.__setattr__(self, "optimum", Together(partial(_optima, self.market)))

    @classmethod
    def of_scorers(
        cls,
        market: Market,
        versions: Mapping[str, str],
        scorers: Mapping[str, Scorer],
        documents: Mapping[str, str] | None = None,
    ) -> "Engine":
        """Return an engine whose two models, "risk" and "acceptance", live in this process."""
        return cls(
            market=market,
            versions=versions,
            score_risk=in_process(scorers["risk"].coefficients),
            score_acceptance=in_process(scorers["acceptance"].coefficients),
            explain_risk=in_process(scorers["risk"].contributions),
            documents=documents or {},
        )

    async def score(self, rows: Array) -> tuple[Array, Array]:
        """Ask both models at once about n rows; return coefficients, each (n, heads), risk first.

        Raises:
            ModelUnavailableError: when a model does not answer.
        """
        if self.score_both is not None:
            return await self.score_both(rows)
        risk, acceptance = await asyncio.gather(self.score_risk(rows), self.score_acceptance(rows))
        return risk, acceptance

    async def score_or_degrade(self, rows: Array) -> tuple[Array, Array | None]:
        """As `score`; None for what acceptance does not answer, where the policy then degrades.

        Raises:
            ModelUnavailableError: when a model that is needed does not answer.
        """
        if self.listed is None:
            return await self.score(rows)
        acceptance = self._acceptance_if_any(rows)
        return await asyncio.gather(self.score_risk(rows), acceptance)

    async def _acceptance_if_any(self, rows: Array) -> Array | None:
        try:
            return await self.spared(rows)
        except ModelUnavailableError:
            return None


def _optima(market: Market, asked: Sequence[Asked]) -> list[Optimum]:
    applications, risk, acceptance = zip(*asked, strict=True)
    return optima(applications, market, np.stack(risk), np.stack(acceptance))


async def handle(
    application: Application,
    engine: Engine,
    *,
    explain: bool = False,
    applicant_key: str | None = None,
) -> Answer:
    """Score both models on a validated application and decide.

    `applicant_key` says who asks, for the policy's experiment (`experiment.applicant_key`).

    The risk model is asked for its contributions where somebody is declined, for the reasons, and
    where `explain` asks why the first offer is as it is. Where the policy degrades and acceptance
    does not answer, offers are at the list price, neither explained nor countered.

    Raises:
        ModelUnavailableError: when a model that is needed does not answer.
    """
    market = engine.market
    row = engine.row(application)
    with stage("score"):
        risk, acceptance = await engine.score_or_degrade(row)
    heads = {"risk": tuple(risk[0].tolist())}
    with stage("decide"):
        if acceptance is None:
            assert engine.listed is not None, "without it there is an error instead"
            decision = await _at_list_price(application, engine, engine.listed, row, risk[0])
        else:
            heads["acceptance"] = tuple(acceptance[0].tolist())
            pair = risk[0], acceptance[0]
            found = await engine.optimum((application, *pair))
            why = other = None
            if not found.offers:
                asked = engine.explain_risk(row), _counter_offer(application, engine, row)
                (why,), other = await asyncio.gather(*asked)
            elif explain:
                (why,) = await engine.explain_risk(row)
            decision = decide(application, market, pair, engine.versions, found, why, applicant_key)
            if other is not None:
                decision = replace(decision, counter_offer=other)
    decision_id = f"{engine.versions['pair']}-{uuid.uuid4().hex}"
    return Answer(decision_id=decision_id, decision=decision, heads=heads)


async def _at_list_price(
    application: Application, engine: Engine, listed: Market, row: Array, risk: Array
) -> Decision:
    """Decide without the acceptance model."""
    found = list_price_optimum(application, listed, risk, engine.market.policy.menu_size)
    why = None if found.offers else (await engine.explain_risk(row))[0]
    pair = risk, no_answer(listed)
    decision = decide(application, listed, pair, engine.versions, found, why)
    return replace(decision, degraded=True)


async def _counter_offer(
    application: Application, engine: Engine, row: Array
) -> CounterOffer | None:
    """Ask the engine about the nearest other requests of a declined applicant, with its `row`.

    Few of the declined have any that risk allows, so acceptance is asked about those alone.
    """
    market = engine.market
    others = alternatives(application, market.portfolio, market.policy)
    if not others:
        return None
    rows = others.rows(row)
    risk = await engine.score_risk(rows)
    places = approvable(others, market, risk)
    if not places:
        return None
    acceptance = await engine.score_acceptance(rows[places])
    return counter_offer(others.at(places), market, risk[places], acceptance)


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
