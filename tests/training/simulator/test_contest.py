from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.simulator import contest
from training.simulator.contest import REGIONS, Contest, shelves, standings
from training.simulator.forms import Form
from training.simulator.shelf import best_choice
from training.simulator.truth import truth_at
from training.simulator.worlds import ECONOMICS, Terms
from training.stages import read_json

ROOT = Path(__file__).parents[3]
TINY = Contest(world="W1", seed=1, quotes=4_000, applicants=60)


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """The part of a tiny contest."""
    path = tmp_path_factory.mktemp("parts") / "W1-1.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        contest.main("W1", "1", "4000", "60", str(path))
    return read_json(path)


def total(part, form, region):
    return np.sum(part["forms"][form][region]["earned"])


def test_a_part_says_what_every_applicant_earned_with_every_form(held):
    assert held["contest"] == {"world": "W1", "seed": 1, "quotes": 4_000, "applicants": 60}
    assert held["digest"] == TINY.digest()
    assert set(held["forms"]) == {"attainable", "incumbent", "engine", "logit", "classifiers"}
    for form in held["forms"].values():
        for region in REGIONS:
            assert len(form[region]["earned"]) == 60


def test_no_form_earns_more_than_is_attainable(held):
    for form in held["forms"].values():
        for region in REGIONS:
            best = np.array(held["forms"]["attainable"][region]["earned"])
            assert (np.array(form[region]["earned"]) <= best + 0.01).all()


def test_regret_of_a_perfect_model_leaves_that_of_the_other(held):
    for form in ("engine", "logit", "classifiers"):
        lost = held["forms"][form]["regret"]
        assert all(0 <= each <= 100 for each in lost.values())
        assert min(lost["risk"], lost["acceptance"]) < lost["both"]


def test_offers_at_a_cap_are_told_from_those_at_the_trust_regions_edge(held):
    """With rates free there is no trust region to bind."""
    for form in held["forms"].values():
        for region in REGIONS:
            placed = form[region]
            assert 0 <= placed["at_cap"] + placed["at_edge"] <= 1
        assert form["free"]["at_edge"] == 0


def truth_of(part):
    """Return a model that answers with a part of the truth."""

    def probability(columns, terms):
        shape = np.shape(terms.quoted_rate)
        truth = truth_at(
            "W1",
            columns,
            Terms(
                principal=np.broadcast_to(terms.principal, shape),
                term_months=np.broadcast_to(terms.term_months, shape),
                nominal_rate=terms.nominal_rate,
            ),
        )
        return getattr(truth, part)

    return probability


def test_who_knows_both_truths_attains_all_but_what_private_risk_bends(monkeypatch):
    """The value of a loan is not linear in its PD, so the mean PD loses a little."""
    accept, default = truth_of("p_accept"), truth_of("pd_lifetime")
    form = Form(
        accept=accept, default=default, choose=lambda shelf: best_choice(shelf, accept, default)
    )
    monkeypatch.setattr(contest, "FORMS", {"truth": lambda *_: form})
    part = standings(replace(TINY, quotes=100))
    for region in REGIONS:
        share = total(part, "truth", region) / total(part, "attainable", region)
        assert 0.995 < share <= 1 + 1e-9
    lost = part["forms"]["truth"]["regret"]
    assert lost["acceptance"] == pytest.approx(0, abs=1e-9)
    assert lost["risk"] == lost["both"] < 0.5


def test_declining_everybody_loses_everything(monkeypatch):
    def half(_, terms):
        return np.full(np.shape(terms.quoted_rate), 0.5)

    def certain(_, terms):
        return np.full(np.shape(terms.quoted_rate), 0.95)

    form = Form(
        accept=half, default=certain, choose=lambda shelf: best_choice(shelf, half, certain)
    )
    monkeypatch.setattr(contest, "FORMS", {"timid": lambda *_: form})
    found = standings(replace(TINY, quotes=100))["forms"]["timid"]
    assert found["trust"]["declined"] == 1
    assert sum(found["trust"]["earned"]) == 0
    assert found["regret"]["both"] == 100


def test_the_truth_and_the_models_price_with_the_same_economics(simulated):
    trust = shelves(simulated, "W1", 5, 1)["trust"]
    assert (trust.columns["cost_of_funds"] == trust.policy.economics.cost_of_funds).all()
    funds = trust.policy.economics.cost_of_funds
    assert replace(ECONOMICS, cost_of_funds=funds) == trust.policy.economics


def test_fresh_applicants_are_not_those_of_the_log(simulated):
    fresh = shelves(simulated, "W1", 200, 1)["trust"].columns
    again = shelves(simulated, "W1", 200, 1)["trust"].columns
    log = contest.simulate("W1", 200, 1).quotes
    np.testing.assert_array_equal(fresh["annual_income"], again["annual_income"])
    assert (fresh["annual_income"] != log["annual_income"]).mean() > 0.9


@pytest.mark.parametrize("change", [{"world": "W2"}, {"seed": 2}, {"quotes": 1}, {"applicants": 1}])
def test_another_contest_has_another_digest(change):
    assert replace(TINY, **change).digest() != TINY.digest()


def test_the_digest_is_of_all_code_behind_the_figures_and_of_no_other(monkeypatch):
    code = contest._code()
    for name in ("simulator/truth", "simulator/shelf", "fitting/base_logit", "fitting/rivals"):
        assert f"training/{name}.py" in code
    assert "finntelligence/value.py" in code
    assert "training/simulator/worlds_report.py" not in code
    known = TINY.digest()
    changed = code | {"training/simulator/truth.py": "otherwise"}
    monkeypatch.setattr(contest, "_code", lambda: changed)
    assert TINY.digest() != known
