import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from finntelligence.errors import InvalidDataError, InvalidDeclarationError
from training import pipeline
from training.pipeline import PipelineError, portfolios_present, run
from training.publish import stored_pair_is_whole
from training.stages import Paths

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
    assert str(error.value) == ("portfolio 'nowhere' is not declared; declared: kz2008, simulated")


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


def test_a_book_that_cannot_price_stops_at_its_evaluation(project, monkeypatch):
    path = project / "portfolios" / "simulated.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"capabilities": ["risk"]}))
    asked = []

    def record(words, **_):
        asked.append(words)
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(pipeline.subprocess, "run", record)
    run("simulated", project)
    assert [words[-1] for words in asked] == ["evaluate@simulated"]


# The stages in dvc.yaml


@pytest.fixture(scope="module")
def stages():
    return yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def test_every_stage_runs_its_own_module_and_depends_on_it(stages):
    for name, stage in stages.items():
        assert stage["cmd"].split()[:3] == ["python", "-m", f"training.{name}"]
        assert f"training/{name}.py" in stage["deps"]


def test_every_file_of_the_project_that_a_stage_names_is_there(stages):
    for stage in stages.values():
        for dep in stage["deps"]:
            generated = dep.startswith(("data/interim", "data/processed", "data/raw", "build"))
            assert generated or "$" in dep or (ROOT / dep).is_file(), dep


def test_every_section_of_the_parameters_is_a_stages(stages):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    named = {section for stage in stages.values() for section in stage.get("params", ())}
    assert set(params) == named
    for name, stage in stages.items():
        assert stage.get("params", [name]) == [name]
