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
from dataclasses import asdict, dataclass, replace
from typing import Any

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from threadpoolctl import threadpool_limits

from finntelligence.errors import FinntelligenceError, ModelMismatchError
from finntelligence.portfolio import Capability
from training.gate.aliases import (
    mark,
    mark_everywhere,
    marked,
    numbers,
    point,
    was_rolled_back,
)
from training.gate.champion import Champion
from training.gate.criteria import Gate, PromoteParams
from training.gate.fairness import CRITERION, covers, fairness, unscreened
from training.gate.history import (
    PRODUCTION,
    PROMOTED,
    REFUSED,
    ROLLED_BACK,
    STAGING,
    entries,
    record,
    standing,
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
        ModelMismatchError: when the pair was not evaluated, or the champion cannot be read.
        PromotionRefusedError: naming every criterion that failed.
    """
    paths, portfolio = Paths(portfolio_name), load_portfolio(portfolio_name)
    if not (paths.build / "evaluation.json").is_file():
        raise ModelMismatchError(
            f"{portfolio_name} has no evaluation.json, the evidence about its pair; "
            f"run `make pipeline PORTFOLIO={portfolio_name}`"
        )
    challenger = trained_pair(paths, portfolio)
    models = tuple(challenger.models)
    versions = {m: registered_version(paths, m, ensured_run(paths, m)) for m in models}
    champion = Champion.of(paths, portfolio, challenger, versions)
    with threadpool_limits(1, user_api="blas"):  # more threads would sum in another order
        found = _judged(Gate.of(paths, portfolio, params), challenger, champion, versions, sign_off)
    content = _content(challenger, champion, found, versions)
    _publish_verdicts(paths, versions, found, content)
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
    anew = not by_person and champion.name != challenger.name
    left = anew and was_rolled_back(portfolio_name, models, challenger.name)
    if left:
        log.warning(
            "promote %s: %s was rolled back by a person and stays so; to have it all the same: "
            "finnt promote %s --to production",
            *(portfolio_name, challenger.name, portfolio_name),
        )
    else:
        _enter(paths, versions, content)
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
    champion: Champion,
    versions: Versions,
    sign_off: SignOff | None,
) -> _Judgement:
    alone = gate.alone(challenger)
    here = parity(
        challenger, lambda m: registered_pair({m: versions[m]}, gate.portfolio), gate.heldout
    )
    if champion.name == challenger.name:
        return _Judgement(alone=alone, here=[*here, _itself()], signed_off={})
    here += gate.against(challenger, champion.pair, champion.caveat)
    flags = gate.flags(challenger, champion.pair)
    if flags is None:
        here.append(unscreened("the book teaches risk alone, so there are no offers"))
        return _Judgement(alone=alone, here=here, signed_off={})
    before = _signed_before(gate.paths, challenger.name)
    signed = {f: s for f, s in before.items() if f in flags and covers(s, flags[f])}
    if sign_off is not None:
        signed = {f: replace(sign_off, value=float(s["value"])) for f, s in flags.items()}
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
    challenger: Pair, champion: Champion, found: _Judgement, versions: Versions
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
    paths: Paths, versions: Versions, found: _Judgement, content: Mapping[str, Any]
) -> None:
    """Tell the console, gate.json, the registry's versions and their runs.

    A champion that passes again, which nobody else was compared with, leaves the verdicts of its
    promotion where they are.
    """
    server, pair, path = client(), content["pair"], paths.build / "gate.json"
    again = pair == content["former_pair"] and not found.failed
    for verdict in found.verdicts:
        log.info("  %-12s %s", verdict.outcome, verdict.says)
    if not (again and path.exists() and _let_in(read_json(path), pair)):
        write_json(path, content)
    for version in versions.values():
        if again and _let_in(_in_run(str(version.run_id), f"gate-{pair}.json"), pair):
            continue
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


def _let_in(known: Mapping[str, Any], pair: str) -> bool:
    """Whether verdicts that were written down are those by which a pair passed."""
    return known.get("pair") == pair and all(each["passed"] for each in known["verdicts"])


def _in_run(run_id: str, name: str) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = mlflow.artifacts.load_dict(f"runs:/{run_id}/{name}")
    except MlflowException:
        return {}
    return found


def _enter(paths: Paths, versions: Versions, content: Mapping[str, Any]) -> None:
    """Bring a pair into production; wherever it is interrupted, the old or the new is in force."""
    pair, stack = content["pair"], standing(paths)
    mark_everywhere(versions, pair, PROMOTED)
    point(versions, PRODUCTION)
    if stack and stack[-1]["pair"] == pair:
        return
    entry = {"action": PROMOTED, "alias": PRODUCTION, **content}
    if content["former_pair"] == pair:  # it came before the history, or was killed on its way there
        former = stack[-1] if stack else {"pair": None, "versions": None}
        entry |= {"former_pair": former["pair"], "former_versions": former["versions"]}
    record(paths, entry)


def main(portfolio_name: str) -> None:
    """Promote one portfolio's models."""
    found = promote(portfolio_name, read_params("promote", PromoteParams))
    state = "production is" if found["promoted"] else "not in production:"
    log.info("promote %s: %s %s", portfolio_name, state, ", ".join(found["versions"].values()))
    if len(found["versions"]) < len(MODELS):
        log.info("promote %s: it ends here; a price needs an acceptance model too", portfolio_name)


if __name__ == "__main__":
    run_stage(main, sys.argv[1])
