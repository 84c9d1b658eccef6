import json
import shutil
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
import yaml

from finntelligence.errors import ModelMismatchError
from finntelligence.portfolio import Capability
from tests.challengers import CHALLENGERS
from training import promote as promotion
from training.gate import aliases
from training.gate.history import PROMOTED, REFUSED, ROLLED_BACK, entries
from training.gate.sign_off import SignOff
from training.promote import PromoteParams, PromotionRefusedError, promote
from training.publish import publish
from training.simulate import simulate
from training.stages import Paths, file_digest, read_json
from training.tables import read_table, write_table
from training.tracking import MODELS, client, registered_name
from training.train import train

PARAMS = PromoteParams(minimum_gain=0.0, applicants=100, priced=100, bootstrap=20)
RISK, ACCEPTANCE = Capability.RISK, Capability.ACCEPTANCE
PATHS = Paths("simulated")
GAP = {"name": "apr_gap", "value": 250.0, "says": "b against a: mean APR apart by 250 basis points"}
FLAG = {"group/apr_gap/b": GAP}
FAIR = "fairness: flagged screens that need a sign-off"


def aliased(alias):
    """Return the version number behind an alias of each model, None where it is not set."""
    server, found = client(), {}
    for model in MODELS:
        known = server.get_registered_model(registered_name("simulated", model)).aliases
        found[model] = str(known[alias]) if alias in known else None
    return found


def aliased_if_any(alias):
    """Return the same, or None where no model was ever registered."""
    return aliased(alias) if client().search_registered_models() else None


def retrain(*models, ridge=5):
    """Train with another ridge, so that the artefacts and their runs are others."""
    path = PATHS.root / "params.yaml"
    params = yaml.safe_load(path.read_text())
    for model in models:
        params[str(model)]["ridge"] += ridge
    path.write_text(yaml.safe_dump(params))
    for model in models:
        train(model, "simulated")


def tags_of(model, version):
    return client().get_model_version(registered_name("simulated", model), version).tags


def refused(params=PARAMS, **more):
    """Return the criteria that a promotion fails by, and the error's text."""
    with pytest.raises(PromotionRefusedError) as error:
        promote("simulated", params, **more)
    verdicts = read_json(PATHS.build / "gate.json")["verdicts"]
    return [v["criterion"] for v in verdicts if not v["passed"]], str(error.value)


@pytest.fixture
def many_judges(project):
    """Held-out rows enough to see a price slope that is half of what it should be."""
    book = simulate("W1", quotes=40_000, seed=99)
    for name in ("quotes", "loans"):
        write_table(getattr(book, name), PATHS.processed / "holdout" / f"{name}.parquet")


@pytest.fixture
def impossible():
    """A gate that nothing passes."""
    return replace(PARAMS, minimum_gain=9.0)


# Challengers that must not pass


@pytest.mark.usefixtures("many_judges")
@pytest.mark.parametrize(
    ("challenger", "reason"),
    [
        ("shuffled", "acceptance: log-loss below a constant's, holdout rows"),
        ("shuffled", "acceptance: log-loss below the champion's, randomised quotes"),
        ("halved", "acceptance: price slope, recalibrated"),
        ("stretched", "acceptance: calibration slope, randomised quotes"),
    ],
)
def test_a_worse_challenger_is_refused_for_what_is_wrong_with_it(challenger, reason):
    pair = promote("simulated", PARAMS)["pair"]
    CHALLENGERS[challenger]()
    failed, text = refused()
    assert reason in failed
    assert "stays in staging" in text
    assert all(each in text for each in failed)
    assert aliased("production") == {RISK: "1", ACCEPTANCE: "1"}
    assert aliased("staging") == {RISK: "1", ACCEPTANCE: "2"}
    assert publish("simulated")["pair"] == pair
    assert [e["action"] for e in entries(PATHS)] == [PROMOTED, REFUSED]


