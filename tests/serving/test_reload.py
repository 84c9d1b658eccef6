import asyncio
import logging
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from finntelligence.errors import InvalidDeclarationError, ModelMismatchError, ModelUnavailableError
from finntelligence.policy import Policy
from serving import reload
from serving.http_door import Door
from serving.reload import TRY_AGAIN_S, Watch, follow, rehearse


def of(pair):
    """Return the versions of an engine of a pair."""
    return {"pair": pair, "risk": "made-risk:v1", "acceptance": "made-acceptance:v1"}


class Front:
    """A front in this process; its served.json is a pair's name, `broken` what is wrong with it."""

    def __init__(self, path, engine_for, market):
        self.policy_path = path.with_name("policy.yaml")
        self.path, self.engine_for, self.market = path, engine_for, market
        self.now, self.loads, self.broken = 0.0, [], {}
        self.publish("first")
        self.state = SimpleNamespace(
            door=Door(
                engine=self.engine("first"),
                version="1.2.3",
                max_body_bytes=1,
                models_ready=None,
                started_at=0.0,
                served_since=0.0,
            )
        )
        self.prices = path.with_name("shadow-prices.json")
        paths = (path, self.policy_path, self.prices)
        self.watch = Watch(paths=paths, load=self.load, state=self.state, clock=lambda: self.now)

    def engine(self, pair):
        return self.engine_for(self.market, versions=of(pair))

    def load(self):
        pair = self.path.read_text(encoding="utf-8")
        self.loads.append(pair)
        if pair in self.broken:
            raise self.broken[pair]
        return self.engine(pair)

    def publish(self, pair):
        self.path.write_text(pair, encoding="utf-8")

    def look(self):
        asyncio.run(self.watch.look())
        return self.served, self.state.door.reload_refused

    @property
    def served(self):
        return self.state.door.engine.versions["pair"]


@pytest.fixture
def front(tmp_path, engine_for, market):
    return Front(tmp_path / "served.json", engine_for, market)


def test_what_is_served_already_is_not_loaded_again(front):
    assert front.look() == front.look() == ("first", None)
    assert front.loads == []


def test_a_new_pair_is_served_and_the_old_one_again_when_it_is_back(front):
    for pair in ("second", "first", "third"):
        front.publish(pair)
        assert front.look() == (pair, None)
        assert front.state.door.served_since > 0


def test_new_shadow_prices_are_served_with_the_pair_in_force(front):
    for text in ("dear", "cheap", "dear"):
        front.prices.write_text(text, encoding="utf-8")
        front.look()
    front.prices.unlink()
    assert front.look() == front.look() == ("first", None)
    assert front.loads == ["first"] * 4


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModelMismatchError("the model store lacks it"), "the model store lacks it"),
        (KeyError("of the applicant"), "a defect on our side; the log has the details"),
    ],
)
def test_a_pair_that_cannot_be_loaded_is_told_once_and_the_old_one_serves(
    front, caplog, error, said
):
    front.broken["second"] = error
    front.publish("second")
    with caplog.at_level(logging.ERROR, logger="serving"):
        for _ in range(3):
            assert front.look() == ("first", said)
            front.now += TRY_AGAIN_S
    assert caplog.text.count(said) == 1


def test_a_pair_that_cannot_be_loaded_is_tried_again_now_and_then(front):
    front.broken["second"] = ModelMismatchError("the model store lacks it")
    front.publish("second")
    for _ in range(5):
        front.look()
    assert len(front.loads) == 1
    front.broken.clear()  # the store is repaired, served.json stays
    front.now += TRY_AGAIN_S
    assert front.look() == ("second", None)


def test_an_edited_policy_is_served_as_a_new_pair_is(front):
    front.policy_path.write_text("simulated: {apr_cap: 0.2}", encoding="utf-8")
    assert front.look() == front.look() == ("first", None)
    assert front.loads == ["first"]


