"""Another pair takes over from the one served, under load, and staging serves beside production."""

import asyncio
import json
import shutil
import time
from contextlib import AsyncExitStack, contextmanager, suppress

import httpx
import pytest

from serving.parts import split
from tests.e2e.load import CHANGED_WITHIN_S, CONNECTIONS, Load, but_its_own
from tests.e2e.project import LOOPBACK, PATIENT, VERSION, Project, free_port

pytest_plugins = ["tests.e2e.project"]

SEVERAL = {"FINNT_FRONT_WORKERS": "2", "FINNT_RUNNER_RISK_WORKERS": "2"}
SERVE = ("-m", "cli", "serve")
SERVICE = "service:OfferService"
# A rival of the published pair that prices otherwise and has a head less: put into the store, and
# named by served-staging.json as `publish` would name it. Then what each of them decides.
RIVAL_AND_DECISIONS = """
import asyncio, hashlib, json, sys
from dataclasses import replace
from pathlib import Path
import bentoml
from finntelligence.portfolio import Capability
from finntelligence.response import SPEC_ATTRIBUTE
from runners.store import ServedPair
from serving.handler import Engine, handle
from serving.wire import OfferRequest, from_core, to_core

published = ServedPair("simulated")
content = json.loads(json.dumps(published.content)) | {"alias": "staging"}
for model, entry in content["models"].items():
    scorer = published.load(Capability(model))
    response = scorer.response
    rival = replace(
        response, heads=response.heads[:-1], linear=response.linear[:-1], calibration=(0.3, 0.9)
    )
    scorer.booster.set_attr(**{SPEC_ATTRIBUTE: json.dumps(rival.to_mapping())})
    entry["tag"] = entry["tag"].partition(":")[0] + ":v99-rival"
    with bentoml.models.create(entry["tag"]) as stored:
        path = Path(stored.path) / entry["file"]
        path.parent.mkdir(parents=True)
        scorer.booster.save_model(path)
        entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
digests = [content["models"][model]["sha256"] for model in ("risk", "acceptance")]
content["pair"] = "-".join(digest[:8] for digest in digests)
published.path.with_name("served-staging.json").write_text(json.dumps(content))

def decisions(pair):
    market, scorers = pair.market()
    engine = Engine.of_scorers(market, pair.all_versions(market), scorers)
    for body in bodies:
        request = to_core(OfferRequest(**body), market.portfolio)
        found = asyncio.run(handle(request, engine, explain=body["explain"]))
        answer = from_core(found.decision, found.decision_id, market.portfolio)
        yield json.loads(answer.model_dump_json())

bodies = json.load(sys.stdin)
pairs = [ServedPair("simulated", alias=alias) for alias in ("production", "staging")]
print(json.dumps({pair.pair: list(decisions(pair)) for pair in pairs}))
"""


@pytest.fixture(scope="module")
def lender(project, tmp_path_factory):
    """A copy of what serving needs, whose published pair may change."""
    base = tmp_path_factory.mktemp("lender")
    root, store = base / "project", base / "bentoml"
    left = shutil.ignore_patterns(".git", ".dvc", "data", "mlruns", "mlflow.db", "tests")
    shutil.copytree(project.root, root, ignore=left)
    shutil.copytree(project.environment["BENTOML_HOME"], store)
    folders = {"BENTOML_HOME": str(store), "PYTHONPATH": str(root)}
    return Project(root, {**project.environment, **folders})


@pytest.fixture(scope="module")
def bodies(applicants):
    """Requests, every third of which asks for an explanation too."""
    return [body | {"explain": at % 3 == 0} for at, body in enumerate(applicants)]


@pytest.fixture(scope="module")
def decided(lender, bodies):
    """What each of two pairs decides on each applicant, by pair: the published, then its rival."""
    done = lender.run("-c", RIVAL_AND_DECISIONS, given=json.dumps(bodies))
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def served(lender, decided):
    """The content of served.json for each pair."""
    folder = lender.root / "build" / "simulated"
    contents = [folder / name for name in ("served.json", "served-staging.json")]
    return {
        pair: path.read_text(encoding="utf-8") for pair, path in zip(decided, contents, strict=True)
    }


