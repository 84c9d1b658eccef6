import json
import subprocess
from pathlib import Path

import mlflow
import numpy as np
import pytest
import xgboost as xgb
import yaml
from mlflow.models import get_model_info

from finntelligence.features import feature_names
from finntelligence.portfolio import Capability
from finntelligence.response import SPEC_ATTRIBUTE
from training import tracking
from training.books.raw import source_digest
from training.stages import Paths, file_digest, read_json
from training.tracking import (
    MODELS,
    client,
    download_evidence,
    ensured_run,
    log_evidence,
    log_training_run,
    registered_name,
    registered_version,
    tracking_uri,
)

RISK = Capability.RISK


@pytest.fixture
def run(project):
    """The run that trained the risk model, as the server has it."""
    return client().get_run(record_of(RISK)["run_id"])


def record_of(model):
    """Return what was logged of a model, and this machine's record of the run."""
    paths = Paths("simulated")
    logged = read_json(paths.model(model).with_name("logged.json"))
    return {**logged, **read_json(paths.build / f"run-{model}.json")}


def log_again(model=RISK):
    record = record_of(model)
    sample = np.array(record["sample"])
    return log_training_run(Paths("simulated"), model, record["params"], record["metrics"], sample)


def test_runs_go_to_a_file_beside_the_project_unless_a_server_is_named(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri() == "sqlite:///mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://server.example")
    assert tracking_uri() == "https://server.example"


def test_books_and_models_never_share_a_registered_name():
    names = {registered_name(book, model) for book in ("simulated", "kz2008") for model in MODELS}
    assert len(names) == 4


def test_a_run_holds_every_parameter_and_metric(run):
    record = record_of(RISK)
    assert run.data.params == {k: str(v) for k, v in record["params"].items()}
    logged = {k: v for k, v in run.data.metrics.items() if "." not in k}
    assert logged == record["metrics"]


def test_a_run_names_its_book_its_model_and_the_exact_files(run):
    paths, tags = Paths("simulated"), run.data.tags
    assert tags["portfolio"] == "simulated"
    assert tags["model"] == "risk"
    assert tags["artefact_sha256"] == file_digest(paths.model(RISK))
    for table in ("quotes", "loans"):
        data = paths.processed / "train" / f"{table}.parquet"
        assert tags[f"data_sha256.{table}"] == file_digest(data)


def test_a_run_names_the_commit_and_whether_the_tree_was_clean(project):
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "params.yaml"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    commit = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    tags = client().get_run(log_again()).data.tags
    assert (tags["git_commit"], tags["git_dirty"]) == (commit, "false")
    with (project / "params.yaml").open("a") as file:
        file.write("# changed\n")
    assert client().get_run(log_again()).data.tags["git_dirty"] == "true"


def test_a_run_names_what_had_changed_since_its_commit(project):
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "params.yaml", "policy.yaml"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    for name in ("params.yaml", "policy.yaml"):
        with (project / name).open("a") as file:
            file.write("# changed\n")
    assert client().get_run(log_again()).data.tags["git_changed"] == "params.yaml, policy.yaml"


def test_a_run_names_its_data_and_its_model_as_dvc_does(project, run):
    tags, paths = run.data.tags, Paths("simulated")
    assert tags["dvc_stage"] == "risk@simulated"
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], check=True)
    for path, tag in ((paths.processed, "data_md5"), (paths.model(RISK), "artefact_md5")):
        subprocess.run(["dvc", "add", "--quiet", str(path)], check=True)
        pointer = yaml.safe_load(path.with_name(f"{path.name}.dvc").read_text())
        assert tags[tag] == pointer["outs"][0]["md5"]


def test_a_run_names_the_sources_of_a_real_book_by_their_digests(project):
    raw = project / "data" / "raw" / "simulated"
    raw.mkdir(parents=True)
    (raw / "book.zip").write_bytes(b"published")
    (raw / "book.zip.dvc").write_text("outs: []\n")
    sources = json.loads(client().get_run(log_again()).data.tags["sources"])
    assert sources == {"book.zip": file_digest(raw / "book.zip")}


def test_a_run_names_a_folder_of_a_lenders_own_files_by_its_digest(project):
    export = project / "data" / "raw" / "simulated" / "export"
    export.mkdir(parents=True)
    (export / "loans.csv").write_text("id,bad\n")
    (export.parent / ".gitignore").write_text("/export\n")
    sources = json.loads(client().get_run(log_again()).data.tags["sources"])
    assert sources == {"export": source_digest(export)}


def test_a_run_logged_again_names_the_sources_of_its_training_not_todays(project, monkeypatch):
    raw = project / "data" / "raw" / "simulated"
    raw.mkdir(parents=True)
    (raw / "book.zip").write_bytes(b"published")
    before = client().get_run(log_again()).data.tags["sources"]
    (raw / "book.zip").write_bytes(b"another year's")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project / 'empty.db'}")
    again = client().get_run(ensured_run(Paths("simulated"), RISK)).data.tags
    assert again["logged_again"] == "true"
    assert again["sources"] == before


