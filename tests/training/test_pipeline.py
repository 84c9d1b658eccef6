import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from finntelligence.errors import InvalidDataError, InvalidDeclarationError
from finntelligence.portfolio import Capability
from training.pipeline import PipelineError, portfolios_present, run
from training.publish import stored_pair_is_whole
from training.stages import Paths
from training.tracking import client
from training.train import train

ROOT = Path(__file__).parents[2]
DONE = "stages: {publish: {matrix: {portfolio: [simulated]}, cmd: 'true'}}"
FAILED = "stages: {publish: {matrix: {portfolio: [simulated]}, cmd: 'false'}}"


def dvc_project(root, stages):
    """Make a DVC project whose pipeline is `stages`."""
    init = [sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"]
    subprocess.run(init, cwd=root, check=True)
    (root / "dvc.yaml").write_text(stages)
    return root


def test_a_book_that_is_not_declared_is_one_clear_error():
    with pytest.raises(InvalidDeclarationError) as error:
        run("nowhere", ROOT)
    assert str(error.value) == (
        "portfolio 'nowhere' is not declared; declared: kz2008, lending_club, simulated"
    )


def test_a_book_without_data_is_one_clear_error_that_says_what_to_do(project):
    assert portfolios_present(project) == ("simulated",)
    with pytest.raises(InvalidDataError) as error:
        run("kz2008", project)
    message = str(error.value)
    assert "\n" not in message
    for words in ("kz2008 has no data here", "data/sources.yaml", "PORTFOLIO=kz2008 SOURCE=<file>"):
        assert words in message


def test_a_stage_that_fails_is_one_clear_error_and_keeps_what_is_finished(project):
    dvc_project(project, FAILED)
    with pytest.raises(PipelineError, match=r"stopped before publish@simulated.*run the same"):
        run("simulated", project)
    assert Paths("simulated", project).model("risk").exists()


def test_a_finished_pipeline_ends_with_a_whole_published_pair(project):
    dvc_project(project, DONE)
    run("simulated", project)
    assert stored_pair_is_whole(Paths("simulated"))


def test_the_pipeline_runs_from_any_folder(project, tmp_path_factory, monkeypatch):
    dvc_project(project, DONE)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    run("simulated", project)
    assert stored_pair_is_whole(Paths("simulated", project))


def test_a_book_that_cannot_price_ends_with_its_risk_model_in_the_registry(project):
    """Even where DVC has nothing to run, as after a pull on another machine."""
    path = project / "portfolios" / "simulated.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"capabilities": ["risk"]}))
    train(Capability.RISK, "simulated")
    dvc_project(project, DONE.replace("publish", "promote_risk_only"))
    for _ in range(2):
        run("simulated", project)
        (registered,) = client().search_registered_models()
        assert registered.name == "finnt-simulated-risk"
        assert registered.aliases == {"staging": 1, "production": 1}
    assert not Paths("simulated").served.exists()


def test_running_a_finished_pipeline_again_leaves_a_rolled_back_model_rolled_back(project):
    path = project / "portfolios" / "simulated.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"capabilities": ["risk"]}))
    train(Capability.RISK, "simulated")
    dvc_project(project, DONE.replace("publish", "promote_risk_only"))
    run("simulated", project)
    name = "finnt-simulated-risk"
    known = client().get_model_version_by_alias(name, "production")
    other = client().create_model_version(name, known.source, known.run_id)
    client().set_registered_model_alias(name, "production", other.version)
    run("simulated", project)
    assert client().get_model_version_by_alias(name, "production").version == other.version


# The stages in dvc.yaml

MADE = ("data/interim", "data/processed", "build")


def outputs(stage):
    return [*stage.get("outs", ()), *stage.get("metrics", ()), *stage.get("plots", ())]


@pytest.fixture(scope="module")
def stages():
    return yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def module_of(name):
    """Return the module of a stage: a book that prices nothing has stages of its own for some."""
    return name.removesuffix("_risk_only")


def test_every_stage_runs_its_own_module_and_depends_on_it(stages):
    for name, stage in stages.items():
        assert stage["cmd"].split()[:3] == ["python", "-m", f"training.{module_of(name)}"]
        assert f"training/{module_of(name)}.py" in stage["deps"]


def test_what_a_stage_of_a_book_needs_is_made_by_another_of_its_stages(stages):
    """Of a book that is priced, and of one that teaches risk alone."""
    for kind in ("priced", "risk_only"):
        lists = ("${ingested}", "${present}", f"${{{kind}}}")
        ours = [s for s in stages.values() if s.get("matrix", {}).get("portfolio") in lists]
        made = {next(iter(o)) if isinstance(o, dict) else o for s in ours for o in outputs(s)}
        needed = {dep for s in ours for dep in s["deps"] if dep.startswith(MADE)}
        assert needed
        assert needed <= made


def test_a_book_that_prices_nothing_has_no_stage_that_needs_an_acceptance_model(stages):
    own = {name: stage for name, stage in stages.items() if name != module_of(name)}
    assert own
    for name, stage in own.items():
        sibling = stages[module_of(name)]
        assert set(stage["deps"]) < set(sibling["deps"])
        assert not any("acceptance" in dep for dep in stage["deps"])
        assert set(stage["params"]) <= set(sibling["params"]) - {"acceptance"}
        same = ("cmd", "outs", "metrics", "plots")
        assert [stage.get(key) for key in same] == [sibling.get(key) for key in same]
        assert (stage["matrix"], sibling["matrix"]) == (
            {"portfolio": "${risk_only}"},
            {"portfolio": "${priced}"},
        )


def test_every_file_of_the_project_that_a_stage_names_is_there(stages):
    for stage in stages.values():
        for dep in stage["deps"]:
            generated = dep.startswith(("data/interim", "data/processed", "data/raw", "build"))
            assert generated or "$" in dep or (ROOT / dep).exists(), dep


def test_every_section_of_the_parameters_is_a_stages(stages):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    named = {
        name: {param.partition(".")[0] for param in stage.get("params", ())}
        for name, stage in stages.items()
    }
    assert set(params) == set().union(*named.values())
    for name, sections in named.items():
        assert not sections or module_of(name) in sections
