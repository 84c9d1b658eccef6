import numpy as np
import pytest
import yaml

from finntelligence.errors import InvalidDataError
from finntelligence.features import application_columns, design_matrix, feature_names
from finntelligence.offers import application
from finntelligence.portfolio import Capability
from training.fitting.artefact import load_artefact
from training.stages import Paths, file_digest, read_json
from training.tables import load_portfolio
from training.tracking import client
from training.train import TARGETS, train


@pytest.mark.parametrize("model", Capability)
def test_training_leaves_a_model_its_metrics_and_its_run(project, model):
    paths, portfolio = Paths("simulated"), load_portfolio("simulated")
    artefact = load_artefact(paths.model(model), model, portfolio)
    metrics = read_json(paths.model(model).with_name("metrics.json"))
    evidence = artefact.response.evidence
    assert metrics["rows"] == evidence["rows"]
    assert metrics["events"] == evidence["events"] > 0
    assert metrics["price_slope"] == evidence["estimates"]["gap"]
    assert metrics["price_slope_se"] == evidence["standard_errors"]["gap"]
    assert metrics["rounds"] == artefact.booster.num_boosted_rounds()
    assert metrics["early_stopping_gain"] == evidence["holdout"]["gain"]
    assert metrics["early_stopping_base_log_loss"] == evidence["holdout"]["base_log_loss"]
    record = read_json(paths.build / f"run-{model}.json")
    assert record["sha256"] == file_digest(paths.model(model))
    logged = read_json(paths.model(model).with_name("logged.json"))
    assert logged["metrics"] == metrics
    assert np.shape(logged["sample"]) == (1, len(feature_names(portfolio)))


def test_the_slope_guards_finding_is_among_the_metrics(project):
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["acceptance"] |= {"minimum_events": 500, "rounds": 10}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    train(Capability.ACCEPTANCE, "simulated")
    path = Paths("simulated").model(Capability.ACCEPTANCE)
    evidence = load_artefact(path, Capability.ACCEPTANCE, load_portfolio("simulated"))
    guard = evidence.response.evidence["slope_guard"]
    metrics = read_json(path.with_name("metrics.json"))
    assert metrics["slope_anchor"] == guard["anchor"]
    assert metrics["slope_with_trees"] == guard["tried"][-1]["mean"]
    assert metrics["slope_shrink"] == (guard["shrink"] or 0)


def test_an_interrupted_training_leaves_the_old_model(project, monkeypatch):
    path = Paths("simulated").model(Capability.RISK)
    before = {p.name: p.read_bytes() for p in path.parent.iterdir()}

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("training.fitting.slope_guard.grown", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(Capability.RISK, "simulated")
    assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == before


@pytest.mark.parametrize("model", Capability)
@pytest.mark.usefixtures("project")
def test_no_customers_row_travels_with_a_model(model):
    portfolio = load_portfolio("simulated")
    train(model, "simulated")
    logged = read_json(Paths("simulated").model(model).with_name("logged.json"))
    declared = application_columns(application(portfolio, **portfolio.example))
    np.testing.assert_array_equal(logged["sample"], design_matrix(portfolio, declared))


@pytest.mark.parametrize("model", Capability)
def test_training_twice_writes_the_same_model_and_another_run(project, model):
    paths = Paths("simulated")
    kept = [paths.model(model), paths.model(model).with_name("metrics.json")]
    before, runs = [p.read_bytes() for p in kept], run_count()
    train(model, "simulated")
    assert [p.read_bytes() for p in kept] == before
    assert run_count() == runs + 1


def run_count():
    server = client()
    experiment = server.get_experiment_by_name("finnt-simulated")
    return len(server.search_runs([experiment.experiment_id]))


def test_acceptance_is_learned_from_quotes_and_risk_from_loans_alone():
    assert TARGETS == {
        Capability.RISK: ("loans", "defaulted"),
        Capability.ACCEPTANCE: ("quotes", "accepted"),
    }


def test_a_book_without_offers_has_no_acceptance_model(project):
    path = project / "portfolios" / "simulated.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"capabilities": ["risk"]}))
    before = Paths("simulated").model(Capability.ACCEPTANCE).stat().st_mtime_ns
    train(Capability.ACCEPTANCE, "simulated")
    assert Paths("simulated").model(Capability.ACCEPTANCE).stat().st_mtime_ns == before


def test_training_before_preparing_says_which_table_is_missing(project):
    (Paths("simulated").processed / "train" / "loans.parquet").unlink()
    with pytest.raises(InvalidDataError, match=r"train/loans\.parquet: no such table"):
        train(Capability.RISK, "simulated")
