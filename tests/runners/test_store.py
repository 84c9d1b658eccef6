"""A real model store with small models, and every way in which a published pair may not fit it."""

import hashlib
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import xgboost as xgb
import yaml
from bentoml.exceptions import BentoMLException

from finntelligence.errors import InvalidDeclarationError, ModelMismatchError
from finntelligence.portfolio import Capability
from finntelligence.shadow_prices import FORMAT, ShadowPrices
from runners import store
from runners.model_file import Scorer
from runners.store import ServedPair
from tests.runners.made import one_head, saved

ROOT = Path(__file__).parents[2]
# cases of a whole pair, by what lies beside it
PRICES = {
    "priced": json.dumps({"format": FORMAT, "prices": {"principal": 0.02}}),
    "priceless": "{",
    "mispriced": json.dumps({"format": FORMAT, "prices": {"apr": -1}}),
}
REPAIR = "run `make pipeline PORTFOLIO=simulated`"
FILE = "mlflow_model/model.ubj"
# BentoML reads BENTOML_HOME when it is imported, so it is asked in a process of its own
FILL_AND_ASK = """
import json, os, shutil, sys
from pathlib import Path
import bentoml
from finntelligence.portfolio import Capability
from runners.store import ServedPair

given = json.load(sys.stdin)
for tag, source in given["models"].items():
    with bentoml.models.create(tag) as model:
        (Path(model.path) / "mlflow_model").mkdir()
        shutil.copy(source, Path(model.path) / "mlflow_model" / "model.ubj")
answers = {}
for root in map(Path, given["roots"]):
    try:
        pair = ServedPair("simulated", root)
        market, _ = pair.market()
        assert repr(market) == repr(pair.read_market())
        answers[root.name] = ["serves", pair.all_versions(market)]
    except Exception as error:
        answers[root.name] = [type(error).__name__, str(error)]
found = {}
pair = ServedPair("simulated", Path(given["roots"][0]))
for tag, digest in given["digests"].items():
    try:
        scorer = pair.stored(Capability.RISK, float(int(digest[:12], 16)))
        found[tag] = scorer and scorer.version
    except Exception as error:
        found[tag] = str(error)
found["own id"] = pair.model_id(Capability.RISK)
kept = Path(given["roots"][0]) / "build" / "simulated" / "served"
kept.mkdir()


def before():
    carried = pair.before(Capability.RISK)
    return carried and str(carried.tag)


found["before, of none"] = before()
for age, name in enumerate(("gone:v1", "risk:v1", "risk:v0", pair.pair)):
    (kept / f"{name}.json").write_text(
        json.dumps({"models": {"risk": {"tag": f"finnt-made-{name}"}}})
    )
    os.utime(kept / f"{name}.json", (age, age))
    found[f"before, {name} last"] = before()
(kept / "broken.json").write_text("{")
found["before, broken last"] = before()
import runners.store
digest, read = runners.store._digest, []
runners.store._digest = lambda content: read.append(content) or digest(content)
pair = ServedPair("simulated", Path(given["roots"][0]))
for _ in range(3):
    pair.stored(Capability.RISK, -1.0)
found["read for nobody's id"] = len(read)
found["versions"] = len(bentoml.models.list("finnt-made-risk"))
read.clear()
pair.stored(Capability.RISK, found["own id"])
found["read for a known one's"] = len(read)
print(json.dumps({"pairs": answers, "found": found}))
"""


