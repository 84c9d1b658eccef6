"""docs/bring-your-own-data.md, followed to the letter in a fresh copy of the project.

Its blocks say what they are: `sh` is run, `text` is what the command before must print, `json` the
form of its answer, `yaml` with a path is written to that file, `csv` with a path is how it begins.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from finntelligence.errors import ModelMismatchError
from finntelligence.market import Market
from finntelligence.policy import Policy
from finntelligence.portfolio import Capability, Portfolio
from tests import own_book
from tests.e2e import project as copies
from training.books.layout import Layout
from training.books.own_files import tables
from training.fitting.price_response import FitParams, PriceResponseModel
from training.stages import read_params

PAGE = copies.ROOT / "docs" / "bring-your-own-data.md"
BLOCK = re.compile(r"^```(?P<kind>\w+)(?: (?P<path>\S+))?\n(?P<content>.*?)^```$", re.M | re.S)
LISTED = ("data/sources.yaml", "data/portfolios.yaml", "policy.yaml", "portfolios", "data/raw")


@dataclass(frozen=True, slots=True)
class Step:
    """A block of the page, and the heading it stands below."""

    kind: str
    path: str
    content: str
    heading: str


@dataclass(frozen=True, slots=True)
class Done:
    """What a command of the page printed, its exit status, and what it left behind."""

    printed: str
    status: int
    before: dict[str, bytes]
    after: dict[str, bytes]


def steps():
    """Return every block of the page, in order."""
    text = PAGE.read_text(encoding="utf-8")
    headings = [(m.start(), m[1]) for m in re.finditer(r"^## (.+)$", text, re.M)]
    found = []
    for block in BLOCK.finditer(text):
        heading = [name for start, name in headings if start < block.start()][-1]
        found.append(Step(block["kind"], block["path"] or "", block["content"], heading))
    return found


STEPS = steps()
SHOWN = [i for i, step in enumerate(STEPS) if step.kind == "text"]
REFUSED = [i for i in SHOWN if STEPS[i].content.startswith("finnt: ")]


def state(root):
    """Return the content of what declares the books and of their sources."""
    files = [path for name in LISTED for path in (root / name, *(root / name).rglob("*"))]
    return {str(path.relative_to(root)): path.read_bytes() for path in files if path.is_file()}


def made_ready(base):
    """Return a copy without any model, in which `make` finds this very environment."""
    root = base / "copy" / "project"
    (base / "copy" / "home").mkdir(parents=True)
    copies._copied(root)
    (root / ".venv").mkdir()
    (root / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (root / ".venv" / ".ready").touch()  # newer than the pins: nothing to install
    environment = copies._environment(base / "copy", root)
    return copies.Project(root, environment | {"PORT": str(copies.free_port())})


def bash(project, script):
    """Run a block of commands, stopping at the first that fails."""
    before = state(project.root)
    done = subprocess.run(
        ["bash", "-e", "-c", script.replace(":3000", f":{project.environment['PORT']}")],
        cwd=project.root,
        env=dict(project.environment),
        capture_output=True,
        encoding="utf-8",
        timeout=500,  # several times what an idle machine needs
        check=False,
    )
    return Done(done.stdout + done.stderr, done.returncode, before, state(project.root))


@contextmanager
def serving(project, script) -> Iterator[Done]:
    """Run the service of a block while the context lasts."""
    log = project.root.parent / "serve.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            ["bash", "-e", "-c", script],
            cwd=project.root,
            env=dict(project.environment),
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline, url = time.monotonic() + 90, f"http://127.0.0.1:{project.environment['PORT']}"
        while not is_ready(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield Done(log.read_text(), 0, {}, {})
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(30)


def is_ready(url):
    try:
        return httpx.get(f"{url}/readyz", timeout=5).is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """What each command of the page did, by its block's number, and the copy it left."""
    project = made_ready(tmp_path_factory.mktemp("own"))
    done, server = {}, None
    for i, step in enumerate(STEPS):
        if step.kind == "yaml":
            (project.root / step.path).write_text(step.content, encoding="utf-8")
        elif step.kind == "csv":
            done[i] = (project.root / step.path).read_text(encoding="utf-8")
        elif step.kind == "sh" and "make serve" in step.content:
            server = serving(project, step.content)
            done[i] = server.__enter__()
        elif step.kind == "sh":
            done[i] = bash(project, step.content)
        elif step.kind == "json":
            server.__exit__(None, None, None)
    return project, done


def command_of(i):
    """Return the number of the last block of commands before this one."""
    return max(j for j in range(i) if STEPS[j].kind == "sh")


def has_form(answer, shown):
    """Whether the answer has what the page shows, with values of the same kinds."""
    if isinstance(shown, dict):
        return all(name in answer and has_form(answer[name], shown[name]) for name in shown)
    if isinstance(shown, list):
        return all(has_form(each, shown[0]) for each in answer) if shown else answer == []
    return type(answer) is type(shown)


