import hashlib
import json
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
MADE = ("data/interim", "data/processed", "data/raw", "build/")  # outputs, not in a checkout
LOCK = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
DEPENDENCIES = {
    (dep["path"], dep["md5"])
    for stage in LOCK.values()
    for dep in stage["deps"]
    if not dep["path"].startswith(MADE)
}


def digest(path):
    """What DVC says of a file, or of a folder: the digest of its files' names and digests."""
    if path.is_file():
        return hashlib.md5(path.read_bytes()).hexdigest()
    files = [p for p in path.rglob("*") if p.is_file() and p.suffix not in (".pyc", ".so")]
    listed = sorted((p.relative_to(path).as_posix(), digest(p)) for p in files)
    entries = [{"md5": md5, "relpath": name} for name, md5 in listed]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"


@pytest.mark.parametrize(("path", "md5"), sorted(DEPENDENCIES))
def test_the_pipelines_lock_is_of_this_very_code(path, md5):
    assert digest(ROOT / path) == md5, "run `make pipeline`"


def test_the_pipelines_lock_is_of_these_very_parameters():
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name, stage in LOCK.items():
        for path, values in stage.get("params", {}).get("params.yaml", {}).items():
            section, _, key = path.partition(".")
            assert (params[section][key] if key else params[section]) == values, name


def test_every_stage_of_the_embedded_book_is_locked():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    locked = {name.partition("@")[0] for name in LOCK}
    others = ("${ingested}", "${risk_only}")  # lists of real books alone
    its = {n for n, s in stages.items() if s.get("matrix", {}).get("portfolio") not in others}
    assert its <= locked
