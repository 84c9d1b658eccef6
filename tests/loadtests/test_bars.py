import pytest

from loadtests.bars import BARS, Measured, medians, ratios

KEYS = {
    "separate_over_rival_16": 4,
    "separate_over_rival_64": 4,
    "separate_over_depends_16": 2.5,
    "separate_over_depends_64": 2.5,
    "separate_over_limit_64": 0.4,
    "embedded_over_limit_64": 0.6,
    "embedded_over_rival_64": 6,
    "separate_p50_1_over_rival": 1,
    "separate_p99_open_70_ms": 50,
    "grpc_over_http_16": 1,
}
RATES = {
    "separate": 1000,
    "embedded": 1500,
    "limit": 2000,
    "depends": 400,
}


def measured(contender, rate, tool="wrk", connections=16, **figures):
    known = {"p50_ms": 5.0, "p99_ms": 20.0, "cpu_s_per_1000": 2.0, "rss_mb": 900.0, "round": 0}
    return Measured(
        contender=contender, tool=tool, connections=connections, rate=rate, **(known | figures)
    )


@pytest.fixture
def readings():
    """A round in which one process of the rival is faster alone, and two under load."""
    loads = (1, 16, 64)
    ours = [measured(name, rate, connections=n) for name, rate in RATES.items() for n in loads]
    rivals = [
        measured(name, rate, connections=n, p50_ms=p50)
        for n, one, two in ((1, 190, 180), (16, 200, 250), (64, 200, 250))
        for name, rate, p50 in (("rival_1", one, 4.0), ("rival_2", two, 6.0))
    ]
    doors = [measured("separate", 900, "h2load"), measured("separate", 990, "h2load gRPC")]
    return [*ours, *rivals, *doors, measured("separate", 700, "open loop", 64, p99_ms=30.0)]


def test_the_bars_are_those_agreed():
    assert {bar.key: bar.bound for bar in BARS} == KEYS
    assert {bar.key for bar in BARS if bar.at_most} == {
        "separate_p50_1_over_rival",
        "separate_p99_open_70_ms",
    }


def test_every_ratio_is_taken_against_the_rival_at_its_best(readings):
    assert {key: ratio.value for key, ratio in ratios(readings).items()} == pytest.approx(
        {
            "separate_over_rival_16": 4,
            "separate_over_rival_64": 4,
            "separate_over_depends_16": 2.5,
            "separate_over_depends_64": 2.5,
            "separate_over_limit_64": 0.5,
            "embedded_over_limit_64": 0.75,
            "embedded_over_rival_64": 6,
            "separate_p50_1_over_rival": 1.25,
            "separate_p99_open_70_ms": 30,
            "grpc_over_http_16": 1.1,
        }
    )


def test_what_was_not_measured_has_no_ratio(readings):
    some = [each for each in readings if each.contender not in ("embedded", "rival_1", "rival_2")]
    missing = set(KEYS) - set(ratios(some))
    assert missing == {key for key in KEYS if "rival" in key or "embedded" in key}


def test_a_ratio_is_taken_within_a_round_and_their_median_stands_for_them():
    """The medians of these would say 1.5."""
    ours, rivals = [800, 300, 100], [200, 100, 400]
    readings = [
        measured(name, rate, round=i)
        for name, rates in (("separate", ours), ("rival_2", rivals))
        for i, rate in enumerate(rates)
    ]
    ratio = ratios(readings)["separate_over_rival_16"]
    assert ratio.rounds == (4, 3, 0.25)
    assert ratio.value == 3


def test_the_rival_is_at_its_best_in_each_round():
    readings = [
        measured(name, rate, round=i)
        for name, rates in (
            ("separate", [900, 900]),
            ("rival_1", [300, 100]),
            ("rival_2", [100, 300]),
        )
        for i, rate in enumerate(rates)
    ]
    assert ratios(readings)["separate_over_rival_16"].rounds == (3, 3)


def test_a_median_stands_for_the_rounds():
    rates = [100, 900, 300]
    found = medians([measured("limit", rate, round=i) for i, rate in enumerate(rates)])
    assert found["limit", "wrk", 16]["rate"] == 300


@pytest.mark.parametrize(
    ("key", "kept", "missed"),
    [("separate_over_rival_16", 4, 3.99), ("separate_p99_open_70_ms", 50, 50.01)],
)
def test_a_bar_holds_at_its_bound_and_not_beyond(key, kept, missed):
    bar = next(bar for bar in BARS if bar.key == key)
    assert bar.holds(kept)
    assert not bar.holds(missed)
