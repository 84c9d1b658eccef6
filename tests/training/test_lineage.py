import json
from dataclasses import asdict

import pytest
import yaml

from finntelligence.errors import InvalidDataError, ModelMismatchError
from training.lineage import lineage, published_as
from training.stages import Paths, file_digest, read_json, write_json
from training.tracking import MODELS, client, ensured_run, registered_version

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


def test_a_version_that_no_gate_has_seen_stands_alone(project):
    registered_version(PATHS, MODELS[0], ensured_run(PATHS, MODELS[0]))
    found = lineage("finnt-simulated-risk/1")
    assert (found.pair, found.verdicts, len(found.models)) == (None, (), 1)


def test_lineage_holds_nothing_of_an_answers_applicant(pair, tmp_path):
    path = tmp_path / "answer.json"
    versions = {m: tag_of(m) for m in MODELS}
    path.write_text(
        json.dumps({"decision_id": ID, "versions": versions, "features": {"income": 68123}})
    )
    assert "68123" not in json.dumps(asdict(lineage(str(path))))


@pytest.mark.parametrize("what", ["simulated", "finnt-simulated-risk/latest", f"{ID}"])
def test_what_is_none_of_the_forms_is_refused_with_the_forms_that_are(project, what):
    with pytest.raises(InvalidDataError, match="must be a model's version"):
        lineage(what)


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
