import json
from dataclasses import asdict

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from finntelligence.errors import InvalidDataError, ModelMismatchError
from training.lineage import holds_an_answer, lineage, published_as
from training.stages import Paths, file_digest, read_json, write_json
from training.tracking import MODELS, NO_CHECKOUT, client, ensured_run, registered_version

PATHS = Paths("simulated")
ID = "0123456789abcdef" * 2


@pytest.fixture
def pair(project):
    """A registered pair, as the gate would tag it."""
    versions = {m: registered_version(PATHS, m, ensured_run(PATHS, m)) for m in MODELS}
    name = "-".join(file_digest(PATHS.model(model))[:8] for model in MODELS)
    for version in versions.values():
        tag = (version.name, version.version)
        client().set_model_version_tag(*tag, f"pair.{name}", "promoted")
        client().set_model_version_tag(*tag, f"gate.{name}.calibration_slope", "passed: 1.01")
    return name


def tag_of(model, version="1"):
    run = read_json(PATHS.build / f"run-{model}.json")["run_id"]
    return f"finnt-simulated-{model}:v{version}-{run[:12]}"


def test_a_version_a_tag_a_pair_a_decision_and_an_answer_lead_to_the_same_models(pair, tmp_path):
    answer = {"decision_id": f"{pair}-{ID}", "versions": {m: tag_of(m) for m in MODELS}}
    path = tmp_path / "answer.json"
    path.write_text(json.dumps({**answer, "offers": []}))
    asked = ("finnt-simulated-risk/1", tag_of("risk"), pair, f"{pair}-{ID}", str(path))
    found = [lineage(what) for what in asked]
    assert all(each.models == found[0].models for each in found)
    assert {each.pair for each in found} == {pair}
    assert [each.decision_id for each in found] == [None] * 3 + [f"{pair}-{ID}"] * 2


def test_a_model_is_told_down_to_its_run_parameters_commit_and_data(pair):
    for model in lineage(pair).models:
        run = client().get_run(model.run_id)
        assert model.params == run.data.params
        assert model.artefact_sha256 == file_digest(PATHS.model(model.model))
        assert model.commit == "not a git checkout"
        assert not model.commit_is_here
        assert model.data == {
            table: file_digest(PATHS.processed / "train" / f"{table}.parquet")
            for table in ("loans", "quotes")
        }
        assert any(run.data.tags["data_md5"] in command for command in model.restore)


def test_verdicts_come_from_the_history_and_before_there_is_one_from_the_registry(pair):
    (tagged,) = lineage(pair).verdicts
    assert tagged == {
        "criterion": "calibration slope",
        "outcome": "passed",
        "passed": True,
        "why": "1.01",
    }
    verdict = {"criterion": "value", "passed": False, "why": "below the champion"}
    lines = [
        {"at": "1", "action": "refused", "alias": "staging", "pair": pair, "verdicts": [verdict]},
        {"at": "2", "action": "promoted", "alias": "production", "pair": "ffffffff-ffffffff"},
    ]
    text = "\n".join(map(json.dumps, lines)) + '\n{"at": "torn'
    (PATHS.build / "history.jsonl").write_text(text)
    found = lineage(pair)
    assert found.verdicts == (verdict,)
    assert [line["at"] for line in found.history] == ["1"]


def test_of_several_versions_with_the_same_bytes_the_served_ones_are_meant(pair):
    (PATHS.build / "run-risk.json").unlink()
    again = registered_version(PATHS, MODELS[0], ensured_run(PATHS, MODELS[0]))
    client().set_model_version_tag(again.name, again.version, f"pair.{pair}", "promoted")
    assert {m.version for m in lineage(pair).models} >= {"finnt-simulated-risk/2"}
    models = {m: {"registered": f"finnt-simulated-{m}/1"} for m in MODELS}
    write_json(PATHS.served, {"pair": pair, "models": models})
    assert {m.version for m in lineage(pair).models} >= {"finnt-simulated-risk/1"}


def test_a_run_that_was_logged_again_says_what_the_model_learned_from_not_what_lies_here(pair):
    trained_on = lineage(pair).models[0].data
    (PATHS.processed / "train" / "loans.parquet").write_bytes(b"other data")
    (PATHS.build / "run-risk.json").unlink()
    version = registered_version(PATHS, MODELS[0], ensured_run(PATHS, MODELS[0]))
    (model,) = lineage(f"{version.name}/{version.version}").models
    assert model.logged_again
    assert model.data == trained_on


@pytest.mark.parametrize("alias", ["production", "staging"])
def test_of_the_same_bytes_served_in_production_and_in_staging_those_in_production_are_meant(
    pair, alias
):
    (PATHS.build / "run-risk.json").unlink()
    registered_version(PATHS, MODELS[0], ensured_run(PATHS, MODELS[0]))
    for name, number in (("served-staging", 2), ("served", 1)):
        models = {"risk": {"registered": f"finnt-simulated-risk/{number}"}}
        models["acceptance"] = {"registered": "finnt-simulated-acceptance/1"}
        write_json(PATHS.build / f"{name}.json", {"pair": pair, "models": models})
    if alias == "staging":
        PATHS.served.unlink()
    number = {"production": 1, "staging": 2}[alias]
    assert f"finnt-simulated-risk/{number}" in {m.version for m in lineage(pair).models}


