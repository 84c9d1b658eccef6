"""Stage `promote`: register the pair of models, judge it, and give it the aliases together.

Run as `python -m training.promote PORTFOLIO`. Both models become `staging`; if every criterion
holds they become `production`, else production stays as it was and the stage fails, saying why.
The one model of a book that teaches risk alone goes through the same gate.

The stage's output, promotion.json, holds what any machine would find. What depends on this
machine's champion goes to gate.json, the registry's tags, the runs, and the history.
"""

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mlflow.entities.model_registry import ModelVersion
from threadpoolctl import threadpool_limits

from finntelligence.errors import FinntelligenceError, ModelMismatchError
from finntelligence.portfolio import Capability, Portfolio
from training.gate.aliases import in_production, mark, marked, named, numbers, point
from training.gate.criteria import Gate, PromoteParams
from training.gate.fairness import CRITERION, fairness, unscreened
from training.gate.history import (
    PRODUCTION,
    PROMOTED,
    REFUSED,
    ROLLED_BACK,
    STAGING,
    entries,
    record,
)
from training.gate.pair import Pair, pair_of, registered_pair, trained_pair
from training.gate.parity import parity
from training.gate.sign_off import SignOff
from training.gate.verdict import Verdict
from training.stages import Paths, read_json, read_params, run_stage, write_json
from training.tables import load_portfolio
from training.tracking import MODELS, client, ensured_run, registered_version

__all__ = [
    "PROMOTED",
    "PromoteParams",
    "PromotionRefusedError",
    "main",
    "pair_of",
    "promote",
]

log = logging.getLogger(__name__)

Versions = Mapping[Capability, ModelVersion]


class PromotionRefusedError(FinntelligenceError):
    """The pair did not meet every criterion; production is unchanged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Champion:
    """What is in production, and the pair itself where it can be compared."""

    versions: Versions | None
    name: str | None
    pair: Pair | None
    said: str

    @classmethod
    def of(cls, paths: Paths, portfolio: Portfolio, models: Sequence[Capability]) -> "_Champion":
        versions = in_production(paths, models)
        if versions is None:
            return cls(versions=None, name=None, pair=None, said="there is no champion yet")
        name = named(versions)
        try:
            pair = registered_pair(versions, portfolio)
        except ModelMismatchError as error:  # of another declaration: other features, other prices
            said = f"the champion {name} cannot be compared: {error}"
            return cls(versions=versions, name=name, pair=None, said=said)
        return cls(versions=versions, name=name, pair=pair, said=f"the champion is {name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judgement:
    """All verdicts: the pair's own, and those that this machine adds; and who signed what."""

    alone: Sequence[Verdict]
    here: Sequence[Verdict]
    signed_off: Mapping[str, SignOff]

    @property
    def verdicts(self) -> list[Verdict]:
        return [*self.alone, *self.here]

    @property
    def failed(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if not verdict.passed]


def promote(
    portfolio_name: str,
    params: PromoteParams,
    sign_off: SignOff | None = None,
    by_person: bool = False,
) -> dict[str, Any]:
    """Register, judge and promote one portfolio's models; return the record of it.

    A pair that a person has rolled back stays so, unless a person asks for it.

    Raises:
        PromotionRefusedError: naming every criterion that failed.
    """
    paths, portfolio = Paths(portfolio_name), load_portfolio(portfolio_name)
    challenger = trained_pair(paths, portfolio)
    models = tuple(challenger.models)
    versions = {m: registered_version(paths, m, ensured_run(paths, m)) for m in models}
    champion = _Champion.of(paths, portfolio, models)
    with threadpool_limits(1, user_api="blas"):  # more threads would sum in another order
        found = _judged(Gate.of(paths, portfolio, params), challenger, champion, versions, sign_off)
    content = _content(challenger, champion, found, versions)
    _publish_verdicts(paths, versions, challenger.name, found, content)
    point(versions, STAGING)
    if found.failed:
        if marked(versions, challenger.name) not in (PROMOTED, ROLLED_BACK):  # those stay true
            mark(versions, challenger.name, REFUSED)
        record(paths, {"action": REFUSED, "alias": PRODUCTION, **content})
        text = "; ".join(verdict.says for verdict in found.failed)
        if {verdict.criterion for verdict in found.failed} == {CRITERION}:
            command = f"finnt promote {portfolio_name} --sign-off NAME --reason TEXT"
            text += f" Whoever answers for this pair says: {command}"
        raise PromotionRefusedError(f"{portfolio_name} stays in staging: {text}")
    left = marked(versions, challenger.name) == ROLLED_BACK and not by_person
    if left:
        log.warning(
            "promote %s: %s was rolled back by a person and stays so; to have it all the same: "
            "finnt promote %s --to production",
            *(portfolio_name, challenger.name, portfolio_name),
        )
    else:
        _enter(paths, versions, challenger.name, champion, content)
    # only what any machine would find: versions and runs are its registry's own
    own = {
        "pair": challenger.name,
        "sha256": {str(m): digest for m, digest in challenger.digests.items()},
        "verdicts": [verdict.to_mapping() for verdict in found.alone],
    }
    write_json(paths.build / "promotion.json", own)
    return {
        **content,
        "promoted": not left,
        "runs": {str(m): v.run_id for m, v in versions.items()},
    }


