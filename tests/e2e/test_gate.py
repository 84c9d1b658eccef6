"""Worse challengers against the champion that a service serves, a better one, and the way back.

`tests.challengers` makes, outside DVC, what the pipeline would never train.
"""

import asyncio
import json

import httpx
import pytest
import yaml

from tests.challengers import CHALLENGERS
from tests.e2e.load import Load
from tests.e2e.project import Project, cloned

pytest_plugins = ["tests.e2e.project"]

BUILD = "build/simulated"
QUOTES = 60_000  # the held-out part must be able to tell half a price slope from a whole one
REASONS = {
    "shuffled": "acceptance: log-loss below the champion's, randomised quotes",
    "halved": "acceptance: price slope, recalibrated",
    "stretched": "acceptance: calibration slope, randomised quotes",
}
SIGNED = ("--sign-off", "A. Person", "--reason", "the gap is known, and on simulated people")
PROMOTE = ("-m", "cli", "promote", "simulated")
ROLLBACK = ("-m", "cli", "rollback", "simulated")


def succeeded(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def set_params(lender, **sections):
    path = lender.root / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    for section, changes in sections.items():
        params[section] |= changes
    path.write_text(yaml.safe_dump(params), encoding="utf-8")


def served(lender):
    return (lender.root / BUILD / "served.json").read_bytes()


def gate(lender):
    return json.loads((lender.root / BUILD / "gate.json").read_text())


@pytest.fixture(scope="module")
def champion(project, tmp_path_factory) -> Project:
    """A clone whose champion learned from few rows, without trees."""
    lender = cloned(project, tmp_path_factory.mktemp("gate"))
    plain, few = {"rounds": 0}, {"holdout_share": 0.8}
    set_params(lender, simulate={"quotes": QUOTES}, prepare=few, risk=plain, acceptance=plain)
    succeeded(lender.run("-m", "dvc", "repro", "publish@simulated"))
    return lender


@pytest.fixture(scope="module")
def server(champion):
    """The champion's service, which nobody restarts."""
    with champion.server("-m", "cli", "serve") as running:
        yield running


def pair_of(content):
    return json.loads(content)["pair"]


@pytest.mark.parametrize("challenger", sorted(CHALLENGERS))
def test_a_worse_challenger_is_refused_and_the_champion_keeps_serving(
    champion, server, applicants, challenger
):
    before = served(champion)
    build = champion.root / BUILD
    kept = {name: (build / name / "model.ubj").read_bytes() for name in ("risk", "acceptance")}
    succeeded(champion.run("-m", "tests.challengers", challenger))
    done = champion.run(*PROMOTE, *SIGNED)
    for name, content in kept.items():
        (build / name / "model.ubj").write_bytes(content)
    assert done.returncode == 1, done.stdout + done.stderr
    verdicts = gate(champion)["verdicts"]
    assert REASONS[challenger] in {v["criterion"] for v in verdicts if not v["passed"]}
    assert REASONS[challenger] in done.stderr
    succeeded(champion.run("-m", "training.publish", "simulated", "--if-needed"))
    assert served(champion) == before
    answer = httpx.post(f"{server.url}/v1/offers", json=applicants[0])
    assert answer.json()["versions"]["pair"] == pair_of(before)


@pytest.fixture(scope="module")
def better(champion):
    """The champion, whose project has trained a pair from more rows, with trees."""
    trees = {"rounds": 50}
    set_params(champion, prepare={"holdout_share": 0.2}, risk=trees, acceptance=trees)
    succeeded(champion.run("-m", "dvc", "repro", "evaluate@simulated"))
    return champion


def test_a_better_challenger_takes_over_and_is_rolled_back_without_a_failed_request(
    better, server, applicants
):
    champion, load = served(better), Load(server.url, applicants)

    async def does(*words):
        return succeeded(await asyncio.to_thread(better.run, *words))

    async def there_and_back():
        async with load.running():
            await load.until(pair_of(champion))
            await does(*PROMOTE, *SIGNED)
            challenger = served(better)
            await load.until(pair_of(challenger))
            assert pair_of(champion) in await does(*ROLLBACK)
            await load.until(pair_of(champion))
            assert served(better) == champion
            await does("-m", "cli", "pipeline")  # which must not undo what a person did
            assert served(better) == champion
            await does(*PROMOTE, *SIGNED)
            await load.until(pair_of(challenger))
            return challenger

    challenger = asyncio.run(there_and_back())
    assert served(better) == challenger
    assert load.failures == []
    pairs = {answer["versions"]["pair"] for _, answer in load.answers}
    assert pairs == {pair_of(champion), pair_of(challenger)}
    gate = json.loads((better.root / BUILD / "gate.json").read_text())
    figures = {v["criterion"]: v["figure"] for v in gate["verdicts"]}
    assert figures["acceptance: log-loss below the champion's, randomised quotes"] > 0


def test_the_history_tells_it_all(better):
    wide = {**better.environment, "COLUMNS": "400"}
    printed = better.run("-m", "cli", "history", "simulated", environment=wide).stdout
    lines = [line for line in printed.splitlines() if " production " in line]
    does = ["promoted", *3 * ["refused"], "promoted", "rolled back", "promoted"]
    assert [next(d for d in set(does) if d in line) for line in lines] == does