@pytest.fixture(scope="module")
def server(lender, served):
    """Production, with two fronts and two risk runners."""
    with lender.server(*SERVE, environment={**lender.environment, **SEVERAL}) as running:
        yield running


def publish(lender, content):
    """Write served.json in one step, as `publish` does."""
    put(lender.root / "build" / "simulated" / "served.json", content)


def put(path, content):
    """Write a file in one step: whoever looks meanwhile sees no half of it."""
    partial = path.with_suffix(".partial")
    partial.write_text(content, encoding="utf-8")
    partial.replace(path)


@contextmanager
def changed(path, content):
    """Let a file say something else for a while."""
    before = path.read_text(encoding="utf-8")
    put(path, content)
    try:
        yield
    finally:
        put(path, before)


def fronts(url):
    """Return what as many fresh connections as there are callers say is served."""
    return [httpx.get(f"{url}/v1/status").json() for _ in range(CONNECTIONS)]


def status_when(url, right):
    """Return what every front says once that is `right`."""
    deadline = time.monotonic() + CHANGED_WITHIN_S
    while not all(map(right, told := fronts(url))):
        assert time.monotonic() < deadline, told
        time.sleep(0.1)
    return told


def test_the_two_pairs_decide_differently_and_each_declines_somebody(decided):
    first, second = decided.values()
    assert all(a["versions"]["engine"] == VERSION for a in first + second)
    assert sum(a["offers"] != b["offers"] for a, b in zip(first, second, strict=True)) > 25
    assert all({"offers", "decline"} == {a["outcome"] for a in each} for each in decided.values())


def test_a_pair_takes_over_under_load_and_gives_way_again_without_one_failed_request(
    lender, server, bodies, decided, served
):
    first, second = decided
    load = Load(server.url, bodies)

    async def there_and_back():
        async with load.running():
            await load.until(first)
            for pair in (second, first, second, first):
                publish(lender, served[pair])
                await load.until(pair)

    asyncio.run(there_and_back())
    load.refuse_anything_but(decided)
    assert {answer["versions"]["pair"] for _, answer in load.answers} == {first, second}


def test_pairs_that_follow_one_another_faster_than_fronts_look_fail_nothing(
    lender, server, bodies, decided, served
):
    first, second = decided
    load = Load(server.url, bodies)

    async def to_and_fro():
        async with load.running():
            for pair in (second, first) * 6:
                publish(lender, served[pair])
                await asyncio.sleep(0.4)
            await load.until(first)

    asyncio.run(to_and_fro())
    load.refuse_anything_but(decided)


@pytest.mark.parametrize("broken", ["half written", "missing model", "other file", "policy"])
def test_a_pair_that_cannot_be_served_changes_nothing_and_every_front_says_why(
    lender, server, bodies, decided, served, broken
):
    first, second = decided
    whole = json.loads(served[second])
    digest = whole["models"]["risk"]["sha256"]
    content, said = {
        "half written": (served[second][:-20], "served.json is not JSON"),
        "missing model": (served[second].replace("risk:v99", "risk:v98"), "lacks finnt-simulated-"),
        "other file": (served[second].replace(digest, "0" * 64), "is not the published file"),
        "policy": (served[second] + "\n", "policy.tick"),
    }[broken]
    policy = lender.root / "policy.yaml"
    impossible = (
        "simulated: {tick: -1}\n" if broken == "policy" else policy.read_text(encoding="utf-8")
    )
    load = Load(server.url, bodies)

    async def while_asked():
        async with load.running():
            publish(lender, content)
            right = lambda told: said in (told["reload_refused"] or "")  # noqa: E731
            told = await asyncio.to_thread(status_when, server.url, right)
            assert {(each["pair"], each["status"]) for each in told} == {(first, "ready")}

    with changed(policy, impossible):
        asyncio.run(while_asked())
    publish(lender, served[first])
    status_when(server.url, lambda told: told["reload_refused"] is None)
    load.refuse_anything_but({first: decided[first]})
    assert load.answers
    assert server.output().count(said) <= int(SEVERAL["FINNT_FRONT_WORKERS"])


