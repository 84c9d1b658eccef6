"""How the client reaches either door: one question in, plain content or one error out."""

import ssl
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

import anyio
import grpc
import httpx
from anyio.from_thread import start_blocking_portal
from google.protobuf.message import Message
from pydantic import ValidationError

from finntelligence.errors import FinntelligenceError
from serving.grpc_problems import DETAILS, from_status
from serving.messages import from_message, to_message
from serving.problems import (
    OverloadedError,
    TimedOutError,
    TooLargeError,
    UnexpectedAnswerError,
    error_of,
)
from serving.stubs import offers_pb2 as pb
from serving.wire import BadRequestError, Problem

__all__ = [
    "DECISION",
    "OFFERS",
    "OUTCOME",
    "QUOTE",
    "Ask",
    "FailedError",
    "GrpcTransport",
    "HttpTransport",
    "Tls",
    "Transport",
    "UnreachableError",
]


class UnreachableError(FinntelligenceError):
    """Nothing answers at the address, or the connection broke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files (PEM) of a TLS connection: who is trusted, and who we are where the service asks."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


class Operation(NamedTuple):
    """One operation as each door has it."""

    verb: str
    path: str
    method: str
    asked: type[Message]
    answered: type[Message]


OFFERS = Operation(
    *("POST", "/v1/offers", "OptimiseOffers"),
    pb.OptimiseOffersRequest,
    pb.OptimiseOffersResponse,
)
QUOTE = Operation(*("POST", "/v1/quote", "QuoteOffer"), pb.QuoteOfferRequest, pb.QuoteOfferResponse)
DECISION = Operation(
    *("GET", "/v1/decisions/{}", "GetDecision"), pb.GetDecisionRequest, pb.DecisionRecord
)
OUTCOME = Operation(
    *("POST", "/v1/decisions/{}/outcome", "RecordOutcome"),
    pb.RecordOutcomeRequest,
    pb.RecordedOutcome,
)


class Ask(NamedTuple):
    """One question: about a decision, if it has an id."""

    operation: Operation
    content: dict[str, Any]
    headers: dict[str, str]
    decision_id: str | None = None


class FailedError(Exception):
    """An attempt failed; `wait_s` says when to try again, 0 as soon as one likes, None never."""

    def __init__(self, error: FinntelligenceError, wait_s: float | None) -> None:
        self.error, self.wait_s = error, wait_s
        super().__init__(str(error))


class Transport(Protocol):
    """The way to one door."""

    def ask(self, ask: Ask, timeout_s: float) -> dict[str, Any]:
        """Ask once; raise `FailedError` where there is no answer."""

    def close(self) -> None:
        """Close the connections."""


class HttpTransport:
    """The way to the HTTP door.

    httpx bounds each read and write, and nothing as a whole: a door that trickles would hold a
    caller for as long as it likes. So requests run in an event loop, which can give one up.
    """

    def __init__(self, url: str, key: str | None, tls: Tls | None) -> None:
        tls = tls or Tls()
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.cert_file and tls.key_file:
            context.load_cert_chain(tls.cert_file, tls.key_file)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.AsyncClient(
            base_url=url, headers=headers, verify=context, trust_env=False, timeout=None
        )
        self._open = ExitStack()
        self._loop = self._open.enter_context(start_blocking_portal())
        self._open.callback(lambda: self._loop.call(self._client.aclose))

    def ask(self, ask: Ask, timeout_s: float) -> dict[str, Any]:
        """Ask once; raise `FailedError` where there is no answer."""
        path = ask.operation.path.format(quote(ask.decision_id or "", safe=""))
        body = ask.content if ask.operation.verb == "POST" else None

        async def asked() -> httpx.Response:
            with anyio.fail_after(timeout_s):
                return await self._client.request(
                    ask.operation.verb, path, headers=ask.headers, json=body
                )

        try:
            response = self._loop.call(asked)
        except TimeoutError as error:
            raise FailedError(TimedOutError(f"no answer within {timeout_s:.3g} s"), None) from error
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            raise FailedError(UnreachableError(f"no connection: {error}"), 0) from error
        except httpx.RequestError as error:  # no door of ours is at such an address
            raise FailedError(UnreachableError(f"no connection: {error}"), None) from error
        if not response.is_success:
            raise _refused(response)
        try:
            return dict(response.json())
        except (TypeError, ValueError) as error:
            said = "the answer is not one of this API's"
            raise FailedError(UnexpectedAnswerError(said), None) from error

    def close(self) -> None:
        """Close the connections."""
        self._open.close()


def _refused(response: httpx.Response) -> FailedError:
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:  # whoever answered stands before the service
        said = f"the answer has status {response.status_code}"
        problem = Problem(type="", title="", status=response.status_code, detail=said)
    wait = None
    if response.status_code in (429, 503):
        told = response.headers.get("retry-after", "")
        wait = float(told) if told.isdecimal() else None
    return FailedError(error_of(problem), wait)


class GrpcTransport:
    """The way to the gRPC door."""

    def __init__(self, target: str, key: str | None, tls: Tls | None) -> None:
        options = (
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.enable_retries", 0),
            # a connection of its own, which another of the service's processes may take
            ("grpc.use_local_subchannel_pool", 1),
        )
        self._channel = (
            grpc.insecure_channel(target, options)
            if tls is None
            else grpc.secure_channel(target, _credentials(tls), options)
        )
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._calls = {
            each: self._channel.unary_unary(
                f"/finntelligence.v1.Offers/{each.method}",
                each.asked.SerializeToString,
                each.answered.FromString,
            )
            for each in (OFFERS, QUOTE, DECISION, OUTCOME)
        }

    def ask(self, ask: Ask, timeout_s: float) -> dict[str, Any]:
        """Ask once; raise `FailedError` where there is no answer."""
        content = {**ask.content, "decision_id": ask.decision_id}
        try:
            message = to_message(ask.operation.asked, content)
        except (TypeError, ValueError) as error:  # a word for a number, or too large a one
            said = f"the request does not fit the protocol: {error}"
            raise FailedError(BadRequestError(said), None) from error
        metadata = tuple({**self._headers, **ask.headers}.items())
        try:
            answer = self._calls[ask.operation](message, timeout=timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            raise _failed(error) from error
        return from_message(answer, whole=True)

    def close(self) -> None:
        """Close the connections."""
        self._channel.close()


def _credentials(tls: Tls) -> Any:
    ca, cert, key = (
        None if path is None else path.read_bytes()
        for path in (tls.ca_file, tls.cert_file, tls.key_file)
    )
    return grpc.ssl_channel_credentials(ca, key, cert)


def _failed(error: Any) -> FailedError:
    """Return what a failed call says: the service's own words, or gRPC's."""
    details = dict(error.trailing_metadata() or ()).get(DETAILS)
    ours = details and from_status(details)
    if ours:
        return FailedError(*ours)
    code, said = error.code(), error.details() or ""
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return FailedError(TimedOutError("no answer within the deadline"), None)
    # nobody here cancels a call: the server did, as it stopped
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return FailedError(UnreachableError(f"no connection: {said}"), 0)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        if "larger than max" in said:
            return FailedError(TooLargeError(said), None)
        return FailedError(OverloadedError(said), 1)
    return FailedError(UnexpectedAnswerError(f"{code.name}: {said}"), None)
