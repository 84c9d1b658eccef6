"""The shape of the project: each core module has its tests and says what is public."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = sorted(p.stem for p in (ROOT / "finntelligence").glob("*.py") if p.stem != "__init__")
CODE = ("finntelligence", "runners", "serving", "training", "batch")


def core_module(name):
    return importlib.import_module(f"finntelligence.{name}")


def taken_from_the_core():
    """Yield (importer, module, name) of every name any code imports from a core module."""
    files = [*ROOT.glob("*.py"), *(p for folder in CODE for p in (ROOT / folder).glob("*.py"))]
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            module = getattr(node, "module", None) or ""
            if isinstance(node, ast.ImportFrom) and module.startswith("finntelligence."):
                for alias in node.names:
                    yield path.relative_to(ROOT), module.partition(".")[2], alias.name


@pytest.mark.parametrize("name", CORE)
def test_every_core_module_has_its_tests(name):
    assert (ROOT / "tests" / "finntelligence" / f"test_{name}.py").is_file()


def test_every_test_of_the_core_has_its_module():
    tests = (ROOT / "tests" / "finntelligence").glob("test_*.py")
    assert {p.stem.removeprefix("test_") for p in tests} <= set(CORE)


@pytest.mark.parametrize("name", CORE)
def test_what_a_module_says_is_public_is_there(name):
    module = core_module(name)
    assert [public for public in module.__all__ if not hasattr(module, public)] == []
    assert not any(public.startswith("_") for public in module.__all__)


@pytest.mark.parametrize("name", CORE)
def test_every_public_class_and_function_of_a_module_is_said_to_be_public(name):
    module = core_module(name)
    defined = {
        public
        for public, value in vars(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
        and not public.startswith("_")
    }
    assert defined <= set(module.__all__)


def test_nobody_takes_from_a_core_module_what_it_does_not_give():
    hidden = [
        f"{importer} takes {name} from {module}"
        for importer, module, name in taken_from_the_core()
        if not module.startswith("_") and name not in core_module(module).__all__
    ]
    assert hidden == []