@pytest.fixture(scope="module")
def files(portfolio, tmp_path_factory):
    """Return the model files that the store holds, by name."""
    folder = tmp_path_factory.mktemp("models")
    made = [
        saved(folder, "risk", Capability.RISK, portfolio),
        saved(folder, "acceptance", Capability.ACCEPTANCE, portfolio),
        saved(folder, "future", Capability.RISK, portfolio, format="finntelligence/99"),
        saved(folder, "mute", Capability.RISK, portfolio, evidence={}),
        saved(folder, "former", Capability.RISK, portfolio, income_fill=3000.0),
        saved(folder, "unfit", Capability.RISK, portfolio, format="finntelligence/98"),
    ]
    return {path.stem: path for path in made}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def served(files, portfolio, risk="risk", acceptance="acceptance"):
    """Return the content of a served.json that names these models."""
    entries = {
        model: {
            "tag": f"finnt-made-{name}:v1",
            "file": FILE,
            "sha256": digest(files[name]),
        }
        for model, name in (("risk", risk), ("acceptance", acceptance))
    }
    return {
        "portfolio_digest": portfolio.digest,
        "pair": "made",
        "models": entries,
        "evidence": "finnt-made-evidence:made",
    }


def with_entry(content, **changes):
    """Return the content with another entry for the risk model."""
    models = content["models"]
    return content | {"models": models | {"risk": models["risk"] | changes}}


def without_digest(content):
    """Return the content with an entry for the risk model that names no digest."""
    entry = {name: value for name, value in content["models"]["risk"].items() if name != "sha256"}
    return content | {"models": content["models"] | {"risk": entry}}


def cases(files, portfolio):
    """Return what served.json says in each case; None where it is missing."""
    whole = served(files, portfolio)
    return {
        "whole": json.dumps(whole),
        "missing": None,
        "empty": "",
        "broken": json.dumps(whole)[:-9],
        "tag": json.dumps(with_entry(whole, tag="finnt-made-risk:v2")),
        "digest": json.dumps(with_entry(whole, sha256="0" * 64)),
        "file": json.dumps(with_entry(whole, file="mlflow_model/model.json")),
        "portfolio": json.dumps(whole | {"portfolio_digest": "0" * 64}),
        "swapped": json.dumps(served(files, portfolio, risk="acceptance", acceptance="risk")),
        "future": json.dumps(served(files, portfolio, risk="future")),
        "mute": json.dumps(served(files, portfolio, risk="mute")),
        "no_models": "{}",
        "no_object": "[]",
        "no_digest": json.dumps(without_digest(whole)),
        **dict.fromkeys(PRICES, json.dumps(whole)),
        "odd_tag": json.dumps(with_entry(whole, tag="no tag: at/all:")),
    }


