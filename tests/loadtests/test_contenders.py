import sys

import psutil
import pytest

from loadtests.contenders import CONTENDERS, CannotStartError, Contender, running

# a server whose child outlives it, and does not end when told to
SERVER = """
import http.server, signal, subprocess, sys
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True)"
child += "; time.sleep(600)"
started = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE)
started.stdout.readline()
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""


def contender(code):
    command = ("-c", code.replace("{", "{{").replace("}", "}}"), "{port}")
    return Contender(name="fake", letter="x", said="", command=command)


def left(up):
    return [each for each in up if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def test_what_a_contender_uses_is_that_of_all_its_processes(tmp_path):
    with running(contender(SERVER), tmp_path) as up:
        assert len(up.process.children(recursive=True)) == 1
        assert up.cpu_s() > 0
        assert up.rss_mb() > up.process.memory_info().rss / 1e6


def test_ctrl_c_leaves_no_process(tmp_path):
    started = []

    def interrupted():
        with running(contender(SERVER), tmp_path) as up:
            started.extend([up.process, *up.process.children(recursive=True)])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(started) == 2
    assert left(started) == []


def test_what_a_contender_printed_is_told_if_it_does_not_get_ready(tmp_path):
    failing = contender("import sys; sys.exit('the models are missing')")
    with (
        pytest.raises(CannotStartError, match="the models are missing"),
        running(failing, tmp_path),
    ):
        pass


def test_contenders_have_names_of_their_own():
    assert len({each.name for each in CONTENDERS}) == len(CONTENDERS)
    assert sys.executable not in str(CONTENDERS)  # commands are for any environment
