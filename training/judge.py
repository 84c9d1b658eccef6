"""Judge a portfolio's pair of models against other policies on logged quotes, off policy."""

from pathlib import Path
from typing import Any

from finntelligence.errors import InvalidDeclarationError
from finntelligence.features import design_matrix
from finntelligence.market import Market
from finntelligence.portfolio import Capability
from training.evidence.off_policy import policy_rows
from training.fitting.artefact import load_artefact
from training.fitting.price_response import columns_of
from training.judging.judge import JudgeParams, judgement
from training.stages import Paths, load_policy, read_params
from training.tables import load_portfolio, read_table, validated_quotes

__all__ = ["judge", "judge_rows"]


def judge(portfolio_name: str, root: Path = Path(), quotes: Path | None = None) -> dict[str, Any]:
    """Return what `training.judging.judge.judged` finds of a portfolio's trained pair.

    `quotes` is a canonical Parquet table of them, the held-out ones unless given; no model may have
    learned from its rows.

    Raises:
        InvalidDeclarationError: when the portfolio teaches no acceptance, and so prices nothing.
        InvalidDataError: when a table is missing or not canonical.
        ModelMismatchError: when the pair is missing or of another declaration.
    """
    paths, portfolio = Paths(portfolio_name, root), load_portfolio(portfolio_name, root)
    if portfolio.capabilities != set(Capability):
        raise InvalidDeclarationError(
            f"portfolio {portfolio_name!r} teaches no acceptance, so there is no policy to judge"
        )
    table = read_table(quotes or paths.processed / "holdout" / "quotes.parquet")
    frame = validated_quotes(portfolio, table)
    pair = {model: load_artefact(paths.model(model), model, portfolio) for model in Capability}
    market = Market(
        portfolio=portfolio,
        policy=load_policy(portfolio, root),
        risk=pair[Capability.RISK].response,
        acceptance=pair[Capability.ACCEPTANCE].response,
    )
    matrix = design_matrix(portfolio, columns_of(portfolio, frame))
    both = tuple(pair[m].coefficients(matrix) for m in (Capability.RISK, Capability.ACCEPTANCE))
    loans = read_table(paths.processed / "train" / "loans.parquet")
    params = read_params("judge", JudgeParams, root)
    found = judgement(market, frame, loans, (both[0], both[1]), params)
    return found | {"currency": portfolio.currency}


def judge_rows(found: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the table that a terminal shows of what `judge` found."""
    return policy_rows(found, found["currency"])
