from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from finntelligence.fields import Role
from training.evidence.fair_lending import fair_lending
from training.evidence.offered import Offered
from training.evidence.page import page
from training.evidence.screens import ScreenParams, screens
from training.simulate import simulate

ROWS = 400


def given(approved, apr):
    """The same offer to whoever is approved."""
    columns = {
        "principal": 5_000.0,
        "term_months": 36.0,
        "apr": apr,
        "break_even_apr": 0.1,
        "list_risk": -1.0,
        "p_accept": 0.25,
        "npv": 400.0,
    }
    return Offered(**{name: np.where(approved, each, np.nan) for name, each in columns.items()})


@pytest.fixture(scope="module")
def frame():
    return simulate("W1", ROWS, seed=3).quotes.assign(predicted=0.3, outcome=[0.0, 1.0] * 200)


def found(frame, portfolio, offers=None, listed=None):
    settings = ScreenParams(draws=20, seed=1)
    return screens(frame, offers, portfolio, {"risk": frame}, settings, listed)


def text(fairness):
    return page("", [], fair_lending(fairness))


def test_without_offers_calibration_and_proxies_are_shown_all_the_same(frame, simulated):
    fairness = found(frame, simulated)
    made = text(fairness)
    assert "No offers: calibration only." in made
    for group, one in fairness["group"]["calibration"]["risk"].items():
        share = one["observed"]
        assert f"<td>risk</td><td>{group}</td><td>{one['rows']}</td>" in made
        assert f"<td>{share['value']:.4f} [{share['low']:.4f}, {share['high']:.4f}]</td>" in made
    assert "<td>engine</td>" not in made


def test_a_suspected_proxy_is_named(frame, simulated):
    told = frame.assign(dti=10 + 5.0 * (frame["group"] == "b"))
    made = text(found(told, simulated))
    assert "<td>dti</td>" in made
    assert "<td>yes</td>" in made
    assert "<td>yes</td>" not in text(found(frame, simulated))


def test_the_engines_offers_stand_beside_those_at_the_list_price(frame, simulated):
    everybody, nobody_of_b = np.full(ROWS, True), (frame["group"] != "b").to_numpy()
    made = text(found(frame, simulated, given(everybody, 0.2), given(nobody_of_b, 0.25)))
    for lender, group, share in (("engine", "b", "1.0000"), ("list price", "b", "0.0000")):
        assert f"<td>{lender}</td><td>{group}</td><td>{share} [{share}, {share}]</td>" in made
    assert "<td>engine</td><td>adverse impact ratio</td><td>b</td>" in made
    assert "No offers" not in made


def test_a_book_without_groups_says_so(frame, simulated):
    kept = tuple(f for f in simulated.fields if f.role not in (Role.GROUP, Role.PROTECTED))
    fairness = found(frame, replace(simulated, fields=kept))
    assert "Not screened: no field of role group or protected." in text(fairness)


def test_a_field_of_one_known_group_says_why_it_is_not_compared(frame, simulated):
    column = pd.Series(["a"] * 399 + [None], dtype="str")
    made = text(found(frame.assign(group=column), simulated))
    assert "Of unknown group: 1. Fewer than two groups are known: nothing to compare." in made


def test_a_strength_that_could_not_be_found_leaves_its_cell_empty(frame, simulated):
    fairness = found(frame, simulated)
    (strongest,) = next(iter(fairness["group"]["proxies"].values()))
    strongest |= {"auc": None, "low": None, "high": None, "suspected": None}
    assert "<td></td><td>too few to tell</td>" in text(fairness)
