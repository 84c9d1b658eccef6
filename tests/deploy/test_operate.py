"""docs/operate.md says what the code and the files of deploy/ say."""

import re
from pathlib import Path

import yaml

from finntelligence.errors import FinntelligenceError
from serving.problems import PROBLEMS, kind_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")


def section(title):
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_every_error_is_explained_with_both_doors_codes_and_no_other_is():
    rows = re.findall(r"^\| `([\w-]+)` \| (\d+) \| (\w+) \| .{20,} \|$", PAGE, re.MULTILINE)
    kinds = [*PROBLEMS.values(), kind_of(FinntelligenceError())]
    assert sorted(rows) == sorted((kind.code, str(kind.status), kind.grpc) for kind in kinds)


def test_every_alert_is_explained_and_no_other_is():
    path = ROOT / "deploy" / "prometheus" / "alerts.yaml"
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    assert set(re.findall(r"^\| `(\w+)` ", section("What to alert on"), re.MULTILINE)) == alerts


def test_every_link_leads_to_a_file():
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists()


def test_every_target_of_make_and_every_setting_that_it_names_is_there():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    settings = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    compose = (ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8")
    for target in re.findall(r"\bmake ([a-z-]+)", PAGE):
        assert f"\n{target}: " in makefile
    for name in re.findall(r"\bFINNT_\w+", PAGE):
        assert f"`{name}`" in settings or f"${{{name}" in compose