def ready(address, within_s=60):
    """Return the address once a part answers there that it is ready."""
    url, deadline = address.replace("tcp://", "http://"), time.monotonic() + within_s
    while True:
        assert time.monotonic() < deadline, f"nobody is ready at {address}"
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", timeout=5).is_success:
                return url
        time.sleep(0.1)


def ended(*parts):
    for each in parts:
        each.tell()
    for each in parts:
        each.ended()


def test_an_image_is_rolled_out_runners_first_without_one_failed_request(
    lender, bodies, decided, served
):
    first, second = decided
    environment = {
        **{**lender.environment, **PATIENT, "FINNT_AUTH_OFF": "yes", "FINNT_GRPC_ENABLED": "no"},
        "FINNT_RUNNER_SECRET": "rolled-" * 5,
        "FINNT_FRONT_RELOAD_S": "0",  # what was published when its image was built is all it knows
    }
    replicas = {"RiskRunner": 2, "AcceptanceRunner": 1}
    old_risk, new_risk, acceptance, old = split(SERVICE, LOOPBACK, free_port(), replicas)
    *_, new = split(SERVICE, LOOPBACK, free_port(), replicas)
    new.words = [*new.words[: new.words.index("--depends")], *old.words[-4:]]
    loads = []

    async def rolled_out():
        async def begun(*parts):
            for part in parts:
                part.start(lender.root, environment)
            return [await asyncio.to_thread(ready, part.address) for part in parts]

        async def asked(front, pair):
            loads.append(Load(front, bodies))
            await stack.enter_async_context(loads[-1].running())
            await loads[-1].until(pair)

        async with AsyncExitStack() as stack:
            stack.callback(ended, old_risk, new_risk, acceptance)
            stack.callback(ended, old, new)
            *_, first_url = await begun(old_risk, acceptance, old)
            await asked(first_url, first)
            publish(lender, served[second])
            await begun(new_risk)
            old_risk.tell()
            await asyncio.to_thread(old_risk.ended)
            (second_url,) = await begun(new)
            await asked(second_url, second)
            so_far = len(loads[0].answers)
            while len(loads[0].answers) < so_far + 50:  # of a front whose own runner is gone
                assert not loads[0].failures
                await asyncio.sleep(0.05)

    try:
        asyncio.run(rolled_out())
    finally:
        publish(lender, served[first])
    for load, pair in zip(loads, (first, second), strict=True):
        load.refuse_anything_but(decided)
        assert {answer["versions"]["pair"] for _, answer in load.answers} == {pair}


def test_staging_is_served_beside_production_on_another_port(
    lender, server, bodies, decided, asked_together
):
    first, second = decided
    with lender.server(*SERVE, "--alias", "staging") as staging:
        for url, pair, alias in (
            (server.url, first, "production"),
            (staging.url, second, "staging"),
        ):
            told = httpx.get(f"{url}/v1/status").json()
            assert (told["pair"], told["alias"]) == (pair, alias)
            answers = [r.json() for r in asked_together(f"{url}/v1/offers", bodies)]
            assert {answer["versions"]["alias"] for answer in answers} == {alias}
            assert list(map(but_its_own, answers)) == list(map(but_its_own, decided[pair]))


def test_an_impossible_policy_refuses_to_serve_in_one_line_before_anything_starts(lender):
    with changed(lender.root / "policy.yaml", "simulated: {tick: -1}\n"):
        done = lender.run("-m", "bentoml", "serve", "service:OfferService")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "policy.tick" in line


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        ((*SERVE, "--alias", "canary"), "staging"),
        (("-m", "bentoml", "serve", "service:OfferService", "--arg", "alias=canary"), "staging"),
    ],
)
def test_an_alias_that_does_not_exist_is_refused_with_those_that_do(lender, words, fact):
    done = lender.run(*words)
    assert done.returncode != 0
    assert fact in done.stderr
    assert "Traceback" not in done.stderr
