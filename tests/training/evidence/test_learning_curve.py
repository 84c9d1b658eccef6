from dataclasses import replace
from types import SimpleNamespace

import pytest

from finntelligence.portfolio import Capability
from training.evidence.learning_curve import learning_curve
from training.evidence.scores import scores
from training.evidence.subject import Subject
from training.stages import Paths

PARAMS = SimpleNamespace(bootstrap=20, seed=7)


@pytest.fixture(scope="module")
def subject(trained, simulated):
    return Subject.read(Paths("simulated", trained), Capability.ACCEPTANCE, simulated)


def test_more_rows_teach_more_up_to_the_model_itself(subject, fit_params):
    points = learning_curve(subject, fit_params, 4_000, PARAMS)
    assert [point["rows"] for point in points] == [250, 500, 1_000, 2_000, len(subject.train)]
    assert points[0]["log_loss"]["value"] > points[-1]["log_loss"]["value"]
    own = scores(
        *(subject.holdout[name].to_numpy() for name in ("outcome", "predicted")), 0.2, PARAMS
    )
    assert points[-1]["log_loss"] == own["log_loss"]
    assert points[-1]["auc"] == own["auc"]


def test_shares_with_hardly_an_event_are_left_out(subject, fit_params):
    rare = subject.train.assign(outcome=0.0)
    rare.iloc[::10, rare.columns.get_loc("outcome")] = 1.0
    points = learning_curve(replace(subject, train=rare), fit_params, 800, PARAMS)
    rows = [point["rows"] for point in points]
    assert rows[-2:] == [400, len(rare)]
    assert 50 not in rows


def test_a_seed_is_a_curve(subject, fit_params):
    first, again = (learning_curve(subject, fit_params, 1_000, PARAMS) for _ in range(2))
    assert first == again
