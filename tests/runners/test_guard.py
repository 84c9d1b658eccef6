import asyncio
import os

import click
import httpx
import pytest
from _bentoml_impl.serde import ALL_SERDE, PickleSerde
from bentoml.exceptions import BentoMLException
from pydantic import ValidationError

from runners.guard import SECRET, FrontOnly, share_secret
from runners.settings import RunnerSettings
from tests.runners.alone import alone
from tests.runners.test_arrays import Touching

# BentoML itself asks for what pydantic has deprecated
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211")

OURS = "0123456789abcdef" * 2
PICKLE = {"Content-Type": PickleSerde.media_type}
FRONT = {"Authorization": f"Bearer {OURS}"}


async def echo(scope, receive, send):
    """Answer with what was read of the body."""
    body = (await receive())["body"] if scope["method"] == "POST" else b""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"read:" + body})


def ask(method, path, app=None, **words):
    app = app or FrontOnly(echo)

    async def asked():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://runner") as client:
            return await client.request(method, path, **words)

    return asyncio.run(asked())


@pytest.fixture(autouse=True)
def _secret(monkeypatch):
    monkeypatch.setenv(SECRET, OURS)


def test_the_front_is_let_in():
    assert ask("POST", "/coefficients", content=b"rows", headers=PICKLE | FRONT).text == "read:rows"


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"Authorization": ""},
        {"Authorization": OURS},
        {"Authorization": f"Basic {OURS}"},
        {"Authorization": f"Bearer {OURS[:-1]}"},
        {"Authorization": f"Bearer {OURS}0"},
        {"Authorization": f"Bearer {OURS.upper()}"},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/coefficients"), ("GET", "/schema.json")])
def test_a_stranger_is_refused_and_learns_no_secret(shown, method, path):
    response = ask(method, path, headers=PICKLE | shown)
    assert response.status_code == 401
    assert OURS not in response.text + str(response.headers)


def test_a_secret_shown_twice_is_none():
    twice = [("Authorization", f"Bearer {OURS}"), ("Authorization", "Bearer x"), *PICKLE.items()]
    assert ask("POST", "/coefficients", headers=twice).status_code == 401


def test_a_stranger_is_refused_before_the_body_is_read():
    async def refused():
        async def receive():
            raise AssertionError("the body was read")

        said = []

        async def send(message):
            said.append(message)

        scope = {"type": "http", "method": "POST", "path": "/coefficients", "headers": []}
        await FrontOnly(echo)(scope, receive, send)
        return said[0]["status"]

    assert asyncio.run(refused()) == 401


@pytest.mark.parametrize(
    "kind", ["application/json", "multipart/form-data", "text/plain", f"{PickleSerde.media_type};x"]
)
def test_the_front_too_sends_nothing_but_arrays(kind):
    response = ask("POST", "/coefficients", headers=FRONT | {"Content-Type": kind})
    assert response.status_code == 415


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/metrics"])
def test_orchestrators_ask_without_the_secret(path):
    assert ask("GET", path).status_code == 200
    assert ask("POST", path).status_code == 401


def test_a_front_with_another_secret_does_not_take_the_runner_for_ready():
    assert ask("GET", "/readyz", headers=FRONT).status_code == 200
    assert ask("GET", "/readyz", headers={"Authorization": "Bearer x"}).status_code == 401


def test_a_stranger_is_told_of_once(caplog):
    app = FrontOnly(echo)
    for _ in range(3):
        ask("POST", "/coefficients", app)
    assert [record.levelname for record in caplog.records if "refused" in record.getMessage()] == [
        "WARNING"
    ]


def test_without_a_secret_of_its_own_a_runner_lets_nobody_in(monkeypatch):
    monkeypatch.delenv(SECRET)
    for shown in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}, FRONT):
        assert ask("POST", "/coefficients", headers=PICKLE | shown).status_code == 401


def test_a_web_socket_is_closed():
    async def closed():
        said = []

        async def send(message):
            said.append(message["type"])

        await FrontOnly(echo)({"type": "websocket", "headers": []}, None, send)
        return said

    assert asyncio.run(closed()) == ["websocket.close"]


def test_a_short_secret_is_refused_unprinted(monkeypatch):
    monkeypatch.setenv(SECRET, "hunter2")
    with pytest.raises(ValidationError) as caught:
        RunnerSettings()
    assert "hunter2" not in str(caught.value)


@pytest.fixture
def runner(monkeypatch):
    monkeypatch.setitem(ALL_SERDE, PickleSerde.media_type, PickleSerde)
    with alone(is_guarded=True) as address:
        yield address


def pickle_to(address, path, **headers):
    """Send a pickle that touches a file to whatever listens at an address."""
    body = b"".join(PickleSerde().serialize_value({"rows": Touching(path)}).data)
    return httpx.post(f"http://{address}/coefficients", content=body, headers=PICKLE | headers)


def test_a_strangers_pickle_is_refused_unexecuted(runner, tmp_path):
    mark = tmp_path / "mark"
    assert pickle_to(runner, mark).status_code == 401
    assert not mark.exists()


def test_even_who_knows_the_secret_cannot_have_a_runner_execute_a_pickle(runner, tmp_path):
    mark = tmp_path / "mark"
    assert pickle_to(runner, mark, **FRONT).status_code == 400
    assert not mark.exists()


def test_a_runner_without_the_guard_executes_a_strangers_pickle(monkeypatch, tmp_path):
    monkeypatch.setitem(ALL_SERDE, PickleSerde.media_type, PickleSerde)
    mark = tmp_path / "mark"
    with alone(is_guarded=False) as address:
        pickle_to(address, mark)
    assert mark.exists()


def started_with(**words):
    """Share a secret as the parent does that a command with these options starts."""
    with click.Context(click.Command("serve")) as context:
        context.params = words
        share_secret()


def test_a_parent_makes_a_secret_that_its_children_inherit(monkeypatch):
    monkeypatch.setenv(SECRET, "")
    started_with(service_name=None, depends=())
    first = os.environ[SECRET]
    assert len(first) == 64
    share_secret()
    assert os.environ[SECRET] == first


@pytest.mark.parametrize("words", [{"service_name": "RiskRunner"}, {"depends": ("a=tcp://b",)}])
def test_a_part_started_by_itself_must_be_told_the_secret(monkeypatch, words):
    started_with(**words)
    monkeypatch.setenv(SECRET, "")
    with pytest.raises(BentoMLException, match=SECRET):
        started_with(**words)
