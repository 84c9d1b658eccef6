import asyncio
import contextlib

import bentoml
import numpy as np
import pytest
from aiohttp import web
from bentoml.exceptions import BentoMLException

from finntelligence.errors import ModelUnavailableError
from runners.arrays import ArraySerde
from runners.asking import asked_from_afar
from runners.envelope import sealed
from runners.guard import SECRET
from runners.remote import Remote
from tests.runners.alone import alone, doubler

# BentoML itself asks for what pydantic has deprecated
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211")

OURS = "0123456789abcdef" * 2
ROWS = sealed(np.arange(6.0).reshape(3, 2), 7.0)
GONE = "tcp://127.0.0.1:1"  # nothing listens there
PATIENCE_S = 30  # of tests of what is not slowness


@pytest.fixture(autouse=True)
def _secret(monkeypatch):
    monkeypatch.setenv(SECRET, OURS)


@contextlib.asynccontextmanager
async def remote(addresses):
    made = Remote("risk", addresses)
    try:
        yield made
    finally:
        await made.close()


async def asked(addresses, rows=ROWS, within_s=PATIENCE_S):
    async with remote(addresses) as made:
        return await made.call("coefficients", rows, within_s)


class Replica:
    """A runner's replica that does what it is told: answers, breaks off, refuses or hangs."""

    def __init__(self):
        self.does, self.calls, self.connections, self.shown = "answer", 0, set(), set()

    async def answer(self, request):
        self.calls += 1
        self.connections.add(request.transport)
        self.shown.add(request.headers.get("Authorization"))
        if self.does == "break off":
            request.transport.abort()
        if self.does == "hang":
            await asyncio.Event().wait()
        if self.does == "refuse":
            return web.Response(status=503)
        if self.does == "babble":
            return web.Response(body=b"cos\nsystem\n.")
        sent = ArraySerde().serialize_value(ROWS * 2)
        response = web.Response(body=b"".join(sent.data), headers=sent.metadata)
        if self.does == "leave":
            response.headers["Connection"] = "close"
        return response

    @contextlib.asynccontextmanager
    async def serving(self, path=None):
        app = web.Application()
        app.router.add_post("/coefficients", self.answer)
        app.router.add_get("/readyz", self.ready)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.UnixSite(runner, path) if path else web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            port = None if path else runner.addresses[0][1]
            yield f"file://{path}" if path else f"tcp://127.0.0.1:{port}"
        finally:
            await runner.cleanup()

    async def ready(self, request):
        if self.does == "hang":
            await asyncio.Event().wait()
        return web.Response(status=200 if self.does == "answer" else 503)


def with_two(play):
    """Play with a remote of two replicas, one and other."""

    async def played():
        one, other = Replica(), Replica()
        async with (
            one.serving() as first,
            other.serving() as second,
            remote(f"{first},{second}") as made,
        ):
            await play(made, one, other)

    asyncio.run(played())


def test_a_guarded_runner_of_bentoml_answers():
    with alone() as address:
        np.testing.assert_array_equal(asyncio.run(asked(f"tcp://{address}")), ROWS * 2)


def test_a_front_with_another_secret_gets_no_answer(monkeypatch, caplog):
    with alone() as address:
        monkeypatch.setenv(SECRET, "f" * 32)
        with pytest.raises(ModelUnavailableError, match="risk"):
            asyncio.run(asked(f"tcp://{address}"))
    assert "only the front" in caplog.text
    assert "f" * 32 not in caplog.text


def test_misfit_rows_are_refused_and_spoil_nobody_elses():
    """Twenty calls at once, which the runner's batcher would join."""
    misfit = ROWS[:, :-1]

    async def all_of_them(address):
        async with remote(f"tcp://{address}") as made:
            calls = [misfit if at == 7 else ROWS for at in range(20)]
            return await asyncio.gather(
                *(made.call("coefficients", rows, PATIENCE_S) for rows in calls),
                return_exceptions=True,
            )

    with alone() as address:
        answers = asyncio.run(all_of_them(address))
    assert isinstance(answers.pop(7), ModelUnavailableError)
    for answer in answers:
        np.testing.assert_array_equal(answer, ROWS * 2)


def test_a_socket_is_an_address_too(tmp_path):
    async def over_a_socket():
        async with Replica().serving(str(tmp_path / "runner.sock")) as address:
            return await asked(address)

    np.testing.assert_array_equal(asyncio.run(over_a_socket()), ROWS * 2)


