from dataclasses import replace

from serving.wire_models import from_core

PLOT = {
    **{key: [1.0] for key in ("value", "predicted", "observed", "low", "high", "rows")},
    **{"model": "risk", "kind": "calibration", "title": "by_predicted"},
}
LINEAGE = {"version": "finnt-made-risk:v1-0", "sha256": "0" * 64, "data_sha256": {"loans": "1"}}
VERDICT = {"criterion": "c", "outcome": "passed", "passed": True, "bound": "0", "why": "w"}


def test_what_shipped_is_told_and_what_did_not_is_empty(client, engine):
    bare = client.get("/v1/models").json()
    assert (bare["pair"], bare["models"], bare["gate"], bare["plots"]) == (
        engine.versions["pair"],
        {},
        None,
        [],
    )
    signed = {"parity": {"by": "A. Person", "reason": "known"}}
    known = {
        "models": {"risk": LINEAGE},
        "gate": {"verdicts": [VERDICT], "signed_off": signed},
        "plots": [PLOT],
    }
    told = from_core(replace(engine, provenance=known))
    assert told.models["risk"].data_sha256 == {"loans": "1"}
    assert told.gate.verdicts[0].passed
    assert told.gate.signed_off["parity"].by == "A. Person"
    assert told.plots[0].kind == "calibration"
