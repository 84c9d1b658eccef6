import pytest
import yaml

from finntelligence.errors import InvalidDataError, InvalidDeclarationError
from training.judge import judge, judge_rows
from training.simulate import simulate
from training.stages import Paths, read_json
from training.tables import read_table, write_table


def test_the_trained_pair_is_judged_on_the_held_out_quotes(trained):
    found = judge("simulated", trained)
    evaluated = read_json(Paths("simulated", trained).build / "evaluation.json")["judgement"]
    assert found == evaluated | {"currency": "USD"}


def test_any_canonical_quotes_can_be_judged_on(trained, tmp_path):
    write_table(simulate("W1", 12_000, seed=8).quotes, tmp_path / "quotes.parquet")
    found = judge("simulated", trained, tmp_path / "quotes.parquet")
    assert found["rows"] == 12_000
    assert found["policies"]["list price"]["refused_because"] is None
    header, rows = judge_rows(found)
    assert header == ["policy", "list price", "lowest price tested", "engine"]
    assert rows[0][0] == "direct method (DM), USD a request"
    assert all(len(row) == len(header) for row in rows)


def test_confounded_quotes_are_refused_whatever_the_models(trained, tmp_path):
    write_table(simulate("W3", 4_000, seed=8).quotes, tmp_path / "quotes.parquet")
    found = judge("simulated", trained, tmp_path / "quotes.parquet")
    assert "no price was drawn at random" in found["refused_because"]
    _, rows = judge_rows(found)
    reasons = dict((row[0], row[1:]) for row in rows)["refused, because"]
    assert set(reasons) == {found["refused_because"]}


def test_a_table_that_is_not_canonical_is_refused(trained, tmp_path):
    held = Paths("simulated", trained).processed / "holdout" / "quotes.parquet"
    write_table(read_table(held).drop(columns="propensity"), tmp_path / "quotes.parquet")
    with pytest.raises(InvalidDataError, match="propensity"):
        judge("simulated", trained, tmp_path / "quotes.parquet")


def test_a_book_of_risk_alone_has_no_policy_to_judge(project):
    path = project / "portfolios" / "simulated.yaml"
    declared = yaml.safe_load(path.read_text()) | {"capabilities": ["risk"], "policy": {}}
    path.write_text(yaml.safe_dump(declared))
    with pytest.raises(InvalidDeclarationError, match="teaches no acceptance"):
        judge("simulated", project)