def test_calls_are_spread_over_all_addresses():
    async def play(made, one, other):
        for _ in range(10):
            await made.call("coefficients", ROWS, PATIENCE_S)
        assert (one.calls, other.calls) == (5, 5)
        assert one.shown == {f"Bearer {OURS}"}

    with_two(play)


@pytest.mark.parametrize("does", ["break off", "refuse", "babble"])
def test_what_one_address_does_not_answer_the_other_does(does):
    async def play(made, one, other):
        one.does = does
        for _ in range(6):
            np.testing.assert_array_equal(
                await made.call("coefficients", ROWS, PATIENCE_S), ROWS * 2
            )
        assert other.calls == 6
        assert one.calls <= 2  # what failed is left alone for a while

    with_two(play)


def test_an_address_that_hangs_costs_its_share_of_the_time_and_no_answer():
    async def play(made, one, other):
        one.does = "hang"
        for _ in range(3):
            await made.call("coefficients", ROWS, 2.0)
        assert (one.calls, other.calls) == (1, 3)

    with_two(play)


def test_of_an_only_address_that_hangs_the_log_tells(caplog):
    async def hung():
        replica = Replica()
        replica.does = "hang"
        async with replica.serving() as address:
            await asked(address, within_s=0.1)

    with pytest.raises(ModelUnavailableError):
        asyncio.run(hung())
    assert "the risk model at tcp://127.0.0.1" in caplog.text
    assert "does not answer: TimeoutError" in caplog.text


def test_an_address_that_works_again_is_asked_again(caplog, monkeypatch):
    monkeypatch.setattr("runners.remote.LONGEST_SHUN_S", 0.0)

    async def play(made, one, other):
        one.does = "refuse"
        for _ in range(3):
            await made.call("coefficients", ROWS, PATIENCE_S)
        one.does, before = "answer", one.calls
        for _ in range(4):
            await made.call("coefficients", ROWS, PATIENCE_S)
        assert one.calls > before

    with_two(play)
    told = [record.getMessage() for record in caplog.records if record.name == "runners.remote"]
    assert [("answers again" in each) for each in told] == [False, True]


def test_one_address_gets_a_second_try():
    async def play(made, one, other):
        other.does = "refuse"
        one.does = "break off"

        async def mend():
            while not one.calls:
                await asyncio.sleep(0)
            one.does = "answer"

        answer, _ = await asyncio.gather(made.call("coefficients", ROWS, PATIENCE_S), mend())
        np.testing.assert_array_equal(answer, ROWS * 2)

    with_two(play)


def test_where_nothing_listens_the_model_is_unavailable_at_once():
    with pytest.raises(ModelUnavailableError, match="the risk model does not answer"):
        asyncio.run(asked(f"{GONE},{GONE}"))


def test_a_connection_is_kept_and_renewed_after_a_while(monkeypatch):
    async def connections(calls):
        replica = Replica()
        async with replica.serving() as address, remote(address) as made:
            for _ in range(calls):
                await made.call("coefficients", ROWS, PATIENCE_S)
        return len(replica.connections)

    assert asyncio.run(connections(4)) == 1
    monkeypatch.setattr("runners.remote.RENEW_S", -1.0)
    assert asyncio.run(connections(4)) == 4


def test_an_address_that_says_it_ends_is_left_alone_while_there_is_another():
    async def play(made, one, other):
        one.does = "leave"
        for _ in range(20):
            await made.call("coefficients", ROWS, PATIENCE_S)
        assert (one.calls, other.calls) == (1, 19)

    with_two(play)


@pytest.mark.parametrize(
    ("first", "second", "ready"),
    [
        ("answer", "answer", True),
        ("answer", "refuse", True),
        ("hang", "answer", True),
        ("refuse", "refuse", False),
        ("refuse", "hang", False),
    ],
)
def test_a_runner_is_ready_while_one_address_is(first, second, ready):
    async def play(made, one, other):
        one.does, other.does = first, second
        assert await made.is_ready() is ready

    with_two(play)


def test_a_runner_of_which_nothing_says_where_it_is_is_refused():
    service = doubler("nowhere")
    with pytest.raises(BentoMLException, match="nowhere"):
        asked_from_afar(service, "risk").get(runner_mapping={"other": GONE})


def test_bentoml_says_where_a_runner_is():
    service = doubler("near")
    made = asked_from_afar(service, "risk").get(runner_mapping={"near": f"{GONE},{GONE}"})
    assert isinstance(made, Remote)
    assert len(made) == 2
    assert isinstance(asked_from_afar(service, "risk"), bentoml.Dependency)
