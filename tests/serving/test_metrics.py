import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY, generate_latest

from finntelligence.adverse_action import Reason
from finntelligence.decision import Decision
from serving import grpc_metrics, metrics
from tests.serving.promql import DEPLOY, asked, exposed, of_alerts, of_dashboard, unanswered

VERSIONS = {
    "pair": "0a0a0a0a-0b0b0b0b",
    "alias": "production",
    "risk": "finnt-made-risk:v1-0",
    "acceptance": "finnt-made-acceptance:v1-0",
    "policy": "abc",
    "engine": "1.2.3",
}
DECLINE = Decision(
    offers=(), reasons=(Reason("PTI", "Too little"), Reason("FIELD:fico", "Low")), versions=VERSIONS
)


def value(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_degraded_decision_counts_as_such_from_nought_on():
    metrics.serves(VERSIONS, "simulated")
    counted = {"channel": "http", "outcome": "decline"}
    before = REGISTRY.get_sample_value("finnt_degraded_decisions_total", counted)
    metrics.decided(DECLINE, "http")
    metrics.decided(replace(DECLINE, degraded=True), "http")
    assert REGISTRY.get_sample_value("finnt_degraded_decisions_total", counted) == before + 1


def test_a_decision_counts_once_and_so_does_each_of_its_reasons():
    counted = {"channel": "grpc", "outcome": "decline", "arm": "none"}
    before = value("finnt_decisions_total", **counted)
    reasons = [value("finnt_decline_reasons_total", code=c) for c in ("PTI", "FIELD:fico")]
    metrics.decided(DECLINE, "grpc")
    assert value("finnt_decisions_total", **counted) == before + 1
    after = [value("finnt_decline_reasons_total", code=c) for c in ("PTI", "FIELD:fico")]
    assert after == [each + 1 for each in reasons]


def test_what_is_served_is_1_and_what_was_served_before_0():
    metrics.serves(VERSIONS, "simulated")
    labels = {"portfolio": "simulated", "model": "risk"}
    assert value("finnt_model_info", **labels, version="finnt-made-risk:v1-0") == 1
    metrics.serves(VERSIONS | {"risk": "finnt-made-risk:v2-0", "pair": "1-1"}, "simulated")
    assert value("finnt_model_info", **labels, version="finnt-made-risk:v1-0") == 0
    assert value("finnt_model_info", **labels, version="finnt-made-risk:v2-0") == 1
    policy = {name: VERSIONS[name] for name in ("alias", "policy", "engine")}
    told = {"portfolio": "simulated", **policy}
    assert value("finnt_policy_info", **told, pair=VERSIONS["pair"]) == 0
    assert value("finnt_policy_info", **told, pair="1-1") == 1


def test_the_records_lag_is_said_as_it_is_now():
    metrics.waiting(7)
    assert value("finnt_record_waiting") == 7
    metrics.waiting(0)
    assert value("finnt_record_waiting") == 0


WORKER = """
import os, sys
from serving import metrics
metrics.forget_dead()
metrics.refused("http", "overloaded")
metrics.waiting(3)
metrics.took("score", 0.003)
sys.stdout.write("ready\\n"); sys.stdout.flush()
sys.stdin.read()
os._exit(9)  # as a killed process ends: nothing is tidied up
"""
READ = """
from bentoml._internal.server.metrics.prometheus import PrometheusClient
client = PrometheusClient()
print(client.generate_latest().decode())
"""


@pytest.fixture
def processes(tmp_path):
    """Functions that start a worker, end it, and read all workers' metrics as BentoML does."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    words = {"env": environment, "text": True, "stdout": subprocess.PIPE}

    def started():
        worker = subprocess.Popen([sys.executable, "-c", WORKER], stdin=subprocess.PIPE, **words)
        assert worker.stdout.readline() == "ready\n"
        return worker

    def ended(worker):
        worker.communicate("", timeout=10)

    def read():
        return subprocess.run([sys.executable, "-c", READ], check=True, **words).stdout

    return started, ended, read


def sample(text, line):
    (found,) = [each for each in text.splitlines() if each.startswith(f"{line} ")]
    return float(found.rpartition(" ")[2])


def test_workers_are_counted_together_and_the_dead_ones_wait_no_more(processes):
    started, ended, read = processes
    both = [started(), started()]
    text = read()
    assert sample(text, 'finnt_problems_total{code="overloaded",door="http"}') == 2
    assert sample(text, 'finnt_stage_seconds_count{stage="score"}') == 2
    assert sample(text, "finnt_record_waiting") == 6
    ended(both[0])
    third = started()
    text = read()
    assert sample(text, 'finnt_problems_total{code="overloaded",door="http"}') == 3
    assert sample(text, "finnt_record_waiting") == 6
    for worker in (both[1], third):
        ended(worker)


def test_services_that_start_have_a_folder_each_and_leave_none():
    code = (
        "from serving import metrics; metrics.own_folder()\n"
        "from bentoml.serving import ensure_prometheus_dir; print(ensure_prometheus_dir())"
    )
    folders = {
        subprocess.run(
            [sys.executable, "-c", code], check=True, text=True, capture_output=True
        ).stdout.strip()
        for _ in range(2)
    }
    assert len(folders) == 2
    assert not any(os.path.exists(folder) for folder in folders)  # noqa: PTH110 - plain texts


def ours():
    """Return what this process exposes once everything of ours has been said."""
    for stage in metrics.STAGES:
        metrics.took(stage, 0.001)
    metrics.decided(DECLINE, "http")
    metrics.refused("grpc", "internal")
    metrics.serves(VERSIONS, "simulated")
    metrics.waiting(0)
    grpc = grpc_metrics.metrics()
    grpc.calls.labels("OptimiseOffers", "OK").inc()
    grpc.seconds.labels("OptimiseOffers").observe(0.001)
    return exposed(generate_latest().decode())


@pytest.mark.parametrize(("title", "query"), of_dashboard() + of_alerts())
def test_no_query_asks_for_a_metric_or_label_of_ours_that_is_not_there(title, query):
    """What queries ask of BentoML's own is asked of a real service: tests/e2e/test_seen.py."""
    if "bentoml_" not in query:
        assert unanswered(query, ours()) == [], title
    assert asked(query).series


def test_every_metric_of_ours_is_on_the_dashboard():
    shown = {
        name.removesuffix("_bucket") for _, query in of_dashboard() for name in asked(query).series
    }
    made = {name for name in ours() if name.startswith("finnt_")}
    made = {n for n in made if not n.endswith(("_created", "_sum", "_count"))}
    assert {name.removesuffix("_bucket") for name in made} - shown == set()


def test_the_panels_do_not_overlap_and_have_titles():
    panels = json.loads((DEPLOY / "grafana" / "finntelligence.json").read_text())["panels"]
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    titles = [panel["title"] for panel in panels]
    assert len(set(titles)) == len(titles) == len({panel["id"] for panel in panels})


@pytest.mark.parametrize(
    ("query", "missing"),
    [
        ("sum(rate(finnt_problems_total[5m]))", []),
        ('sum by (door) (rate(finnt_problems_total{code=~"a|b"}[5m])) > 0.5', []),
        ("sum by (colour) (finnt_problems_total)", ["by (colour)"]),
        ('finnt_problems_total{colour="red"}', ["finnt_problems_total{colour}"]),
        ("max(finnt_typo) == 1", ["finnt_typo"]),
    ],
)
def test_what_a_query_lacks_is_found(query, missing):
    metrics.refused("http", "internal")
    assert unanswered(query, exposed(generate_latest().decode())) == missing


@pytest.mark.parametrize("query", ["sum(rate(x[5m])", "a ~ b"])
def test_a_query_that_cannot_be_read_is_refused(query):
    with pytest.raises(ValueError, match=r"cannot read|is not closed"):
        asked(query)
