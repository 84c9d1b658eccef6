"""The manifests, as kustomize renders them, against the published schemas and their own laws."""

import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from runners.linger import MOST_S
from serving.grpc_settings import GrpcSettings
from serving.parts import STOP_WITHIN_S
from serving.record.settings import RecordSettings
from serving.settings import FrontSettings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
PARTS = {"front", "risk", "acceptance"}
OLDEST = "1.29"


def rendered(overlay):
    if shutil.which("kubectl"):
        command = ["kubectl", "kustomize"]
    elif shutil.which("kustomize"):
        command = ["kustomize", "build"]
    else:
        pytest.skip("neither kubectl nor kustomize is here to render the manifests")
    done = subprocess.run(
        [*command, str(FOLDER / "overlays" / overlay)],
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=60,
    )
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module", params=OVERLAYS)
def documents(request):
    """Every document of one overlay."""
    return rendered(request.param)


def of_kind(documents, kind):
    """Return the documents of a kind, by the part they are about."""
    found = [each for each in documents if each["kind"] == kind]
    return {each["metadata"]["name"].removeprefix("finntelligence-"): each for each in found}


def pods(documents):
    return {
        part: each["spec"]["template"]["spec"]
        for part, each in of_kind(documents, "Deployment").items()
    }


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_every_document_is_what_the_published_schema_says(documents, version):
    assert documents
    for each in documents:
        kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize(
    "kind", ["Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"]
)
def test_each_part_has_its_own(documents, kind):
    assert set(of_kind(documents, kind)) == PARTS


def test_what_selects_a_part_selects_its_pods(documents):
    for part, deployment in of_kind(documents, "Deployment").items():
        labels = deployment["spec"]["template"]["metadata"]["labels"].items()
        service, budget = (
            of_kind(documents, kind)[part]["spec"]["selector"]
            for kind in ("Service", "PodDisruptionBudget")
        )
        for selector in (
            service,
            budget["matchLabels"],
            deployment["spec"]["selector"]["matchLabels"],
        ):
            assert selector.items() <= labels


def test_all_parts_run_one_image(documents):
    images = {c["image"] for pod in pods(documents).values() for c in pod["containers"]}
    images |= {
        c["image"] for pod in pods(documents).values() for c in pod.get("initContainers", ())
    }
    assert len(images) == 1


def test_no_container_may_more_than_it_needs(documents):
    for pod in pods(documents).values():
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])


def test_every_container_is_probed_and_waits_before_it_ends(documents):
    for pod in pods(documents).values():
        (container,) = pod["containers"]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
        assert container["lifecycle"]["preStop"]
        assert pod["terminationGracePeriodSeconds"] >= 60
    probes = pods(documents)["front"]["containers"][0]
    assert {"grpc", "httpGet"} <= {kind for n, p in probes.items() if "Probe" in n for kind in p}


def test_what_a_front_may_need_to_end_is_over_before_anybody_kills_it(documents):
    requests = max(MOST_S, FrontSettings().timeout_s)
    record = 2 * RecordSettings().timeout_s  # what waits is written, what is read is read
    needed = requests + GrpcSettings().grace_s + record
    assert needed < STOP_WITHIN_S
    for pod in pods(documents).values():
        (container,) = pod["containers"]
        told_after = int(container["lifecycle"]["preStop"]["exec"]["command"][-1])
        assert told_after + STOP_WITHIN_S < pod["terminationGracePeriodSeconds"]


def test_only_the_front_reaches_the_runners_and_who_collects_metrics(documents):
    policies = of_kind(documents, "NetworkPolicy")
    runners = policies["runners"]["spec"]
    (chosen,) = runners["podSelector"]["matchExpressions"]
    assert set(chosen["values"]) == PARTS - {"front"}
    assert runners["policyTypes"] == ["Ingress", "Egress"]
    own, *others = [source for rule in runners["ingress"] for source in rule["from"]]
    assert own["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "front"
    assert "namespaceSelector" not in own
    for each in others:
        assert each["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "prometheus"}
        assert each["namespaceSelector"]["matchLabels"]
    assert all(rule["ports"] == [{"port": 3000}] for rule in runners["ingress"])


def test_prometheus_finds_every_pod_once_and_shows_its_key_to_those_that_know_keys(documents):
    path = FOLDER.parent / "prometheus" / "kubernetes.yml"
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["scrape_configs"]
    found = []
    for each in of_kind(documents, "Deployment").values():
        pod = each["spec"]["template"]
        labels = [
            pod["metadata"]["labels"][f"app.kubernetes.io/{name}"]
            for name in ("part-of", "component")
        ]
        for port in pod["spec"]["containers"][0]["ports"]:
            target = ";".join([*labels, port["name"]])
            found += [
                (labels[1], "authorization" in job)
                for job in jobs
                if re.fullmatch(job["relabel_configs"][0]["regex"], target)
            ]
    assert sorted(found) == [("acceptance", False), ("front", True), ("risk", False)]
    namespaces = {
        name for job in jobs for name in job["kubernetes_sd_configs"][0]["namespaces"]["names"]
    }
    assert namespaces == {each["metadata"]["namespace"] for each in documents}


def test_every_part_reaches_the_collector_that_it_is_told_of_and_runners_nothing_else(documents):
    policies = of_kind(documents, "NetworkPolicy")
    (settings,) = [
        each["data"]
        for name, each in of_kind(documents, "ConfigMap").items()
        if name.startswith("settings")
    ]
    collector = settings.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    needed = {int(collector.rpartition(":")[2]), 53} if collector else set()
    for part in ("front", "runners"):
        rules = policies[part]["spec"].get("egress") or []
        open_to_all = {port["port"] for rule in rules if "to" not in rule for port in rule["ports"]}
        assert needed <= open_to_all
    assert open_to_all == needed


def test_the_front_names_the_services_that_there_are(documents):
    arguments = pods(documents)["front"]["containers"][0]["args"]
    depends = [a.removeprefix("--depends=") for a in arguments if a.startswith("--depends=")]
    services = of_kind(documents, "Service")
    for each in depends:
        name, port = each.partition("=tcp://")[2].split(":")
        spec = services[name.removeprefix("finntelligence-")]["spec"]
        assert int(port) in [p["port"] for p in spec["ports"]]
    assert len(depends) == len(PARTS) - 1


def test_no_secret_is_written_down(documents):
    assert of_kind(documents, "Secret") == {}
    for pod in pods(documents).values():
        for container in pod["containers"]:
            for variable in container["env"]:
                assert "secretKeyRef" in variable["valueFrom"]


def test_the_policy_that_is_rolled_out_is_the_projects():
    ours, theirs = ROOT / "policy.yaml", FOLDER / "base" / "policy.yaml"
    assert theirs.read_text(encoding="utf-8") == ours.read_text(encoding="utf-8")


def test_the_settings_that_are_rolled_out_are_settings():
    from serving.config_file import read_config

    environment = {"FINNT_CONFIG": str(FOLDER / "base" / "settings.env")}
    read_config(environment)
    assert len(environment) > 1
