import os
import subprocess
import sys

import pytest

from finntelligence.errors import InvalidDeclarationError
from runners.settings import Arguments, RunnerSettings
from serving.config_file import VARIABLE, known_names, read_config
from serving.settings import FrontSettings


@pytest.fixture
def written(tmp_path):
    """Return a function that writes the file and returns an environment that names it."""

    def write(text, **environment):
        path = tmp_path / "finnt.env"
        path.write_text(text, encoding="utf-8")
        return {VARIABLE: str(path), **environment}

    return write


def test_a_setting_of_the_file_is_read_as_one_of_the_environment(written, monkeypatch):
    environment = written("# how many\nFINNT_FRONT_WORKERS=3\n\n")
    read_config(environment)
    monkeypatch.setenv("FINNT_FRONT_WORKERS", environment["FINNT_FRONT_WORKERS"])
    assert FrontSettings().workers == 3


def test_the_environment_wins(written):
    environment = written("FINNT_FRONT_WORKERS=3", FINNT_FRONT_WORKERS="2")
    read_config(environment)
    assert environment["FINNT_FRONT_WORKERS"] == "2"


def test_a_value_is_taken_as_it_stands(written):
    environment = written("FINNT_RECORD_URL=postgresql://u:p$HOME${X}=1@db/d")
    read_config(environment)
    assert environment["FINNT_RECORD_URL"] == "postgresql://u:p$HOME${X}=1@db/d"


def test_tracing_may_stand_in_it_too(written):
    environment = written("OTEL_SERVICE_NAME=offers")
    read_config(environment)
    assert environment["OTEL_SERVICE_NAME"] == "offers"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "FINNT_FRONT_WORKRES=3\nFINNT_LOG_FORMAT=json",
            "no setting is called FINNT_FRONT_WORKRES",
        ),
        ("PATH=/bin", "no setting is called PATH"),
        ("FINNT_LOG_FORMAT=json\nFINNT_FRONT_WORKERS", "line 2"),
    ],
)
def test_what_is_no_setting_is_refused_and_nothing_is_set(written, text, said):
    environment = written(text)
    before = dict(environment)
    with pytest.raises(InvalidDeclarationError, match=said):
        read_config(environment)
    assert environment == before


def test_a_file_that_is_not_there_is_refused_by_its_name(tmp_path):
    with pytest.raises(InvalidDeclarationError, match=r"FINNT_CONFIG: .*gone\.env cannot be read"):
        read_config({VARIABLE: str(tmp_path / "gone.env")})


def test_without_a_file_nothing_is_done():
    environment = {}
    read_config(environment)
    assert environment == {}


@pytest.mark.parametrize("kind", [RunnerSettings, Arguments])
def test_what_is_served_and_the_runners_settings_may_stand_in_it(kind):
    prefix = kind.model_config["env_prefix"]
    assert {f"{prefix}{name}".upper() for name in kind.model_fields} <= known_names()


def test_the_terminals_commands_read_what_the_service_reads(written):
    """In a process of its own: here, other tests have declared all settings."""
    environment = written("FINNT_SERVED_PORTFOLIO=kz2008\nFINNT_RUNNER_RISK_WORKERS=2\n")
    words = (sys.executable, "-m", "cli", "status", "--help")
    done = subprocess.run(words, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