@pytest.fixture(scope="module")
def asked(files, portfolio, tmp_path_factory):
    """Return for each case what loading the pair said, and for each model what its id found."""
    home, parent = tmp_path_factory.mktemp("store"), tmp_path_factory.mktemp("projects")
    roots = []
    for name, content in cases(files, portfolio).items():
        root = parent / name
        folder = root / "build" / "simulated"
        folder.mkdir(parents=True)
        (root / "policy.yaml").write_text("{}\n")
        if content is not None:
            (folder / "served.json").write_text(content)
        if name in PRICES:
            (folder / "shadow-prices.json").write_text(PRICES[name])
        roots.append(str(root))
    others = {"former": "finnt-made-risk:v0", "unfit": "finnt-made-risk:v9"}
    tags = {others.get(name, f"finnt-made-{name}:v1"): path for name, path in files.items()}
    given = {
        "models": {tag: str(path) for tag, path in tags.items()},
        "digests": {tag: digest(path) for tag, path in tags.items()} | {"nobody's": "f" * 64},
        "roots": roots,
    }
    done = subprocess.run(
        [sys.executable, "-c", FILL_AND_ASK],
        cwd=ROOT,
        env={**os.environ, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"},
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def answers(asked):
    return asked["pairs"]


def test_a_whole_pair_is_served_under_exact_versions(answers, portfolio):
    kind, versions = answers["whole"]
    assert kind == "serves"
    assert versions["risk"] == "finnt-made-risk:v1"
    assert versions["acceptance"] == "finnt-made-acceptance:v1"
    assert versions["portfolio"] == portfolio.digest
    assert versions["policy"]
    assert versions["engine"]


def test_shadow_prices_beside_the_pair_are_among_what_decides(answers):
    assert "shadow_prices" not in answers["whole"][1]
    assert answers["priced"][1]["shadow_prices"] == ShadowPrices(principal=0.02).digest


@pytest.mark.parametrize(
    ("case", "fact"),
    [
        ("priceless", "shadow-prices.json cannot be read"),
        ("mispriced", "prices.apr: must be from 0"),
    ],
)
def test_impossible_shadow_prices_are_not_served(answers, case, fact):
    kind, message = answers[case]
    assert kind == "InvalidDeclarationError"
    assert fact in message


@pytest.mark.parametrize(
    ("case", "fact"),
    [
        ("missing", "no models of portfolio 'simulated' are published"),
        ("empty", "is not JSON"),
        ("broken", "is not JSON"),
        ("tag", "the model store lacks finnt-made-risk:v2"),
        ("digest", "finnt-made-risk:v1 in the model store is not the published file: its SHA-256"),
        ("digest", "published was 000000000000;"),
        ("file", "the file of finnt-made-risk:v1 is missing in the model store"),
        ("portfolio", "finnt-made-risk:v1 declares another portfolio"),
        ("swapped", "finnt-made-acceptance:v1"),
        ("future", "finnt-made-future:v1"),
        ("mute", "finnt-made-mute:v1 lacks the mean contributions of approved applicants"),
        ("no_models", "served.json"),
        ("no_object", "served.json"),
        ("no_digest", "served.json"),
        ("odd_tag", "the model store lacks"),
    ],
)
def test_a_pair_that_does_not_fit_is_refused_with_the_fact_and_the_repair(answers, case, fact):
    kind, message = answers[case]
    assert kind == "ModelMismatchError"
    assert fact in message
    assert REPAIR in message
    assert "\n" not in message


def test_a_model_that_is_another_than_published_for_is_never_served(answers):
    assert {answers[case][0] for case in ("swapped", "future")} == {"ModelMismatchError"}


@pytest.mark.parametrize(
    ("tag", "version"),
    [
        ("finnt-made-risk:v1", "finnt-made-risk:v1"),
        ("finnt-made-risk:v0", "finnt-made-risk:v0"),
        ("finnt-made-acceptance:v1", None),
        ("nobody's", None),
    ],
)
def test_an_id_finds_the_books_own_model_of_any_pair(asked, tag, version):
    assert asked["found"][tag] == version


def test_a_model_that_does_not_fit_this_engine_is_not_loaded_by_its_id(asked):
    assert "finntelligence/98" in asked["found"]["finnt-made-risk:v9"]


def test_a_model_that_is_known_to_be_another_is_not_read_again(asked):
    found = asked["found"]
    assert found["read for nobody's id"] == found["versions"] > 1
    assert found["read for a known one's"] == 1


def test_the_model_of_the_pair_before_is_carried_while_it_is_there_and_another(asked):
    found = {k: v for k, v in asked["found"].items() if k.startswith("before, ")}
    carried = {name: tag for name, tag in found.items() if tag is not None}
    assert carried == dict.fromkeys(
        ("before, risk:v0 last", "before, made last"), "finnt-made-risk:v0"
    )
    assert len(found) > len(carried)


def test_a_models_id_is_the_start_of_its_files_digest(asked, files):
    assert asked["found"]["own id"] == int(digest(files["risk"])[:12], 16)


def test_staging_is_read_from_its_own_file_and_repaired_by_its_own_command(
    tmp_path, files, portfolio
):
    folder = tmp_path / "build" / "simulated"
    folder.mkdir(parents=True)
    whole = served(files, portfolio)
    (folder / "served.json").write_text(json.dumps(whole))
    with pytest.raises(ModelMismatchError, match=r"served-staging.*finnt promote .*--to staging"):
        ServedPair("simulated", tmp_path, "staging")
    (folder / "served-staging.json").write_text(json.dumps(whole | {"pair": "staged"}))
    pairs = [ServedPair("simulated", tmp_path, *alias).pair for alias in ((), ("staging",))]
    assert pairs == ["made", "staged"]


def test_a_served_json_that_is_no_file_is_named(tmp_path):
    (tmp_path / "build" / "simulated" / "served.json").mkdir(parents=True)
    with pytest.raises(ModelMismatchError, match=r"^served\.json cannot be read"):
        ServedPair("simulated", tmp_path)


@pytest.mark.parametrize("content", ["cost_of_funds: [", "\xff", None])
def test_a_policy_that_is_no_yaml_is_one_line(tmp_path, files, portfolio, content, monkeypatch):
    folder = tmp_path / "build" / "simulated"
    folder.mkdir(parents=True)
    (folder / "served.json").write_text(json.dumps(served(files, portfolio)))
    if content is not None:
        (tmp_path / "policy.yaml").write_bytes(content.encode("latin-1"))
    pair = ServedPair("simulated", tmp_path)
    scorer = Scorer(xgb.Booster(), one_head(Capability.RISK, portfolio), "made:v1")
    monkeypatch.setattr(ServedPair, "load", lambda *_: scorer)
    with pytest.raises(InvalidDeclarationError, match=r"^policy\.yaml cannot be read") as refused:
        pair.market()
    assert "\n" not in str(refused.value)


def declared(root, capabilities):
    """Make a project that declares a book and has published nothing."""
    (root / "portfolios").mkdir(parents=True)
    content = yaml.safe_load((ROOT / "portfolios" / "simulated.yaml").read_text(encoding="utf-8"))
    path = root / "portfolios" / "simulated.yaml"
    path.write_text(yaml.safe_dump(content | {"capabilities": capabilities}))
    return root


@pytest.mark.parametrize("capability", Capability)
def test_a_book_that_lacks_a_model_for_good_is_refused_with_the_reason(tmp_path, capability):
    with pytest.raises(ModelMismatchError) as refused:
        ServedPair("simulated", declared(tmp_path, [str(capability)]))
    assert str(refused.value) == (
        f"portfolio 'simulated' cannot price offers: its history teaches {capability} alone, and "
        "a price needs both models"
    )


def test_a_book_that_was_only_not_published_yet_is_refused_with_the_repair(tmp_path):
    with pytest.raises(ModelMismatchError, match=r"are published .*; run `make pipeline"):
        ServedPair("simulated", declared(tmp_path, [str(capability) for capability in Capability]))


def test_a_declaration_that_is_no_yaml_is_named(tmp_path):
    root = declared(tmp_path, ["risk"])
    (root / "portfolios" / "simulated.yaml").write_text("fields: {")
    with pytest.raises(InvalidDeclarationError, match=r"simulated\.yaml cannot be read"):
        ServedPair("simulated", root)


def test_a_declaration_that_says_something_impossible_is_named_with_its_key(tmp_path):
    root = declared(tmp_path, ["magic"])
    with pytest.raises(InvalidDeclarationError, match=r"simulated\.yaml: portfolio\.capab"):
        ServedPair("simulated", root)


def test_a_declaration_that_is_no_file_is_named(tmp_path):
    (tmp_path / "portfolios" / "simulated.yaml").mkdir(parents=True)
    with pytest.raises(InvalidDeclarationError, match=r"simulated\.yaml cannot be read"):
        ServedPair("simulated", tmp_path)


@pytest.mark.parametrize("kind", [ModelMismatchError, InvalidDeclarationError])
def test_the_service_that_cannot_start_says_why_in_one_line(monkeypatch, kind):
    def refuse(*_):
        raise kind("policy.tick: must be above 0")

    monkeypatch.setattr(store, "ServedPair", refuse)
    monkeypatch.delitem(sys.modules, "service", raising=False)
    with pytest.raises(BentoMLException, match=r"^policy\.tick: must be above 0$"):
        importlib.import_module("service")
