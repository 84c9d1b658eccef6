"""How much of the attainable profit each form of model captures, in worlds whose truth is known.

Run as `python -m training.simulator.attainment [--quick]`. Writes build/worlds/report.json and
report.html. Each world and seed is a process of its own, whose finished result is kept until what
it depends on changes: an interrupted run goes on where it stopped.
"""

import argparse
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.simulator.contest import Contest
from training.simulator.worlds_report import page, report
from training.stages import read_json, start_log, write_json

__all__ = ["FOLDER", "finished", "full_plan", "main", "quick_plan"]

log = logging.getLogger("training.simulator.attainment")

FOLDER = Path("build/worlds")

_SEEDS = {"W1": 5, "W2": 5, "W3": 1, "W4": 5}
_QUICK = ("W1", "W4")
_PROCESSES = min(2, os.cpu_count() or 1)
_ONE_THREAD = {"OMP_THREAD_LIMIT": "1", "OPENBLAS_NUM_THREADS": "1"}  # equal bits everywhere
_POLL_SECONDS = 0.2


def full_plan() -> list[Contest]:
    """Return all contests; every world's first seed comes first."""
    most = max(_SEEDS.values())
    return [
        Contest(world=world, seed=seed)
        for seed in range(1, most + 1)
        for world, count in _SEEDS.items()
        if seed <= count
    ]


def quick_plan() -> list[Contest]:
    """Return the few contests that take minutes."""
    return [contest for contest in full_plan() if contest.world in _QUICK and contest.seed == 1]


def finished(contest: Contest) -> dict[str, Any] | None:
    """Return a contest's part, or None if it has yet to be held with the present code."""
    path = _part(contest)
    part = read_json(path) if path.is_file() else {}
    return part if part.get("digest") == contest.digest() else None


def main(todo: Sequence[Contest], known: Sequence[Contest] = ()) -> None:
    """Hold what is not finished of `todo`; report on that and on what is finished of `known`."""
    left = [contest for contest in todo if finished(contest) is None]
    log.info("%d of %d parts are finished; %d to go", len(todo) - len(left), len(todo), len(left))
    _hold(left)
    every = [*todo, *(contest for contest in known if contest not in todo)]
    parts = [part for contest in every if (part := finished(contest)) is not None]
    found = report(parts)
    write_json(FOLDER / "report.json", found)
    path = FOLDER / "report.html"
    unfinished = path.with_suffix(".partial")
    unfinished.write_text(page(found), encoding="utf-8")
    unfinished.replace(path)
    log.info("%s and %s", path, path.with_suffix(".json"))


def _part(contest: Contest) -> Path:
    return FOLDER / "parts" / f"{contest.name}.json"


def _hold(left: Sequence[Contest]) -> None:
    """Hold contests, a few at a time; if one fails or we are stopped, none goes on."""
    waiting = list(left)
    running: dict[subprocess.Popen, Contest] = {}
    start, held = time.perf_counter(), 0
    try:
        while waiting or running:
            while waiting and len(running) < _PROCESSES:
                contest = waiting.pop(0)
                running[_started(contest)] = contest
            time.sleep(_POLL_SECONDS)
            for process in [each for each in running if each.poll() is not None]:
                contest = running.pop(process)
                if process.returncode:
                    raise SystemExit(f"{contest.name} failed; the lines above say why")
                held += 1
                elapsed = (time.perf_counter() - start) / 60
                log.info(
                    "%s done: %d of %d; %.1f min elapsed, about %.0f min to go",
                    *(contest.name, held, len(left), elapsed),
                    elapsed / held * (len(left) - held),
                )
    finally:
        for process in running:
            process.kill()
            process.wait()


def _started(contest: Contest) -> subprocess.Popen:
    values = [str(value) for value in asdict(contest).values()]
    return subprocess.Popen(
        [sys.executable, "-m", "training.simulator.contest", *values, str(_part(contest))],
        env=os.environ | _ONE_THREAD,
        start_new_session=True,  # Ctrl-C is for us: we end what we started
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one seed of two worlds: minutes")
    start_log()
    log.setLevel("INFO")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main(quick_plan() if parser.parse_args().quick else full_plan(), full_plan())
    except KeyboardInterrupt:
        log.info("stopped; finished parts are kept: run again to go on")
        raise SystemExit(130) from None
