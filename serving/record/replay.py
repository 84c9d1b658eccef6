"""Replay: compute a recorded decision again, and agree or say exactly what differs.

With the recorded coefficients under the recorded declaration, policy and model specifications; and,
where the models are at hand, from the applicant on: the coefficients and the whole answer.
"""

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from finntelligence import __version__
from finntelligence.errors import ModelMismatchError, ModelUnavailableError
from finntelligence.features import application_columns, design_matrix
from finntelligence.market import Market
from serving.handler import Engine, Scorer, handle, in_process
from serving.record.database import snapshot
from serving.record.documents import market_from
from serving.record.entry import Entry
from serving.record.reader import decision, document, whole
from serving.wire import OfferRequest, from_core, to_core

__all__ = ["Difference", "Loader", "Models", "Replay", "replay"]

Array = NDArray[np.float64]
AnswerRows = Callable[[Array], Array]

_SAME = 1e-9  # relative: what another machine's arithmetic may change
_OWN = ("decision_id", "versions")  # of an answer: never computed again
_FROM_MODELS = ("explanation", "reasons", "counter_offer")  # of it: more than coefficients needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """What decided, loaded again: what prices, and both models' scorers."""

    market: Market
    score_risk: AnswerRows
    score_acceptance: AnswerRows
    explain_risk: AnswerRows

    @classmethod
    def of_scorers(cls, market: Market, scorers: Mapping[str, Scorer]) -> Self:
        """Return them of the two loaded models, "risk" and "acceptance"."""
        return cls(
            market=market,
            score_risk=scorers["risk"].coefficients,
            score_acceptance=scorers["acceptance"].coefficients,
            explain_risk=scorers["risk"].contributions,
        )


Loader = Callable[[Mapping[str, str]], Models]
"""Loads exact versions; raises ModelMismatchError where one is not at hand."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that came out otherwise; `field` is its path in the answer or in `heads`."""

    field: str
    recorded: Any
    recomputed: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What was computed again, what came out otherwise, and what could not be compared."""

    decision_id: str
    compared: tuple[str, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether all that was compared is as it was recorded."""
        return not self.differences

    def rows(self) -> list[tuple[str, ...]]:
        """Return one row for each difference: field, recorded, recomputed."""
        return [(d.field, repr(d.recorded), repr(d.recomputed)) for d in self.differences]


def replay(engine: sa.Engine, decision_id: str, load: Loader | None = None) -> Replay:
    """Compute a recorded decision again; `load` brings its models, if they are at hand.

    It runs an event loop of its own: within another one call it by `asyncio.to_thread`.

    Raises:
        UnknownDecisionError: when it is not recorded, or was pruned.
        ModelMismatchError: when neither the record nor `load` knows what decided.
        RecordUnavailableError: when the record does not answer.
    """
    with snapshot(engine) as connection:
        entry = whole(decision(connection, decision_id))
        kept: Market | ModelMismatchError
        try:
            kept = market_from(entry.documents, lambda digest: document(connection, digest))
        except ModelMismatchError as error:
            kept = error
    notes: list[str] = []
    if entry.versions.get("engine") != __version__:
        notes.append(f"decided by engine {entry.versions.get('engine')}, this is {__version__}")
    models = _loaded(load, entry.versions, notes)
    if isinstance(kept, ModelMismatchError):
        if models is None:
            raise kept
        kept = models.market
    if models is not None:  # loaded under the shadow prices of today
        models = replace(models, market=replace(models.market, prices=kept.prices))
    compared, differences = _from_heads(entry, kept)
    if models is not None:
        more, found = _from_applicant(entry, models)
        compared, differences = compared + more, differences + found
    elif entry.answer["outcome"] == "decline" or entry.answer.get("explanation"):
        notes.append("reasons, counter-offer and explanation need the models: not compared")
    return Replay(
        decision_id=decision_id,
        compared=tuple(dict.fromkeys(compared)),
        differences=tuple(dict.fromkeys(differences)),
        notes=tuple(notes),
    )


def _loaded(load: Loader | None, versions: Mapping[str, str], notes: list[str]) -> Models | None:
    if load is None:
        return None
    try:
        models = load(versions)
    except ModelMismatchError as error:
        notes.append(f"the models are not at hand: {error}")
        return None
    for part, digest in (
        ("portfolio", models.market.portfolio.digest),
        ("policy", models.market.policy.digest),
    ):
        if versions.get(part) != digest:
            notes.append(f"loaded was another {part} than decided; its models are not asked")
            return None
    return models


