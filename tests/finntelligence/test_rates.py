import json
from math import log
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finntelligence.declaration import Section
from finntelligence.errors import InvalidDeclarationError
from finntelligence.portfolio import Portfolio
from finntelligence.rates import RateRule

WORLD = json.loads(
    (Path(__file__).parents[1] / "vectors" / "world_vectors.json").read_text(encoding="utf-8")
)["applicants"]
FICO = st.integers(300, 850)
TERMS = st.sampled_from([24, 36, 48, 60])
FUNDS = st.floats(0.015, 0.08)


def simulated_benchmark(fico, term, funds):
    """The market's rate as section 8 of the pricing notes has it."""
    zf = (fico - 700) / 50
    level = 0.145 - 0.035 * zf + 0.006 * zf**2 + (funds - 0.04)
    return min(max(level, 0.06), 0.32) + 0.010 * log(term / 36) / log(60 / 36)


def simulated_list_rate(fico, term, funds):
    """The lender's rate as section 8 of the pricing notes has it."""
    cuts = [620, 640, 660, 680, 700, 720, 740, 760, 800]
    rates = [0.285, 0.255, 0.228, 0.200, 0.172, 0.150, 0.130, 0.113, 0.098, 0.086]
    band = sum(fico >= cut for cut in cuts)
    return rates[band] + (funds - 0.04) + 0.012 * log(term / 36) / log(60 / 36)


@given(fico=FICO, term=TERMS, funds=FUNDS)
def test_the_simulated_benchmark_is_its_formula(simulated, fico, term, funds):
    found = simulated.price.benchmark.rate({"fico": np.array([float(fico)])}, term, funds)
    np.testing.assert_allclose(found, simulated_benchmark(fico, term, funds), rtol=1e-12)


@given(fico=FICO, term=TERMS, funds=FUNDS)
def test_the_simulated_list_price_is_its_formula(simulated, fico, term, funds):
    found = simulated.price.list_rate.rate({"fico": np.array([float(fico)])}, term, funds)
    np.testing.assert_allclose(found, simulated_list_rate(fico, term, funds), rtol=1e-12)


def test_the_simulated_benchmark_agrees_with_an_independent_implementation(simulated):
    rows = [dict(zip(WORLD["columns"], row, strict=True)) for row in WORLD["data"]]
    fico, funds, known = (
        np.array([row[name] for row in rows]) for name in ("fico", "cost_of_funds", "benchmark")
    )
    found = simulated.price.benchmark.rate({"fico": fico}, 36, funds)
    np.testing.assert_allclose(found, known, rtol=1e-8)


@pytest.mark.parametrize(("risk", "rate"), [("LOW", 0.0775), ("MEDIUM", 0.0975), ("HIGH", 0.1175)])
@given(term=st.integers(1, 60), funds=FUNDS)
def test_the_list_price_and_benchmark_of_kz_are_the_standard_rate_of_the_class(
    kz, risk, rate, term, funds
):
    columns = {"risk_class": np.array([risk])}
    assert kz.price.list_rate.rate(columns, term, funds) == rate
    assert kz.price.benchmark.rate(columns, term, funds) == rate


def test_many_applicants_and_one_get_the_same_bits(book, rows):
    columns = rows(book, 300)
    term = columns["requested_term_months"]
    for rule in (book.price.list_rate, book.price.benchmark):
        together = rule.rate(columns, term, 0.05)
        for i in range(0, 300, 17):
            alone = rule.rate({k: v[i : i + 1] for k, v in columns.items()}, term[i], 0.05)
            assert alone[0] == together[i]


def test_one_applicant_broadcasts_over_terms_and_funding(simulated):
    terms, funds = np.array([[24.0], [60.0]]), np.array([0.03, 0.04, 0.05])
    table = simulated.price.benchmark.rate({"fico": np.array([700.0])}, terms, funds)
    assert table.shape == (2, 3)
    assert table[1, 2] == simulated.price.benchmark.rate({"fico": np.array([700.0])}, 60, 0.05)


@given(fico=st.integers(300, 849), term=TERMS, funds=FUNDS)
def test_a_better_score_never_has_a_higher_list_price(simulated, fico, term, funds):
    better, worse = (
        simulated.price.list_rate.rate({"fico": np.array([float(f)])}, term, funds)
        for f in (fico + 1, fico)
    )
    assert better <= worse


def read(fields, **rule):
    return RateRule.read(Section(rule, "rule"), fields)


def by_name(book):
    return {field.name: field for field in book.fields}


