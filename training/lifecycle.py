"""What a person does with a pair of models: stage it, promote it, roll it back, read its past."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities.model_registry import ModelVersion

from finntelligence.errors import InvalidDataError, ModelMismatchError
from finntelligence.portfolio import Capability, Portfolio
from training.gate.aliases import (
    aliased_pair,
    in_production,
    mark,
    marked,
    named,
    numbers,
    point,
    versions_of,
)
from training.gate.history import (
    PRODUCTION,
    PROMOTED,
    ROLLED_BACK,
    STAGED,
    STAGING,
    before,
    entries,
    record,
    standing,
)
from training.gate.sign_off import SignOff
from training.promote import PromoteParams, promote
from training.publish import publish, served_before
from training.stages import Paths, read_params
from training.tables import load_portfolio, replacing
from training.tracking import MODELS, ensured_run, registered_version

__all__ = ["SignOff", "history_rows", "promote_to", "rollback"]

Versions = Mapping[Capability, ModelVersion]

_ALIASES = (STAGING, PRODUCTION)


def promote_to(portfolio_name: str, alias: str, sign_off: SignOff | None = None) -> str:
    """Bring the pair that the pipeline has trained to an alias and publish it; return its id.

    Production is behind the gate; staging is for looking at a pair, whatever the gate says of it.

    Raises:
        InvalidDataError: when there is no such alias.
        ModelMismatchError: when nothing has been trained.
        PromotionRefusedError: naming every criterion that failed.
    """
    if alias not in _ALIASES:
        raise InvalidDataError(f"alias: must be {' or '.join(_ALIASES)}, is {alias!r}")
    paths, portfolio = Paths(portfolio_name), load_portfolio(portfolio_name)
    _refuse_untrained(paths, portfolio)
    if alias == PRODUCTION:
        params = read_params("promote", PromoteParams)
        pair = str(promote(portfolio_name, params, sign_off, by_person=True)["pair"])
    else:
        pair = _staged(paths, portfolio)
    if portfolio.capabilities == set(Capability):
        publish(portfolio_name, alias)
    return pair


def rollback(portfolio_name: str) -> str:
    """Bring the pair that was in production before back, to the byte; return its id.

    A second rollback goes further back, not forth. What is rolled back stays so until a person
    promotes it again.

    Raises:
        ModelMismatchError: when there is nothing to go back to, or the registry has lost it.
    """
    paths, portfolio = Paths(portfolio_name), load_portfolio(portfolio_name)
    found = in_production(paths, _models(portfolio))
    if found is None:
        raise ModelMismatchError(f"{portfolio_name} has nothing in production to roll back")
    stack, leaving = standing(paths), named(found)
    current: Versions
    former: Versions
    if _unfinished(stack, leaving):  # go no further than a rollback that was killed has gone
        current, former = _versions_of(stack[-1]), found
    else:
        last = _last_left(before(stack, leaving), portfolio_name, leaving)
        current, former = found, _versions_of(last)
    leaving, pair = named(current), named(former)
    served = None
    if portfolio.capabilities == set(Capability):
        served = served_before(portfolio, paths, former)
    _go_back(paths, current, former, served)
    record(
        paths,
        {
            "action": ROLLED_BACK,
            "alias": PRODUCTION,
            "pair": pair,
            "former_pair": leaving,
            "former_versions": numbers(current),
            "versions": numbers(former),
            "verdicts": [],
            "signed_off": {},
        },
    )
    return pair


def history_rows(portfolio_name: str, root: Path = Path()) -> list[tuple[str, ...]]:
    """Return one row per event, oldest first: when, what, alias, pair, former pair, remarks."""
    load_portfolio(portfolio_name, root)
    return [
        (
            entry["at"][:19].replace("T", " "),
            entry["action"],
            entry["alias"],
            entry["pair"],
            entry["former_pair"] or "none",
            "; ".join(_remarks(entry)),
        )
        for entry in entries(Paths(portfolio_name, root))
    ]


def _remarks(entry: Mapping[str, Any]) -> list[str]:
    failed = [f"failed: {v['criterion']}" for v in entry["verdicts"] if not v["passed"]]
    signed = [f"{flag} signed off by {s['by']}" for flag, s in entry["signed_off"].items()]
    return [*failed, *signed]


def _unfinished(stack: Sequence[Mapping[str, Any]], pair: str) -> bool:
    """Whether the aliases went back to a pair, and the history was not told."""
    names = [each["pair"] for each in stack]
    return pair in names and names[-1] != pair


def _last_left(
    stack: Sequence[Mapping[str, Any]], portfolio_name: str, leaving: str
) -> Mapping[str, Any]:
    """Return the last entry of another pair that nobody has rolled back."""
    for entry in reversed(stack):
        pair = entry["pair"]
        if pair != leaving and marked(_versions_of(entry), pair) != ROLLED_BACK:
            return entry
    raise ModelMismatchError(
        f"{portfolio_name} has nothing to go back to: no pair stood in production before {leaving}"
    )


def _versions_of(entry: Mapping[str, Any]) -> Versions:
    found = versions_of(entry["versions"])
    if named(found) != entry["pair"]:
        raise ModelMismatchError(
            f"the registry's {numbers(found)} are not the pair {entry['pair']}"
        )
    return found


def _staged(paths: Paths, portfolio: Portfolio) -> str:
    """Point staging at what was trained, without a verdict."""
    models = _models(portfolio)
    versions = {m: registered_version(paths, m, ensured_run(paths, m)) for m in models}
    former, pair = aliased_pair(paths.portfolio, models, STAGING), named(versions)
    if marked(versions, pair) is None:
        mark(versions, pair, STAGED)
    point(versions, STAGING)
    record(
        paths,
        {
            "action": STAGED,
            "alias": STAGING,
            "pair": pair,
            "former_pair": None if former is None else named(former),
            "versions": numbers(versions),
            "verdicts": [],
            "signed_off": {},
        },
    )
    return pair


def _go_back(paths: Paths, current: Versions, former: Versions, served: bytes | None) -> None:
    """Move aliases, marks and served.json; if that is interrupted, all stay where they were.

    A pair is marked rolled back once the aliases have left it: a kill at any point leaves them on
    a promoted pair, and the next rollback ends what this one began.
    """
    leaving, pair = named(current), named(former)
    try:
        mark(former, pair, PROMOTED)
        point(former, PRODUCTION)
        mark(current, leaving, ROLLED_BACK)
        if served is not None:
            with replacing(paths.served) as file:
                file.write_bytes(served)
    except BaseException:
        mark(current, leaving, PROMOTED)
        point(current, PRODUCTION)
        raise


def _refuse_untrained(paths: Paths, portfolio: Portfolio) -> None:
    for model in _models(portfolio):
        if not paths.model(model).is_file():
            raise ModelMismatchError(
                f"{portfolio.name} has no trained {model} model; "
                f"run `make pipeline PORTFOLIO={portfolio.name}`"
            )


def _models(portfolio: Portfolio) -> list[Capability]:
    return [model for model in MODELS if model in portfolio.capabilities]
