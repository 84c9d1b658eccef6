import json

import pytest
import yaml

from finntelligence.portfolio import Capability
from training import evaluate
from training.evaluate import EvaluateParams
from training.stages import Paths, file_digest, read_json, read_params
from training.tables import read_table
from training.tracking import client
from training.train import train

MODELS = ("risk", "acceptance")


@pytest.fixture(scope="module")
def built(trained):
    return Paths("simulated", trained).build


def test_both_models_are_judged_on_held_out_and_on_randomised_rows(trained, built):
    found = read_json(built / "evaluation.json")
    assert set(found) == {"risk", "acceptance", "decisions", "fairness", "judgement", "artefacts"}
    holdout = Paths("simulated", trained).processed / "holdout"
    for model, table in (("risk", "loans"), ("acceptance", "quotes")):
        frame = read_table(holdout / f"{table}.parquet")
        assert found[model]["holdout"]["rows"] == len(frame)
        assert found[model]["randomised"]["rows"] == frame["is_randomised"].sum()
    assert found["decisions"]["applicants"] == 20
    assert 0.5 < found["decisions"]["offered_share"] <= 1


def test_the_evidence_says_which_very_models_it_is_about(trained, built):
    models = Paths("simulated", trained).model
    digests = {model: file_digest(models(model)) for model in MODELS}
    assert read_json(built / "evaluation.json")["artefacts"] == digests


def test_the_evidence_is_valid_json(built):
    text = (built / "evaluation.json").read_text()
    assert json.dumps(json.loads(text), allow_nan=False)


def test_groups_are_screened_that_no_model_sees(built, simulated):
    fairness = read_json(built / "evaluation.json")["fairness"]
    assert set(fairness) == {f.name for f in simulated.fields if f.role in ("protected", "group")}
    assert fairness["group"]["screens"]
    assert set(fairness["group"]["list_price"]) == {"screens", "means"}


def test_policies_are_judged_on_held_out_randomised_quotes(trained, built):
    found = read_json(built / "evaluation.json")["judgement"]
    frame = read_table(Paths("simulated", trained).processed / "holdout" / "quotes.parquet")
    assert found["rows"] == len(frame)
    assert found["randomised_rows"] == frame["is_randomised"].sum()
    assert set(found["policies"]) == {"list price", "lowest price tested", "engine"}
    assert found["params"]["replicates"] == 20


def test_the_simulated_book_is_judged_beside_its_truth(built):
    found = read_json(built / "evaluation.json")
    for model in MODELS:
        effects = found[model]["price"]["semi_elasticity"].values()
        assert any("truth" in effect for effect in effects)


def test_every_model_gets_its_curves_and_pictures(built):
    plots = built / "plots"
    for model in MODELS:
        for by in ("predicted", "offset", "offset_randomised"):
            assert (plots / f"{model}_by_{by}.csv").is_file()
            assert (plots / f"{model}_by_{by}.png").read_bytes().startswith(b"\x89PNG")
        assert (plots / f"{model}_price_curves.png").is_file()


def test_single_figures_stand_alone_for_dvc(built):
    found, single = (read_json(built / f"{name}.json") for name in ("evaluation", "metrics"))
    for model in MODELS:
        assert single[model]["holdout.auc"] == found[model]["holdout"]["auc"]["value"]
        assert single[model]["price.violations.violations"] == 0
        assert all(isinstance(figure, float) for figure in single[model].values())


def test_the_evidence_is_in_the_runs_that_trained_the_models(project):
    paths, server = Paths("simulated"), client()
    single = read_json(paths.build / "metrics.json")
    place = f"evaluation/{'-'.join(file_digest(paths.model(model))[:8] for model in MODELS)}"
    for model in MODELS:
        run_id = read_json(paths.build / f"run-{model}.json")["run_id"]
        assert single[model].items() <= server.get_run(run_id).data.metrics.items()
        logged = {p.path for p in server.list_artifacts(run_id, place)}
        files = (f"{model}_by_predicted.csv", "report.html", "evaluation.json")
        assert {f"{place}/{name}" for name in files} <= logged


def test_judging_again_gives_the_same_bytes(project):
    build = Paths("simulated").build
    files = [p for p in build.rglob("*") if p.suffix in (".json", ".png", ".csv", ".html")]
    before = {p: p.read_bytes() for p in files}
    (build / "plots" / "risk_by_something_else.csv").write_text("an earlier version's")
    evaluate.main("simulated")
    assert {p: p.read_bytes() for p in files} == before
    assert not (build / "plots" / "risk_by_something_else.csv").exists()


def test_a_book_of_risk_alone_has_risks_evidence_alone(project):
    paths, path = Paths("simulated"), project / "portfolios" / "simulated.yaml"
    declared = yaml.safe_load(path.read_text()) | {"capabilities": ["risk"], "policy": {}}
    path.write_text(yaml.safe_dump(declared))
    train(Capability.RISK, "simulated")
    evaluate.main("simulated")
    found = read_json(paths.build / "evaluation.json")
    assert set(found) == {"risk", "fairness", "artefacts"}
    assert set(found["fairness"]["group"]) >= {"calibration"}
    assert "No offers: calibration only." in (paths.build / "report.html").read_text()
    assert not [p for p in (paths.build / "plots").iterdir() if p.name.startswith("acceptance")]


def test_the_projects_own_parameters_bound_what_is_looked_at(project):
    params = read_params("evaluate", EvaluateParams)
    found = read_json(Paths("simulated").build / "evaluation.json")
    for model in MODELS:
        assert found[model]["importance"]["rows"] <= params.explained
        assert found[model]["price"]["violations"]["model"]["applicants"] <= params.priced
