import json
from types import SimpleNamespace

import bentoml
import pytest

from finntelligence.portfolio import Capability
from runners.provenance import provenance

HEAD = "value,predicted,observed,low,high,rows\n"
ENTRY = {"tag": "made:v1", "registered": "made/1", "run_id": "r", "sha256": "0" * 64}


class Stored:
    """A reference into a store that holds `found`, or nothing."""

    def __init__(self, found):
        self.found = found

    def resolve(self):
        if self.found is None:
            raise bentoml.exceptions.NotFound("nothing")
        return self.found


@pytest.fixture
def pair(tmp_path):
    """A function: a pair beside its gate.json, with metadata and evidence, or without."""
    folder = tmp_path / "evaluation"
    folder.mkdir()
    (folder / "risk_by_predicted.csv").write_text(HEAD + "0.1,0.1,0.12,0.1,0.14,50\n")
    (folder / "acceptance_price_fico_below_660.csv").write_text(HEAD + "-4,0.3,0.3,0.2,0.4,9\n")
    (folder / "risk_by_offset.csv").write_text(HEAD)
    metadata = {"git_commit": "abc", "data_sha256.loans": "1", "data_sha256.quotes": "2"}

    def made(metadata=metadata, evidence=tmp_path, gate=None):
        if gate is not None:
            (tmp_path / "gate.json").write_text(gate)
        known = metadata and SimpleNamespace(info=SimpleNamespace(metadata=metadata))
        return SimpleNamespace(
            path=tmp_path / "served.json",
            pair="a-b",
            tags=dict.fromkeys(Capability, "made:v1"),
            content={"models": dict.fromkeys(Capability, ENTRY)},
            reference=lambda _: Stored(known),
            evidence=Stored(evidence and SimpleNamespace(path=evidence)),
        )

    return made


def test_lineage_leads_back_to_run_commit_and_data(pair):
    found = provenance(pair())["models"]
    assert set(found) == {"risk", "acceptance"}
    assert found["risk"]["git_commit"] == "abc"
    assert found["risk"]["data_sha256"] == {"loans": "1", "quotes": "2"}


def test_the_plots_are_calibration_and_price_response(pair):
    found = {(each["model"], each["kind"], each["title"]) for each in provenance(pair())["plots"]}
    assert found == {
        ("risk", "calibration", "by_predicted"),
        ("acceptance", "price", "price_fico_below_660"),
    }


def test_a_store_that_lacks_them_leaves_them_empty(pair):
    found = provenance(pair(metadata=None, evidence=None))
    assert found["models"]["risk"]["data_sha256"] == {}
    assert found["plots"] == []


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        (None, None),
        ("{", None),
        (json.dumps({"pair": "c-d", "verdicts": []}), None),
        (
            json.dumps({"pair": "a-b", "verdicts": [1], "signed_off": {}, "champion": "x"}),
            {"verdicts": [1], "signed_off": {}},
        ),
    ],
)
def test_the_gate_is_told_of_this_pair_alone(pair, gate, told):
    assert provenance(pair(gate=gate))["gate"] == told
