"""A book is answered as the service answers; a campaign's prices reach the running service."""

import json
import time

import httpx
import pandas as pd
import pytest

pytest_plugins = ["tests.e2e.project"]

BUDGET = 60_000
WITHIN_S = 30


@pytest.fixture(scope="module")
def finnt(project):
    """Return a function that runs `finnt` in the copy, and its first words."""

    def run(*words):
        done = project.run("-m", "cli", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def book(applicants, tmp_path_factory):
    """The applicants of these tests as a file."""
    path = tmp_path_factory.mktemp("books") / "book.csv"
    rows = [{**body["features"], **body} for body in applicants]
    pd.DataFrame(rows).drop(columns="features").to_csv(path, index=False)
    return path


def test_a_books_answers_are_the_services(finnt, book, decided, tmp_path):
    path = tmp_path / "offers.parquet"
    words = ("--input", str(book), "--output", str(path), "--partition-rows", "20")
    said = finnt("batch", "offers", *words, "--workers", "1")
    assert said.startswith(f"{len(decided)} applicants answered, 0 rows set aside, 3 parts")
    found = pd.read_parquet(path).sort_values("row").to_dict("records")
    assert len(found) == len(decided)
    for row, answer in zip(found, decided, strict=True):
        assert row["decision"] == answer["outcome"]
        assert list(row["reasons"]) == [reason["code"] for reason in answer["reasons"]]
        assert row["policy"] == answer["versions"]["policy"]
        for offer in answer["offers"][:1]:
            for name in ("principal", "quoted_rate", "apr", "p_accept", "expected_profit"):
                assert row[name] == pytest.approx(offer[name], rel=1e-9)


def test_on_the_frontier_a_free_price_earns_most_and_a_dearer_one_lends_less(finnt, book, tmp_path):
    table, plot = tmp_path / "frontier.csv", tmp_path / "frontier.svg"
    prices = ("--lowest", "-0.05", "--highest", "0.05", "--points", "3")
    finnt(
        "campaign",
        "frontier",
        "--book",
        str(book),
        *prices,
        *map(str, ("--table", table, "--plot", plot)),
    )
    points = pd.read_csv(table)
    assert points["capital"].tolist() == [-0.05, 0, 0.05]
    assert points["principal"].is_monotonic_decreasing
    assert points["profit"].idxmax() == 1
    assert plot.read_text(encoding="utf-8").startswith("<?xml")


def priced(server, example, wanted):
    """Return the service's answer as soon as it does, or does not, name shadow prices."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        answer = httpx.post(f"{server.url}/v1/offers", json=example, timeout=30).json()
        if ("shadow_prices" in answer["versions"]) == wanted:
            return answer
        time.sleep(0.2)
    raise TimeoutError(f"the service does not follow: {server.output()}")


def test_a_campaign_prices_single_offers_until_it_ends(finnt, book, server, example, project):
    free = priced(server, example, wanted=False)
    path = project.root / "build" / "simulated" / "shadow-prices.json"
    try:
        finnt("campaign", "plan", "--book", str(book), "--budget", str(BUDGET))
        capital = json.loads(path.read_text())["campaign"]["history"][0]["capital"]
        assert capital > 0
        dear = priced(server, example, wanted=True)
        assert dear["offers"][0]["quoted_rate"] > free["offers"][0]["quoted_rate"]
        url = f"{server.url}/v1/decisions/{dear['decision_id']}/replay"
        assert httpx.post(url, timeout=30).json()["agrees"]
        assert "1 of 50 applicants" in finnt("campaign", "steer", "--dry-run")
        assert json.loads(path.read_text())["campaign"]["history"][0]["capital"] == capital
    finally:
        finnt("campaign", "end")
    assert priced(server, example, wanted=False)["offers"] == free["offers"]
