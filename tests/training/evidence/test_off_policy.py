from training.evidence.off_policy import off_policy, policy_rows

VALUE = {"value": 12.345, "low": 10.0, "high": 15.0}
POLICY = {kind: VALUE for kind in ("dm", "ips", "snips", "dr")} | {
    **{"refused_because": None, "ess": 321.4, "raw_weight": 0.99, "uncovered_share": 0.01},
    **{"declined_share": 0.2, "mean_rate": 0.1234},
}
REFUSED = {"refused_because": "too few", "ess": 12.0, "uncovered_share": 0.0, "mean_rate": None}
STRATUM = {"stratum": "LOW, period 2", "rows": 690, "lowest": -0.045, "highest": 0.0}
STRATUM |= {"bandwidth": 0.0045, "density_sum": 1.127, "density": [[-0.045, 20.0], [0.0, 30.0]]}
FOUND = {
    **{"refused_because": None, "randomised_rows": 4911, "left_out": "7 were left out", "atoms": 3},
    "policies": {
        "list price": POLICY,
        "cheap": REFUSED | {"raw_weight": None, "declined_share": 0},
    },
    "differences": {},
    "assumptions": ["Prices were drawn."],
    "params": {"replicates": 1000},
    "support": [STRATUM, {"stratum": "HIGH", "rows": 1, "absent": "tested fewer than two prices"}],
}


def test_values_stand_with_their_intervals_and_refusals_with_their_reason():
    header, rows = policy_rows(FOUND, "ZAR")
    assert header == ["policy", "list price", "cheap"]
    told = {row[0]: row[1:] for row in rows}
    assert told["doubly robust (DR), ZAR a request"] == ["12.35 [10.00, 15.00]", ""]
    assert told["effective sample size"] == ["321", "12"]
    assert told["refused, because"] == ["", "too few"]
    assert told["mean rate offered"] == ["0.1234", ""]
    assert {len(row) for row in rows} == {3}


def test_no_reason_is_given_where_nothing_is_refused():
    alone = FOUND | {"policies": {"list price": POLICY}}
    assert "refused, because" not in {row[0] for row in policy_rows(alone, "ZAR")[1]}


def test_the_section_says_what_is_assumed_and_what_was_left_out(tmp_path):
    section = off_policy(FOUND, tmp_path, "ZAR")
    text = " ".join(section.texts)
    for said in ("4,911", "7 were left out", "Assumed: Prices were drawn.", "1,000 bootstrap"):
        assert said in text
    strata = section.tables[1].rows
    assert strata[0] == ["LOW, period 2", "690", "-4.50 to +0.00", "0.45", "1.127"]
    assert strata[1][2] == "tested fewer than two prices"
    assert section.pictures == []


def test_many_strata_are_not_all_listed(tmp_path):
    many = FOUND | {"support": [STRATUM] * 30}
    rows = off_policy(many, tmp_path, "ZAR").tables[1].rows
    assert rows[-1][0] == "and 18 more"


def test_nothing_is_claimed_where_nobody_can_tell(tmp_path):
    section = off_policy(FOUND | {"refused_because": "no price was random"}, tmp_path, "ZAR")
    assert section.texts == ["Nothing is claimed: no price was random."]
    assert section.tables == ()
