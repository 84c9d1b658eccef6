import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from finntelligence import cashflow
from finntelligence.fields import Kind, Role
from finntelligence.screening import Thresholds
from training.evidence.offered import Offered
from training.evidence.screens import ScreenParams, screens
from training.simulate import simulate
from training.simulator.truth import lifetime_pd
from training.simulator.worlds import WORLDS, Terms

PARAMS = ScreenParams(draws=60, seed=7)
NAMES = {
    "adverse_impact_ratio",
    "standardised_mean_difference",
    "apr_gap",
    "residual_apr_gap",
    "markup_gap",
}


def applicants(portfolio, rows=600, seed=1):
    """Made-up applicants with a value in every field, and a request."""
    rng = np.random.default_rng(seed)
    columns = {
        f.name: rng.choice(np.array(f.values, dtype=object), rows)
        if f.kind is Kind.CATEGORY
        else np.floor(rng.uniform(f.minimum, min(f.maximum, f.minimum + 100), rows))
        for f in portfolio.fields
        if f.role is not Role.LEAK
    }
    low = portfolio.axes.minimum_principal
    columns["requested_principal"] = rng.uniform(low, 5 * low, rows)
    columns["requested_term_months"] = rng.choice(portfolio.axes.terms, rows)
    return pd.DataFrame(columns)


def given(rows=600, seed=2):
    """Offers to nine of ten, priced by risk alone with a markup of four points."""
    rng = np.random.default_rng(seed)
    risk = rng.normal(-1.5, 0.8, rows)
    cost = 0.12 + 0.04 * risk
    offers = {
        "principal": rng.uniform(1_000, 9_000, rows),
        "term_months": rng.choice([24.0, 36.0], rows),
        "apr": cost + 0.04 + rng.normal(0, 0.0005, rows),
        "break_even_apr": cost,
        "list_risk": risk,
        "p_accept": rng.uniform(0.1, 0.4, rows),
        "npv": rng.uniform(100, 900, rows),
    }
    declined = rng.random(rows) < 0.1
    return Offered(**{name: np.where(declined, np.nan, each) for name, each in offers.items()})


