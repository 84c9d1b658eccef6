"""What dvc.lock says of a trained model, as git has it, and how to bring its data back."""

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Stage", "has_commit", "recorded", "restore_commands"]

RESTORED = "restored"
"""Where the printed commands put data, below the project's root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage as a dvc.lock has it; `deps` and `outs` hold MD5 by path."""

    name: str
    cmd: str
    params: Mapping[str, Any]
    deps: Mapping[str, str]
    outs: Mapping[str, str]


def recorded(tags: Mapping[str, str], root: Path = Path()) -> tuple[str, tuple[Stage, ...]]:
    """Say which dvc.lock holds a run's very data and model; return its stages, data first.

    A run's own commit holds them only if nothing had changed since it; else a later commit or the
    working tree may. `tags` are the run's.
    """
    if "data_md5" not in tags:
        return "unknown: the run does not say which state of DVC it was in", ()
    commit = tags["git_commit"]
    if stages := _stages(_lock_at(commit, root), tags):
        return f"the dvc.lock of commit {commit} holds this very data and model", stages
    held = _data_in(_lock_at(commit, root), tags)
    other = f"its dvc.lock holds {held} as data" if held else "it has no lock of this stage"
    uncommitted = f"trained from uncommitted state: of commit {commit[:12]}, {other}"
    for later in _commits_with(tags["artefact_md5"], root):
        if stages := _stages(_lock_at(later, root), tags):
            return f"{uncommitted}; commit {later} records it since", stages
    path = root / "dvc.lock"
    if path.exists() and (stages := _stages(_read(path.read_text(encoding="utf-8")), tags)):
        return f"{uncommitted}; the working tree's dvc.lock, not committed, records it", stages
    return f"{uncommitted}; no dvc.lock here records it", ()


def restore_commands(tags: Mapping[str, str]) -> tuple[str, ...]:
    """Return shell commands that bring a run's data back from DVC's cache, or else its remote.

    They ask DVC for the folder's own hash, so they need no commit; git ignores what they bring.
    """
    if "data_md5" not in tags:
        return ()
    name = f"{tags['portfolio']}-{tags['data_md5'][:8]}"
    pointer = f"{RESTORED}/{name}.dvc"
    content = rf"outs:\n- md5: {tags['data_md5']}\n  hash: md5\n  path: {name}\n"
    return (
        f"mkdir -p {RESTORED}",
        rf"printf '/*/\n' > {RESTORED}/.gitignore",
        f"printf '{content}' > {pointer}",
        f"dvc checkout {pointer} || dvc pull {pointer}",
        f"sha256sum {RESTORED}/{name}/train/*.parquet",
    )


def has_commit(commit: str, root: Path = Path()) -> bool:
    """Whether git has the commit here."""
    return _git(root, "cat-file", "-t", commit) == "commit\n"


def _paths(tags: Mapping[str, str]) -> tuple[str, str]:
    """Return where a stage reads its data and writes its model."""
    portfolio, model = tags["portfolio"], tags["model"]
    return f"data/processed/{portfolio}", f"build/{portfolio}/{model}/model.ubj"


def _stages(lock: Mapping[str, Any], tags: Mapping[str, str]) -> tuple[Stage, ...]:
    """Return a lock's stages from the data to the model; none if it holds other data or another."""
    data, model = _paths(tags)
    stages = {name: _stage(name, entry) for name, entry in lock.items()}
    last = stages.get(tags["dvc_stage"])
    if last is None:
        return ()
    if (last.deps.get(data), last.outs.get(model)) != (tags["data_md5"], tags["artefact_md5"]):
        return ()
    chain = [last]
    makers = {(path, md5): s for s in stages.values() for path, md5 in s.outs.items()}
    while made := [makers[dep] for dep in chain[0].deps.items() if dep in makers]:
        chain.insert(0, made[0])
    return tuple(chain)


def _stage(name: str, entry: Mapping[str, Any]) -> Stage:
    deps, outs = (
        {item["path"]: item["md5"] for item in entry.get(kind, ()) if "md5" in item}
        for kind in ("deps", "outs")
    )
    params = entry.get("params", {}).get("params.yaml", {})
    return Stage(name=name, cmd=str(entry["cmd"]), params=params, deps=deps, outs=outs)


def _data_in(lock: Mapping[str, Any], tags: Mapping[str, str]) -> str | None:
    entry = lock.get(tags["dvc_stage"])
    return _stage("", entry).deps.get(_paths(tags)[0]) if entry else None


def _lock_at(commit: str, root: Path) -> dict[str, Any]:
    return _read(_git(root, "show", f"{commit}:./dvc.lock"))


def _read(text: str) -> dict[str, Any]:
    stages: dict[str, Any] = (yaml.safe_load(text) or {}).get("stages", {})
    return stages


def _commits_with(md5: str, root: Path) -> Iterator[str]:
    """Yield the commits, oldest first, that brought a hash into dvc.lock or took it out."""
    yield from _git(
        root, "log", "--all", "--reverse", "--format=%H", f"-S{md5}", "--", "dvc.lock"
    ).split()


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""