def _from_heads(entry: Entry, market: Market) -> tuple[list[str], list[Difference]]:
    """Decide again on the recorded coefficients."""
    models = Models(
        market=market,
        score_risk=_only(entry, "risk"),
        score_acceptance=_only(entry, "acceptance"),
        explain_risk=_no_model,
    )
    kept = [name for name in entry.answer if name not in (*_OWN, *_FROM_MODELS)]
    recorded = {name: entry.answer[name] for name in kept}
    try:
        answer = _answer(entry, models, explain=False)
    except ModelUnavailableError:  # asked why nothing is offered: only a decline asks
        answer = {**recorded, "outcome": "decline", "offers": []}
    return ["offers"], list(_differences("", recorded, {name: answer.get(name) for name in kept}))


def _from_applicant(entry: Entry, models: Models) -> tuple[list[str], list[Difference]]:
    """Score and decide again."""
    portfolio = models.market.portfolio
    row = design_matrix(portfolio, application_columns(to_core(_request(entry), portfolio)))
    if "acceptance" not in entry.heads:  # it did not answer, and does not now
        models = replace(models, score_acceptance=_no_model)
    scorers = {"risk": models.score_risk, "acceptance": models.score_acceptance}
    heads = {model: scorers[model](row)[0].tolist() for model in entry.heads}
    answer = _answer(entry, models, explain=entry.answer.get("explanation") is not None)
    kept = [name for name in entry.answer if name not in _OWN]
    recorded = {name: entry.answer[name] for name in kept}
    differences = [
        *_differences("heads", dict(entry.heads), heads),
        *_differences("", recorded, {name: answer.get(name) for name in kept}),
    ]
    return ["heads", *kept], differences


def _answer(entry: Entry, models: Models, *, explain: bool) -> dict[str, Any]:
    """Return the answer that the one handler gives today; nothing is recorded."""
    market = models.market
    engine = Engine(
        market=market,
        versions=entry.versions,
        score_risk=in_process(models.score_risk),
        score_acceptance=in_process(models.score_acceptance),
        explain_risk=in_process(models.explain_risk),
    )
    application = to_core(_request(entry), market.portfolio)
    handled = handle(application, engine, explain=explain, applicant_key=entry.applicant_key)
    answer = asyncio.run(handled)
    body = from_core(answer.decision, entry.decision_id, market.portfolio)
    return body.model_dump(mode="json")


def _request(entry: Entry) -> OfferRequest:
    return OfferRequest.model_validate(dict(entry.request))


def _only(entry: Entry, model: str) -> AnswerRows:
    """Return what answers as a model did for the applicant; a counter-offer asks about others."""
    if model not in entry.heads:
        return _no_model
    coefficients = np.array([entry.heads[model]], dtype=float)

    def score(rows: Array) -> Array:
        return coefficients if len(rows) == 1 else _no_model(rows)

    return score


def _no_model(_: Array) -> Array:
    raise ModelUnavailableError("only the applicant's coefficients are recorded")


def _differences(path: str, recorded: Any, recomputed: Any) -> Iterator[Difference]:
    """Yield the path of every value that is not the same."""
    if isinstance(recorded, Mapping) and isinstance(recomputed, Mapping):
        for name in dict.fromkeys((*recorded, *recomputed)):
            inner = f"{path}.{name}" if path else str(name)
            yield from _differences(inner, recorded.get(name), recomputed.get(name))
    elif _is_list(recorded) and _is_list(recomputed) and len(recorded) == len(recomputed):
        for place, (old, new) in enumerate(zip(recorded, recomputed, strict=True)):
            yield from _differences(f"{path}[{place}]", old, new)
    elif not _is_same(recorded, recomputed):
        yield Difference(path, _short(recorded), _short(recomputed))


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_same(recorded: Any, recomputed: Any) -> bool:
    if isinstance(recorded, float) and isinstance(recomputed, int | float):
        return math.isclose(recorded, recomputed, rel_tol=_SAME, abs_tol=_SAME)
    return bool(recorded == recomputed)


def _short(value: Any) -> Any:
    """Return a value in a word: whole lists and objects are not repeated."""
    if _is_list(value):
        return f"{len(value)} of them"
    return "something" if isinstance(value, Mapping) else value
