import copy
from dataclasses import replace

import pytest

from training.evidence.report import report
from training.stages import Paths, read_json

SOURCES = {"risk": {"rows held out": 1_234}, "acceptance": {"rows held out": 5}}


@pytest.fixture(scope="module")
def found(trained):
    return read_json(Paths("simulated", trained).build / "evaluation.json")


@pytest.fixture(scope="module")
def plots(trained):
    return Paths("simulated", trained).build / "plots"


@pytest.fixture
def real(simulated):
    """The same book, were it not simulated."""
    return replace(simulated, name="real", title="Real <b>loans</b>")


def test_simulated_results_are_called_simulated(simulated, real, found, plots):
    assert "Simulated: this book comes from a simulator" in report(simulated, found, plots, SOURCES)
    assert "simulator" not in report(real, found, plots, SOURCES)


def test_a_declarations_text_is_escaped(real, found, plots):
    made = report(real, found, plots, SOURCES)
    assert "<b>" not in made
    assert "Real &lt;b&gt;loans&lt;/b&gt;: evidence" in made


def test_every_picture_is_in_the_report(simulated, found, plots):
    made = report(simulated, found, plots, SOURCES)
    assert made.count("<img ") == len(list(plots.glob("*.png"))) > 10


def test_a_report_says_which_rows_it_is_about_and_what_it_does_not_claim(simulated, found, plots):
    made = report(simulated, found, plots, SOURCES)
    assert "<td>rows held out</td><td>1,234</td><td>5</td>" in made
    assert simulated.default.definition.replace("'", "&#39;") in made
    assert simulated.digest in made
    for text in ("Not claimed", "newest part", "resampling the held-out applicants"):
        assert text in made


def test_figures_stand_with_their_intervals_beside_the_rivals(simulated, found, plots):
    made = report(simulated, found, plots, SOURCES)
    for column in (found["risk"], found["risk"]["rivals"]["logit"]):
        auc = column["holdout"]["auc"]
        assert f"{auc['value']:.4f} [{auc['low']:.4f}, {auc['high']:.4f}]" in made
    assert f"{found['risk']['fit']['estimates']['gap']:.4f} (s.e." in made


def test_what_could_not_be_found_out_is_said_instead_of_a_figure(real, found, plots):
    changed = copy.deepcopy(found)
    changed["risk"]["price"]["semi_elasticity"] = {"all": {"absent": "no price was randomised"}}
    changed["risk"]["latest"] = {"absent": "all held-out rows are of one period"}
    changed["acceptance"]["price"]["semi_elasticity"] = {"all": {"absent": "only 3 events"}}
    made = report(real, changed, plots, SOURCES)
    for text in (
        "No experiment can confirm the price&#39;s effect: no price was randomised.",
        "Latest period: none of its own, all held-out rows are of one period.",
        "No experiment can confirm the price&#39;s effect: only 3 events.",
    ):
        assert text in made


def test_a_report_says_how_the_models_were_fitted(real, found, plots):
    changed = copy.deepcopy(found)
    changed["acceptance"]["fit"] |= {
        "rounds": 87,
        "drifting_features": {"fico": 0.31},
        "slope_guard": {"anchor": -0.2, "anchor_se": 0.01, "shrink": 10.0},
        "calibration": {"applied": True, "intercept": 0.1, "slope": 0.9},
    }
    made = report(real, changed, plots, SOURCES)
    for text in (
        "87 rounds of trees",
        "barred from the price slope: fico.",
        "one price slope has -0.2000 (s.e. 0.0100); trees of the slope after it: shrunk by 10.",
        "Recalibrated: intercept 0.1000, slope 0.9000.",
    ):
        assert text in made


def test_a_book_of_risk_alone_has_risks_evidence_alone(real, found, plots):
    alone = replace(real, capabilities=frozenset({"risk"}), random_holdout=True)
    given = {name: found[name] for name in ("risk", "fairness")}
    by_group = found["fairness"]["group"]
    given["fairness"] = {
        "state": {"unknown": 3},
        "group": {name: by_group[name] for name in ("unknown", "reference", "proxies")}
        | {"calibration": {"risk": by_group["calibration"]["risk"]}},
    }
    made = report(alone, given, plots, {"risk": SOURCES["risk"]})
    assert "a random part" in made
    assert "Risk: scores" in made
    assert "Acceptance" not in made
    assert "Decisions" not in made
    assert "No offers: calibration only." in made
    assert "<h3>By group</h3>" in made
    assert "<td>engine</td>" not in made


def test_what_only_all_of_history_can_tell_is_not_said_of_held_out_rows(real, found, plots):
    changed = copy.deepcopy(found)
    row = {"rows": 900, "events": 90, "randomised": {"value": -0.1, "low": -0.2, "high": 0.0}}
    every = "all history, includes rows the models learned from"
    changed["risk"]["price"]["semi_elasticity"] = {
        "all": {"absent": "only 3 events"},
        every: row
        | {"model": -0.1234, "model_interval": {"value": -0.1234, "low": -0.2, "high": -0.05}},
    }
    made = report(real, changed, plots, SOURCES)
    assert "No experiment on held-out rows can confirm the price&#39;s effect: only 3 ev" in made
    assert f"<td>{every}</td><td>900</td><td>90</td><td>-0.1000 [-0.2000, 0.0000]</td>" in made
    assert "<td>-0.1234 [-0.2000, -0.0500]</td>" in made
