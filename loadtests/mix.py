"""Draw the mix of requests that a service is loaded with, and have the engine answer each.

    python -m loadtests.mix PORTFOLIO FILE

Applicants come from the portfolio's held-out quotes, so they are spread as its customers are: some
get offers, some a decline. The answers are those of the published pair in this process.
"""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from loadtests.heldout import body_of
from loadtests.questions import Question, write
from runners.store import ServedPair
from serving.handler import Engine, handle
from serving.wire import OfferRequest, from_core, to_core
from training.evidence.decisions import applications
from training.stages import Paths
from training.tables import load_portfolio, read_table

__all__ = ["answers", "bodies", "drawn"]

_SEED = 1


def drawn(portfolio: str, count: int) -> list[Question]:
    """Return questions about `count` different held-out applicants, or about all there are."""
    asked = bodies(portfolio, count)
    answered = answers(ServedPair(portfolio), asked)
    return [Question(body, answer) for body, answer in zip(asked, answered, strict=True)]


def bodies(portfolio: str, count: int) -> list[dict[str, Any]]:
    """Return the requests of held-out applicants."""
    quotes = read_table(Paths(portfolio).processed / "holdout" / "quotes.parquet")
    chosen = quotes.sample(min(count, len(quotes)), random_state=_SEED)
    return [body_of(each) for each in applications(load_portfolio(portfolio), chosen)]


def answers(pair: ServedPair, asked: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what the engine answers to each request, as JSON has it."""
    market, scorers = pair.market()
    for scorer in scorers.values():
        scorer.booster.set_param({"nthread": 1})  # of one row more threads only wait
    engine = Engine.of_scorers(market, pair.all_versions(market), scorers)

    async def answered(body: Mapping[str, Any]) -> dict[str, Any]:
        found = await handle(to_core(OfferRequest(**body), market.portfolio), engine)
        answer = from_core(found.decision, found.decision_id, market.portfolio)
        return answer.model_dump(mode="json")

    async def all_answered() -> list[dict[str, Any]]:
        return [await answered(body) for body in asked]

    return asyncio.run(all_answered())


def main(
    portfolio: Annotated[str, typer.Argument(help="The portfolio that is served.")],
    path: Annotated[Path, typer.Argument(help="Where the mix goes.")],
    applicants: Annotated[int, typer.Option(min=1)] = 4000,
) -> None:
    """Draw the mix of a portfolio."""
    write(drawn(portfolio, applicants), path)


if __name__ == "__main__":
    typer.run(main)
