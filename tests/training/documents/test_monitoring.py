from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.documents.monitoring import plan, window_rows


@given(rate=st.floats(0.01, 0.99), shift=st.floats(0.05, 1))
def test_three_standard_errors_of_a_windows_logit_are_the_shift_to_be_noticed(rate, shift):
    rows = window_rows(rate, shift)
    reach = [3 / np.sqrt(n * rate * (1 - rate)) for n in (rows, rows - 1)]
    assert reach[0] <= shift * (1 + 1e-9)
    assert reach[1] >= shift * (1 - 1e-9)


def rows_of(about):
    return {row[0]: row for row in plan(about)[0].tables[0].rows}


def changed(about, model, **parts):
    return replace(about, evaluation={**about.evaluation, model: about.evaluation[model] | parts})


def test_every_model_is_watched_for_drift_calibration_and_the_price_and_every_group_for_approvals(
    about,
):
    rows = rows_of(about)
    for model in about.responses:
        assert sum(name.startswith(f"{model}:") for name in rows) == 4
    assert "approvals of group b: adverse impact ratio" in rows
    assert all(all(row) for row in rows.values())


def test_windows_follow_the_pairs_own_rates(about):
    held = about.evaluation["risk"]["holdout"]
    n = window_rows(held["events"] / held["rows"])
    assert f"the last {n:,} loans" in rows_of(about)["risk: observed beside predicted"][1]


@pytest.mark.parametrize(
    ("value", "low", "high", "past"),
    [(1.3, 1.2, 1.4, True), (1.3, 0.9, 1.7, False), (1.05, 1.01, 1.09, False)],
)
def test_a_limit_that_is_passed_from_the_first_day_is_said_to_be(about, value, low, high, past):
    slope = {"value": value, "low": low, "high": high}
    holdout = about.evaluation["risk"]["holdout"] | {"calibration_slope": slope}
    row = rows_of(changed(about, "risk", holdout=holdout))[
        "risk: observed beside predicted, by tenth of price"
    ]
    assert ("past the limit already" in row[2]) is past


@pytest.mark.parametrize(("value", "past"), [(0.0, True), (0.7, True), (0.9, False), (None, False)])
def test_an_adverse_impact_ratio_below_the_limit_is_past_it_and_an_unknown_one_is_not(
    about, value, past
):
    one = {"value": value, "low": None, "high": None, "rows": 100, "flag": None}
    screens = {"screens": {"adverse_impact_ratio": {"b": one}}}
    found = replace(about, evaluation={**about.evaluation, "fairness": {"group": screens}})
    row = rows_of(found)["approvals of group b: adverse impact ratio"]
    assert ("past the limit already" in row[2]) is past


def test_without_an_experiment_the_price_is_said_to_be_beyond_monitoring(about):
    price = about.evaluation["risk"]["price"]
    absent = price | {"semi_elasticity": {"all": {"absent": "no price was randomised"}}}
    row = rows_of(changed(about, "risk", price=absent))["risk: the price's effect"]
    assert "no price was randomised" in row[2]
    assert "without randomised prices" in row[3]


def test_every_input_has_its_own_line_of_stability(about):
    table = plan(about)[1].tables[0]
    names = {n for m in about.responses for n in about.evaluation[m]["stability"]}
    assert {row[0] for row in table.rows} == names


def test_without_an_evaluation_there_is_no_plan_and_one_sentence_why(about):
    (only,) = plan(replace(about, evaluation={}))
    assert "No plan" in only.texts[0]


def test_without_groups_that_nothing_can_be_seen_is_said(about):
    bare = replace(about, evaluation={**about.evaluation, "fairness": {}})
    assert rows_of(bare)["adverse impact"][2] == "not screened"
