import contextlib
import os
import signal
import socket
import sys
import time

import psutil
import pytest

from serving import parts
from serving.parts import Part, Parts, split, whole

WITHIN_S = 30
# a process that starts another in a session of its own, as circus does, and says who it is
FAMILY = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         start_new_session=True)
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(600)
"""
ORDER = """
import pathlib, signal, sys, time
def end(*_):
    with pathlib.Path(sys.argv[1]).open("a") as file:
        file.write(sys.argv[2] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
pathlib.Path(sys.argv[1] + "." + sys.argv[2]).touch()
time.sleep(600)
"""


def until(right):
    """Wait until something is so; return it."""
    deadline = time.monotonic() + WITHIN_S
    while not (found := right()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@contextlib.contextmanager
def running(tmp_path, *made):
    """Run parts while the context lasts; yield them and what they say."""
    said = []
    service = Parts(made, tmp_path, os.environ, said.append)
    service.start()
    try:
        yield service, said
    finally:
        service.end()


def part(name, code, *words):
    return Part(name, (sys.executable, "-c", code, *map(str, words)), "nowhere")


def test_a_service_in_parts_says_where_its_runners_are_in_the_words_of_a_bentos_entrypoint():
    *runners, front = split("service:It", "127.0.0.1", 3000, {"Risk": 2, "Acceptance": 1})
    assert [each.name for each in runners] == ["Risk 1", "Risk 2", "Acceptance"]
    for each in runners:
        words = " ".join(each.words)
        assert f"start-http-server service:It --service-name {each.name.split()[0]} " in words
        assert f"--host 127.0.0.1 --port {each.address.rpartition(':')[2]}" in words
    risk, other, acceptance = (each.address for each in runners)
    assert len({risk, other, acceptance}) == 3
    assert " ".join(front.words).endswith(
        "start-http-server service:It --host 127.0.0.1 --port 3000 "
        f"--depends Risk={risk},{other} --depends Acceptance={acceptance}"
    )
    assert front.address == "http://127.0.0.1:3000"


def test_the_ports_of_parts_are_free():
    for each in split("service:It", "127.0.0.1", 3000, {"Risk": 3})[:-1]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", int(each.address.rpartition(":")[2])))


def test_a_whole_service_is_one_command():
    made = whole("service:It", "127.0.0.1", 3000)
    assert " ".join(made.words).endswith("-m bentoml serve service:It --host 127.0.0.1 --port 3000")


def test_the_front_ends_before_its_runners(tmp_path):
    told = tmp_path / "told"
    made = [part(name, ORDER, told, name) for name in ("one", "two", "front")]
    with running(tmp_path, *made) as (service, _):
        until(lambda: len(list(tmp_path.glob("told.*"))) == 3)
        service.tell(signal.SIGTERM, None)
        assert service.watch() == 0
    assert told.read_text().split()[0] == "front"
    assert sorted(told.read_text().split()) == ["front", "one", "two"]


def test_the_status_of_a_service_that_fails_is_its_own(tmp_path):
    with running(tmp_path, part("service", "raise SystemExit(3)")) as (service, said):
        assert service.watch() == 3
    assert said == []


def test_a_part_that_ends_soon_after_its_start_ends_the_service_and_is_named(tmp_path):
    front = part("front", "import time; time.sleep(600)")
    with running(tmp_path, part("risk", "raise SystemExit(3)"), front) as (service, said):
        assert service.watch() == 3
        assert front.status() is not None
    assert said == ["risk has ended with status 3; the service ends"]


def test_a_part_that_has_run_for_a_while_is_started_again_and_leaves_nobody_behind(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(parts, "SOON_S", 0.0)
    name = tmp_path / "child"
    risk = part("risk", FAMILY, name)
    with running(tmp_path, risk, part("front", "import time; time.sleep(600)")) as (service, said):
        child = int(until(lambda: name.exists() and name.read_text()))
        name.unlink()
        (starter,) = [
            each for each in psutil.process_iter() if each.pid == psutil.Process(child).ppid()
        ]
        starter.kill()
        until(lambda: risk.status() is not None)
        assert service.look() is None
        assert said == ["risk has ended with status -9 and is started again"]
        assert risk.status() is None
        second = int(until(lambda: name.exists() and name.read_text()))
        until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie")
    until(lambda: not psutil.pid_exists(second) or psutil.Process(second).status() == "zombie")


def test_what_does_not_end_in_time_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "STOP_WITHIN_S", 0.1)
    deaf = part(
        "deaf",
        "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "pathlib.Path(sys.argv[1]).touch(); time.sleep(600)",
        tmp_path / "up",
    )
    with running(tmp_path, deaf) as (service, _):
        until((tmp_path / "up").exists)
        assert service.end() == pytest.approx(signal.SIGKILL)
