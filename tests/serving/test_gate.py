import asyncio
import json

import click
import httpx
import pytest
from bentoml.exceptions import BentoMLException

from finntelligence.errors import InvalidDeclarationError
from serving.gate import (
    CALLER,
    Gate,
    HttpGate,
    is_loopback,
    open_on_loopback,
    refuse_unlocked,
    said_of_keys,
)
from serving.keys import KeyFile, add, entries, revoke
from serving.limits import MOST_HEADER_BYTES
from serving.problems import UnauthenticatedError
from serving.rate_limit import Admission, RateLimits

ID = "0a0a0a0a-0b0b0b0b-" + "1" * 32
NEEDED = {
    "/v1/offers": "offer",
    "/predict": "offer",
    "/v1/quote": "offer",
    "/v1/curve": "offer",
    f"/v1/decisions/{ID}": "read",
    f"/v1/decisions/{ID}/replay": "read",
    f"/v1/decisions/{ID}/chain": "read",
    f"/v1/decisions/{ID}/outcome": "outcome",
    "/v1/policy": "read",
    "/v1/models": "read",
    "/metrics": "metrics",
    "/v1/yet-to-come": "admin",
    "/docs.json": "admin",
    "/schema.json": "admin",
    "/V1/offers": "admin",
    "/v1/decisions": "admin",
}
OPEN = ["/livez", "/healthz", "/readyz", "/docs", "/openapi.json", "/static_content/a.css"]
OPEN += ["/console", "/console/app.js"]


