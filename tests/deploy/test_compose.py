"""The Compose file, against the published schema; what it mounts is there."""

import subprocess
import sys
from pathlib import Path

import yaml

FOLDER = Path(__file__).parents[2] / "deploy"
FILE = FOLDER / "compose.yaml"


def services():
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"]


def test_it_is_what_the_published_schema_says():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, FILE], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout


def test_every_file_that_it_mounts_is_there():
    mounted = [
        each.partition(":")[0]
        for service in services().values()
        for each in service.get("volumes", ())
        if each.startswith(("./", "../"))
    ]
    assert "../policy.yaml" in mounted
    for each in mounted:
        assert (FOLDER / each).exists()


def test_no_door_is_open_to_other_machines():
    for service in services().values():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")


def test_no_image_is_a_moving_word():
    for service in services().values():
        name, _, tag = service["image"].partition(":")
        assert "finntelligence" in service["image"] or (name and tag not in ("", "latest"))


def test_prometheus_asks_the_service_by_its_name_and_reads_rules_that_are_there():
    path = FOLDER / "prometheus" / "prometheus.yml"
    said = yaml.safe_load(path.read_text(encoding="utf-8"))
    (target,) = said["scrape_configs"][0]["static_configs"][0]["targets"]
    assert target.partition(":")[0] in services()
    for each in said["rule_files"]:
        assert (FOLDER / "prometheus" / each).exists()