@pytest.mark.usefixtures("empty_server")
def test_a_run_logged_again_keeps_the_data_the_model_learned_from():
    before = record_of(RISK)["data"]
    table = Paths("simulated").processed / "train" / "loans.parquet"
    table.write_bytes(b"other data")
    tags = client().get_run(ensured_run(Paths("simulated"), RISK)).data.tags
    assert {name: tags[name] for name in before} == before
    assert tags["data_sha256.loans"] != file_digest(table)
    assert tags["logged_again"] == "true"
    assert record_of(RISK)["data"] == before


def test_a_run_holds_the_evidence_of_each_pair_apart(run, tmp_path):
    figures = tmp_path / "evaluation.json"
    for pair in ("aa-bb", "aa-cc"):
        figures.write_text(pair)
        log_evidence(run.info.run_id, pair, [figures])
    for pair in ("aa-bb", "aa-cc"):
        (tmp_path / pair).mkdir()
        found = download_evidence([run.info.run_id], pair, tmp_path / pair)
        assert {path.name: path.read_text() for path in found.iterdir()} == {figures.name: pair}
    assert not download_evidence([run.info.run_id], "aa-dd", tmp_path).exists()


def test_a_run_outside_git_says_so(run):
    assert run.data.tags["git_commit"] == "not a git checkout"


def test_a_run_pins_the_environment(run):
    packages = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/environment.txt").splitlines()
    assert f"xgboost=={xgb.__version__}" in [p.replace("xgboost-cpu", "xgboost") for p in packages]
    assert f"mlflow=={mlflow.__version__}" in packages
    assert all("==" in package for package in packages)


def test_a_logged_model_has_a_signature_and_an_example(run, simulated):
    info = get_model_info(record_of(RISK)["model_uri"])
    assert tuple(info.signature.inputs.input_names()) == feature_names(simulated)
    assert info.signature.outputs is not None
    example = info.saved_input_example_info
    assert example is not None


@pytest.mark.parametrize("model", MODELS)
def test_the_logged_model_is_the_trained_one_to_the_byte(project, model):
    folder = mlflow.artifacts.download_artifacts(record_of(model)["model_uri"])
    ours = Paths("simulated").model(model)
    files = list(Path(folder).rglob("model.ubj"))
    assert [f.read_bytes() for f in files] == [ours.read_bytes()]


def test_a_registered_model_comes_back_with_its_specification(project):
    registered_version(Paths("simulated"), RISK, record_of(RISK)["run_id"])
    booster = mlflow.xgboost.load_model(f"models:/{registered_name('simulated', RISK)}/1")
    trained = xgb.Booster(model_file=Paths("simulated").model(RISK))
    assert booster.attr(SPEC_ATTRIBUTE) == trained.attr(SPEC_ATTRIBUTE)
    assert json.loads(booster.attr(SPEC_ATTRIBUTE))["model"] == "risk"


def test_registering_twice_makes_one_version(project):
    run_id = record_of(RISK)["run_id"]
    first, again = (registered_version(Paths("simulated"), RISK, run_id) for _ in range(2))
    assert first.version == again.version
    assert first.run_id == again.run_id == run_id
    name = registered_name("simulated", RISK)
    assert len(client().search_model_versions(f"name = '{name}'")) == 1


def test_another_run_makes_another_version(project):
    first = registered_version(Paths("simulated"), RISK, record_of(RISK)["run_id"])
    second = registered_version(Paths("simulated"), RISK, log_again())
    assert int(second.version) == int(first.version) + 1


def test_a_run_the_server_has_is_not_logged_again(project):
    before = record_of(RISK)
    assert ensured_run(Paths("simulated"), RISK) == before["run_id"]
    assert record_of(RISK) == before


@pytest.mark.usefixtures("empty_server")
def test_a_run_the_server_lacks_is_logged_again_with_the_same_content():
    before = record_of(RISK)
    run_id = ensured_run(Paths("simulated"), RISK)
    assert run_id != before["run_id"]
    after = record_of(RISK)
    assert after["run_id"] == run_id
    same = ("sha256", "params", "metrics", "sample")
    assert {k: after[k] for k in same} == {k: before[k] for k in same}
    run = client().get_run(run_id)
    assert run.data.params == {k: str(v) for k, v in before["params"].items()}
    assert ensured_run(Paths("simulated"), RISK) == run_id


def test_figures_that_are_no_numbers_are_kept_out_of_the_server(project):
    record = record_of(RISK)
    run_id = log_training_run(
        Paths("simulated"),
        RISK,
        record["params"],
        {"rows": 10, "price_slope": float("nan")},
        np.array(record["sample"]),
    )
    assert client().get_run(run_id).data.metrics == {"rows": 10}


def test_asking_for_the_client_does_not_change_who_answers(project):
    assert client().tracking_uri == tracking.tracking_uri() == mlflow.get_tracking_uri()