def test_a_version_in_two_pairs_is_told_by_the_one_in_production(pair):
    staged = f"{pair[:8]}-ffffffff"
    client().set_model_version_tag("finnt-simulated-risk", "1", f"pair.{staged}", "staged")
    models = {m: {"registered": f"finnt-simulated-{m}/1"} for m in MODELS}
    for name, each in (("served-staging", staged), ("served", pair)):
        write_json(PATHS.build / f"{name}.json", {"pair": each, "models": models})
    assert lineage("finnt-simulated-risk/1").pair == pair


def test_how_a_pair_gave_way_is_its_history_too_but_no_rivals_refusal(pair):
    rival = {"pair": "ffffffff-ffffffff", "former_pair": pair, "alias": "production"}
    lines = [
        {"at": "1", "action": "promoted", "alias": "production", "pair": pair},
        {"at": "2", "action": "refused", **rival, "verdicts": [{"criterion": "theirs"}]},
        {"at": "3", "action": "promoted", **rival, "verdicts": [{"criterion": "theirs"}]},
    ]
    (PATHS.build / "history.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = lineage(pair)
    assert [line["at"] for line in found.history] == ["1", "3"]
    assert [verdict["criterion"] for verdict in found.verdicts] == ["calibration slope"]


def test_a_version_whose_run_was_removed_for_good_is_said_to_be_so(pair, monkeypatch):
    def gone(*_):
        raise MlflowException("no such run")

    monkeypatch.setattr(MlflowClient, "get_run", gone)
    with pytest.raises(ModelMismatchError, match=r"finnt-simulated-\w+/1: its run .* was removed"):
        lineage("finnt-simulated-risk/1")


def test_a_run_that_lost_its_tags_is_told_as_far_as_it_goes(pair):
    run_id = read_json(PATHS.build / "run-risk.json")["run_id"]
    for tag in ("artefact_sha256", "portfolio", "git_commit", "data_md5"):
        client().delete_tag(run_id, tag)
    (model,) = (m for m in lineage("finnt-simulated-risk/1").models if m.model == "risk")
    assert (model.artefact_sha256, model.commit) == ("not recorded", "not recorded")
    assert (model.stages, model.restore) == ((), ())


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({"git_changed": "params.yaml", "git_dirty": "true", "git_commit": "a"}, "params.yaml"),
        ({"git_changed": "", "git_dirty": "false", "git_commit": "a"}, "nothing"),
        ({"git_changed": "", "git_dirty": "false", "git_commit": NO_CHECKOUT}, "unknown"),
        ({"git_dirty": "true", "git_commit": "a"}, "unknown"),
    ],
)
def test_what_was_not_committed_is_told_in_words(pair, tags, told):
    run_id = read_json(PATHS.build / "run-risk.json")["run_id"]
    client().delete_tag(run_id, "git_changed")
    for name, value in tags.items():
        client().set_tag(run_id, name, value)
    (model,) = (m for m in lineage("finnt-simulated-risk/1").models if m.model == "risk")
    assert model.uncommitted == told


def test_a_version_that_no_gate_has_seen_stands_alone(project):
    registered_version(PATHS, MODELS[0], ensured_run(PATHS, MODELS[0]))
    found = lineage("finnt-simulated-risk/1")
    assert (found.pair, found.verdicts, len(found.models)) == (None, (), 1)


def test_lineage_holds_nothing_of_an_answers_applicant(pair, tmp_path):
    path = tmp_path / "answer.json"
    versions = {m: tag_of(m) for m in MODELS}
    path.write_text(
        json.dumps({"decision_id": ID, "versions": versions, "features": {"income": 68123.45}})
    )
    assert "68123.45" not in json.dumps(asdict(lineage(str(path))))


@pytest.mark.parametrize("what", ["simulated", "finnt-simulated-risk/latest", f"{ID}"])
def test_what_is_none_of_the_forms_is_refused_with_the_forms_that_are(project, what):
    with pytest.raises(InvalidDataError, match="must be a model's version"):
        lineage(what)


def test_a_pasted_answer_is_refused_without_being_said_again(project):
    pasted = json.dumps({"decision_id": ID, "offers": [0] * 2000, "income": 68123})
    assert not holds_an_answer(pasted)
    with pytest.raises(InvalidDataError, match="must be a model's version") as refused:
        lineage(pasted)
    assert "68123" not in str(refused.value)


@pytest.mark.parametrize("content", ["no JSON", "[]", '{"decision_id": "x"}'])
def test_a_file_without_a_decision_is_refused(project, tmp_path, content):
    path = tmp_path / "answer.json"
    path.write_text(content)
    with pytest.raises(InvalidDataError, match="must hold an answer"):
        lineage(str(path))


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("finnt-simulated-risk/7", "no such version"),
        ("00000000-00000000", "knows no such pair"),
        ("finnt-simulated-risk:v1-000000000000", "another registry"),
    ],
)
def test_what_this_registry_does_not_know_is_said(pair, what, why):
    with pytest.raises(ModelMismatchError, match=why):
        lineage(what)


def test_a_source_is_named_as_it_was_published_or_said_not_to_be(tmp_path):
    listed = {"url": "https://example.org", "files": [{"file": "a.zip", "sha256": "aa"}]}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sources.yaml").write_text(yaml.safe_dump({"book": listed}))
    assert published_as("book", "aa", tmp_path) == "a.zip, https://example.org"
    for book, sha256 in (("book", "bb"), ("other", "aa")):
        assert published_as(book, sha256, tmp_path).startswith("not a published file")
    (tmp_path / "data" / "sources.yaml").write_text(yaml.safe_dump({"own": {"layout": {}}}))
    assert published_as("own", "aa", tmp_path) == "the lender's own files"