@pytest.mark.usefixtures("many_judges")
def test_a_champion_of_few_rows_gives_way_to_a_challenger_of_all():
    path = PATHS.processed / "train" / "quotes.parquet"
    whole = read_table(path)
    write_table(whole.tail(2_500), path)
    train(ACCEPTANCE, "simulated")
    weak = promote("simulated", PARAMS)["pair"]
    write_table(whole, path)
    train(ACCEPTANCE, "simulated")
    signed = SignOff(by="A. Name", reason="a trifle, of 5,000 screened")
    better = promote("simulated", PARAMS, signed)
    figures = {v["criterion"]: v["figure"] for v in better["verdicts"]}
    assert figures["acceptance: log-loss below the champion's, randomised quotes"] > 0
    assert better["former_pair"] == weak != better["pair"]
    assert aliased("production") == {RISK: "1", ACCEPTANCE: "2"}


@pytest.mark.usefixtures("project")
def test_a_tampered_artefact_in_the_registry_is_refused():
    retrain(*MODELS)  # runs of its own: other tests share the project's
    promote("simulated", PARAMS)
    file_of(RISK).write_bytes(PATHS.model(ACCEPTANCE).read_bytes())
    failed, text = refused()
    assert failed == ["risk: parity of registered and trained scores"]
    assert "the registered risk.ubj is a acceptance model, not risk" in text


# What becomes of a good pair


def test_a_good_pair_becomes_staging_and_production_together(project):
    record = promote("simulated", PARAMS)
    assert aliased("staging") == aliased("production") == {RISK: "1", ACCEPTANCE: "1"}
    digests = {str(m): file_digest(PATHS.model(m)) for m in MODELS}
    assert record["pair"] == "-".join(digest[:8] for digest in digests.values())
    written = read_json(PATHS.build / "promotion.json")
    assert (written["pair"], written["sha256"]) == (record["pair"], digests)


@pytest.mark.usefixtures("project")
def test_the_stages_output_is_the_same_whatever_the_registry_holds():
    promote("simulated", PARAMS)
    first = (PATHS.build / "promotion.json").read_bytes()
    promote("simulated", PARAMS)
    assert (PATHS.build / "promotion.json").read_bytes() == first
    criteria = {v["criterion"] for v in json.loads(first)["verdicts"]}
    assert not any("champion" in each or "value" in each for each in criteria)
    assert "acceptance: price slope, recalibrated" in criteria


@pytest.mark.usefixtures("project")
def test_the_first_champion_faces_the_list_price():
    verdicts = {v["criterion"]: v for v in promote("simulated", PARAMS)["verdicts"]}
    assert "the list price" in verdicts["value of the offers"]["why"]
    assert "the list price" in verdicts[FAIR]["why"]
    assert verdicts["value of the offers"]["figure"] > 0


@pytest.mark.usefixtures("project")
def test_the_gates_verdict_stands_beside_each_version_and_in_its_run():
    record = promote("simulated", PARAMS)
    for model in MODELS:
        tags = tags_of(model, "1")
        gates = {k: v for k, v in tags.items() if k.startswith("gate.")}
        assert len(gates) == len(record["verdicts"])
        assert all(v.startswith(("passed: ", "not testable: ")) for v in gates.values())
        files = client().list_artifacts(record["runs"][str(model)])
        assert f"gate-{record['pair']}.json" in {each.path for each in files}


@pytest.mark.usefixtures("project")
def test_promoting_the_champion_again_changes_nothing_and_says_so():
    promote("simulated", PARAMS)
    again = promote("simulated", PARAMS)
    assert "the challenger is the champion itself" in {v["why"] for v in again["verdicts"]}
    assert aliased("production") == {RISK: "1", ACCEPTANCE: "1"}
    assert len(entries(PATHS)) == 1


@pytest.mark.usefixtures("project")
def test_a_pair_as_good_replaces_both_models_together():
    promote("simulated", PARAMS)
    retrain(*MODELS)
    record = promote("simulated", PARAMS)
    assert aliased("production") == {RISK: "2", ACCEPTANCE: "2"}
    assert record["former_versions"] == {str(m): f"finnt-simulated-{m}/1" for m in MODELS}


@pytest.mark.usefixtures("empty_server")
def test_a_pair_is_promoted_on_a_server_that_never_saw_its_runs(project):
    record = promote("simulated", PARAMS)
    for model in MODELS:
        run = client().get_run(record["runs"][str(model)])
        assert run.data.tags["artefact_sha256"] == file_digest(PATHS.model(model))


# What becomes of a bad one


