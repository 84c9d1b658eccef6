import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xgboost as xgb

from finntelligence.errors import ModelMismatchError
from finntelligence.heads import Head
from finntelligence.portfolio import Capability
from finntelligence.response import SPEC_ATTRIBUTE
from runners.model_file import Scorer, response_of, scorer_of
from tests.runners.made import one_head, saved

ROOT = Path(__file__).parents[2]
READ = """
import sys
from pathlib import Path
from finntelligence.portfolio import Capability
from runners.model_file import response_of

response_of(Path(sys.argv[1]).read_bytes(), Capability.RISK)
print(sorted({"scipy", "xgboost"} & sys.modules.keys()))
"""


@pytest.fixture(scope="module")
def path(portfolio, tmp_path_factory):
    return saved(tmp_path_factory.mktemp("model"), "risk", Capability.RISK, portfolio)


def test_a_file_says_of_itself_what_xgboost_reads_in_it_whatever_else_it_says(path, tmp_path):
    booster = xgb.Booster(model_file=path)
    booster.set_attr(best_score="0.5", zone="Z\u00fcrich", **{"": ""})
    booster.save_model(tmp_path / "told.ubj")
    read = response_of((tmp_path / "told.ubj").read_bytes(), Capability.RISK)
    assert read.to_mapping() == json.loads(booster.attr(SPEC_ATTRIBUTE))


def test_what_a_file_says_of_itself_is_read_without_xgboost(path):
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    assert done.stdout == "[]\n", done.stderr


def other_format(path, tmp_path):
    xgb.Booster(model_file=path).save_model(tmp_path / "risk.json")
    return (tmp_path / "risk.json").read_bytes()


def without_ours(path, tmp_path):
    booster = xgb.Booster(model_file=path)
    booster.set_attr(**{SPEC_ATTRIBUTE: None})
    booster.save_model(tmp_path / "mute.ubj")
    return (tmp_path / "mute.ubj").read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        other_format,
        without_ours,
        lambda path, _: path.read_bytes()[:200],
        lambda path, _: path.read_bytes()[:40],
        lambda *_: b"",
    ],
)
def test_what_is_not_whole_or_not_ours_is_refused(path, tmp_path, content):
    with pytest.raises(ModelMismatchError):
        response_of(content(path, tmp_path), Capability.RISK)


def test_trees_that_do_not_fit_the_heads_are_refused(path, portfolio):
    content = path.read_bytes()
    response = response_of(content, Capability.RISK)
    flat = saved(
        path.parent,
        "flat",
        Capability.RISK,
        portfolio,
        heads=[{**head, "tree": False} for head in response.to_mapping()["heads"]],
    )
    other = response_of(flat.read_bytes(), Capability.RISK)
    with pytest.raises(ModelMismatchError, match="1 outputs for 0 tree heads"):
        scorer_of(content, other, "made:v1")


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("rounds", [0, 20])
def test_what_a_scorer_explains_sums_to_what_it_scores(portfolio, outputs, rounds):
    extra = (Head(name="term", phi="term", tree=True, scale=0.3),) if outputs == 2 else ()
    one = one_head(Capability.RISK, portfolio)
    response = replace(one, heads=(*one.heads, *extra), linear=np.full((outputs, 1), 0.25))
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(200, len(response.features)))
    rows[rng.random(rows.shape) < 0.1] = np.nan
    labels = rng.normal(size=(200, outputs))
    named = xgb.DMatrix(rows, label=labels, feature_names=list(response.features), nthread=1)
    grown = xgb.train({"base_score": 0.0, "nthread": 1}, named, rounds)
    scorer = Scorer(xgb.Booster(model_file=bytearray(grown.save_raw("ubj"))), response, "made:v1")
    parts = scorer.contributions(rows[:9])
    assert parts.shape == (9, outputs, len(response.features) + 1)
    np.testing.assert_allclose(parts.sum(axis=2), scorer.coefficients(rows[:9]), atol=1e-5)
    np.testing.assert_array_equal(scorer.contributions(rows[4:5])[0], parts[4])


def test_a_process_that_is_sent_a_model_does_not_wait_for_the_model_store():
    loaded = "import runners.model_file, sys; sys.exit('bentoml' in sys.modules)"
    subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, check=True)
