import ast
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from runners.settings import RunnerSettings
from serving import settings
from serving.settings import FrontSettings

ROOT = Path(__file__).parents[2]
SETTINGS = (FrontSettings, RunnerSettings)
FIELDS = [(kind, name) for kind in SETTINGS for name in kind.model_fields if name != "secret"]


def variable(kind, name):
    """Return the environment variable of a setting."""
    return f"{kind.model_config['env_prefix']}{name}".upper()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for kind, name in FIELDS:
        monkeypatch.delenv(variable(kind, name), raising=False)


@pytest.mark.parametrize("kind", SETTINGS)
def test_an_empty_environment_is_enough(kind):
    kind()


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_every_setting_comes_from_its_variable(kind, name, monkeypatch):
    default = kind.model_fields[name].default
    monkeypatch.setenv(variable(kind, name), str(default + 1))
    assert getattr(kind(), name) == default + 1


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (kind, name, value)
        for kind, name in FIELDS
        for value in ("-1", "0", "1e12", "nan", "many", "")
        if (name, value) not in (("reload_s", "0"), ("workers", "0"))  # off, and our own choice
    ],
)
def test_an_impossible_value_is_refused_by_name(kind, name, value, monkeypatch):
    monkeypatch.setenv(variable(kind, name), value)
    with pytest.raises(ValidationError, match=name):
        kind()


def test_looking_for_new_pairs_can_be_turned_off(monkeypatch):
    monkeypatch.setenv("FINNT_FRONT_RELOAD_S", "0")
    assert FrontSettings().reload_s == 0


def test_a_front_has_a_process_for_each_core_unless_it_is_told():
    assert FrontSettings().chosen().workers == len(os.sched_getaffinity(0))
    assert FrontSettings(workers=3).chosen().workers == 3


@pytest.mark.parametrize(("cores", "workers"), [(0.5, 1), (2.0, 2), (96.0, 64)])
def test_a_container_has_no_more_processes_than_it_may_use_cores(monkeypatch, cores, workers):
    monkeypatch.setattr(settings.CpuResource, "from_system", lambda: cores)
    assert FrontSettings().chosen().workers == workers


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_every_setting_says_what_it_means(kind, name):
    assert kind.model_fields[name].description.endswith(".")


def test_no_two_settings_share_a_variable():
    assert len({variable(kind, name) for kind, name in FIELDS}) == len(FIELDS)


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_every_setting_is_read_by_what_it_sets(kind, name):
    readers = [ROOT / "service.py", *ROOT.glob("serving/*.py")]
    if kind is RunnerSettings:
        readers = [*ROOT.glob("runners/*.py"), ROOT / "cli" / "offers.py"]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in readers]
    read = {
        node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }
    assert name in read
