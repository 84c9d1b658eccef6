import pytest

from finntelligence.policy import Policy
from finntelligence.portfolio import Capability
from training.evidence.screens import ScreenParams
from training.gate.fairness import covers, fairness, needed, screened, unscreened
from training.gate.sign_off import SignOff


def screen(name="apr_gap", flag=True, value=20.0, low=10.0, high=30.0):
    return {"name": name, "flag": flag, "value": value, "low": low, "high": high, "says": "so"}


def flags(ours, theirs):
    return set(needed({"f": ours}, {} if theirs is None else {"f": theirs}))


@pytest.mark.parametrize("theirs", [None, screen(flag=False), screen(flag=None)])
def test_a_flag_that_the_champion_lacks_needs_a_signature(theirs):
    assert flags(screen(), theirs) == {"f"}


@pytest.mark.parametrize("flag", [False, None])
def test_what_is_not_flagged_needs_none(flag):
    assert flags(screen(flag=flag), None) == set()


@pytest.mark.parametrize(("theirs", "needs"), [(15.0, False), (25.0, False), (9.0, True)])
def test_a_flag_that_the_champion_shares_needs_one_if_it_is_worse_beyond_noise(theirs, needs):
    assert bool(flags(screen(), screen(value=theirs))) is needs


@pytest.mark.parametrize(("theirs", "needs"), [(-15.0, False), (-9.0, True), (40.0, True)])
def test_a_gap_the_other_way_is_worse_the_further_it_is_from_zero(theirs, needs):
    ours = screen(value=-20.0, low=-30.0, high=-10.0)
    assert bool(flags(ours, screen(value=theirs))) is needs


@pytest.mark.parametrize(("theirs", "needs"), [(0.7, False), (0.79, True)])
def test_of_approval_ratios_the_lower_is_the_worse(theirs, needs):
    ours = screen("adverse_impact_ratio", value=0.7, low=0.65, high=0.75)
    assert bool(flags(ours, screen("adverse_impact_ratio", value=theirs))) is needs


def test_every_flag_needs_its_own_signature():
    signed = SignOff(by="A. Name", reason="explained")
    both = {"f": screen(), "g": screen()}
    half = fairness(both, {"f": signed}, "the champion")
    assert (half.passed, half.figure) == (False, 1.0)
    whole = fairness(both, dict.fromkeys(both, signed), "the champion")
    assert whole.passed
    assert whole.why.count("Signed off by A. Name: explained") == 2


@pytest.mark.parametrize(
    ("name", "was", "now", "holds"),
    [
        *(("apr_gap", 20.0, 20.0, True), ("apr_gap", 20.0, 12.0, True)),
        *(("apr_gap", 20.0, 21.0, False), ("apr_gap", 20.0, -5.0, False)),
        *(("apr_gap", -20.0, -19.0, True), ("apr_gap", -20.0, -21.0, False)),
        ("adverse_impact_ratio", 0.7, 0.75, True),
        ("adverse_impact_ratio", 0.7, 0.69, False),
        ("apr_gap", None, 1.0, False),
    ],
)
def test_a_signature_covers_what_was_signed_and_nothing_worse(name, was, now, holds):
    signed = SignOff(by="A. Name", reason="explained", value=was)
    assert covers(signed, screen(name, value=now)) is holds


def test_no_flag_is_a_pass_and_no_offer_is_none():
    assert fairness({}, {}, "the champion").outcome == "passed"
    assert unscreened("no offers").outcome == "not testable"


def test_screens_are_of_the_pairs_offers_and_of_the_list_price(pair, heldout, simulated):
    rows = heldout.tables[Capability.ACCEPTANCE].head(300)
    policy = Policy.from_mapping(simulated, {})
    ours, listed = screened(pair, policy, rows, ScreenParams(draws=10))
    assert set(ours) == set(listed)
    assert "group/adverse_impact_ratio/b" in ours
    assert ours != listed