class App:
    """Answers with who asked; does not read the body."""

    def __init__(self):
        self.asked, self.hold = 0, None

    async def __call__(self, scope, receive, send):
        self.asked += 1
        if self.hold is not None:
            await self.hold.wait()
        body = json.dumps(scope.get(CALLER)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.json"


@pytest.fixture
def app():
    return App()


def gate(keys, **words):
    room = Admission(**{"in_flight": 4, "queue": 4, "patience_s": 1} | words)
    return Gate(keys=keys and KeyFile(keys), rates=RateLimits(), admission=room)


@pytest.fixture(autouse=True)
def _uvicorn_as_it_was(monkeypatch):
    monkeypatch.setattr("serving.gate.bound_headers", lambda: None)


def client_of(app, made, base="http://127.0.0.1:3000"):
    return httpx.AsyncClient(transport=httpx.ASGITransport(HttpGate(app, made)), base_url=base)


def ask(app, made, method, path, base="http://127.0.0.1:3000", **words):
    async def asked():
        async with client_of(app, made, base) as client:
            return await client.request(method, path, **words)

    return asyncio.run(asked())


def shown(key):
    return {"Authorization": f"Bearer {key}"}


def code(response):
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == response.status_code
    return response.status_code, response.json()["type"].rpartition(":")[2]


@pytest.mark.parametrize(("asked", "scope"), NEEDED.items())
def test_a_path_needs_its_scope_whatever_the_method(path, app, asked, scope):
    good = shown(add(path, "good", [scope]))
    others = {"offer", "read", "outcome", "metrics"} - {scope}
    bad = shown(add(path, "bad", others))
    made = gate(path)
    for method in ("GET", "POST", "PUT", "DELETE"):
        assert ask(app, made, method, asked, headers=good).status_code == 200
        assert code(ask(app, made, method, asked, headers=bad)) == (403, "forbidden")
    assert app.asked == 4


@pytest.mark.parametrize("asked", [*NEEDED, "/", "/v1/status", "/livez/../v1/offers"])
def test_without_a_key_nothing_that_needs_one_is_reached(path, app, asked):
    add(path, "web", ["admin"])
    response = ask(app, gate(path), "POST", asked)
    assert code(response) == (401, "unauthenticated")
    assert response.headers["www-authenticate"] == "Bearer"
    assert app.asked == 0


@pytest.mark.parametrize("asked", ["/", "/v1/status"])
def test_any_key_may_ask_for_the_status(path, app, asked):
    key = add(path, "web", ["outcome"])
    assert ask(app, gate(path), "GET", asked, headers=shown(key)).status_code == 200


@pytest.mark.parametrize("asked", OPEN)
def test_probes_and_pages_need_no_key(path, app, asked):
    assert ask(app, gate(path), "GET", asked).status_code == 200


def test_the_application_learns_who_asks(path, app):
    key = add(path, "web", ["offer"])
    (entry,) = entries(path)
    assert ask(app, gate(path), "POST", "/v1/offers", headers=shown(key)).json() == entry.id
    assert ask(app, gate(None), "POST", "/v1/offers").json() is None


def test_two_keys_at_once_are_none(path, app):
    key = add(path, "web", ["offer"])
    twice = [*shown(key).items(), *shown(key).items()]
    assert code(ask(app, gate(path), "POST", "/v1/offers", headers=twice))[0] == 401


def test_a_key_beyond_its_rate_is_told_when_to_come_again(path, app):
    key, made = add(path, "slow", ["offer"], rate=0.25), gate(path)
    assert ask(app, made, "POST", "/v1/offers", headers=shown(key)).status_code == 200
    response = ask(app, made, "POST", "/v1/offers", headers=shown(key))
    assert code(response) == (429, "overloaded")
    assert response.headers["retry-after"] == "4"


def test_what_is_refused_uses_up_no_allowance(path, app):
    key, made = add(path, "slow", ["offer"], rate=1), gate(path)
    for _ in range(5):
        assert ask(app, made, "GET", "/v1/policy", headers=shown(key)).status_code == 403
    assert ask(app, made, "POST", "/v1/offers", headers=shown(key)).status_code == 200


def test_headers_that_are_too_large_are_refused(app):
    response = ask(app, gate(None), "GET", "/livez", headers={"x": "a" * MOST_HEADER_BYTES})
    assert response.status_code == 431
    assert app.asked == 0


@pytest.mark.parametrize(
    ("base", "headers", "status"),
    [
        ("http://127.0.0.1:3000", {}, 200),
        ("http://127.0.0.1:3000", {"Host": "localhost:8080"}, 200),
        ("http://127.0.0.1:3000", {"Host": "[::1]:8080"}, 200),
        ("http://[::1]:3000", {}, 200),
        ("http://127.0.0.1:3000", {"Host": "rebound.example"}, 403),
        ("http://127.0.0.1:3000", {"Host": "127.0.0.1.example:3000"}, 403),
        ("http://192.0.2.7:3000", {"Host": "127.0.0.1"}, 401),
        ("http://127.0.0.1:3000", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("http://127.0.0.1:3000", {"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_without_keys_only_this_machine_is_answered_and_no_foreign_page(app, base, headers, status):
    assert ask(app, gate(None), "POST", "/v1/offers", base, headers=headers).status_code == status


def test_the_grpc_door_gets_the_callers_id_and_the_same_refusals(path):
    key = add(path, "web", ["offer"])
    made = gate(path)
    headers = {"authorization": f"Bearer {key}"}
    assert asyncio.run(made.authorise(headers, "offer")) == entries(path)[0].id
    revoke(path, "web")
    for wrong in ({}, headers):
        with pytest.raises(UnauthenticatedError):
            asyncio.run(made.authorise(wrong, "offer"))
    assert asyncio.run(gate(None).authorise({}, "offer")) is None


def test_a_web_socket_is_closed(app):
    said = []

    async def send(message):
        said.append(message["type"])

    asyncio.run(HttpGate(app, gate(None))({"type": "websocket"}, None, send))
    assert (said, app.asked) == (["websocket.close"], 0)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("unix:/run/door", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.7", False),
        ("::ffff:192.0.2.7", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(host, expected):
    assert is_loopback(host) is expected


def started(made, http, grpc, **words):
    with click.Context(click.Command("serve")) as context:
        context.params = {"host": http, **words}
        refuse_unlocked(made, grpc)


@pytest.mark.parametrize(
    ("http", "grpc"), [("0.0.0.0", None), ("127.0.0.1", "0.0.0.0"), ("192.0.2.7", "127.0.0.1")]
)
def test_doors_that_nobody_guards_are_not_opened_off_loopback(http, grpc):
    with pytest.raises(BentoMLException, match="FINNT_AUTH_OFF is for loopback only"):
        started(gate(None), http, grpc)


def test_where_bentoml_listens_unless_told_otherwise_is_not_loopback():
    for words in ({}, {"bind": "tcp://0.0.0.0:3000"}):
        with pytest.raises(BentoMLException, match=r"HTTP on 0\.0\.0\.0"):
            started(gate(None), None, None, **words)
    started(gate(None), None, None, bind="tcp://127.0.0.1:3000")


@pytest.mark.parametrize("grpc", [None, "127.0.0.1", "unix:/run/door"])
def test_doors_on_loopback_may_be_unguarded(grpc):
    started(gate(None), "127.0.0.1", grpc)


def test_guarded_doors_open_anywhere_but_not_without_a_key_in_force(path):
    for change in (lambda: None, lambda: revoke(path, "web")):
        change()
        with pytest.raises(BentoMLException, match="finnt keys add"):
            started(gate(path), "0.0.0.0", "0.0.0.0")
        add(path, "web", ["offer"])
        started(gate(path), "0.0.0.0", "0.0.0.0")


def test_the_environment_decides_whether_keys_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("FINNT_AUTH_OFF", raising=False)
    assert Gate.open(tmp_path, 1).keys is not None
    monkeypatch.setenv("FINNT_AUTH_KEYS_FILE", "other.json")
    assert Gate.open(tmp_path, 1).keys.path == tmp_path / "other.json"
    monkeypatch.setenv("FINNT_AUTH_OFF", "yes")
    assert Gate.open(tmp_path, 1).keys is None


@pytest.fixture
def on_disk(tmp_path, monkeypatch):
    """A project's folder whose keys are where they are unless told otherwise."""
    monkeypatch.delenv("FINNT_AUTH_OFF", raising=False)
    monkeypatch.delenv("FINNT_AUTH_KEYS_FILE", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("host", "switch", "words"),
    [
        ("127.0.0.1", None, "asked of nobody"),
        ("127.0.0.1", "no", "finnt keys add"),
        ("0.0.0.0", None, "finnt keys add"),
    ],
)
def test_the_terminal_says_whether_keys_are_asked_for(on_disk, monkeypatch, host, switch, words):
    if switch:
        monkeypatch.setenv("FINNT_AUTH_OFF", switch)
    assert words in said_of_keys(host, on_disk)


def test_keys_that_were_made_hold_on_loopback_too_unless_switched_off(on_disk, monkeypatch):
    keys = on_disk / "build" / "keys.json"
    assert open_on_loopback("127.0.0.1", on_disk) == {"FINNT_AUTH_OFF": "yes"}
    assert open_on_loopback("0.0.0.0", on_disk) == {}
    add(keys, "web", ["offer"])
    for change in (lambda: None, lambda: revoke(keys, "web")):
        change()
        assert open_on_loopback("127.0.0.1", on_disk) == {}
        assert "one of those in build/keys.json" in said_of_keys("127.0.0.1", on_disk)
    monkeypatch.setenv("FINNT_AUTH_OFF", "yes")
    assert "asked of nobody" in said_of_keys("127.0.0.1", on_disk)


def test_keys_that_cannot_be_read_open_no_door(on_disk):
    (on_disk / "build").mkdir()
    (on_disk / "build" / "keys.json").write_text("{")
    with pytest.raises(InvalidDeclarationError, match="no file of keys"):
        open_on_loopback("127.0.0.1", on_disk)
