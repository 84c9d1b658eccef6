import json
from pathlib import Path

import bentoml
import pytest
import xgboost as xgb
import yaml

from finntelligence.errors import ModelMismatchError
from finntelligence.response import SPEC_ATTRIBUTE
from training.promote import PromoteParams, promote
from training.publish import main, publish, stored_pair_is_whole
from training.stages import Paths, file_digest, read_json
from training.tables import load_portfolio
from training.tracking import MODELS, client, log_evidence, registered_name
from training.train import train

PATHS = Paths("simulated")
PARAMS = PromoteParams(minimum_gain=0.0, applicants=100, bootstrap=20)


@pytest.fixture
def promoted(project):
    """A project whose pair is in production; nothing is published yet."""
    return promote("simulated", PARAMS)


@pytest.fixture
def served(promoted):
    """What served.json says of the published pair."""
    return publish("simulated")


def stored_file(entry):
    return Path(bentoml.models.get(entry["tag"]).path) / entry["file"]


def damage(entry):
    """Change one byte in the middle of a stored model."""
    path = stored_file(entry)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def retrain(project):
    """Train both models with another ridge."""
    params = yaml.safe_load((project / "params.yaml").read_text())
    for model in MODELS:
        params[str(model)]["ridge"] = 9
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    for model in MODELS:
        train(model, "simulated")


def test_the_store_holds_the_very_files_that_were_trained(served):
    for model in MODELS:
        entry = served["models"][str(model)]
        assert stored_file(entry).read_bytes() == PATHS.model(model).read_bytes()
        assert entry["sha256"] == file_digest(PATHS.model(model))


def test_served_json_names_the_exact_pair(served, promoted, simulated):
    assert served["portfolio"] == "simulated"
    assert served["portfolio_digest"] == simulated.digest
    assert served["pair"] == promoted["pair"]
    for model in MODELS:
        entry = served["models"][str(model)]
        assert entry["registered"] == promoted["versions"][str(model)]
        assert entry["run_id"] == promoted["runs"][str(model)]
        assert entry["run_id"][:12] in entry["tag"]
    assert read_json(PATHS.served) == json.loads(json.dumps(served))


def test_a_pair_is_served_under_the_declaration_it_was_trained_by(promoted, project, simulated):
    path = project / "portfolios" / "simulated.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"title": "Another"}))
    assert load_portfolio("simulated").digest != simulated.digest
    assert publish("simulated")["portfolio_digest"] == simulated.digest


def test_a_stored_model_carries_its_specification_and_its_origin(served):
    for model in MODELS:
        stored = bentoml.models.get(served["models"][str(model)]["tag"])
        booster = xgb.Booster(model_file=stored_file(served["models"][str(model)]))
        assert json.loads(booster.attr(SPEC_ATTRIBUTE))["model"] == str(model)
        assert stored.info.labels == {"portfolio": "simulated", "model": str(model)}
        for key in ("run_id", "model_version", "git_commit", "data_sha256.quotes"):
            assert stored.info.metadata[key]


def test_publishing_again_imports_nothing(served):
    before = {str(m.tag): m.info.creation_time for m in bentoml.models.list()}
    assert publish("simulated") == served
    assert {str(m.tag): m.info.creation_time for m in bentoml.models.list()} == before
    assert len(before) == 3


def test_the_evidence_about_the_pair_stands_beside_its_models(served):
    folder = Path(bentoml.models.get(served["evidence"]).path) / "evaluation"
    assert (folder / "evaluation.json").read_text() == (PATHS.build / "evaluation.json").read_text()
    assert (folder / "report.html").is_file()
    assert {path.name.partition("_")[0] for path in folder.glob("*.png")} == {"risk", "acceptance"}


def test_evidence_of_another_pair_with_one_of_the_models_is_not_published(served, tmp_path):
    theirs = tmp_path / "evaluation.json"
    theirs.write_text("{}")
    bentoml.models.delete(served["evidence"])
    for entry in served["models"].values():
        log_evidence(entry["run_id"], f"{served['pair'][:8]}-ffffffff", [theirs])
    again = publish("simulated")
    assert again["evidence"] == served["evidence"]
    folder = Path(bentoml.models.get(again["evidence"]).path) / "evaluation"
    assert (folder / "evaluation.json").read_text() == (PATHS.build / "evaluation.json").read_text()


@pytest.mark.parametrize("only_if_needed", [True, False])
def test_evidence_that_was_lost_is_brought_back(served, only_if_needed):
    bentoml.models.delete(served["evidence"])
    assert not stored_pair_is_whole(PATHS)
    main("simulated", only_if_needed=only_if_needed)
    assert stored_pair_is_whole(PATHS)


def test_a_published_pair_is_whole(served):
    assert stored_pair_is_whole(PATHS)


