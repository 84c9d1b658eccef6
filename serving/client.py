"""One typed client for both doors: the same methods, answers and errors.

    with Client.grpc("127.0.0.1:50051", key="...") as client:
        answer = client.offers(OfferRequest(requested_principal=12_000, ...))

Errors are the ones the service raised (`serving.problems`): what the core raises in this process,
either door raises here. What may succeed later is asked again until the deadline, and nothing else
is: every request for offers carries an idempotency key, so that asking again decides once.
"""

import random
import time
import uuid
from datetime import date
from types import TracebackType
from typing import Any, Self, TypeVar

import stamina
from pydantic import BaseModel, ValidationError

from serving.problems import UnexpectedAnswerError
from serving.transports import (
    DECISION,
    OFFERS,
    OUTCOME,
    QUOTE,
    Ask,
    FailedError,
    GrpcTransport,
    HttpTransport,
    Tls,
    Transport,
    UnreachableError,
)
from serving.validation import validated
from serving.wire import OfferRequest, OfferResponse
from serving.wire_decisions import (
    CustomerOutcome,
    DecisionRecord,
    OutcomeRequest,
    RecordedOutcome,
)
from serving.wire_quotes import QuoteRequest, QuoteResponse

__all__ = ["Client", "Tls", "UnreachableError"]

Answer = TypeVar("Answer", bound=BaseModel)


class Client:
    """Asks one service; made by `http` or `grpc`, to be closed, and shared by threads.

    `deadline_s` bounds each call, its retries included; `attempts` how often it is tried.
    """

    def __init__(self, door: Transport, *, deadline_s: float = 10.0, attempts: int = 5) -> None:
        self._door, self._deadline_s, self._attempts = door, deadline_s, attempts

    @classmethod
    def http(
        cls, url: str, *, key: str | None = None, tls: Tls | None = None, **limits: Any
    ) -> Self:
        """Return a client of the HTTP door at `url`."""
        return cls(HttpTransport(url, key, tls), **limits)

    @classmethod
    def grpc(
        cls, target: str, *, key: str | None = None, tls: Tls | None = None, **limits: Any
    ) -> Self:
        """Return a client of the gRPC door at `target`: host:port, or unix:<path>."""
        return cls(GrpcTransport(target, key, tls), **limits)

    def offers(self, request: OfferRequest, *, idempotency_key: str | None = None) -> OfferResponse:
        """Return the best offers for one applicant, or a decline with its reasons."""
        headers = {"idempotency-key": idempotency_key or uuid.uuid4().hex}
        return self._asked(OfferResponse, Ask(OFFERS, request.model_dump(), headers))

    def quote(self, request: QuoteRequest) -> QuoteResponse:
        """Return what exactly these terms are worth, and which rules they break."""
        return self._asked(QuoteResponse, Ask(QUOTE, request.model_dump(), {}))

    def decision(self, decision_id: str) -> DecisionRecord:
        """Return a recorded decision."""
        return self._asked(DecisionRecord, Ask(DECISION, {}, {}, decision_id))

    def record_outcome(
        self, decision_id: str, outcome: CustomerOutcome, on: date, offer: int | None = None
    ) -> RecordedOutcome:
        """Record what became of a decision's offer; to say the same again changes nothing.

        `offer` is the accepted one's place among those shown, the first 0.
        """
        content = {"outcome": outcome, "on": on, "offer": offer}
        said = validated(OutcomeRequest, content).model_dump(mode="json")
        return self._asked(RecordedOutcome, Ask(OUTCOME, said, {}, decision_id))

    def close(self) -> None:
        """Close the connections."""
        self._door.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def _asked(self, kind: type[Answer], ask: Ask) -> Answer:
        ends = time.monotonic() + self._deadline_s

        def again(error: Exception) -> bool | float:
            if not isinstance(error, FailedError) or error.wait_s is None:
                return False
            wait = max(error.wait_s, 0.05) * random.uniform(1, 1.5)  # not all callers at once
            return wait if time.monotonic() + wait < ends else False

        try:
            for attempt in stamina.retry_context(
                on=again, attempts=self._attempts, timeout=self._deadline_s
            ):
                with attempt:
                    left = max(ends - time.monotonic(), 0.001)
                    return kind.model_validate(self._door.ask(ask, left))
        except FailedError as failed:
            raise failed.error from failed.__cause__
        except ValidationError as error:
            raise UnexpectedAnswerError("the answer is not one of this API's") from error
        raise AssertionError("a call answers or raises")
