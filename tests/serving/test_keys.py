import hashlib
import json
import logging
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from finntelligence.errors import InvalidDeclarationError
from serving.keys import SCOPES, KeyFile, add, entries, revoke
from serving.problems import ForbiddenError, UnauthenticatedError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "made" / "keys.json"


def bearer(key):
    return f"Bearer {key}"


def test_a_key_is_good_for_its_scopes_and_no_other(path):
    key = add(path, "web", ["offer", "outcome"], rate=7)
    keys = KeyFile(path)
    for scope in ("offer", "outcome", None):
        caller = keys.authorise(bearer(key), scope)
        assert (caller.name, caller.rate) == ("web", 7)
    for scope in ("read", "metrics", "admin"):
        with pytest.raises(ForbiddenError, match=scope):
            keys.authorise(bearer(key), scope)


@pytest.mark.parametrize("scope", SCOPES)
def test_an_admins_key_is_good_for_everything(path, scope):
    assert KeyFile(path).authorise(bearer(add(path, "root", ["admin"])), scope)


def test_the_file_tells_no_key_and_is_its_owners_alone(path):
    key = add(path, "web", ["offer"])
    text = path.read_text()
    assert key not in text
    assert key.rpartition("_")[2] not in text
    assert hashlib.sha256(key.encode()).hexdigest() in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]


def test_no_two_keys_are_alike_and_each_has_256_random_bits(path):
    made = [add(path, f"k{n}", ["offer"]) for n in range(20)]
    assert len({key.split("_")[2] for key in made}) == 20
    assert {len(bytes.fromhex(key.split("_")[2])) for key in made} == {32}


def wrong(key):
    """Return what is nearly the key."""
    flipped = key[:-1] + ("0" if key[-1] != "0" else "1")
    other_id = key.replace(key.split("_")[1], "00000000")
    texts = [flipped, other_id, key[:-1], key + "0", key.upper(), key + " ", "finnt__", "é" * 9]
    return [*map(bearer, texts), key, f"Basic {key}", "Bearer", "", bearer(f"{key}, {key}")]


def test_all_that_is_wrong_with_a_key_has_the_same_words(path):
    key, gone = add(path, "web", ["offer"]), add(path, "old", ["offer"])
    revoke(path, "old")
    keys, said = KeyFile(path), set()
    for shown in [*wrong(key), bearer(gone)]:
        with pytest.raises(UnauthenticatedError) as caught:
            keys.authorise(shown, "offer")
        said.add(str(caught.value))
    assert said == {"the API key is not known"}
    with pytest.raises(UnauthenticatedError, match="send an API key"):
        keys.authorise(None, "offer")


def test_a_change_of_the_file_is_in_force_at_the_next_request(path):
    keys = KeyFile(path)
    assert keys.in_force() == 0
    key = add(path, "web", ["offer"])
    assert keys.authorise(bearer(key), "offer")
    revoke(path, "web")
    with pytest.raises(UnauthenticatedError):
        keys.authorise(bearer(key), "offer")
    again = add(path, "web", ["offer"])
    assert keys.authorise(bearer(again), "offer")
    path.unlink()
    with pytest.raises(UnauthenticatedError):
        keys.authorise(bearer(again), "offer")


BROKEN = ["", "[]", '{"keys": 1}', '{"keys": [{}]}', '{"keys": [null]}', '{"keys"', "null"]


@pytest.mark.parametrize("content", BROKEN)
def test_a_file_that_cannot_be_read_admits_nobody_and_the_log_says_so_once(path, content, caplog):
    key = add(path, "web", ["offer"])
    keys = KeyFile(path)
    assert keys.authorise(bearer(key), "offer")
    path.write_text(content)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            with pytest.raises(UnauthenticatedError):
                keys.authorise(bearer(key), "offer")
    assert len(caplog.records) == 1
    with pytest.raises(InvalidDeclarationError, match="finnt keys add"):
        add(path, "other", ["offer"])


def test_a_digest_that_is_none_admits_nobody(path):
    key = add(path, "web", ["offer"])
    content = json.loads(path.read_text())
    content["keys"][0]["digest"] = ""
    path.write_text(json.dumps(content))
    with pytest.raises(UnauthenticatedError):
        KeyFile(path).authorise(bearer(key), "offer")


def test_no_key_is_ever_logged(path, caplog):
    key = add(path, "web", ["offer"])
    keys = KeyFile(path)
    with caplog.at_level(logging.DEBUG):
        keys.authorise(bearer(key), "offer")
        for shown in wrong(key):
            with pytest.raises(UnauthenticatedError) as caught:
                keys.authorise(shown, "offer")
            assert key not in str(caught.value)
    assert key.split("_")[2] not in caplog.text


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ({"scopes": []}, "scope"),
        ({"scopes": ["offer", "everything"]}, "scope"),
        ({"rate": 0}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"rate": float("inf")}, "rate"),
        ({"name": ""}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "n" * 65}, "name"),
        ({"name": "web"}, "name"),
    ],
)
def test_an_impossible_key_is_refused_by_field_and_changes_nothing(path, words, field):
    add(path, "web", ["offer"])
    before = path.read_bytes()
    with pytest.raises(InvalidDeclarationError, match=f"^{field}: "):
        add(path, **{"name": "new", "scopes": ["offer"], "rate": 1.0} | words)
    assert path.read_bytes() == before


def test_only_a_key_in_force_can_be_revoked_and_it_stays_on_file(path):
    with pytest.raises(InvalidDeclarationError, match="no key 'web'"):
        revoke(path, "web")
    add(path, "web", ["offer"])
    revoke(path, "web")
    (kept,) = entries(path)
    assert kept.revoked is not None
    with pytest.raises(InvalidDeclarationError, match="no key 'web'"):
        revoke(path, "web")


def test_a_write_that_fails_leaves_the_keys_as_they_were(path, monkeypatch):
    add(path, "web", ["offer"])
    before = path.read_bytes()

    def fail(*_):
        raise OSError("no room")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no room"):
        add(path, "other", ["offer"])
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]


def test_of_keys_that_are_made_at_once_none_is_lost(path):
    names = [f"k{n}" for n in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: add(path, name, ["offer"]), names))
    assert sorted(key.name for key in entries(path)) == sorted(names)
