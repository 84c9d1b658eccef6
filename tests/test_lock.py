import hashlib
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


@pytest.mark.parametrize(("path", "md5"), sorted(DEPENDENCIES))
def test_the_pipelines_lock_is_of_this_very_code(path, md5):
    assert hashlib.md5((ROOT / path).read_bytes()).hexdigest() == md5, "run `make pipeline`"


def test_the_pipelines_lock_is_of_these_very_parameters():
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name, stage in LOCK.items():
        for section, values in stage.get("params", {}).get("params.yaml", {}).items():
            assert params[section] == values, name


def test_every_stage_of_the_embedded_book_is_locked():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    locked = {name.partition("@")[0] for name in LOCK}
    assert set(stages) - {"ingest"} <= locked  # only a real book is ingested
