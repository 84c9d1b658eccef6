from dataclasses import asdict
from pathlib import Path

import pytest

from training.fitting.hyperparameters import FitParams
from training.stages import read_params

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("section", "depth"), [("acceptance", 3), ("risk", 4)])
def test_the_projects_settings_are_those_an_estimator_starts_with(section, depth):
    declared, default = asdict(read_params(section, FitParams, ROOT)), asdict(FitParams())
    assert declared.pop("depth") == depth
    assert default.pop("depth") is None
    assert declared | {"shrink": tuple(declared["shrink"])} == default
