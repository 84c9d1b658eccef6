import csv
from dataclasses import replace

import pytest

from finntelligence.portfolio import Capability
from training.evidence.findings import EvidenceParams, evidence
from training.evidence.pictures import draw, draw_judgement, slug
from training.evidence.price_curves import Prices
from training.evidence.subject import Subject
from training.stages import Paths, load_policy

PARAMS = EvidenceParams(
    bootstrap=5, bins=4, priced=10, curved=10, explained=60, permuted=60, learned=500, seed=7
)


@pytest.fixture(scope="module")
def judged(trained, simulated, fit_params):
    subject = Subject.read(Paths("simulated", trained), Capability.RISK, simulated)
    prices = Prices.quotable(load_policy(simulated, trained))
    return evidence(subject, prices, fit_params, PARAMS, None)


def test_a_folder_holds_each_series_and_its_pictures(judged, simulated, tmp_path):
    draw("risk", judged, simulated, tmp_path)
    curves = {f"risk_by_{by}" for by in ("predicted", "offset", "offset_randomised")}
    learned, segments = "risk_learning_curve", judged.found["price"]["observed"]
    series = curves | {learned} | {f"risk_price_{slug(segment)}" for segment in segments}
    assert {p.stem for p in tmp_path.glob("*.csv")} == series
    others = ("price_curves", "contributions", "dependence", "permutation", "stability")
    assert {p.stem for p in tmp_path.glob("*.png")} - {"risk_semi_elasticity"} == {
        *(curves | {learned}),
        *(f"risk_{other}" for other in others),
    }
    for path in tmp_path.glob("*.csv"):  # what dvc plots is told to draw
        with path.open() as file:
            assert {"value", "observed", "low", "high"} <= set(csv.DictReader(file).fieldnames)


def test_what_is_absent_is_not_drawn(judged, simulated, tmp_path):
    price = {**judged.found["price"], "observed": {"absent": "no held-out price was randomised"}}
    price["semi_elasticity"] = {"all": {"absent": "no price was randomised"}}
    found = {**judged.found, "price": price}
    found["calibration"] = {**found["calibration"], "offset": {"absent": "one price"}}
    draw("risk", replace(judged, found=found), simulated, tmp_path)
    names = {p.stem for p in tmp_path.iterdir()}
    assert not names & {"risk_by_offset", "risk_semi_elasticity"}
    assert not any(name.startswith("risk_price_") for name in names - {"risk_price_curves"})


def test_segments_have_files_of_their_own():
    assert slug("fico from 660 below 694") != slug("fico below 694")


def test_judged_policies_and_their_densities_are_drawn_where_there_are_any(simulated, tmp_path):
    value = {"value": 1.0, "low": 0.5, "high": 1.5}
    stratum = {"stratum": "low", "density": [[-0.01, 9.0], [0.0, 8.0]]}
    found = {"policies": {"list": {"dr": value}, "far": {}}, "support": [stratum, {"absent": ""}]}
    draw_judgement(found, simulated, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"judgement.png", "densities.png"}
    draw_judgement({"policies": {"far": {}}, "support": []}, simulated, tmp_path / "none")
    assert not (tmp_path / "none").exists()
