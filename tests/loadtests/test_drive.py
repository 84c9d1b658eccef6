import json
import shutil

import pytest

from loadtests import drive
from loadtests.drive import CannotDriveError, Reading, framed, parsed_h2load, parsed_wrk

WRK = """Running 2s test @ http://127.0.0.1:3000/v1/offers
  1 threads and 4 connections
Requests/sec:   9564.79

"""
TOLD = {"requests": 200, "seconds": 2.5, "p50_ms": 1.25, "p99_ms": 9, "refused": 0, "broken": 0}
H2LOAD = """finished in 2.01s, 7532.50 req/s, 316.31KB/s
requests: 15065 total, 15069 started, 15065 done, {succeeded} succeeded, 0 failed, 0 errored, 0 timeout
status codes: {ok} 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 632.61KB (647795) total, 220.69KB (225990) headers (space savings 0.00%), 73.56KB ({data}) data
"""  # noqa: E501 - as it prints
FINE = {"succeeded": 15065, "ok": 15065, "data": 75330}  # one answer was on its way at the end


def test_what_wrk_tells_is_read():
    reading = parsed_wrk(WRK + json.dumps(TOLD))
    assert reading == Reading(requests=200, seconds=2.5, p50_ms=1.25, p99_ms=9)
    assert reading.rate == 80


@pytest.mark.parametrize("fault", [{"refused": 1}, {"broken": 1}, {"requests": 0}])
def test_a_run_of_wrk_in_which_anything_failed_is_none(fault):
    with pytest.raises(CannotDriveError):
        parsed_wrk(WRK + json.dumps(TOLD | fault))


def test_what_h2load_tells_is_read():
    assert parsed_h2load(H2LOAD.format(**FINE), size=5) == 15065


@pytest.mark.parametrize(
    "fault", [{"succeeded": 15064}, {"ok": 15064}, {"ok": 15070}, {"data": 75324}]
)
def test_a_run_of_h2load_with_an_answer_that_is_no_answer_is_none(fault):
    with pytest.raises(CannotDriveError):
        parsed_h2load(H2LOAD.format(**(FINE | fault)), size=5)


def test_a_part_of_the_load_that_had_no_answer_yet_is_no_failure():
    assert parsed_h2load(H2LOAD.format(**FINE).replace("15065", "0"), size=5) == 0


def test_an_answer_that_time_cuts_short_is_no_failure_and_not_counted():
    assert parsed_h2load(H2LOAD.format(**(FINE | {"ok": 15066})), size=5) == 15065


def test_what_h2load_says_instead_is_passed_on():
    with pytest.raises(CannotDriveError, match="cannot connect"):
        parsed_h2load("cannot connect", size=5)


def test_a_frame_tells_its_length():
    assert framed(b"x" * 300) == b"\0\0\0\x01\x2c" + b"x" * 300


def test_the_packages_of_missing_generators_are_named(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    with pytest.raises(CannotDriveError, match="apt-get install wrk nghttp2-client"):
        drive.refuse_missing_tools()
