"""What the service does, whichever door asks: doors only translate.

Each operation takes plain content, as JSON would hold it, checks it with the models of `wire`, and
answers with one of them. Errors are those of `serving.problems`.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from finntelligence.errors import FieldProblem, InvalidApplicationError
from finntelligence.experiment import applicant_key
from finntelligence.quote import quote
from serving import metrics, wire, wire_quotes
from serving.handler import Engine, handle, log_decision
from serving.problems import NoRecordError
from serving.record.entry import Channel, Entry, Outcome, OutcomeKind, key_digest, request_digest
from serving.tracing import stage
from serving.validation import validated
from serving.what_if import what_if
from serving.wire_curves import CurveRequest, CurveResponse
from serving.wire_decisions import (
    ChainStatus,
    DecisionRecord,
    OutcomeRequest,
    RecordedOutcome,
    Replayed,
    chain_from_core,
    decision_from_core,
    outcome_from_core,
    replay_from_core,
)
from serving.wire_models import ModelsResponse
from serving.wire_models import from_core as models_from_core

if TYPE_CHECKING:
    from serving.record.links import Links
    from serving.record.reader import Recorded
    from serving.record.replay import Loader, Replay

__all__ = ["LONGEST_KEY", "Call", "Log", "Operations"]

LONGEST_KEY = 200
"""Characters of an idempotency key."""

_KEY = re.compile(f"[!-~]{{1,{LONGEST_KEY}}}")  # what a header carries unchanged


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
        if key is not None and not _KEY.fullmatch(key):
            expected = f"must have 1 to {LONGEST_KEY} characters of ASCII, none of them a space"
            raise InvalidApplicationError([FieldProblem("Idempotency-Key", expected)])


class Log(Protocol):
    """What the operations ask of the decision record; see `serving.decision_log`."""

    @property
    def waiting(self) -> int:
        """Entries that wait to be durable."""

    async def answered(self, key_digest: str, request_digest: str) -> Mapping[str, Any] | None:
        """Return what was answered to this idempotency key before, if anything."""

    async def append(self, entry: Entry) -> Mapping[str, Any]:
        """Record a decision; return what to answer once it is durable."""

    async def decision(self, decision_id: str) -> "Recorded":
        """Return a recorded decision."""

    async def replay(self, decision_id: str, load: "Loader | None" = None) -> "Replay":
        """Compute a recorded decision again."""

    async def links(self, decision_id: str) -> "Links":
        """Return where a decision stands in the record, and whether its own links hold."""

    async def attach(self, outcome: Outcome) -> Outcome:
        """Record what became of a decision; return it as recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """The operations on the engine in force; a request keeps the engine that it began with.

    Without a `log` decisions are answered and not recorded. `load` brings the models that a
    recorded decision names, for its replay.
    """

    engine: Callable[[], Engine]
    log: Log | None = None
    load: "Loader | None" = None

    async def optimise(self, content: Mapping[str, Any], call: Call) -> wire.OfferResponse:
        """Return the best offers, or a decline, once that is recorded.

        What was answered to the same idempotency key before is answered again.
        """
        began = time.perf_counter()
        engine = self.engine()
        with stage("validate"):
            asked = validated(wire.OfferRequest, content)
            application = wire.to_core(asked, engine.market.portfolio)
        # who asks is kept as a digest alone
        request = _recorded_request(asked)
        applicant = applicant_key(engine.market.policy, asked.applicant_id)
        key = None
        if call.idempotency_key is not None and self.log is not None:
            key = key_digest(call.idempotency_key, call.caller, "offers")
            earlier = await self.log.answered(key, request_digest(request, applicant))
            if earlier is not None:
                return wire.OfferResponse.model_validate(earlier)
        decided = await handle(application, engine, explain=asked.explain, applicant_key=applicant)
        answer = wire.from_core(decided.decision, decided.decision_id, engine.market.portfolio)
        if self.log is not None:
            entry = Entry(
                decision_id=decided.decision_id,
                at=datetime.now(UTC),
                portfolio=engine.market.portfolio.name,
                channel=call.channel,
                request=request,
                heads=decided.heads,
                versions=engine.versions,
                documents=engine.documents,
                answer=answer.model_dump(mode="json"),
                latency_ms=round(1000 * (time.perf_counter() - began), 3),
                propensity=decided.decision.propensity,
                arm=decided.decision.arm,
                applicant_key=applicant,
                idempotency_key=key,
                caller=call.caller,
            )
            recorded = await self._recorded(self.log, entry)
            if recorded["decision_id"] != decided.decision_id:  # another with this key was faster
                return wire.OfferResponse.model_validate(recorded)
        metrics.decided(decided.decision, call.channel)
        log_decision(decided)
        return answer

    async def _recorded(self, log: Log, entry: Entry) -> Mapping[str, Any]:
        """Record a decision; return what to answer."""
        metrics.waiting(log.waiting + 1)  # with this one
        try:
            with stage("record"):
                return await log.append(entry)
        finally:
            metrics.waiting(log.waiting)

    async def quote(self, content: Mapping[str, Any], _: Call) -> wire_quotes.QuoteResponse:
        """Return what exactly these terms are worth; nothing is decided, so nothing recorded."""
        engine = self.engine()
        market = engine.market
        with stage("validate"):
            asked = validated(wire_quotes.QuoteRequest, content)
            application = wire.to_core(asked, market.portfolio)
        risk, acceptance = await engine.score(engine.row(application))
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

    async def curve(self, content: Mapping[str, Any], _: Call) -> CurveResponse:
        """Return what every price would earn under assumptions; nothing is decided or recorded."""
        return await what_if(validated(CurveRequest, content), self.engine())

    async def decision(self, decision_id: str, _: Call) -> DecisionRecord:
        """Return a recorded decision."""
        return decision_from_core(await self._log().decision(decision_id))

    async def chain(self, decision_id: str, _: Call) -> ChainStatus:
        """Return where a decision stands in the record, and whether its own links hold."""
        return chain_from_core(await self._log().links(decision_id))

    async def replay(self, decision_id: str, _: Call) -> Replayed:
        """Compute a recorded decision again, and say what came out otherwise."""
        return replay_from_core(await self._log().replay(decision_id, self.load))

    async def outcome(
        self, decision_id: str, content: Mapping[str, Any], _: Call
    ) -> RecordedOutcome:
        """Record what became of a decision's offer."""
        said = validated(OutcomeRequest, content)
        kind = OutcomeKind(said.outcome)
        outcome = Outcome(decision_id=decision_id, kind=kind, on=said.on, offer=said.offer)
        return outcome_from_core(await self._log().attach(outcome))

    def models(self) -> ModelsResponse:
        """Return where the models in force come from, what the gate said, and the evidence."""
        return models_from_core(self.engine())

    def policy(self) -> dict[str, Any]:
        """Return the lending policy in force; the salt of an experiment would tell its prices."""
        content = asdict(self.engine().market.policy)
        (content["experiment"] or {}).pop("salt", None)
        return content

    def _log(self) -> Log:
        if self.log is None:
            raise NoRecordError("this service keeps no record of decisions")
        return self.log


def _recorded_request(asked: wire.OfferRequest) -> dict[str, Any]:
    """Return what is recorded of a request that was checked: its features are plain values.

    12.0 becomes 12: a request has one digest, whichever door it came through.
    """
    return {
        "requested_principal": _whole(asked.requested_principal),
        "requested_term_months": _whole(asked.requested_term_months),
        "features": {name: _whole(value) for name, value in asked.features.items()},
        "explain": asked.explain,
    }


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
