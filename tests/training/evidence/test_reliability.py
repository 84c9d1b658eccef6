import csv

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from training.evidence.reliability import reliability, share_interval, write_series


@pytest.fixture(scope="module")
def judged():
    """4,000 true probabilities and what came of them."""
    rng = np.random.default_rng(1)
    p = rng.beta(2, 6, size=4_000)
    return pd.DataFrame({"predicted": p, "outcome": (rng.random(4_000) < p).astype(float)})


@pytest.mark.parametrize(("events", "rows"), [(0, 5), (3, 7), (5, 5), (40, 1_000)])
def test_the_interval_of_a_share_is_wilsons(events, rows):
    expected = binomtest(events, rows).proportion_ci(method="wilson")
    assert share_interval(events, rows) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_a_curves_bins_hold_equal_parts_of_every_row(judged):
    rows = reliability(judged, "predicted", bins=10)
    assert [row["rows"] for row in rows] == [400] * 10
    assert [row["value"] for row in rows] == sorted(row["value"] for row in rows)


def test_a_curves_means_are_those_of_the_rows(judged):
    rows = reliability(judged, "predicted", bins=10)
    for name, column in (("predicted", "predicted"), ("observed", "outcome")):
        assert np.mean([row[name] for row in rows]) == pytest.approx(judged[column].mean())


def test_the_truth_is_calibrated_in_nearly_every_bin(judged):
    rows = reliability(judged, "predicted", bins=20)
    inside = [row["low"] <= row["predicted"] <= row["high"] for row in rows]
    assert np.mean(inside) >= 0.85


def test_ties_share_a_bin(judged):
    rounded = judged.assign(predicted=judged["predicted"].round(1))
    rows = reliability(rounded, "predicted", bins=10)
    assert sum(row["rows"] for row in rows) == len(judged)
    assert len({row["value"] for row in rows}) == len(rows)


def test_quotes_all_at_one_price_are_one_bin(judged):
    rows = reliability(judged.assign(offset=0.0), "offset", bins=10)
    assert [row["rows"] for row in rows] == [len(judged)]


def test_a_series_is_read_as_it_was_written(judged, tmp_path):
    rows, path = reliability(judged, "predicted", bins=5), tmp_path / "new" / "series.csv"
    write_series(rows, path)
    with path.open() as file:
        read = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert read == rows
