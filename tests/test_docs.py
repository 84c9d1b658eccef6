"""docs/configuration.md says what the code says."""

import ast
import re
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest

from runners.settings import Arguments, RunnerSettings
from serving.grpc_settings import GrpcSettings
from serving.json_log import LogSettings
from serving.keys import AuthSettings
from serving.rate_limit import LoadSettings
from serving.record.settings import RecordSettings
from serving.settings import CoalesceSettings, FrontSettings, TopologySettings

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "configuration.md"
KINDS = (
    *(Arguments, AuthSettings, CoalesceSettings, FrontSettings, GrpcSettings, LoadSettings),
    *(LogSettings, RecordSettings, RunnerSettings, TopologySettings),
)
SETTINGS = {
    f"{kind.model_config['env_prefix']}{name}".upper(): field
    for kind in KINDS
    for name, field in kind.model_fields.items()
}
FOLDERS = ("cli", "runners", "serving", "training", "batch", "loadtests")
SOURCES = [
    ROOT / "service.py",
    *(path for folder in FOLDERS for path in ROOT.glob(f"{folder}/**/*.py")),
]
READ = re.compile(
    r'(?:environ\.get\(|environ\[|getenv\(|envvar=)"(?P<name>\w+)"(?:, (?P<default>"[^"]*"|\w+)\))?'
)
# BentoML's own, which our code sets or relies on but never reads
BENTOML = {"BENTOML_HOME", "BENTOML_DO_NOT_TRACK"}


def documented():
    """Return the other cells of each documented variable's row, by its name."""
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}


def read_by_the_code():
    """Return each environment variable that our code reads, with its default if it has one."""
    found = {}
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        for name, default in READ.findall(text):
            if default.isidentifier():
                default = re.search(rf"^{default} = (.+)$", text, re.MULTILINE)[1]
            found[name] = ast.literal_eval(default) if default else None
    return found


def make_variables():
    """Return the default of each variable that make lets its caller set."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return dict(re.findall(r"^(\w+) \?=[ ]?(.*)$", text, re.MULTILINE))


def allowed(field):
    """Return a field's bounds in words."""
    if field.annotation is bool:
        return "True or False"
    if get_origin(field.annotation) is Literal:
        return " or ".join(get_args(field.annotation))
    if Path in (field.annotation, *get_args(field.annotation)):
        return "a file"
    if not field.metadata:
        return "a database"
    low, high = field.metadata
    if hasattr(low, "min_length"):
        return f"{low.min_length} to {high.max_length} characters"
    least = getattr(low, "ge", None)
    return f"above {low.gt}, up to {high.le}" if least is None else f"{least} to {high.le}"


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_documented_with_its_default_bounds_and_meaning(name):
    field = SETTINGS[name]
    default, bounds, meaning = documented()[name]
    assert default == ("none" if field.default is None else str(field.default))
    assert bounds == allowed(field)
    assert meaning.startswith(field.description)


def test_every_variable_that_the_code_reads_is_documented_with_its_default():
    read = read_by_the_code()
    assert {"FINNT_LOG_LEVEL", "MLFLOW_TRACKING_URI", "PORTFOLIO"} <= set(read)
    for name, default in read.items():
        assert name in documented()
        if default is not None:
            assert documented()[name][0] == default


def test_every_variable_of_make_is_documented_with_its_default():
    assert len(make_variables()) >= 5
    for name, default in make_variables().items():
        assert documented()[name][0] == default


def test_nothing_is_documented_that_is_not_there():
    known = {*SETTINGS, *read_by_the_code(), *make_variables(), *BENTOML}
    assert set(documented()) == known


def test_every_link_of_the_page_leads_to_a_file():
    links = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (PAGE.parent / link).exists()
