"""Measure this service beside its rivals on this machine, and write down who is how fast.

    python -m loadtests.compare --rounds 3 --seconds 4

Each contender is started, asked for right answers, warmed and driven in turn, then stopped; after
as many rounds loadtests/report.md, .json and .png hold the ratios and the medians, or build/speed
where `--only` some were measured. No two run at once. Ends with status 1 when a contender answers
wrong, or a request fails.
"""

import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console

from finntelligence.errors import FinntelligenceError
from finntelligence.market import Market
from loadtests.bars import OPEN_CONNECTIONS, Measured, Tool
from loadtests.contenders import CONTENDERS, CannotStartError, Contender, Running, running
from loadtests.drive import CannotDriveError, Reading, h2load, refuse_missing_tools, wrk
from loadtests.grid_pricer import train
from loadtests.mix import drawn
from loadtests.open_loop import open_loop
from loadtests.probe import WrongAnswerError, probe_grpc, probe_http, refuse_unrecorded
from loadtests.questions import Question
from loadtests.report import bars_table, machine, write
from runners.store import ServedPair

__all__ = ["Bench", "in_turn"]

out = Console()

BOOK = "simulated"
WHOLE, PARTIAL = Path("loadtests"), Path("build") / "speed"
LOADS = (1, 16, 64)
_WARM_S = 2
_WARM_CONNECTIONS = 16
_PROBED = 48
_OPEN_SHARE = 0.7  # of the closed loop's peak
_AT_ONCE = 16  # applicants that h2load asks about in one round


@dataclass(slots=True)
class Bench:
    """What a comparison needs, and what it has found so far."""

    folder: Path
    questions: list[Question]
    market: Market
    seconds: float
    found: list[Measured] = field(default_factory=list)
    _turn: "count[int]" = field(default_factory=count)

    @classmethod
    def prepared(cls, folder: Path, applicants: int, seconds: float) -> "Bench":
        """Draw the mix and train the rival."""
        questions = drawn(BOOK, applicants)
        lines = (json.dumps(each.body) + "\n" for each in questions)
        (folder / "bodies").write_text("".join(lines), encoding="utf-8")
        typical = next(each.answer for each in questions if len(each.answer["offers"]) > 1)
        (folder / "answer.json").write_text(json.dumps(typical), encoding="utf-8")
        (folder / "rival").mkdir()
        train(BOOK, folder / "rival")
        return cls(folder, questions, ServedPair(BOOK).market()[0], seconds)

    def measure(self, contender: Contender, place: int) -> None:
        """Run one contender through its part of a round.

        Raises:
            CannotStartError: when it does not get ready.
            WrongAnswerError: when it answers wrong.
            CannotDriveError: when a request fails under load.
        """
        with running(contender, self.folder) as up:
            drive = _Driven(self, contender, place, up)
            some = self._some(_PROBED)
            drive.answered += len(probe_http(up.url, contender, some, self.market))
            drive.answered += self._wrk(up, _WARM_CONNECTIONS, _WARM_S).requests
            for load in LOADS:
                drive("wrk", load, partial(self._wrk, up, load, self.seconds))
            if contender.grpc:
                self._both_doors(contender, drive)
                drive("open loop", OPEN_CONNECTIONS, partial(self._open, up, drive.peak))
            refuse_unrecorded(contender, up, drive.answered)

    def _both_doors(self, contender: Contender, drive: "_Driven") -> None:
        """Drive the HTTP and the gRPC door by turns, another first in each round."""
        some, up = self._some(_AT_ONCE), drive.up
        http = probe_http(up.url, contender, some, self.market)
        grpc = probe_grpc(up.grpc, contender, some)
        drive.answered += len(http) + len(grpc)

        def ask(tool: Tool, connections: int, seconds: float) -> Reading:
            if tool == "h2load":
                return h2load(up.url, connections, seconds, http, grpc=False)
            return h2load(f"http://{up.grpc}", connections, seconds, grpc, grpc=True)

        doors: list[Tool] = ["h2load", "h2load gRPC"]
        if drive.place % 2:
            doors.reverse()
        for tool in doors:
            drive.answered += ask(tool, _WARM_CONNECTIONS, _WARM_S).requests
        for load in LOADS:
            for tool in doors:
                drive(tool, load, partial(ask, tool, load, self.seconds))

    def _wrk(self, up: Running, connections: int, seconds: float) -> Reading:
        first = next(self._turn) * 997 % len(self.questions)
        return wrk(up.url, connections, seconds, self.folder / "bodies", first)

    def _open(self, up: Running, peak: float) -> Reading:
        bodies = [json.dumps(each.body).encode() for each in self.questions]
        seconds = 2 * self.seconds
        return open_loop(up.url, _OPEN_SHARE * peak, seconds, bodies, OPEN_CONNECTIONS)

    def _some(self, size: int) -> list[Question]:
        first = next(self._turn) * size % max(1, len(self.questions) - size)
        return self.questions[first : first + size]


