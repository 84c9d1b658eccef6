import copy

import pytest
import yaml

from finntelligence.portfolio import Capability
from training import promote as promotion
from training.promote import PromoteParams, PromotionRefusedError, Verdict, promote, verdicts
from training.publish import publish
from training.stages import Paths, file_digest, read_json, write_json
from training.tracking import MODELS, client, registered_name
from training.train import train

PARAMS = PromoteParams(minimum_gain=0.0)
RISK, ACCEPTANCE = Capability.RISK, Capability.ACCEPTANCE


def aliased(alias):
    """Return the version number behind an alias of each model, None where it is not set."""
    server, found = client(), {}
    for model in MODELS:
        known = server.get_registered_model(registered_name("simulated", model)).aliases
        found[model] = str(known[alias]) if alias in known else None
    return found


def retrain(*models):
    """Train with another ridge, so that the artefacts and their runs are others."""
    path = Paths("simulated").root / "params.yaml"
    params = yaml.safe_load(path.read_text())
    for model in models:
        params[str(model)]["ridge"] += 5
    path.write_text(yaml.safe_dump(params))
    for model in models:
        train(model, "simulated")


def set_gain(model, gain):
    """Write another gain of one model into the evaluation."""
    path = Paths("simulated").build / "evaluation.json"
    content = read_json(path)
    for part in ("holdout", "randomised"):
        content[str(model)][part]["gain"]["value"] = gain
    write_json(path, content)


def tags_of(model, version):
    return client().get_model_version(registered_name("simulated", model), version).tags


# The gate


@pytest.fixture
def evaluation():
    part = {"gain": {"value": 0.01, "low": 0.0, "high": 0.02}}
    return {str(m): {"holdout": copy.deepcopy(part)} for m in MODELS}


def test_a_pair_better_than_constants_passes(evaluation):
    assert all(v.passed for v in verdicts(evaluation, PARAMS))
    assert len(verdicts(evaluation, PARAMS)) == 2


@pytest.mark.parametrize("gain", [0.0, -0.01, float("nan")])
@pytest.mark.parametrize("model", MODELS)
def test_one_model_no_better_than_a_constant_fails_the_pair(evaluation, model, gain):
    evaluation[model]["holdout"]["gain"]["value"] = gain
    failed = [v for v in verdicts(evaluation, PARAMS) if not v.passed]
    assert [v.criterion.split(":")[0] for v in failed] == [str(model)]


def test_randomised_rows_are_a_criterion_of_their_own(evaluation):
    evaluation["risk"]["randomised"] = {"gain": {"value": -0.1}}
    failed = [v for v in verdicts(evaluation, PARAMS) if not v.passed]
    assert [v.criterion for v in failed] == ["risk: log-loss below a constant's, randomised rows"]


def test_a_higher_hurdle_stops_more(evaluation):
    assert not any(v.passed for v in verdicts(evaluation, PromoteParams(minimum_gain=0.01)))
    assert not Verdict(criterion="equal", figure=1.0, above=1.0).passed


# The aliases


def test_a_good_pair_becomes_staging_and_production_together(project):
    record = promote("simulated", PARAMS)
    assert aliased("staging") == aliased("production") == {RISK: "1", ACCEPTANCE: "1"}
    digests = [file_digest(Paths("simulated").model(m))[:8] for m in MODELS]
    assert record["pair"] == "-".join(digests)
    written = read_json(Paths("simulated").build / "promotion.json")
    assert written == {key: record[key] for key in ("pair", "verdicts")}


def test_the_gates_verdict_stands_beside_each_version(project):
    promote("simulated", PARAMS)
    for model in MODELS:
        tags = tags_of(model, "1")
        gates = {k: v for k, v in tags.items() if k.startswith("gate.")}
        assert len(gates) == 4
        assert all(v.startswith("passed: ") for v in gates.values())


