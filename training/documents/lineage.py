"""A lineage for a person to read: a tree for the terminal, a section of a page."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.tree import Tree

from training.evidence.page import Section, Table, interval
from training.lineage import Lineage, ModelLineage
from training.locks import Stage

__all__ = ["section", "signatures", "tree", "verdict_table"]

_AGAIN = "of logging again, not of training"


def tree(found: Lineage) -> Tree:
    """Return a lineage as a tree for `rich` to print."""
    top = Tree(escape(found.decision_id or found.asked))
    _add(top, {"portfolio": found.portfolio, "pair": found.pair or "never judged as one"})
    for model in found.models:
        _add_model(top.add(escape(model.version)), model)
    gate = top.add("gate" if found.verdicts else "gate: no verdict is recorded")
    for verdict in found.verdicts:
        _add(gate, {str(verdict.get("criterion")): f"{_outcome(verdict)}; {verdict.get('why')}"})
    past = top.add("history" if found.history else "history: nothing is recorded of the pair")
    for when, did, signed in _happened(found):
        _add(past, {when: f"{did}; signed off: {signed}" if signed else did})
    restores = dict.fromkeys(model.restore for model in found.models)
    for commands in filter(None, restores):
        branch = top.add("to bring the data back, in the project's folder")
        for command in commands:
            branch.add(escape(command))
    return top


def _add_model(branch: Tree, model: ModelLineage) -> None:
    _add(
        branch,
        {
            "run": f"{model.run_id}, logged {model.logged_at}",
            "artefact SHA-256": model.artefact_sha256,
            "git commit": _commit(model),
            "changed but not committed": _uncommitted(model),
        },
    )
    for title, values in (
        ("data SHA-256", model.data),
        ("sources", model.sources),
        ("params", model.params),
        ("metrics", model.metrics),
    ):
        _add(branch.add(title if values else f"{title}: none recorded"), values)
    stages = branch.add(escape(f"DVC: {model.recorded}"))
    for stage in model.stages:
        _add_stage(stages.add(escape(stage.name)), stage)


def _add_stage(branch: Tree, stage: Stage) -> None:
    _add(branch, {"cmd": stage.cmd})
    _add(branch.add("deps, MD5"), stage.deps)
    _add(branch.add("outs, MD5"), stage.outs)


def _add(branch: Tree, values: Mapping[str, object]) -> None:
    for name, value in values.items():
        branch.add(escape(f"{name}: {value}"))


def section(found: Lineage, level: int = 2) -> Section:
    """Return a lineage as a section: one column a model, then the stages and the commands."""
    rows: dict[str, Callable[[ModelLineage], str]] = {
        "version": lambda m: m.version,
        "run": lambda m: f"{m.run_id}, logged {m.logged_at}",
        "artefact SHA-256": lambda m: m.artefact_sha256,
        "git commit": _commit,
        "changed but not committed": _uncommitted,
        "data SHA-256": lambda m: _listed(m.data),
        "sources, SHA-256": lambda m: _listed(m.sources),
        "parameters": lambda m: _listed(m.params),
        "DVC": lambda m: m.recorded,
    }
    models = Table(
        ["", *(model.model for model in found.models)],
        [[name, *(told(model) for model in found.models)] for name, told in rows.items()],
    )
    stages = {stage.name: stage for model in found.models for stage in model.stages}
    chain = Table(
        ["DVC stage", "command", "made of (MD5)", "makes (MD5)"],
        [[s.name, s.cmd, _listed(s.deps), _listed(s.outs)] for s in stages.values()],
    )
    past = Table(["when", "what happened to the pair", "signed off"], [*_happened(found)])
    commands = dict.fromkeys(c for model in found.models for c in model.restore)
    back = Table(
        ["commands that bring the data back, in the project's folder"], [[c] for c in commands]
    )
    return Section(
        "Lineage",
        level=level,
        texts=[f"Pair {found.pair or 'none'} of portfolio {found.portfolio}."],
        tables=[table for table in (models, past, chain, back) if table.rows],
    )


def _happened(found: Lineage) -> Iterator[list[str]]:
    """Yield what happened to the pair, oldest first: when, what, and who signed for it."""
    for line in found.history:
        did = f"{line.get('action')}, {line.get('alias')}"
        if line.get("pair") != found.pair:
            did = f"gave way to {line.get('pair')} ({did})"
        yield [str(line.get("at")), did, signatures(line)]


def signatures(line: Mapping[str, Any]) -> str:
    """Return who signed off what, and why, in a line of the history; empty where nobody did."""
    return "; ".join(
        f"{flag}: {by.get('by', 'unnamed')}, {by.get('reason', 'no reason given')}"
        for flag, by in (line.get("signed_off") or {}).items()
    )


def verdict_table(verdicts: Sequence[Mapping[str, Any]]) -> Table:
    """Return the gate's verdicts as a table; what a verdict does not say stays empty."""
    rows = [
        [
            str(verdict.get("criterion", "")),
            _outcome(verdict),
            _figure(verdict.get("figure"), verdict.get("interval")),
            str(verdict.get("bound", "")),
            str(verdict.get("why", "")),
        ]
        for verdict in verdicts
    ]
    return Table(["criterion", "verdict", "figure", "must be", "why"], rows)


def _outcome(verdict: Mapping[str, Any]) -> str:
    return str(verdict.get("outcome") or ("passed" if verdict.get("passed") else "FAILED"))


def _figure(value: float | None, reach: Sequence[float] | None) -> str:
    if value is None:
        return ""
    low, high = reach or (None, None)
    return interval({"value": value, "low": low, "high": high})


def _commit(model: ModelLineage) -> str:
    known = "in this repository" if model.commit_is_here else "not in this repository"
    again = f"; {_AGAIN}" if model.logged_again else ""
    return f"{model.commit} ({known}{again})"


def _uncommitted(model: ModelLineage) -> str:
    return f"{model.uncommitted} ({_AGAIN})" if model.logged_again else model.uncommitted


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in values.items()) or "none recorded"
