import re

import numpy as np
import pytest

from training.simulator.worlds_report import page, report

REGIONS = ("trust", "free", "asked")
PLACED = {"declined": 0.1, "at_cap": 0.0, "at_edge": 0.2, "move": 1.5}
APPLICANTS = 200


def part_of(world, seed, shares):
    """Return a part in which each form earns a share of what is attainable."""
    rng = np.random.default_rng(seed)
    best = rng.gamma(1.0, 200.0, APPLICANTS)
    forms = {}
    for name, share in shares.items():
        noise = rng.normal(1, 0.1, APPLICANTS) if share < 1 else np.ones(APPLICANTS)
        earned = share * best * noise * best.sum() / (best * noise).sum()
        forms[name] = {region: {"earned": earned.tolist(), **PLACED} for region in REGIONS}
        forms[name]["regret"] = {"both": 3.0, "risk": 2.0, "acceptance": 1.0}
        forms[name]["seconds"] = 1.0
    settings = {"world": world, "seed": seed, "quotes": 4_000, "applicants": APPLICANTS}
    return {"contest": settings, "forms": forms, "digest": "d", "seconds": 4.0}


def parts_of(world, shares_by_seed):
    rest = {"attainable": 1.0, "incumbent": 0.8, "logit": 0.9, "classifiers": 0.7}
    return [
        part_of(world, seed, rest | {"engine": share})
        for seed, share in enumerate(shares_by_seed, start=1)
    ]


@pytest.fixture(scope="module")
def found():
    return report(parts_of("W1", [0.96, 0.98, 0.97]) + parts_of("W4", [0.95]))


def test_shares_are_of_what_is_attainable_seed_by_seed(found):
    engine = found["W1"]["engine"]["trust"]
    assert engine["seeds"] == pytest.approx([96, 98, 97])
    assert engine["mean"] == pytest.approx(97)
    assert found["W1"]["attainable"]["free"]["mean"] == pytest.approx(100)
    assert found["W4"]["engine"]["free"]["seeds"] == pytest.approx([95])
    assert found["W1"]["engine"]["trust"]["at_edge"] == pytest.approx(0.2)


def test_seeds_stand_in_their_order_whatever_order_they_finish_in():
    parts = parts_of("W2", [0.90, 0.95])
    assert report(parts[::-1])["W2"] == report(parts)["W2"]
    assert report(parts[::-1])["W2"]["seeds"] == [1, 2]


def test_the_uplift_is_over_the_incumbent_and_inside_its_interval(found):
    gain = found["W4"]["engine"]["uplift"]["trust"]
    assert gain["mean"] == pytest.approx(100 * (0.95 / 0.8 - 1))
    assert gain["low"] < gain["mean"] < gain["high"]
    assert gain["high"] - gain["low"] < 20


def test_a_form_that_earns_what_the_incumbent_earns_lifts_nothing():
    parts = parts_of("W1", [0.9, 0.9])
    for part in parts:
        part["forms"]["engine"] = part["forms"]["incumbent"]
    gain = report(parts)["W1"]["engine"]["uplift"]["trust"]
    assert gain == {"mean": 0, "low": 0, "high": 0}


def test_seeds_that_differ_widen_the_interval():
    alike, apart = (
        report(parts_of("W1", shares))["W1"]["engine"]["uplift"]["trust"]
        for shares in ([0.95] * 4, [0.80, 0.90, 1.00, 1.10])
    )
    assert apart["high"] - apart["low"] > 3 * (alike["high"] - alike["low"])


def test_a_report_is_the_same_twice(found):
    assert report(parts_of("W1", [0.96, 0.98, 0.97]) + parts_of("W4", [0.95])) == found


def test_the_page_is_labelled_and_stands_alone(found):
    text = page(found)
    assert "<b>Simulated.</b>" in text
    assert found["simulated"] is True
    assert re.findall(r'(?:src|href)="(?!data:)', text) == []
    assert "<script" not in text
    assert "4,000 quotes" in text


def test_the_page_shows_every_world_there_is_and_no_other(found):
    text = page(found)
    for world, there in (("W1", True), ("W2", False), ("W3", False), ("W4", True)):
        assert (f"<th>{world} " in text) == there
    assert "97.0 <small>(96.0 to 98.0)</small>" in text
    assert "<td>95.0<" in text
    assert "3.0 / 2.0 / 1.0" in text
    assert "0 / 20 / 10; +1.5" in text
