import pytest
import xgboost as xgb
import yaml

from finntelligence.errors import ModelMismatchError
from finntelligence.portfolio import Capability
from training import evaluate
from training.documents.subject import documented
from training.stages import Paths, file_digest, read_json, write_json
from training.tracking import MODELS
from training.train import train

PATHS = Paths("simulated")


def test_what_is_documented_is_the_pair_with_its_own_evidence(about, registered):
    assert about.pair == registered
    assert about.alias == "trained, not served"
    assert about.evaluation == read_json(PATHS.build / "evaluation.json")
    assert about.report == (PATHS.build / "report.html").read_text()
    assert {m.model for m in about.lineage.models} == set(about.responses) == set(MODELS)
    assert "risk_by_predicted" in about.pictures


def test_periods_are_told_only_of_the_very_data_that_was_learned_from(about, registered):
    assert set(about.data.periods) == {
        f"{table}, {part}" for table in ("quotes", "loans") for part in ("train", "holdout")
    }
    (PATHS.processed / "train" / "loans.parquet").write_bytes(b"other data")
    assert set(documented("simulated").data.periods) == {"quotes, train", "quotes, holdout"}


def test_a_served_pair_whose_build_has_moved_on_is_documented_from_its_runs(about, registered):
    published(registered)
    PATHS.model("risk").write_bytes(b"a challenger")
    (PATHS.build / "evaluation.json").write_text("{}")
    found = documented("simulated")
    assert (found.pair, found.alias) == (registered, "production")
    assert found.evaluation == about.evaluation
    named = tuple(f"{model}_" for model in MODELS)  # those that a run is logged with
    assert found.pictures == {k: v for k, v in about.pictures.items() if k.startswith(named)}
    assert {str(m): r.to_mapping() for m, r in found.responses.items()} == {
        str(m): r.to_mapping() for m, r in about.responses.items()
    }


def published(pair):
    """Say that a pair is served."""
    versions = {m: {"registered": f"finnt-simulated-{m}/1"} for m in MODELS}
    models = {m: {"sha256": file_digest(PATHS.model(m)), **versions[m]} for m in MODELS}
    write_json(PATHS.served, {"pair": pair, "models": models})


def test_a_challenger_that_shares_a_model_leaves_the_served_pair_its_own_evidence(
    about, registered, project
):
    published(registered)
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["acceptance"]["ridge"] = 50
    path.write_text(yaml.safe_dump(params))
    before = file_digest(PATHS.model("risk"))
    train(Capability.ACCEPTANCE, "simulated")
    evaluate.main("simulated")
    assert file_digest(PATHS.model("risk")) == before
    assert read_json(PATHS.build / "evaluation.json") != about.evaluation
    found = documented("simulated")
    assert (found.pair, found.alias) == (registered, "production")
    assert found.evaluation == about.evaluation
    assert found.report == about.report


def test_a_pair_that_was_not_evaluated_yet_has_no_figures_of_the_former_one(about):
    booster = xgb.Booster(model_file=PATHS.model("risk"))
    booster.set_attr(retrained="yes")
    booster.save_model(PATHS.model("risk"))
    found = documented("simulated")
    assert found.pair != about.pair
    assert (found.evaluation, found.report, found.pictures) == ({}, None, {})


@pytest.mark.usefixtures("empty_server")
def test_a_pair_that_was_never_registered_is_documented_without_a_lineage():
    found = documented("simulated")
    assert found.lineage is None
    assert found.history == ()
    assert found.evaluation


def test_without_a_model_there_is_nothing_to_document(project):
    PATHS.model("risk").unlink()
    with pytest.raises(ModelMismatchError, match="has no risk model to document"):
        documented("simulated")


@pytest.mark.usefixtures("registered")
def test_of_a_book_that_teaches_risk_alone_the_one_model_is_documented(project):
    path = project / "portfolios" / "simulated.yaml"
    declared = yaml.safe_load(path.read_text()) | {"capabilities": ["risk"]}
    path.write_text(yaml.safe_dump(declared))
    found = documented("simulated")
    assert found.pair == file_digest(PATHS.model("risk"))[:8]
    assert list(found.responses) == ["risk"]
    assert "prices nothing" in found.alias