def test_an_edited_policy_needs_no_model_to_answer(front, engine_for, market):
    async def unavailable(rows):
        raise ModelUnavailableError("the model does not answer")

    edited = replace(
        market,
        policy=Policy.from_mapping(market.portfolio, {"degrade": {"acceptance": "list_price"}}),
    )
    engine = engine_for(edited, versions=of("first"), score_acceptance=unavailable)
    front.watch.load = lambda: engine
    front.policy_path.write_text("simulated: {degrade: {acceptance: list_price}}")
    assert front.look() == ("first", None)
    assert front.state.door.engine is engine


def test_an_impossible_policy_changes_nothing_and_is_told(front):
    front.broken["first"] = InvalidDeclarationError("policy.yaml: apr_cap must be a number")
    front.policy_path.write_text("simulated: {apr_cap: low}", encoding="utf-8")
    assert front.look() == ("first", "policy.yaml: apr_cap must be a number")
    front.policy_path.unlink()
    assert front.look() == ("first", None)


def test_a_repaired_served_json_is_served_at_once(front):
    front.broken["half"] = ModelMismatchError("is not JSON")
    front.publish("half")
    front.look()
    front.publish("whole")
    assert front.look() == ("whole", None)


def test_nothing_is_wrong_any_more_once_what_is_served_is_published_again(front):
    front.broken["half"] = ModelMismatchError("is not JSON")
    front.publish("half")
    assert front.look() == ("first", "is not JSON")
    front.publish("first")
    assert front.look() == ("first", None)
    assert front.loads == ["half"]


def test_the_pair_serves_on_when_its_file_is_gone(front):
    front.path.unlink()
    served, said = front.look()
    assert served == "first"
    assert said


@pytest.mark.parametrize("scorer", ["score_risk", "score_acceptance", "explain_risk"])
def test_a_pair_is_not_served_until_its_runners_answer(front, scorer, engine_for, market):
    lacking = [True]

    async def ask(rows):
        if lacking:
            raise ModelUnavailableError("its runner lacks it")
        return np.zeros((len(rows), 1))

    front.engine = lambda pair: engine_for(market, versions=of(pair), **{scorer: ask})
    front.publish("second")
    assert front.look() == ("first", "its runner lacks it")
    lacking.clear()
    front.now += TRY_AGAIN_S
    assert front.look() == ("second", None)


def test_a_rehearsal_asks_each_model_about_rows_of_its_width(engine_for, market):
    asked = []

    def heard(name):
        async def ask(rows):
            asked.append((name, rows.shape))

        return ask

    names = ("score_risk", "score_acceptance", "explain_risk")
    asyncio.run(rehearse(engine_for(market, **{name: heard(name) for name in names})))
    assert sorted(asked) == sorted((name, (1, len(market.risk.features))) for name in names)


def test_the_loop_answers_others_while_a_pair_is_loaded(front):
    async def both():
        loading, told = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def load():
            loop.call_soon_threadsafe(loading.set)
            asyncio.run_coroutine_threadsafe(told.wait(), loop).result(5)
            return front.engine("second")

        front.watch.load = load
        front.publish("second")
        looking = asyncio.create_task(front.watch.look())
        await asyncio.wait_for(loading.wait(), 5)
        assert front.served == "first"
        told.set()
        await looking

    asyncio.run(both())
    assert front.served == "second"


def test_following_sees_every_new_pair_until_it_is_cancelled(front):
    async def followed():
        task = asyncio.create_task(follow(front.watch, 0.001))
        for pair in ("second", "third"):
            front.publish(pair)
            async with asyncio.timeout(5):
                while front.served != pair:
                    await asyncio.sleep(0.001)
        task.cancel()
        front.publish("fourth")
        await asyncio.sleep(0.01)

    asyncio.run(followed())
    assert front.served == "third"


def test_the_pair_in_force_is_logged_when_it_changes(front, caplog):
    front.publish("second")
    with caplog.at_level(logging.INFO, logger=reload.__name__):
        front.look()
    assert caplog.messages == [
        f"pair second is served from now on, under policy {front.market.policy.digest[:12]}"
    ]
