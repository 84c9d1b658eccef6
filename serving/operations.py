"""What the service does, whichever door asks: doors only translate.

Each operation takes plain content, as JSON would hold it, checks it with the models of `wire`, and
answers with one of them. Errors are those of `serving.problems`.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from finntelligence.declaration import content_digest
from finntelligence.errors import FieldProblem, InvalidApplicationError
from finntelligence.features import application_columns, design_matrix
from finntelligence.quote import quote
from serving import wire, wire_quotes
from serving.handler import Engine, handle
from serving.problems import NoRecordError
from serving.record.entry import Channel, Outcome, OutcomeKind, key_digest
from serving.record.reader import Recorded
from serving.validation import validated
from serving.wire_decisions import (
    DecisionRecord,
    OutcomeRequest,
    RecordedOutcome,
    decision_from_core,
    outcome_from_core,
)

__all__ = ["LONGEST_KEY", "Call", "Log", "Operations"]

LONGEST_KEY = 200
"""Characters of an idempotency key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a door knows of a request beside its content.

    `caller` is the API key's id, None where nobody is asked who they are.
    """

    channel: Channel
    caller: str | None = None
    idempotency_key: str | None = None

    def __post_init__(self) -> None:
        key = self.idempotency_key
        if key is not None and not 1 <= len(key) <= LONGEST_KEY:
            expected = f"must have 1 to {LONGEST_KEY} characters"
            raise InvalidApplicationError([FieldProblem("Idempotency-Key", expected)])


class Log(Protocol):
    """What the operations ask of the decision record; see `serving.decision_log`."""

    async def answered(self, key_digest: str, request_digest: str) -> Mapping[str, Any] | None:
        """Return what was answered to this idempotency key before, if anything."""

    async def decision(self, decision_id: str) -> Recorded:
        """Return a recorded decision."""

    async def attach(self, outcome: Outcome) -> Outcome:
        """Record what became of a decision; return it as recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """The operations on the engine in force; a request keeps the engine that it began with."""

    engine: Callable[[], Engine]
    log: Log | None = None

    async def optimise(self, content: Mapping[str, Any], call: Call) -> wire.OfferResponse:
        """Return the best offers, or a decline; what was answered before is answered again."""
        asked, engine = validated(wire.OfferRequest, content), self.engine()
        portfolio = engine.market.portfolio
        application = wire.to_core(asked, portfolio)
        if call.idempotency_key is not None and self.log is not None:
            key = key_digest(call.idempotency_key, call.caller, "offers")
            earlier = await self.log.answered(key, content_digest(asked.model_dump(mode="json")))
            if earlier is not None:
                return wire.OfferResponse.model_validate(earlier)
        answer = await handle(application, engine, explain=asked.explain)
        return wire.from_core(answer.decision, answer.decision_id, portfolio)

    async def quote(self, content: Mapping[str, Any], _: Call) -> wire_quotes.QuoteResponse:
        """Return what exactly these terms are worth; nothing is decided, so nothing recorded."""
        asked, engine = validated(wire_quotes.QuoteRequest, content), self.engine()
        market = engine.market
        application = wire_quotes.to_core(asked, market.portfolio)
        row = design_matrix(market.portfolio, application_columns(application))
        risk, acceptance = await asyncio.gather(
            engine.score_risk(row), engine.score_acceptance(row)
        )
        principal, term_months, rate = wire_quotes.terms(asked)
        found = quote(
            application,
            market,
            risk[0],
            acceptance[0],
            principal,
            term_months,  # type: ignore[arg-type]  # checked by quote
            rate,
        )
        return wire_quotes.from_core(found, market.portfolio.currency, dict(engine.versions))

    async def decision(self, decision_id: str, _: Call) -> DecisionRecord:
        """Return a recorded decision."""
        return decision_from_core(await self._log().decision(decision_id))

    async def outcome(
        self, decision_id: str, content: Mapping[str, Any], _: Call
    ) -> RecordedOutcome:
        """Record what became of a decision's offer."""
        said = validated(OutcomeRequest, content)
        kind = OutcomeKind(said.outcome)
        outcome = Outcome(decision_id=decision_id, kind=kind, on=said.on, offer=said.offer)
        return outcome_from_core(await self._log().attach(outcome))

    def policy(self) -> dict[str, Any]:
        """Return the lending policy in force."""
        return asdict(self.engine().market.policy)

    def _log(self) -> Log:
        if self.log is None:
            raise NoRecordError("this service keeps no record of decisions")
        return self.log
