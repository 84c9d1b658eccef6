import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from finntelligence.errors import InvalidDeclarationError
from training import stages
from training.evaluate import EvaluateParams
from training.fitting.price_response import FitParams
from training.prepare import PrepareParams
from training.promote import PromoteParams
from training.stages import Paths, file_digest, load_policy, read_json, read_params, write_json

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Oven:
    heat: float
    minutes: int


def params_file(root, content):
    (root / "params.yaml").write_text(yaml.safe_dump(content))
    return root


def test_a_section_of_the_parameter_file_is_read_into_its_dataclass(tmp_path):
    root = params_file(tmp_path, {"oven": {"heat": 180.5, "minutes": 20}, "hob": {}})
    assert read_params("oven", Oven, root) == Oven(heat=180.5, minutes=20)


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ({"heat": 180}, "oven.minutes: is missing"),
        ({"heat": 180, "minutes": 20, "fan": True}, "oven.fan: is unknown"),
    ],
)
def test_a_missing_or_unknown_parameter_is_named(tmp_path, section, complaint):
    root = params_file(tmp_path, {"oven": section})
    with pytest.raises(InvalidDeclarationError, match=rf"params\.yaml: {complaint}$"):
        read_params("oven", Oven, root)


@pytest.mark.parametrize("content", [{"hob": {}}, {}, None, [1], {"oven": None}])
def test_a_missing_section_is_named(tmp_path, content):
    with pytest.raises(InvalidDeclarationError, match="has no section 'oven'"):
        read_params("oven", Oven, params_file(tmp_path, content))


def test_a_missing_parameter_file_is_named(tmp_path):
    with pytest.raises(InvalidDeclarationError, match=r"params\.yaml"):
        read_params("oven", Oven, tmp_path)


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        ("prepare", PrepareParams),
        ("risk", FitParams),
        ("acceptance", FitParams),
        ("evaluate", EvaluateParams),
        ("promote", PromoteParams),
    ],
)
def test_the_projects_own_parameters_are_whole(section, kind):
    assert isinstance(read_params(section, kind, ROOT), kind)


@pytest.mark.parametrize("portfolio", ["simulated", "kz2008"])
def test_the_projects_own_policy_is_possible(portfolio, request):
    declared = request.getfixturevalue({"kz2008": "kz"}.get(portfolio, portfolio))
    assert load_policy(declared, ROOT).terms == declared.axes.terms


def test_json_comes_back_as_it_was_and_is_sorted(tmp_path):
    path, content = tmp_path / "new" / "folder" / "record.json", {"b": [1.5, None], "a": {"x": "é"}}
    write_json(path, content)
    assert read_json(path) == content
    assert path.read_text().index('"a"') < path.read_text().index('"b"')
    assert [p.name for p in path.parent.iterdir()] == ["record.json"]


def test_content_that_is_no_json_leaves_the_old_file(tmp_path):
    path = tmp_path / "record.json"
    write_json(path, {"kept": 1})
    with pytest.raises(TypeError):
        write_json(path, {"kept": object()})
    assert read_json(path) == {"kept": 1}


def test_a_disk_that_fills_up_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    write_json(path, {"kept": 1})

    def half_written(self, text):
        with self.open("w") as file:
            file.write(text[: len(text) // 2])
        raise OSError("no space left on device")

    monkeypatch.setattr(stages.Path, "write_text", half_written)
    with pytest.raises(OSError, match="no space"):
        write_json(path, {"kept": 2, "more": list(range(100))})
    assert json.loads(path.read_text()) == {"kept": 1}


def test_a_files_digest_is_the_sha256_of_its_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(content := b"\x00\xff" * 100_000)
    assert file_digest(path) == hashlib.sha256(content).hexdigest()
    path.write_bytes(content[:-1] + b"\xfe")
    assert file_digest(path) != hashlib.sha256(content).hexdigest()


def test_two_portfolios_share_no_path():
    ours, theirs = Paths("ours", ROOT), Paths("theirs", ROOT)
    for name in ("interim", "processed", "build", "served"):
        assert getattr(ours, name) != getattr(theirs, name)
        assert "ours" in getattr(ours, name).relative_to(ROOT).parts
    assert ours.model("risk") != ours.model("acceptance")