@pytest.mark.usefixtures("project")
def test_a_pair_that_fails_leaves_production_and_says_why(impossible):
    promote("simulated", PARAMS)
    record = (PATHS.build / "promotion.json").read_bytes()
    retrain(*MODELS)
    _, text = refused(impossible)
    for words in ("risk: ", "acceptance: ", "holdout", "randomised", "above 9"):
        assert words in text
    assert aliased("production") == {RISK: "1", ACCEPTANCE: "1"}
    assert aliased("staging") == {RISK: "2", ACCEPTANCE: "2"}
    assert (PATHS.build / "promotion.json").read_bytes() == record
    assert any(v.startswith("FAILED") for v in tags_of(RISK, "2").values())


@pytest.mark.usefixtures("project")
def test_a_first_pair_that_fails_leaves_no_production(impossible):
    refused(impossible)
    assert aliased("production") == {RISK: None, ACCEPTANCE: None}
    assert not (PATHS.build / "promotion.json").exists()


@pytest.mark.usefixtures("project")
def test_a_refused_pair_that_shares_a_model_leaves_production_publishable(impossible):
    pair = promote("simulated", PARAMS)["pair"]
    retrain(ACCEPTANCE)
    refused(impossible)
    assert aliased("production") == {RISK: "1", ACCEPTANCE: "1"}
    assert publish("simulated")["pair"] == pair


@pytest.mark.usefixtures("project")
def test_a_pair_that_was_never_evaluated_is_told_what_to_run():
    (PATHS.build / "evaluation.json").unlink()
    with pytest.raises(ModelMismatchError, match="run `make pipeline PORTFOLIO=simulated`"):
        promote("simulated", PARAMS)
    assert aliased_if_any("production") is None


# Flags of the fairness screens


@pytest.fixture
def flagged(project, monkeypatch):
    """A pair whose offers are flagged where the list price's are not."""
    monkeypatch.setattr(promotion.Gate, "flags", lambda *_: FLAG)


@pytest.mark.usefixtures("flagged")
def test_a_flag_without_a_name_under_it_is_refused():
    failed, text = refused()
    assert failed == [FAIR]
    assert "group/apr_gap/b" in text


@pytest.mark.usefixtures("flagged")
def test_a_flag_with_a_name_under_it_passes_and_the_name_is_kept():
    signed = SignOff(by="A. Name", reason="explained by the term")
    promote("simulated", PARAMS, signed)
    (entry,) = entries(PATHS)
    told = {"by": "A. Name", "reason": signed.reason, "value": 250.0}
    assert entry["signed_off"] == {next(iter(FLAG)): told}
    (verdict,) = [v for v in entry["verdicts"] if v["criterion"] == FAIR]
    assert "Signed off by A. Name: explained by the term" in verdict["why"]


@pytest.mark.usefixtures("flagged")
def test_a_signature_is_of_one_pair_and_no_other():
    promote("simulated", PARAMS, SignOff(by="A. Name", reason="explained by the term"))
    retrain(*MODELS)
    failed, _ = refused()
    assert failed == [FAIR]


@pytest.mark.usefixtures("flagged")
@pytest.mark.parametrize(("value", "covered"), [(250.0, True), (240.0, True), (260.0, False)])
def test_a_signature_is_of_a_figure_and_of_nothing_worse(monkeypatch, value, covered):
    promote("simulated", PARAMS, SignOff(by="A. Name", reason="explained by the term"))
    first = PATHS.build / "history.jsonl"
    monkeypatch.setattr(
        promotion.Gate, "flags", lambda *_: {next(iter(FLAG)): GAP | {"value": value}}
    )
    # the same pair again, as if for the first time on this registry
    version = aliases.aliased_pair("simulated", MODELS, "production")
    for each in version.values():
        client().delete_registered_model_alias(each.name, "production")
        client().delete_model_version_tag(each.name, each.version, f"pair.{aliases.named(version)}")
    assert first.exists()
    if covered:
        assert promote("simulated", PARAMS)["promoted"]
    else:
        assert refused()[0] == [FAIR]


# Interrupts


@pytest.fixture
def two_pairs(project):
    """A pair in production, and another that is trained."""
    pair = promote("simulated", PARAMS)["pair"]
    retrain(*MODELS)
    return pair