def _judged(
    gate: Gate,
    challenger: Pair,
    champion: _Champion,
    versions: Versions,
    sign_off: SignOff | None,
) -> _Judgement:
    alone = gate.alone(challenger, read_json(gate.paths.build / "evaluation.json"))
    here = parity(
        challenger, lambda m: registered_pair({m: versions[m]}, gate.portfolio), gate.heldout
    )
    if champion.name == challenger.name:
        return _Judgement(alone=alone, here=[*here, _itself()], signed_off={})
    here += gate.against(challenger, champion.pair)
    flags = gate.flags(challenger, champion.pair)
    if flags is None:
        here.append(unscreened("the book teaches risk alone, so there are no offers"))
        return _Judgement(alone=alone, here=here, signed_off={})
    signed = _signed_before(gate.paths, challenger.name)
    if sign_off is not None:
        signed |= dict.fromkeys(flags, sign_off)
    signed = {flag: signed[flag] for flag in flags if flag in signed}
    rival = "the list price" if champion.pair is None else "the champion"
    return _Judgement(alone=alone, here=[*here, fairness(flags, signed, rival)], signed_off=signed)


def _itself() -> Verdict:
    return Verdict(
        criterion="no worse than the champion",
        passed=True,
        figure=None,
        interval=None,
        bound="no worse",
        why="the challenger is the champion itself",
    )


def _signed_before(paths: Paths, pair: str) -> dict[str, SignOff]:
    """Return what persons have signed of this very pair."""
    signed: dict[str, SignOff] = {}
    for entry in entries(paths):
        if entry["pair"] == pair:
            signed |= {flag: SignOff(**each) for flag, each in entry["signed_off"].items()}
    return signed


def _content(
    challenger: Pair, champion: _Champion, found: _Judgement, versions: Versions
) -> dict[str, Any]:
    """Return what gate.json and the history say."""
    former = None if champion.versions is None else numbers(champion.versions)
    return {
        "pair": challenger.name,
        "former_pair": champion.name,
        "former_versions": former,
        "champion": champion.said,
        "versions": numbers(versions),
        "verdicts": [verdict.to_mapping() for verdict in found.verdicts],
        "signed_off": {flag: asdict(each) for flag, each in found.signed_off.items()},
    }


def _publish_verdicts(
    paths: Paths, versions: Versions, pair: str, found: _Judgement, content: Mapping[str, Any]
) -> None:
    """Tell the console, gate.json, the registry's versions and their runs."""
    server = client()
    for verdict in found.verdicts:
        log.info("  %-12s %s", verdict.outcome, verdict.says)
    write_json(paths.build / "gate.json", content)
    for version in versions.values():
        for verdict in found.verdicts:
            name = "".join(c if c.isalnum() else "_" for c in verdict.criterion)
            figure = verdict.why if verdict.figure is None else f"{verdict.figure:.6f}"
            server.set_model_version_tag(
                version.name,
                version.version,
                f"gate.{pair}.{name}",
                f"{verdict.outcome}: {figure}",
            )
        server.log_dict(str(version.run_id), dict(content), f"gate-{pair}.json")


def _enter(
    paths: Paths, versions: Versions, pair: str, champion: _Champion, content: Mapping[str, Any]
) -> None:
    """Bring a pair into production; wherever it is interrupted, the old or the new is in force."""
    mark(versions, pair, PROMOTED)
    point(versions, PRODUCTION)
    if champion.name != pair:
        record(paths, {"action": PROMOTED, "alias": PRODUCTION, **content})


def main(portfolio_name: str) -> None:
    """Promote one portfolio's models."""
    found = promote(portfolio_name, read_params("promote", PromoteParams))
    state = "production is" if found["promoted"] else "not in production:"
    log.info("promote %s: %s %s", portfolio_name, state, ", ".join(found["versions"].values()))
    if len(found["versions"]) < len(MODELS):
        log.info("promote %s: it ends here; a price needs an acceptance model too", portfolio_name)


if __name__ == "__main__":
    run_stage(main, sys.argv[1])