def test_promoting_again_makes_no_other_version(project):
    first, again = (promote("simulated", PARAMS) for _ in range(2))
    assert first == again
    assert aliased("production") == {RISK: "1", ACCEPTANCE: "1"}


def test_a_better_pair_replaces_both_models_together(project):
    promote("simulated", PARAMS)
    retrain(*MODELS)
    promote("simulated", PARAMS)
    assert aliased("production") == {RISK: "2", ACCEPTANCE: "2"}


@pytest.mark.parametrize("model", MODELS)
def test_a_pair_that_fails_leaves_production_and_says_why(project, model):
    promote("simulated", PARAMS)
    record = (Paths("simulated").build / "promotion.json").read_bytes()
    retrain(*MODELS)
    set_gain(model, -0.0123)
    with pytest.raises(PromotionRefusedError) as refused:
        promote("simulated", PARAMS)
    for words in (
        "stays in staging",
        f"{model}: ",
        "holdout",
        "randomised",
        "-0.01230",
        "exceed 0",
    ):
        assert words in str(refused.value)
    assert aliased("production") == {RISK: "1", ACCEPTANCE: "1"}
    assert aliased("staging") == {RISK: "2", ACCEPTANCE: "2"}
    assert (Paths("simulated").build / "promotion.json").read_bytes() == record
    assert any(v.startswith("FAILED") for v in tags_of(model, "2").values())
    assert publish("simulated")["models"]["risk"]["registered"].endswith("/1")


def test_a_first_pair_that_fails_leaves_no_production(project):
    set_gain(RISK, -1)
    with pytest.raises(PromotionRefusedError):
        promote("simulated", PARAMS)
    assert aliased("production") == {RISK: None, ACCEPTANCE: None}
    assert not (Paths("simulated").build / "promotion.json").exists()


def test_a_refused_pair_that_shares_a_model_leaves_production_publishable(project):
    pair = promote("simulated", PARAMS)["pair"]
    retrain(ACCEPTANCE)
    set_gain(ACCEPTANCE, -0.01)
    with pytest.raises(PromotionRefusedError):
        promote("simulated", PARAMS)
    assert aliased("production") == {RISK: "1", ACCEPTANCE: "1"}
    assert publish("simulated")["pair"] == pair


@pytest.mark.usefixtures("empty_server")
def test_a_pair_is_promoted_on_a_server_that_never_saw_its_runs(project):
    record = promote("simulated", PARAMS)
    for model in MODELS:
        run = client().get_run(record["runs"][str(model)])
        assert run.data.tags["artefact_sha256"] == file_digest(Paths("simulated").model(model))


@pytest.fixture
def without_offers(project):
    """The same book, declared to teach risk alone."""
    path = project / "portfolios" / "simulated.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"capabilities": ["risk"]}))
    return project


@pytest.mark.usefixtures("without_offers")
def test_a_book_without_offers_promotes_its_risk_model_alone():
    promotion.main("simulated")
    (registered,) = client().search_registered_models()
    assert registered.name == registered_name("simulated", RISK)
    assert registered.aliases == {"staging": 1, "production": 1}
    record = read_json(Paths("simulated").build / "promotion.json")
    assert record["pair"] == file_digest(Paths("simulated").model(RISK))[:8]
    assert {v["criterion"].partition(":")[0] for v in record["verdicts"]} == {"risk"}
    gates = [v for k, v in tags_of(RISK, "1").items() if k.startswith("gate.")]
    assert len(gates) == 2
    assert all(v.startswith("passed: ") for v in gates)


@pytest.mark.usefixtures("without_offers")
def test_a_risk_model_alone_goes_through_the_same_gate():
    set_gain(RISK, -0.01)
    with pytest.raises(PromotionRefusedError, match=r"stays in staging: risk: .*-0\.01000"):
        promote("simulated", PARAMS)
    (registered,) = client().search_registered_models()
    assert registered.aliases == {"staging": 1}
    assert not (Paths("simulated").build / "promotion.json").exists()
