"""Every module behind a stage's command is among its dependencies: a change of code is noticed."""

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def modules_behind(path, known):
    """Collect a module of this project and all that it imports, as paths below the root."""
    name = path.relative_to(ROOT).as_posix()
    if name in known or not path.is_file():
        return
    known.add(name)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            place = ROOT.joinpath(*node.module.split("."))
            for each in (place, *(place / alias.name for alias in node.names)):
                modules_behind(each.with_suffix(".py"), known)


@pytest.mark.parametrize("name", STAGES)
def test_every_module_behind_a_stage_is_among_its_dependencies(name):
    stage, behind = STAGES[name], set()
    module = stage["cmd"].split()[2]
    modules_behind(ROOT.joinpath(*module.split(".")).with_suffix(".py"), behind)
    covered = {p for p in behind for d in stage["deps"] if p == d or p.startswith(f"{d}/")}
    assert behind - covered == set()