def judged(frame, seed=3, shift=0.0):
    """Held-out rows whose outcomes follow the predictions, but for group b's."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-1, 0.7, len(frame))
    off = shift * (frame["group"] == "b") if "group" in frame else 0
    outcome = rng.random(len(frame)) < 1 / (1 + np.exp(-(logit + off)))
    return frame.assign(predicted=1 / (1 + np.exp(-logit)), outcome=outcome.astype(float))


@pytest.fixture(scope="module")
def frame(simulated):
    return applicants(simulated)


def screened(frame, portfolio, offers=None, tables=None, params=PARAMS):
    offers = given(len(frame)) if offers is None else offers
    return screens(frame, offers, portfolio, tables or {}, params)


# What is screened


def test_every_group_and_protected_field_is_screened_and_no_other(kz):
    found = screened(applicants(kz), kz)
    assert set(found) == {f.name for f in kz.fields if f.role in (Role.GROUP, Role.PROTECTED)}
    assert {"female", "age", "province", "rural"} <= set(found)
    assert all(set(each["screens"]) == NAMES for each in found.values())


def test_age_is_split_where_the_elderly_begin(kz):
    frame = applicants(kz).assign(age=np.tile([20.0, 61, 62, 90], 150))
    found = screened(frame, kz)["age"]
    rows = {group: mean["rows"] for group, mean in found["means"]["approved"].items()}
    assert rows == {"below 62": 300, "62 and over": 300}


def test_other_numbers_are_split_at_their_quartiles(kz):
    frame = applicants(kz).assign(dependants=np.tile([0.0, 1, 2, 4, 5, 6, 8, 9], 75))
    found = screened(frame, kz)["dependants"]
    assert {group: mean["rows"] for group, mean in found["means"]["approved"].items()} == {
        "below 1.75": 150,
        "1.75 to below 4.5": 150,
        "4.5 to below 6.5": 150,
        "6.5 and over": 150,
    }


def test_a_flag_is_split_by_its_values(kz):
    frame = applicants(kz).assign(dependants=np.tile([0.0, 1.0], 300))
    assert set(screened(frame, kz)["dependants"]["means"]["approved"]) == {"0", "1"}


def test_who_is_of_unknown_group_is_counted_and_left_out(simulated, frame):
    group = frame["group"].where(np.arange(600) >= 100, None)
    found = screened(frame.assign(group=group), simulated)["group"]
    assert found["unknown"] == 100
    assert sum(mean["rows"] for mean in found["means"]["approved"].values()) == 500


@pytest.mark.parametrize("value", ["a", None])
def test_without_two_groups_there_is_nothing_to_compare(simulated, frame, value):
    column = pd.Series([value] * 600, dtype="str")
    found = screened(frame.assign(group=column), simulated)["group"]
    assert found == {"unknown": 600 if value is None else 0}


def test_groups_are_compared_with_the_largest(simulated, frame):
    found = screened(frame.assign(group=np.repeat(["a", "b"], [200, 400])), simulated)["group"]
    assert found["reference"] == "b"
    assert set(found["screens"]["apr_gap"]) == {"a"}


# What is found


def test_a_surcharge_on_one_group_is_flagged_as_markup(simulated, frame):
    offers, surcharge = given(), 0.003 * (frame["group"] == "b").to_numpy()
    assert not screened(frame, simulated)["group"]["screens"]["markup_gap"]["b"]["flag"]
    dearer = replace(offers, apr=offers.apr + surcharge)
    found = screened(frame, simulated, dearer)["group"]["screens"]
    reference = {"a", "b"} - set(found["markup_gap"])
    sign = 1 if reference == {"a"} else -1
    for name in ("residual_apr_gap", "markup_gap"):
        (screen,) = found[name].values()
        assert sign * screen["value"] == pytest.approx(30, abs=2)
        assert screen["flag"] is True


def test_means_say_what_each_group_got(simulated, frame):
    offers = given()
    means = screened(frame, simulated, offers)["group"]["means"]
    mine = (frame["group"] == "b").to_numpy()
    approved = mine & offers.approved
    profit = np.nansum((offers.p_accept * offers.npv)[approved]) / mine.sum()
    assert means["expected_profit"]["b"]["value"] == pytest.approx(profit)
    assert means["approved"]["b"]["value"] == pytest.approx(approved.sum() / mine.sum())
    assert means["apr"]["b"]["value"] == pytest.approx(offers.apr[approved].mean())
    assert means["p_accept"]["b"]["rows"] == approved.sum()
    assert means["markup"]["b"]["value"] == pytest.approx(0.04, abs=2e-4)
    assert means["price_dispersion"]["b"]["value"] == pytest.approx(5, abs=1)


def test_a_model_that_is_off_for_one_group_is_found(simulated):
    rows = judged(applicants(simulated, 4_000), shift=0.7)
    found = screened(applicants(simulated), simulated, tables={"risk": rows})
    gap = found["group"]["calibration"]["risk"]
    off = {g: each["intercept_gap"] for g, each in gap.items() if each["intercept_gap"]}
    ((group, gap),) = off.items()
    assert gap["low"] < (0.7 if group == "b" else -0.7) < gap["high"]


def test_rows_without_the_reference_group_calibrate_nothing(simulated, frame):
    rows = judged(frame.assign(group="b"))
    mostly = frame.assign(group=np.repeat(["a", "b"], [400, 200]))
    found = screened(mostly, simulated, tables={"risk": rows})["group"]
    assert found["calibration"] == {"risk": {}}


def test_a_feature_that_is_the_group_is_a_suspected_proxy(simulated, frame):
    clean = screened(frame, simulated)["group"]["proxies"]
    (strongest,) = next(iter(clean.values()))
    assert strongest["suspected"] is False
    given_away = frame.assign(dti=10 + 5.0 * (frame["group"] == "b"))
    (suspects,) = screened(given_away, simulated)["group"]["proxies"].values()
    assert [each["column"] for each in suspects if each["suspected"]] == ["dti"]


def test_a_book_that_teaches_no_offers_is_still_calibrated(simulated, frame):
    found = screens(frame, None, simulated, {"risk": judged(frame)}, PARAMS)["group"]
    assert set(found) == {"unknown", "reference", "calibration", "proxies"}


def test_thresholds_are_the_callers(simulated, frame):
    strict = ScreenParams(draws=20, thresholds=Thresholds(least_rows=10_000))
    found = screened(frame, simulated, params=strict)["group"]["screens"]
    assert {s["flag"] for by_group in found.values() for s in by_group.values()} == {None}
    wary = ScreenParams(draws=20, thresholds=Thresholds(proxy_auc=0.5))
    (suspects,) = screened(frame, simulated, params=wary)["group"]["proxies"].values()
    assert len(suspects) > 10


def test_it_is_ready_for_json_and_a_seed_is_a_result(kz):
    frame = applicants(kz)
    first, again = (screened(frame, kz, tables={"risk": judged(frame)}) for _ in range(2))
    assert json.loads(json.dumps(first, allow_nan=False)) == first == again


# The simulated book


def test_the_simulators_list_policy_screens_as_measured(simulated):
    """List price to all whose true default probability is below 0.45.

    The list goes by the credit score alone, so at equal risk some 30 bp remain.
    """
    quotes = simulate("W1", 12_000, seed=11).quotes
    term = quotes["requested_term_months"].to_numpy(dtype=float)
    lent, funds = quotes["requested_principal"].to_numpy(), quotes["cost_of_funds"].to_numpy()
    rate = simulated.price.list_rate.rate({"fico": quotes["fico"].to_numpy()}, term, funds)
    terms = Terms(principal=lent, term_months=term, nominal_rate=rate)
    pd_lifetime = lifetime_pd(WORLDS["W1"].traits(quotes).hazard(terms, 0.0), term)
    apr = cashflow.apr(0.97 * lent, cashflow.monthly_payment(lent, rate, term), term)
    offers = Offered(
        principal=lent,
        term_months=term,
        apr=np.where(pd_lifetime < 0.45, apr, np.nan),
        break_even_apr=apr,
        list_risk=np.log(pd_lifetime / (1 - pd_lifetime)),
        p_accept=np.full(len(quotes), 0.2),
        npv=np.full(len(quotes), 100.0),
    )
    found = screens(quotes, offers, simulated, {}, PARAMS)["group"]["screens"]
    values = {name: by_group["b"]["value"] for name, by_group in found.items()}
    assert values["adverse_impact_ratio"] == pytest.approx(0.93, abs=0.02)
    assert values["standardised_mean_difference"] == pytest.approx(32, abs=4)
    assert values["apr_gap"] == pytest.approx(160, abs=20)
    assert 15 < values["residual_apr_gap"] < 45