class _Driven:
    """Drives one contender in one round, and notes what each load cost it."""

    def __init__(self, bench: Bench, contender: Contender, place: int, up: Running) -> None:
        self.up, self.place, self.answered, self.peak = up, place, 0, 0.0
        self._bench, self._contender = bench, contender

    def __call__(self, tool: Tool, connections: int, drive: Callable[[], Reading]) -> None:
        before = self.up.cpu_s()
        reading = drive()
        used = self.up.cpu_s() - before
        self.answered += reading.requests
        self.peak = max(self.peak, reading.rate if tool == "wrk" else 0)
        measured = Measured(
            contender=self._contender.name,
            tool=tool,
            connections=connections,
            round=self.place,
            rate=reading.rate,
            p50_ms=reading.p50_ms,
            p99_ms=reading.p99_ms,
            cpu_s_per_1000=1000 * used / reading.requests,
            rss_mb=self.up.rss_mb(),
        )
        self._bench.found.append(measured)
        out.print(
            f"  {self._contender.name:9} {tool:11} {connections:3} connections "
            f"{measured.rate:8.1f}/s  p50 {measured.p50_ms:8.2f} ms  p99 {measured.p99_ms:8.2f} ms",
            highlight=False,
            soft_wrap=True,
        )


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[int, typer.Option(min=1, help="Of each load in a round.")] = 4,
    applicants: Annotated[int, typer.Option(min=100)] = 3000,
    only: Annotated[list[str] | None, typer.Option(help="Contenders; all if none.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where the report goes.")] = None,
) -> None:
    """Compare the contenders and report: in loadtests, of some of them alone in build/speed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # stops what runs on its way out
    chosen = _chosen(only or [])
    folder = folder or (PARTIAL if only else WHOLE)
    began = time.monotonic()
    about: dict[str, Any] = {
        "machine": machine(),
        "rounds": rounds,
        "seconds": seconds,
        "applicants": applicants,
    }
    try:
        refuse_missing_tools()
        about["trees"] = {
            model: scorer.booster.num_boosted_rounds()
            for model, scorer in ServedPair(BOOK).market()[1].items()
        }
        with TemporaryDirectory() as own:
            out.print(f"drawing {applicants} applicants, training the rival")
            bench = Bench.prepared(Path(own), applicants, seconds)
            for place in range(rounds):
                out.print(f"round {place + 1} of {rounds}")
                for contender in in_turn(chosen, place):
                    bench.measure(contender, place)
    except (CannotDriveError, CannotStartError, FinntelligenceError, WrongAnswerError) as error:
        out.print(f"[red]{error}[/red]")
        sys.exit(1)
    folder.mkdir(parents=True, exist_ok=True)
    about["minutes"] = round((time.monotonic() - began) / 60, 1)
    out.print(bars_table(write(bench.found, about, folder)))
    out.print(f"{about['minutes']} minutes; {folder / 'report.md'}, .json, .png")


def in_turn(chosen: Sequence[Contender], place: int) -> list[Contender]:
    """Return the contenders in the order of a round: nobody is always the first.

    >>> [each.letter for each in in_turn(CONTENDERS, 2)]
    ['d', 'd', 'e', 'f', 'a', 'b']
    """
    first = place % len(chosen)
    return [*chosen[first:], *chosen[:first]]


def _chosen(names: Sequence[str]) -> list[Contender]:
    known = {each.name: each for each in CONTENDERS}
    for name in names:
        if name not in known:
            said = f"{name!r} is no contender; there are {', '.join(known)}"
            raise typer.BadParameter(said, param_hint="--only")
    return [each for each in CONTENDERS if not names or each.name in names]


if __name__ == "__main__":
    typer.run(main)
