"""The real book, from its published file to offers. Needs the file; see `kz_file`."""

import gzip
import json
import re

import pandas as pd
import pytest

from tests.e2e.project import cloned
from tests.serving.browser import ask_for, unlike, walk, watched

pytest_plugins = ["tests.e2e.project", "tests.serving.browser"]

# a logit of take-up on the monthly rate, in points, with risk x wave dummies, on waves 1 and 2
EXPERIMENT = -0.053
GZIP = b"\x1f\x8b"
ANSWERED = re.compile(r"(\d+) held-out applicants .* (\d+) with offers .* (\d+) failures")


@pytest.fixture(scope="module")
def lender(kz_file, project, tmp_path_factory):
    """A copy of the project that nobody has given any data yet."""
    return cloned(project, tmp_path_factory.mktemp("lender"))


@pytest.fixture(scope="module")
def stata_bytes(kz_file):
    content = kz_file.read_bytes()
    return gzip.decompress(content) if content.startswith(GZIP) else content


def refused(lender, path):
    """Add a file that is not the book, and return the one line that says why."""
    done = lender.run("-m", "cli", "data", "add", "kz2008", str(path))
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("finnt: ")
    assert not list((lender.root / "data").glob("raw/*"))
    return line


def test_a_truncated_file_is_refused_in_one_line(lender, stata_bytes, tmp_path):
    path = tmp_path / "cut.dta"
    path.write_bytes(stata_bytes[: len(stata_bytes) // 2])
    assert "truncated or broken; get it again" in refused(lender, path)


def test_a_file_that_lacks_a_column_is_refused_in_one_line(lender, kz_file, tmp_path):
    path = tmp_path / "narrow.dta"
    frame = pd.read_stata(kz_file, convert_categoricals=False)
    frame.drop(columns="offer4").to_stata(path, write_index=False)
    assert "missing column(s) offer4" in refused(lender, path)


def test_a_csv_is_refused_in_one_line(lender, tmp_path):
    path = tmp_path / "offers.csv"
    path.write_text("wave,risk,offer4\n1,LOW,7.75\n")
    assert "text (a CSV?), not a Stata file" in refused(lender, path)


@pytest.fixture(scope="module")
def added(lender, kz_file):
    done = lender.run("-m", "cli", "data", "add", "kz2008", str(kz_file))
    assert done.returncode == 0, done.stderr
    return lender, done.stdout


def test_the_published_file_is_recognised(added):
    _, printed = added
    assert "https://doi.org/10.3886/E113240V1" in printed
    assert "24557 quotes, 1840 loans" in printed


@pytest.fixture(scope="module")
def flagged(added):
    """The real book with its pair in staging, and what the gate said of it."""
    lender, _ = added
    done = lender.run("-m", "cli", "pipeline", "--portfolio", "kz2008")
    assert done.returncode == 1, done.stdout + done.stderr
    return lender, done.stdout + done.stderr


def test_what_the_fairness_screens_flag_waits_for_a_person(flagged):
    lender, printed = flagged
    assert "finnt promote kz2008 --sign-off" in printed
    assert not (lender.root / "build" / "kz2008" / "served.json").exists()
    failed = [v for v in gate(lender)["verdicts"] if not v["passed"]]
    assert {v["criterion"].partition(":")[0] for v in failed} == {"fairness"}


@pytest.fixture(scope="module")
def published(flagged):
    """The real book's pair in production, signed for, and the pipeline run to its end."""
    lender, _ = flagged
    signed = ("--sign-off", "A. Person", "--reason", "an exploration of a public data set")
    done = lender.run("-m", "cli", "promote", "kz2008", *signed)
    assert done.returncode == 0, done.stdout + done.stderr
    done = lender.run("-m", "cli", "pipeline", "--portfolio", "kz2008")
    assert done.returncode == 0, done.stdout + done.stderr
    return lender


def gate(lender):
    return json.loads((lender.root / "build" / "kz2008" / "gate.json").read_text())


def test_the_real_book_is_published(published):
    status = published.run("-m", "cli", "status")
    (row,) = [line for line in status.stdout.splitlines() if "kz2008" in line]
    assert "whole" in row


def test_the_real_books_models_tell_people_they_never_saw_apart(published):
    found = json.loads((published.root / "build" / "kz2008" / "evaluation.json").read_text())
    for model in ("risk", "acceptance"):
        assert found[model]["holdout"]["auc"]["low"] > 0.6
        assert found[model]["holdout"]["gain"]["value"] > 0


def test_the_real_books_models_lose_nothing_to_the_plain_classifiers(published):
    found = json.loads((published.root / "build" / "kz2008" / "evaluation.json").read_text())
    for model, slack in (("acceptance", 0.001), ("risk", 0.006)):  # 70 loans, 5 of them bad
        ours, plain = found[model], found[model]["rivals"]["plain_classifier"]
        loss, rival = (each["holdout"]["log_loss"]["value"] for each in (ours, plain))
        assert loss < rival + slack


def test_the_price_slopes_interval_covers_the_experiments_own(published):
    path = published.root / "build" / "kz2008" / "acceptance" / "metrics.json"
    metrics = json.loads(path.read_text())
    reach = 1.96 * metrics["price_slope_se"]
    assert abs(metrics["price_slope"] - EXPERIMENT) < reach
    assert metrics["price_slope"] + reach < 0


@pytest.fixture(scope="module")
def served(published):
    with published.server("-m", "cli", "serve", "--portfolio", "kz2008") as running:
        yield running


def test_a_thousand_held_out_clients_are_answered_within_the_policy(published, served):
    done = published.run(
        *("-m", "loadtests.heldout", "kz2008", "--url", served.url),
        *("--applicants", "1000", "--concurrency", "16"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = ANSWERED.search(" ".join(done.stdout.split()))
    asked, offered, failures = map(int, found.groups())
    assert (asked, failures) == (1000, 0)
    assert offered >= 500


def test_the_console_shows_the_real_book_as_the_api_prices_it(served, browser):
    with watched(browser, served.url) as tab:
        walk(tab)
        for answer in ask_for(tab, 20):
            assert unlike(tab, answer["offers"]) == []
