import copy
import json

import numpy as np
import pytest
import xgboost as xgb

from finntelligence.errors import ModelMismatchError
from finntelligence.features import design_matrix
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.response import SPEC_ATTRIBUTE
from training.fitting import artefact
from training.fitting.artefact import load_artefact
from training.fitting.price_response import PriceResponseModel, columns_of
from training.simulate import simulate


@pytest.fixture(scope="module")
def loans():
    return simulate("W1", quotes=4_000, seed=8).loans


@pytest.fixture(scope="module")
def matrix(simulated, loans):
    return design_matrix(simulated, columns_of(simulated, loans))


@pytest.fixture(scope="module")
def risk(simulated, loans):
    model = PriceResponseModel(simulated, Capability.RISK, rounds=5, patience=5)
    return model.fit(loans, loans["defaulted"]).artefact_


@pytest.fixture
def saved(risk, tmp_path):
    """The risk model, saved."""
    risk.save(path := tmp_path / "model.ubj")
    return path


def rewritten(path, change):
    """Change the specification inside a model file."""
    booster = xgb.Booster(model_file=path)
    content = json.loads(booster.attr(SPEC_ATTRIBUTE))
    change(content)
    booster.set_attr(**{SPEC_ATTRIBUTE: json.dumps(content)})
    booster.save_model(path)


def test_a_loaded_model_scores_as_the_one_that_was_saved(saved, risk, matrix, simulated):
    loaded = load_artefact(saved, Capability.RISK, simulated)
    np.testing.assert_array_equal(loaded.coefficients(matrix), risk.coefficients(matrix))


def test_an_interrupted_save_leaves_the_old_file(saved, risk, monkeypatch):
    before = saved.read_bytes()

    def half_written(self, content):
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(artefact.Path, "write_bytes", half_written)
    with pytest.raises(KeyboardInterrupt):
        risk.save(saved)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_one_row_and_a_batch_score_the_same_to_the_bit(saved, matrix, simulated):
    loaded = load_artefact(saved, Capability.RISK, simulated)
    together = loaded.coefficients(matrix[:50])
    alone = np.concatenate([loaded.coefficients(matrix[i : i + 1]) for i in range(50)])
    np.testing.assert_array_equal(together, alone)


def test_a_model_of_the_other_kind_is_refused(saved, simulated):
    with pytest.raises(ModelMismatchError, match="is a risk model, not acceptance") as error:
        load_artefact(saved, Capability.ACCEPTANCE, simulated)
    assert "make pipeline PORTFOLIO=simulated" in str(error.value)
    assert str(saved) in str(error.value)


def test_a_model_of_another_declaration_is_refused(saved, simulated):
    declaration = copy.deepcopy(dict(simulated.declaration))
    declaration["fields"]["fico"]["maximum"] = 900
    with pytest.raises(ModelMismatchError, match="another declaration of portfolio simulated"):
        load_artefact(saved, Capability.RISK, Portfolio.from_mapping(declaration))


def test_a_model_with_other_columns_is_refused(saved, simulated):
    rewritten(saved, lambda content: content["features"].reverse())
    with pytest.raises(ModelMismatchError, match="other feature columns"):
        load_artefact(saved, Capability.RISK, simulated)


def test_a_booster_with_outputs_that_no_head_has_is_refused(saved, simulated):
    rewritten(saved, lambda content: content["heads"][1].update(tree=True))
    with pytest.raises(ModelMismatchError, match="1 outputs for 2 tree heads"):
        load_artefact(saved, Capability.RISK, simulated)


def test_a_model_of_another_format_is_refused(saved, simulated):
    rewritten(saved, lambda content: content.update(format="finntelligence.price-response/0"))
    with pytest.raises(ModelMismatchError, match="price-response/0"):
        load_artefact(saved, Capability.RISK, simulated)


def test_a_booster_without_a_specification_is_refused(tmp_path, simulated):
    rows = xgb.DMatrix(np.zeros((2, 3)), label=np.array([0, 1]))
    xgb.train({}, rows, num_boost_round=0).save_model(path := tmp_path / "model.ubj")
    with pytest.raises(ModelMismatchError, match="format"):
        load_artefact(path, Capability.RISK, simulated)


@pytest.mark.parametrize("content", [None, b"", b"not a model", b"{L\x00"])
def test_a_file_that_is_absent_or_no_model_is_refused(tmp_path, simulated, content):
    path = tmp_path / "model.ubj"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelMismatchError, match=r"model\.ubj"):
        load_artefact(path, Capability.RISK, simulated)