@pytest.mark.usefixtures("promoted")
def test_a_pair_that_was_never_published_is_not_whole():
    assert not stored_pair_is_whole(PATHS)


@pytest.mark.parametrize("model", MODELS)
def test_a_changed_byte_is_noticed(served, model):
    damage(served["models"][str(model)])
    assert not stored_pair_is_whole(PATHS)


@pytest.mark.parametrize("model", MODELS)
def test_a_lost_model_is_noticed_and_brought_back(served, model):
    bentoml.models.delete(served["models"][str(model)]["tag"])
    assert not stored_pair_is_whole(PATHS)
    main("simulated", only_if_needed=True)
    assert stored_pair_is_whole(PATHS)
    assert read_json(PATHS.served) == served


@pytest.mark.parametrize("only_if_needed", [True, False])
def test_a_damaged_model_is_never_published(served, only_if_needed):
    damage(served["models"]["risk"])
    main("simulated", only_if_needed=only_if_needed)
    digest = read_json(PATHS.served)["models"]["risk"]["sha256"]
    assert digest == file_digest(PATHS.model("risk"))
    assert stored_pair_is_whole(PATHS)


def test_a_whole_pair_needs_nothing(served):
    before = PATHS.served.stat().st_mtime_ns
    main("simulated", only_if_needed=True)
    assert PATHS.served.stat().st_mtime_ns == before


@pytest.mark.usefixtures("empty_server")
def test_another_machine_gets_the_same_models_under_its_own_tags(project):
    main("simulated", only_if_needed=True)
    served = read_json(PATHS.served)
    for model in MODELS:
        assert served["models"][str(model)]["sha256"] == file_digest(PATHS.model(model))
    assert stored_pair_is_whole(PATHS)


@pytest.fixture
def pulled(served, project, monkeypatch):
    """A machine that serves one pair, after `dvc pull` of the pair that another has published."""
    ours = PATHS.served.read_bytes()
    with monkeypatch.context() as other_machine:
        other_machine.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project / 'empty.db'}")
        retrain(project)
        promote("simulated", PARAMS)
        main("simulated", only_if_needed=False)
        theirs = read_json(PATHS.served)
    for entry in theirs["models"].values():
        bentoml.models.delete(entry["tag"])
    PATHS.served.write_bytes(ours)
    return served


@pytest.mark.parametrize("store_is_lost", [False, True])
def test_a_newer_pair_that_was_pulled_is_served(pulled, store_is_lost):
    if store_is_lost:
        for entry in pulled["models"].values():
            bentoml.models.delete(entry["tag"])
    main("simulated", only_if_needed=True)
    for model, entry in read_json(PATHS.served)["models"].items():
        assert entry["sha256"] == file_digest(PATHS.model(model))
    assert stored_pair_is_whole(PATHS)


def test_a_refused_pair_does_not_keep_production_from_being_restored(served):
    path = Path("params.yaml")
    params = yaml.safe_load(path.read_text())
    params["promote"]["minimum_gain"] = 9.0  # which nothing reaches
    path.write_text(yaml.safe_dump(params))
    for entry in served["models"].values():
        bentoml.models.delete(entry["tag"])
    main("simulated", only_if_needed=True)
    assert stored_pair_is_whole(PATHS)


@pytest.mark.usefixtures("project")
def test_a_registry_without_a_production_pair_is_refused():
    with pytest.raises(ModelMismatchError, match="no production version of finnt-simulated-risk"):
        publish("simulated")
    assert not PATHS.served.exists()


@pytest.mark.parametrize("behind", MODELS)
def test_aliases_on_two_pairs_are_refused(served, project, behind):
    retrain(project)
    promote("simulated", PARAMS)
    client().set_registered_model_alias(registered_name("simulated", behind), "production", "1")
    before = PATHS.served.read_bytes()
    with pytest.raises(ModelMismatchError, match="never promoted as one pair"):
        publish("simulated")
    assert PATHS.served.read_bytes() == before


def test_a_pair_in_staging_can_be_published_under_its_alias(promoted):
    assert publish("simulated", alias="staging")["alias"] == "staging"


@pytest.mark.parametrize(
    "publishing", [publish, lambda name: main(name, False), lambda name: main(name, True)]
)
def test_a_book_without_offers_is_refused_and_told_why(project, publishing):
    path = project / "portfolios" / "simulated.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"capabilities": ["risk"]}))
    with pytest.raises(ModelMismatchError) as refused:
        publishing("simulated")
    assert str(refused.value) == (
        "portfolio 'simulated' cannot price offers: its history teaches risk alone, and a price "
        "needs both models"
    )
    assert not PATHS.served.exists()
    assert not client().search_registered_models()