def test_every_command_that_the_page_does_not_show_failing_succeeds(followed):
    _, done = followed
    failing = {command_of(i) for i in REFUSED}
    for i, step in enumerate(STEPS):
        if step.kind == "sh":
            assert (done[i].status != 0) == (i in failing), f"{step.content}\n{done[i].printed}"


@pytest.mark.parametrize("i", [i for i, step in enumerate(STEPS) if step.kind == "csv"])
def test_the_files_begin_as_the_page_shows(followed, i):
    assert followed[1][i].startswith(STEPS[i].content)


@pytest.mark.parametrize("i", SHOWN)
def test_a_command_prints_what_the_page_shows(followed, i):
    printed = followed[1][command_of(i)].printed
    for line in STEPS[i].content.splitlines():
        assert line in printed.splitlines()


@pytest.mark.parametrize("i", REFUSED)
def test_a_refused_file_is_told_in_one_line_and_leaves_everything_as_it_was(followed, i):
    done = followed[1][command_of(i)]
    assert done.status == 1
    assert done.printed == STEPS[i].content
    kept = {name for name in done.before if name.startswith(("data/raw", "data/portfolios"))}
    assert len(kept) >= 4
    assert {name: done.after.get(name) for name in kept} == {n: done.before[n] for n in kept}


def test_the_served_answer_has_the_form_that_the_page_shows_and_the_books_own_terms(followed):
    _, done = followed
    (i,) = [i for i, step in enumerate(STEPS) if step.kind == "json"]
    answer, shown = json.loads(done[command_of(i)].printed), json.loads(STEPS[i].content)
    assert has_form(answer, shown), answer
    for each in (answer, shown):
        pair, _, number = each["decision_id"].rpartition("-")
        assert (pair, len(number)) == (each["versions"]["pair"], 32)
    assert answer["outcome"] == "offers"
    (declared,) = [s for s in STEPS if s.path == "portfolios/sierra.yaml"]
    book = yaml.safe_load(declared.content)
    trusted = book["policy"]["trust_region"]
    for offer in answer["offers"]:
        assert offer["term_months"] in book["axes"]["terms"]
        assert -trusted["below"] - 1e-9 <= offer["quoted_rate"] - 0.030 <= trusted["above"] + 1e-9


def test_a_removed_book_leaves_the_project_as_it_was(followed):
    project, done = followed
    first = min(i for i, step in enumerate(STEPS) if step.kind == "sh")
    before, after = done[first].before, state(project.root)
    lists = "data/portfolios.yaml"
    assert yaml.safe_load(after.pop(lists)) == yaml.safe_load(before.pop(lists))
    assert {name: text.rstrip() for name, text in after.items()} == {
        name: text.rstrip() for name, text in before.items()
    }
    assert not list(project.root.glob("*/*/sierra"))


@pytest.fixture(scope="module")
def book():
    return Portfolio.from_mapping(own_book.declaration())


@pytest.fixture(scope="module")
def fitted(book, tmp_path_factory):
    """Return a function that fits a model to the page's rows, changed."""
    folder = tmp_path_factory.mktemp("fitted")
    own_book.written(folder)
    found = tables(book, folder, Layout.read(own_book.source()["layout"], book))
    rows = {"acceptance": (found.quotes, "accepted"), "risk": (found.loans, "defaulted")}

    def fit(name, change):
        table, outcome = rows[name]
        changed = change(table).reset_index(drop=True)
        params = asdict(read_params(name, FitParams, copies.ROOT)) | {"rounds": 0}
        model = PriceResponseModel(portfolio=book, model=Capability(name), **params)
        return model.fit(changed, changed[outcome]).artefact_.response

    return fit


def slope(response):
    return tuple(response.evidence[each]["gap"] for each in ("estimates", "standard_errors"))


def test_prices_that_were_not_drawn_leave_the_slope_as_uncertain_as_the_page_says(fitted):
    drawn, error = slope(fitted("acceptance", lambda quotes: quotes))
    staff, doubt = slope(fitted("acceptance", lambda quotes: quotes.assign(is_randomised=False)))
    shown = (
        f"slope would be {staff:.2f} with a standard error of {doubt:.0f}, and not {drawn:.2f} with"
    )
    assert f"{shown} one of {error:.2f}." in words_of_the_page()


def test_prices_that_never_left_the_benchmark_are_refused_as_the_page_says(fitted, book):
    acceptance = fitted("acceptance", lambda quotes: quotes[~quotes["is_randomised"]])
    policy, risk = Policy.from_mapping(book), fitted("risk", lambda loans: loans)
    with pytest.raises(ModelMismatchError) as refused:
        Market(portfolio=book, policy=policy, risk=risk, acceptance=acceptance)
    assert f'"{refused.value}"' in words_of_the_page()


def words_of_the_page():
    """Return the page on one line."""
    return " ".join(PAGE.read_text(encoding="utf-8").split())


def test_every_link_of_the_page_leads_to_a_file():
    links = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (PAGE.parent / link).exists()
