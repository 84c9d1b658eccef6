"""The shape of the project: each core module has its tests, and says and shows what is public."""

import ast
import importlib
import inspect
from doctest import DocTestFinder
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = sorted(p.stem for p in (ROOT / "finntelligence").glob("*.py") if p.stem != "__init__")
CODE = ("finntelligence", "runners", "serving", "training", "batch")


def core_module(name):
    return importlib.import_module(f"finntelligence.{name}")


def taken_from_the_core():
    """Yield (importer, module, name) of every name any code imports from a core module."""
    files = [*ROOT.glob("*.py"), *(p for folder in CODE for p in (ROOT / folder).rglob("*.py"))]
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            module = getattr(node, "module", None) or ""
            if isinstance(node, ast.ImportFrom) and module.startswith("finntelligence."):
                for alias in node.names:
                    yield path.relative_to(ROOT), module.partition(".")[2], alias.name


def is_code(value):
    return inspect.isclass(value) or inspect.isfunction(value)


def is_shown(value):
    """Whether a class or function has an example; of a class, a public method will do."""
    found = DocTestFinder().find(value, value.__name__)
    return any(part.examples for part in found if "._" not in part.name)


def constants_told(path):
    """Yield the name of every constant right below whose assignment a string says what it is."""
    for assignment, below in pairwise(ast.parse(path.read_text(encoding="utf-8")).body):
        text = below.value if isinstance(below, ast.Expr) else None
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            targets = getattr(assignment, "targets", [getattr(assignment, "target", None)])
            yield from (target.id for target in targets if isinstance(target, ast.Name))


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
        if is_code(value) and value.__module__ == module.__name__ and not public.startswith("_")
    }
    assert defined <= set(module.__all__)


@pytest.mark.parametrize("name", CORE)
def test_every_public_class_and_function_is_shown_in_an_example_and_every_constant_told(name):
    module = core_module(name)
    public = {each: getattr(module, each) for each in module.__all__}
    told = set(constants_told(Path(module.__file__)))
    missing = [
        each
        for each, value in public.items()
        if not (is_shown(value) if is_code(value) else each in told)
    ]
    assert missing == [], f"without an example, or a string below: {', '.join(missing)}"


def test_nobody_takes_from_a_core_module_what_it_does_not_give():
    hidden = [
        f"{importer} takes {name} from {module}"
        for importer, module, name in taken_from_the_core()
        if not module.startswith("_") and name not in core_module(module).__all__
    ]
    assert hidden == []