@pytest.mark.parametrize("after", range(4))
def test_an_interrupt_leaves_the_old_pair_or_the_new(two_pairs, monkeypatch, after):
    """After any number of the registry's aliases were moved."""
    moved, real = [], type(client()).set_registered_model_alias

    def interrupted(self, name, alias, version):
        if len(moved) == after:
            moved.append(None)
            raise KeyboardInterrupt
        moved.append(name)
        return real(self, name, alias, version)

    with monkeypatch.context() as patch:
        patch.setattr(type(client()), "set_registered_model_alias", interrupted)
        with pytest.raises(KeyboardInterrupt):
            promote("simulated", PARAMS)
    assert aliased("production") == {RISK: "1", ACCEPTANCE: "1"}
    assert publish("simulated")["pair"] == two_pairs
    assert promote("simulated", PARAMS)["former_pair"] == two_pairs
    assert aliased("production") == {RISK: "2", ACCEPTANCE: "2"}


@pytest.mark.parametrize("behind", MODELS)
def test_aliases_that_a_kill_left_on_two_pairs_go_back_before_anything_else(two_pairs, behind):
    promote("simulated", PARAMS)
    client().set_registered_model_alias(registered_name("simulated", behind), "production", "1")
    found = promote("simulated", PARAMS)
    assert "the challenger is the champion itself" in {v["why"] for v in found["verdicts"]}
    assert aliased("production") == {RISK: "2", ACCEPTANCE: "2"}


@pytest.mark.parametrize("history", ["is gone", "lacks the last"])
def test_a_pair_whose_promotion_is_not_on_record_is_recorded(two_pairs, history):
    """A kill between aliases and record; or production from before there was a history."""
    pair = promote("simulated", PARAMS)["pair"]
    path = PATHS.build / "history.jsonl"
    kept = [] if history == "is gone" else path.read_text().splitlines()[:1]
    path.write_text("".join(f"{line}\n" for line in kept))
    promote("simulated", PARAMS)
    promote("simulated", PARAMS)
    last = entries(PATHS)[-1]
    assert len(entries(PATHS)) == len(kept) + 1
    assert (last["action"], last["pair"]) == (PROMOTED, pair)
    assert last["former_pair"] == (two_pairs if kept else None)


@pytest.mark.usefixtures("project")
def test_judging_the_champion_again_leaves_the_verdicts_of_its_promotion():
    first = promote("simulated", PARAMS)
    name = f"gate-{first['pair']}.json"

    def told():
        runs = (mlflow.artifacts.load_dict(f"runs:/{r}/{name}") for r in first["runs"].values())
        return [read_json(PATHS.build / "gate.json"), *runs]

    before, tags = told(), tags_of(RISK, "1")
    promote("simulated", PARAMS)
    assert told() == before
    assert tags_of(RISK, "1") == tags
    assert "value of the offers" in {v["criterion"] for v in before[0]["verdicts"]}


# A champion that is damaged, or of another kind


def file_of(model):
    """Return the registry's file of a model in production."""
    name = registered_name("simulated", model)
    version = client().get_model_version_by_alias(name, "production")
    folder = client().get_model_version_download_uri(name, version.version)
    (file,) = Path(str(folder).removeprefix("file:")).rglob("model.ubj")
    return file


@pytest.mark.parametrize("damage", [lambda f: f.write_bytes(f.read_bytes()[:-9]), Path.unlink])
def test_a_damaged_champion_does_not_lower_the_bar(project, damage):
    retrain(*MODELS)  # runs of its own: other tests share the project's
    pair = promote("simulated", PARAMS)["pair"]
    retrain(*MODELS)
    damage(file_of(RISK))
    with pytest.raises(ModelMismatchError) as error:
        promote("simulated", PARAMS)
    for words in (pair, "finnt-simulated-risk/1", "cannot be read", "finnt rollback simulated"):
        assert words in str(error.value)
    assert aliased("production") == {RISK: "1", ACCEPTANCE: "1"}


@pytest.mark.usefixtures("project")
def test_a_file_that_the_registry_has_lost_fails_parity():
    retrain(*MODELS)
    promote("simulated", PARAMS)
    shutil.rmtree(file_of(RISK).parent)
    failed, text = refused()
    assert failed == ["risk: parity of registered and trained scores"]
    assert "finnt-simulated-risk/1 has no model.ubj" in text


