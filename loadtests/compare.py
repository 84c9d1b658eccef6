"""Measure this service beside its rivals on this machine, and write down who is how fast.

    python -m loadtests.compare --rounds 3 --seconds 4

Each contender is started, asked for right answers, warmed and driven in turn, then stopped; after
as many rounds loadtests/report.md, .json and .png hold the medians. No two run at once. Ends with
status 1 when a contender answers wrong, or a request fails.
"""

import json
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

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

__all__ = ["Bench"]

out = Console()

BOOK = "simulated"
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
                drive("wrk", load, lambda load=load: self._wrk(up, load, self.seconds))
            if contender.grpc:
                self._both_doors(contender, drive)
                drive("open loop", OPEN_CONNECTIONS, lambda: self._open(up, drive.peak))
            refuse_unrecorded(contender, up, drive.answered)

    def _both_doors(self, contender: Contender, drive: "_Driven") -> None:
        some, up = self._some(_AT_ONCE), drive.up
        http = probe_http(up.url, contender, some, self.market)
        grpc = probe_grpc(up.grpc, contender, some)
        door = f"http://{up.grpc}"
        warm = h2load(door, _WARM_CONNECTIONS, _WARM_S, grpc, grpc=True)
        drive.answered += len(http) + len(grpc) + warm.requests
        for load in LOADS:
            drive("h2load", load, lambda n=load: h2load(up.url, n, self.seconds, http, grpc=False))
            drive(
                "h2load gRPC", load, lambda n=load: h2load(door, n, self.seconds, grpc, grpc=True)
            )

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
        self.up, self.answered, self.peak = up, 0, 0.0
        self._bench, self._contender, self._place = bench, contender, place

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
            round=self._place,
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
    folder: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("loadtests"),
) -> None:
    """Compare the contenders and report."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # stops what runs on its way out
    chosen = [each for each in CONTENDERS if not only or each.name in only]
    about = {
        "machine": machine(),
        "rounds": rounds,
        "seconds": seconds,
        "applicants": applicants,
        "trees": {
            model: scorer.booster.num_boosted_rounds()
            for model, scorer in ServedPair(BOOK).market()[1].items()
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    try:
        refuse_missing_tools()
        with TemporaryDirectory() as own:
            out.print(f"drawing {applicants} applicants, training the rival")
            bench = Bench.prepared(Path(own), applicants, seconds)
            for place in range(rounds):
                out.print(f"round {place + 1} of {rounds}")
                for i in range(len(chosen)):  # nobody is always the first
                    bench.measure(chosen[(i + place) % len(chosen)], place)
    except (CannotDriveError, CannotStartError, FinntelligenceError, WrongAnswerError) as error:
        out.print(f"[red]{error}[/red]")
        sys.exit(1)
    out.print(bars_table(write(bench.found, about, folder)))
    out.print(f"{folder / 'report.md'}, .json, .png")


if __name__ == "__main__":
    typer.run(main)
