"""The notebooks as files: pairs in step, without outputs, whose logic is the package's."""

import ast
import re
from pathlib import Path

import jupytext
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
SCRIPTS = sorted(FOLDER.glob("[0-9]*.py"))
MACHINE = re.compile(r"(?<![\w.:/<])/[A-Za-z]+/|\b[A-Z]:\\(?!n)")
PACKAGES = ("finntelligence", "training")
LONGEST_DEFINITION = 5

each = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)


def cells(path):
    return [(cell.cell_type, cell.source) for cell in jupytext.read(path).cells]


def code(path):
    return [ast.parse(source) for kind, source in cells(path) if kind == "code"]


def nodes(path):
    return [node for cell in code(path) for node in ast.walk(cell)]


def called(tree):
    return {getattr(n.func, "id", "") for n in ast.walk(tree) if isinstance(n, ast.Call)}


def test_the_notebooks_are_numbered_without_a_gap_and_each_has_both_files():
    numbers = [path.stem[:3] for path in SCRIPTS]
    assert numbers == [f"{i:02}_" for i in range(1, 6)]
    assert [path.stem for path in sorted(FOLDER.glob("*.ipynb"))] == [p.stem for p in SCRIPTS]


@each
def test_both_files_of_a_pair_hold_the_same_cells(script):
    assert cells(script) == cells(script.with_suffix(".ipynb"))


@each
def test_a_notebook_runs_on_the_python_that_opens_it(script):
    for path in (script, script.with_suffix(".ipynb")):
        assert jupytext.read(path).metadata["kernelspec"]["name"] == "python3"


@each
def test_a_notebook_is_stored_without_outputs(script):
    notebook = jupytext.read(script.with_suffix(".ipynb"))
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@each
def test_a_notebook_names_no_path_of_a_machine(script):
    for path in (script, script.with_suffix(".ipynb")):
        assert MACHINE.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(("text", "is_path"), [
    ("/home/ana/data", True), ("'/tmp/x'", True), (r"C:\Users", True),
    ("https://example.org/home", False), ("data/raw/", False), ("../shared/data", False),
])  # fmt: skip
def test_a_path_of_a_machine_is_recognised(text, is_path):
    assert bool(MACHINE.search(text)) == is_path


@each
def test_a_notebooks_logic_is_the_packages(script):
    sources = {node.module for node in nodes(script) if isinstance(node, ast.ImportFrom)}
    assert any(module.startswith(PACKAGES) for module in sources)
    for node in nodes(script):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            assert node.end_lineno - node.lineno < LONGEST_DEFINITION


@each
def test_a_notebook_fits_no_model_but_the_packages(script):
    foreign = {
        (node.module if isinstance(node, ast.ImportFrom) else name.name).partition(".")[0]
        for node in nodes(script)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    assert foreign & {"xgboost", "sklearn", "scipy", "statsmodels", "lightgbm"} == set()


@each
def test_the_first_output_says_which_book_it_shows(script):
    first = code(script)[0]
    assert {"opened", "print"} <= called(first)


@each
def test_a_notebook_begins_with_its_own_title_and_the_readme_lists_it(script):
    kind, source = cells(script)[0]
    assert kind == "markdown"
    assert source.splitlines()[0].casefold() == f"# {script.stem.replace('_', ' ')}".casefold()
    assert f"({script.name})" in (FOLDER / "README.md").read_text(encoding="utf-8")


@each
def test_every_link_of_a_notebook_leads_to_a_file(script):
    for kind, source in cells(script):
        for link in re.findall(r"\]\(([^)#:]+)\)", source) if kind == "markdown" else ():
            assert (FOLDER / link).exists()