def test_a_champion_of_another_declaration_is_said_not_to_be_compared(project, caplog):
    promote("simulated", PARAMS)
    path = project / "portfolios" / "simulated.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"title": "Another"}))
    retrain(*MODELS)
    found = {v["criterion"]: v for v in promote("simulated", PARAMS)["verdicts"]}
    told = found["risk: log-loss below the champion's, held-out loans"]
    assert told["outcome"] == "not testable"
    assert "another declaration" in told["why"]
    assert "cannot be compared" in caplog.text


@pytest.mark.usefixtures("two_pairs")
def test_a_champion_of_other_data_is_said_to_know_some_rows_perhaps():
    def why():
        content = promote("simulated", PARAMS)
        (loss,) = (
            v
            for v in content["verdicts"]
            if v["criterion"].startswith("risk: log-loss below the champion")
        )
        return loss["why"]

    assert "other data" not in why()
    path = PATHS.processed / "train" / "quotes.parquet"
    write_table(read_table(path)[50:], path)
    retrain(*MODELS)
    assert "it learned from other data, perhaps from some of these rows" in why()


# A pair that a person has rolled back


def test_a_pair_that_was_rolled_back_stays_so_until_a_person_promotes_it(two_pairs, caplog):
    caplog.set_level("INFO")
    new = promote("simulated", PARAMS)["pair"]
    current = aliases.aliased_pair("simulated", MODELS, "production")
    old = {m: client().get_model_version(v.name, "1") for m, v in current.items()}
    aliases.mark(current, new, ROLLED_BACK)
    aliases.point(old, "production")
    assert not promote("simulated", PARAMS)["promoted"]
    assert aliased("production") == {RISK: "1", ACCEPTANCE: "1"}
    assert "rolled back by a person" in caplog.text
    assert promote("simulated", PARAMS, by_person=True)["promoted"]
    assert aliased("production") == {RISK: "2", ACCEPTANCE: "2"}


def test_a_pair_that_was_rolled_back_stays_so_when_its_runs_are_logged_anew(two_pairs):
    new = promote("simulated", PARAMS)["pair"]
    current = aliases.aliased_pair("simulated", MODELS, "production")
    old = {m: client().get_model_version(v.name, "1") for m, v in current.items()}
    aliases.mark(current, new, ROLLED_BACK)
    aliases.point(old, "production")
    for model in MODELS:  # as on a clone, or after the runs' record was lost
        (PATHS.build / f"run-{model}.json").unlink()
    assert not promote("simulated", PARAMS)["promoted"]
    assert aliased("production") == {RISK: "1", ACCEPTANCE: "1"}
    assert promote("simulated", PARAMS, by_person=True)["promoted"]
    assert aliased("production") == {RISK: "3", ACCEPTANCE: "3"}
    assert not aliases.was_rolled_back("simulated", MODELS, new)
    assert promote("simulated", PARAMS)["promoted"]


# A book that teaches risk alone


@pytest.fixture
def without_offers(project):
    """The same book, declared to teach risk alone."""
    path = project / "portfolios" / "simulated.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"capabilities": ["risk"]}))
    train(RISK, "simulated")
    return project


@pytest.mark.usefixtures("without_offers")
def test_a_book_without_offers_promotes_its_risk_model_alone():
    promotion.main("simulated")
    (registered,) = client().search_registered_models()
    assert registered.name == registered_name("simulated", RISK)
    assert registered.aliases == {"staging": 1, "production": 1}
    record = read_json(PATHS.build / "promotion.json")
    assert record["pair"] == file_digest(PATHS.model("risk"))[:8]
    assert {v["criterion"].partition(":")[0] for v in record["verdicts"]} == {"risk"}
    verdicts = read_json(PATHS.build / "gate.json")["verdicts"]
    untested = {v["criterion"] for v in verdicts if v["outcome"] == "not testable"}
    assert untested == {"value of the offers", FAIR}


@pytest.mark.usefixtures("without_offers")
def test_a_risk_model_alone_goes_through_the_same_gate(impossible):
    with pytest.raises(PromotionRefusedError, match="stays in staging: risk: "):
        promote("simulated", impossible)
    (registered,) = client().search_registered_models()
    assert registered.aliases == {"staging": 1}
    assert not (PATHS.build / "promotion.json").exists()
