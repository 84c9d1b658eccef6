"""Closed loops: light generators that send the next request as soon as the last is answered.

`wrk` sends differing requests over HTTP/1.1; `h2load` speaks HTTP/1.1 and gRPC alike, so that the
two doors can be compared. h2load repeats one body, so several of them run beside one another, each
with an applicant of its own. Both are C and take a small part of a core.
"""

import json
import re
import shutil
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

__all__ = [
    "METHOD",
    "OFFERS",
    "CannotDriveError",
    "Reading",
    "framed",
    "h2load",
    "parsed_h2load",
    "parsed_wrk",
    "refuse_missing_tools",
    "wrk",
]

OFFERS = "/v1/offers"
METHOD = "/finntelligence.v1.Offers/OptimiseOffers"

_SCRIPT = Path(__file__).with_name("wrk.lua")
_PACKAGES = {"wrk": "wrk", "h2load": "nghttp2-client"}
_PROCESSES = 16  # of h2load at most
_OVERTIME_S = 30
_TOTALS = re.compile(r"^requests: \d+ total, (\d+) started, (\d+) done, (\d+) succeeded", re.M)
_CODES = re.compile(r"^status codes: (\d+) 2xx", re.M)
_DATA = re.compile(r"^traffic: .*\((\d+)\) data$", re.M)


class CannotDriveError(Exception):
    """A generator is missing, or did not bring a reading home in which every request succeeded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a generator saw: answered requests, in how many seconds, and their latencies."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def refuse_missing_tools() -> None:
    """Say which Debian packages are to be installed.

    Raises:
        CannotDriveError: when one is missing.
    """
    missing = [package for tool, package in _PACKAGES.items() if shutil.which(tool) is None]
    if missing:
        raise CannotDriveError(f"a load generator is missing: apt-get install {' '.join(missing)}")


def wrk(url: str, connections: int, seconds: float, bodies: Path, first: int = 0) -> Reading:
    """Send the requests of a file, one body a line, beginning behind its line `first`."""
    command = [
        *("wrk", "--threads", "1", "--connections", str(connections)),
        *("--duration", f"{seconds:g}s", "--timeout", "10s", "--script", str(_SCRIPT)),
        *(url + OFFERS, "--", str(bodies), str(first)),
    ]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        return parsed_wrk(_ended(run, seconds))
    finally:
        run.kill()
        run.wait()


def parsed_wrk(output: str) -> Reading:
    """Read the line that wrk.lua prints last.

    Raises:
        CannotDriveError: when a request failed, or none was answered.
    """
    told = json.loads(output.strip().splitlines()[-1])
    refused, broken = told.pop("refused"), told.pop("broken")
    if refused or broken or not told["requests"]:
        said = f"{refused} refused and {broken} broken off of {told['requests']} requests"
        raise CannotDriveError(f"wrk: {said}")
    return Reading(**told)


def framed(message: bytes) -> bytes:
    r"""Return a protobuf message as gRPC sends it: not compressed, with its length.

    >>> framed(b"abc")
    b'\x00\x00\x00\x00\x03abc'
    """
    return struct.pack(">?I", False, len(message)) + message


def h2load(
    url: str, connections: int, seconds: float, asked: Sequence[tuple[bytes, int]], *, grpc: bool
) -> Reading:
    """Send each body over connections of its own, over gRPC or HTTP/1.1.

    `asked` are bodies, framed ones for gRPC, each with the bytes that its answer must have: h2load
    does not read gRPC's status, but an error is no answer's length.

    Raises:
        CannotDriveError: when a request failed, or none was answered.
    """
    door = ("application/grpc", METHOD) if grpc else ("application/json", OFFERS)
    count = min(connections, _PROCESSES, len(asked))
    shares = [connections // count + (i < connections % count) for i in range(count)]
    with TemporaryDirectory() as folder:
        runs = [
            _start_h2load(url, door, share, seconds, body, Path(folder, str(place)))
            for place, (share, (body, _)) in enumerate(zip(shares, asked, strict=False))
        ]
        try:
            done = [_ended(run, seconds) for run in runs]
        finally:
            for run in runs:
                run.kill()
                run.wait()
        for output, (_, size) in zip(done, asked, strict=False):
            parsed_h2load(output, size)
        logs = [Path(folder, f"{place}.log").read_text(encoding="ascii") for place in range(count)]
    if not any(logs):
        raise CannotDriveError("h2load: no request was answered")
    taken = np.array([int(line.split()[2]) for log in logs for line in log.splitlines()])
    p50, p99 = np.percentile(taken / 1e3, (50, 99))
    return Reading(requests=len(taken), seconds=seconds, p50_ms=float(p50), p99_ms=float(p99))


def _start_h2load(
    url: str, door: tuple[str, str], connections: int, seconds: float, body: bytes, path: Path
) -> subprocess.Popen[str]:
    kind, method = door
    path.write_bytes(body)
    protocol = ["--header", "te: trailers"] if kind == "application/grpc" else ["--h1"]
    command = [
        *("h2load", *protocol, "--threads", "1", "--clients", str(connections)),
        *(
            "--duration",
            f"{round(1000 * seconds)}ms",
            "--data",
            str(path),
            "--log-file",
            f"{path}.log",
        ),
        *("--header", f"content-type: {kind}", url + method),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def parsed_h2load(output: str, size: int) -> int:
    """Return how many requests h2load tells to have been answered with `size` bytes each.

    Raises:
        CannotDriveError: when one failed.
    """
    found = [pattern.search(output) for pattern in (_TOTALS, _CODES, _DATA)]
    if None in found:
        raise CannotDriveError(f"h2load: {output.strip()[-200:]}")
    totals, codes, data = (tuple(map(int, each.groups())) for each in found if each)
    (started, answered, succeeded), (begun,) = totals, codes
    # time may be up in the midst of an answer
    right = succeeded == answered <= begun <= started
    if not right or data[0] < answered * size:
        said = f"{succeeded} succeeded, {begun} had status 2xx, {data[0]} bytes, {size} each due"
        raise CannotDriveError(f"h2load: of {answered} requests {said}")
    return answered


def _ended(run: subprocess.Popen[str], seconds: float) -> str:
    output, _ = run.communicate(timeout=seconds + _OVERTIME_S)
    if run.returncode:
        raise CannotDriveError(f"{run.args[0]}: {output.strip()[-500:]}")  # type: ignore[index]
    return output
