"""Whether a contender's answers are right, asked before it is measured; and how long they are."""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import httpx

from finntelligence.market import Market
from finntelligence.offers import application
from loadtests.contenders import Contender, Running
from loadtests.drive import METHOD, OFFERS, framed
from loadtests.heldout import outside_policy
from loadtests.questions import Judge, Question
from serving.messages import from_message, to_message
from serving.stubs import offers_pb2 as pb
from serving.wire import OfferResponse

__all__ = ["Asked", "WrongAnswerError", "probe_grpc", "probe_http", "refuse_unrecorded"]

Asked = tuple[bytes, int]
"""A request's body, and the bytes of the answer to it."""


class WrongAnswerError(Exception):
    """A contender answered wrong, or did not record what it answered."""


def probe_http(
    url: str, contender: Contender, questions: Sequence[Question], market: Market
) -> list[Asked]:
    """Ask over HTTP; return each request with the size of its answer.

    Raises:
        WrongAnswerError: when an answer is not right.
    """
    judge, asked = Judge(), []
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        for question in questions:
            body = json.dumps(question.body).encode()
            kind = {"content-type": "application/json"}
            response = client.post(OFFERS, content=body, headers=kind)
            if response.status_code != httpx.codes.OK:
                raise WrongAnswerError(f"{contender.name}: {response.text}")
            answer = response.json()
            _refuse(contender, _wrong(contender, answer, question, (judge, market)))
            asked.append((body, len(response.content)))
    return asked


def probe_grpc(target: str, contender: Contender, questions: Sequence[Question]) -> list[Asked]:
    """Ask over gRPC; return each request, framed, with the size of its answer.

    Raises:
        WrongAnswerError: when an answer is not right.
    """
    judge, asked = Judge(), []
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary(METHOD)
        for question in questions:
            request = to_message(pb.OptimiseOffersRequest, question.body).SerializeToString()
            try:
                answered = call(request, timeout=30)
            except grpc.RpcError as error:
                raise WrongAnswerError(f"{contender.name}: {error}") from error
            content = from_message(pb.OptimiseOffersResponse.FromString(answered), whole=True)
            answer = OfferResponse.model_validate(content).model_dump(mode="json")
            _refuse(contender, judge.wrong(answer, question))
            asked.append((framed(request), len(framed(answered))))
    return asked


def refuse_unrecorded(contender: Contender, up: Running, answered: int) -> None:
    """Check that a contender with the engine's answers has recorded all of them.

    Raises:
        WrongAnswerError: when the record has fewer decisions.
    """
    if contender.answers != "engine":
        return
    recorded = _recorded(up.record)
    if recorded < answered:
        said = f"{answered} answers, {recorded} decisions in the record"
        raise WrongAnswerError(f"{contender.name}: {said}")


def _recorded(path: Path) -> int:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        found = connection.execute("SELECT count(*) FROM records WHERE kind = 'decision'")
        count: int = found.fetchone()[0]
        return count
    finally:
        connection.close()


def _refuse(contender: Contender, wrong: str | None) -> None:
    if wrong:
        raise WrongAnswerError(f"{contender.name}: {wrong}")


def _wrong(
    contender: Contender, answer: dict[str, Any], question: Question, judging: tuple[Judge, Market]
) -> str | None:
    """Return what is wrong with an answer, by what the contender is expected to answer."""
    judge, market = judging
    if contender.answers == "engine":
        return judge.wrong(answer, question)
    if contender.answers == "fixed":
        return None if OfferResponse.model_validate(answer).offers else "no offers"
    applicant = application(market.portfolio, **question.body)
    broken = {
        name for offer in answer["offers"] for name in outside_policy(offer, applicant, market)
    }
    return f"outside the policy: {', '.join(sorted(broken))}" if broken else None
