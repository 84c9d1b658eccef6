import numpy as np
import pytest

from finntelligence.errors import ModelMismatchError
from finntelligence.portfolio import Capability
from training.fitting.price_response import columns_of
from training.gate.pair import declaration_digest, pair_of, trained_pair
from training.stages import Paths, file_digest

RISK, ACCEPTANCE = Capability.RISK, Capability.ACCEPTANCE


def test_a_pair_is_named_by_both_files_risk_first():
    assert pair_of({ACCEPTANCE: "b" * 64, RISK: "a" * 64}) == "aaaaaaaa-bbbbbbbb"
    assert pair_of({RISK: "a" * 64}) == "aaaaaaaa"


def test_what_was_trained_is_a_pair_of_these_files(trained, simulated):
    paths = Paths("simulated", trained)
    found = trained_pair(paths, simulated)
    assert found.priced
    assert found.digests == {m: file_digest(paths.model(m)) for m in (RISK, ACCEPTANCE)}


def test_models_of_another_declaration_are_no_pair(trained, kz):
    with pytest.raises(ModelMismatchError, match="is absent"):
        trained_pair(Paths("kz2008", trained), kz)


@pytest.mark.parametrize("model", [RISK, ACCEPTANCE])
def test_a_pairs_probabilities_are_those_of_its_coefficients(pair, heldout, simulated, model):
    frame = heldout.tables[model].head(50)
    p = pair.probability(model, frame)
    assert p.shape == (50,)
    assert ((p > 0) & (p < 1)).all()
    both = dict(zip((RISK, ACCEPTANCE), pair.both(columns_of(simulated, frame)), strict=True))
    assert len(np.unique(both[model][:, 0])) > 1


def test_a_model_file_tells_the_declaration_it_was_trained_by(trained, simulated, tmp_path):
    path = Paths("simulated", trained).model(RISK)
    assert declaration_digest(path) == simulated.digest
    for content in (b"", path.read_bytes()[:-9], path.read_bytes()[:-1]):
        (tmp_path / "model.ubj").write_bytes(content)
        with pytest.raises(ModelMismatchError, match="absent or no model"):
            declaration_digest(tmp_path / "model.ubj")