def test_only_segment_and_funding_are_clipped_never_the_part_for_the_term(simulated):
    rule = read(
        by_name(simulated),
        polynomial={"field": "fico", "centre": 700, "scale": 50, "coefficients": [0.1, -0.1]},
        cost_of_funds={"coefficient": 1, "reference": 0.04},
        clip=[0.08, 0.12],
        log_term={"coefficient": 0.01, "from": 36, "to": 60},
    )
    lowest = rule.rate({"fico": np.array([850.0])}, [36, 60], 0.01)
    np.testing.assert_allclose(lowest, [0.08, 0.09], rtol=1e-12)
    highest = rule.rate({"fico": np.array([500.0])}, [36, 60], 0.09)
    np.testing.assert_allclose(highest, [0.12, 0.13], rtol=1e-12)


def test_a_rule_without_funding_and_term_moves_with_neither(simulated):
    rule = read(by_name(simulated), table={"field": "fico", "cuts": [700], "rates": [0.2, 0.1]})
    found = rule.rate({"fico": np.array([699.0, 700.0])}, [[1], [60]], [0.0, 0.5])
    np.testing.assert_array_equal(found, [[0.2, 0.1], [0.2, 0.1]])


TABLE = {"field": "fico", "cuts": [650, 700], "rates": [0.3, 0.2, 0.1]}
HOMES = {"field": "home", "rates": {"rent": 0.3, "own": 0.2, "mortgage": 0.1}}
POLYNOMIAL = {"field": "fico", "centre": 700, "scale": 50, "coefficients": [0.1]}


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ({}, "polynomial"),
        ({"table": TABLE, "polynomial": POLYNOMIAL}, "polynomial"),
        ({"table": TABLE, "surplus": 1}, "surplus"),
        ({"table": {**TABLE, "rates": [0.3, 0.2]}}, "table.rates"),
        ({"table": {**TABLE, "cuts": [700, 650]}}, "table.rates"),
        ({"table": {**TABLE, "cuts": ["a", 700]}}, "table.cuts.0"),
        ({"table": {**TABLE, "field": "fica"}}, "table.field"),
        ({"table": {**TABLE, "field": "group"}}, "table.field"),
        ({"table": {**TABLE, "surplus": 1}}, "table.surplus"),
        ({"table": {**HOMES, "rates": {"rent": 0.3, "own": 0.2}}}, "table.rates.mortgage"),
        ({"table": {**HOMES, "rates": {**HOMES["rates"], "tent": 1}}}, "table.rates.tent"),
        ({"polynomial": {**POLYNOMIAL, "field": "home"}}, "polynomial.field"),
        ({"polynomial": {**POLYNOMIAL, "scale": 0}}, "polynomial.scale"),
        ({"polynomial": {**POLYNOMIAL, "coefficients": []}}, "polynomial.coefficients"),
        ({"table": TABLE, "clip": [0.1, "b"]}, "clip.1"),
        ({"table": TABLE, "cost_of_funds": {"coefficient": 1}}, "cost_of_funds.reference"),
        ({"table": TABLE, "log_term": {"coefficient": 1, "from": 0, "to": 9}}, "log_term.from"),
        ({"table": TABLE, "log_term": {"coefficient": 1, "from": 9, "to": 9}}, "log_term.to"),
    ],
)
def test_a_wrong_key_of_a_rule_is_named_by_its_path(simulated, rule, path):
    with pytest.raises(InvalidDeclarationError, match=rf"^rule\.{path}: "):
        read(by_name(simulated), **rule)


@pytest.mark.parametrize("clip", [[0.06], [0.06, 0.1, 0.2], [0.32, 0.06]])
def test_a_clip_is_a_low_and_a_high_bound(simulated, clip):
    with pytest.raises(InvalidDeclarationError, match=r"^rule\.clip: "):
        read(by_name(simulated), table=TABLE, clip=clip)


def test_cuts_rise(simulated):
    with pytest.raises(InvalidDeclarationError, match=r"^rule\.table\.rates: .*rising"):
        read(by_name(simulated), table={**TABLE, "cuts": [700, 700]})


def test_no_price_is_set_by_a_protected_field(changed):
    rule = {"table": {"field": "group", "rates": {"a": 0.1, "b": 0.2}}}
    declaration = changed("simulated", {"price.list_rate": rule, "fields.group.required": True})
    with pytest.raises(InvalidDeclarationError, match=r"list_rate\.table\.field: "):
        Portfolio.from_mapping(declaration)
