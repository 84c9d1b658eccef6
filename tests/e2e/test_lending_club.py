"""A book without offers, from its file to the registry, and every refusal to price from it."""

import json

import pytest

from tests.e2e.project import cloned
from tests.lending_club import compact, made_loans

pytest_plugins = ["tests.e2e.project"]

STAGES = ("ingest", "prepare", "risk", "evaluate_risk_only", "promote_risk_only")
WHY = "cannot price offers: its history teaches risk alone"
BUILD = "build/lending_club"


@pytest.fixture(scope="module")
def lender(project, tmp_path_factory):
    """A copy of the project that has not been given the book."""
    return cloned(project, tmp_path_factory.mktemp("lender"))


def finnt(lender, *words):
    """Run `finnt`, which must succeed, and return what it prints."""
    done = lender.run("-m", "cli", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(lender, tmp_path_factory):
    """The copy with the book's model, and what the pipeline printed."""
    path = tmp_path_factory.mktemp("source") / "loans.csv.gz"
    compact(made_loans(rows=4_000)).to_csv(path, index=False)
    assert "0 quotes, 4000 loans" in finnt(lender, "data", "add", "lending_club", str(path))
    return lender, finnt(lender, "pipeline", "--portfolio", "lending_club")


def content(lender, name):
    return json.loads((lender.root / BUILD / name).read_text())


def test_the_pipeline_runs_no_stage_that_needs_offers(trained):
    _, printed = trained
    ran = [line.split("'")[1] for line in printed.splitlines() if line.startswith("Running stage")]
    assert ran == [f"{stage}@lending_club" for stage in STAGES]


def test_the_risk_model_stands_in_the_registry_alone(trained):
    lender, _ = trained
    wide = {**lender.environment, "COLUMNS": "160"}
    printed = lender.run("-m", "cli", "status", environment=wide).stdout
    (row,) = [line for line in printed.splitlines() if "lending_club" in line]
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells == ["lending_club", "here", "risk only", "version 1", "none", "none"]


def test_the_evidence_is_of_the_risk_model_alone(trained):
    lender, _ = trained
    evaluation = content(lender, "evaluation.json")
    assert evaluation["risk"]["holdout"]["rows"] == 800
    assert evaluation["risk"]["holdout"]["gain"]["value"] > 0
    assert not {"acceptance", "decisions"} & set(evaluation)
    assert all(verdict["passed"] for verdict in content(lender, "promotion.json")["verdicts"])


def test_a_second_run_does_nothing(trained):
    lender, _ = trained
    printed = finnt(lender, "pipeline", "--portfolio", "lending_club")
    assert "Data and pipelines are up to date." in printed
    assert "Running stage" not in printed


@pytest.mark.parametrize(
    "words",
    [
        ("-m", "cli", "serve", "--portfolio", "lending_club"),
        ("-m", "cli", "offer", "EXAMPLE", "--portfolio", "lending_club"),
        ("-m", "training.publish", "lending_club"),
        ("-m", "bentoml", "serve", "service:OfferService", "--arg", "portfolio=lending_club"),
    ],
    ids=["serve", "offer", "publish", "bentoml"],
)
def test_nothing_prices_from_it_and_all_say_why(trained, tmp_path, words):
    lender, _ = trained
    example = tmp_path / "example.json"
    body = {"requested_principal": 9_000, "requested_term_months": 36, "features": {}}
    example.write_text(json.dumps(body))
    done = lender.run(*(str(example) if word == "EXAMPLE" else word for word in words))
    assert done.returncode == 1
    (line,) = [line for line in (done.stdout + done.stderr).splitlines() if WHY in line]
    assert "make pipeline" not in line  # no run would help
    assert "Traceback" not in done.stderr


def test_the_embedded_book_is_left_alone(trained):
    lender, _ = trained
    assert not (lender.root / "build" / "simulated").exists()


def test_of_a_thousand_real_loans_the_gate_says_that_the_model_is_too_flat(
    trained, lending_club_files
):
    lender, _ = trained
    path = str(lending_club_files["full"])
    assert "replaced the former source" in finnt(lender, "data", "add", "lending_club", path)
    done = lender.run("-m", "cli", "pipeline", "--portfolio", "lending_club")
    assert done.returncode == 1
    assert "risk: calibration slope, held-out loans" in done.stderr
    assert content(lender, "evaluation.json")["risk"]["holdout"]["rows"] == 181
    failed = [v for v in content(lender, "gate.json")["verdicts"] if not v["passed"]]
    assert [verdict["why"] for verdict in failed] == ["the model is too flat, by 181 rows"]


def test_the_real_book_tells_people_it_never_saw_apart(trained, lending_club_files):
    lender, _ = trained
    finnt(lender, "data", "add", "lending_club", str(lending_club_files["compact"]))
    finnt(lender, "pipeline", "--portfolio", "lending_club")
    risk = content(lender, "evaluation.json")["risk"]
    found, rivals = risk["holdout"], risk["rivals"]
    assert found["rows"] > 17_000
    assert found["auc"]["low"] > 0.69
    # it knows what our heads know: applicant, payment, term, amount
    alike = rivals["plain_classifier_without_rate"]["holdout"]
    assert found["auc"]["value"] > alike["auc"]["value"] - 0.004
    # it may use the rate, which this lender set by risk; ours holds its slope at the prior
    fed = rivals["plain_classifier"]["holdout"]
    assert found["auc"]["value"] > fed["auc"]["value"] - 0.006
    assert found["ece"]["value"] < 0.015
