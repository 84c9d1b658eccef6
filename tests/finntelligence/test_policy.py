import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finntelligence.errors import InvalidDeclarationError
from finntelligence.features import application_columns, design_matrix
from finntelligence.market import Market
from finntelligence.offers import application
from finntelligence.optimiser import optimum
from finntelligence.policy import LIST_PRICE, Degrade, Policy
from finntelligence.portfolio import Portfolio

CAPS = ("apr_cap", "pti_cap", "dti_cap", "pd_cutoff", "minimum_raroc")


# --- reading -----------------------------------------------------------------------------------


def test_without_changes_the_books_own_policy_holds(simulated):
    policy = Policy.from_mapping(simulated)
    assert policy == Policy.from_mapping(simulated, {})
    assert (policy.apr_cap, policy.pti_cap, policy.menu_size) == (0.36, 0.25, 3)
    assert policy.economics.lgd == simulated.economics["lgd"]
    assert (policy.minimum_principal, policy.maximum_principal) == (1000, 40000)


def test_a_change_moves_what_it_names_and_nothing_else(simulated):
    before = Policy.from_mapping(simulated)
    after = Policy.from_mapping(
        simulated, {"trust_region": {"above": 0.03}, "economics": {"cost_of_funds": 0.045}}
    )
    assert (after.trust_below, after.trust_above) == (before.trust_below, 0.03)
    assert after.economics.cost_of_funds == 0.045
    assert after.economics.lgd == before.economics.lgd
    assert after.apr_cap == before.apr_cap


@pytest.mark.parametrize("cap", CAPS)
def test_a_cap_set_to_null_does_not_apply(book, cap):
    assert getattr(Policy.from_mapping(book, {cap: None}), cap) is None


def test_the_policy_file_speaks_to_the_book_it_names(simulated, kz):
    content = {"simulated": {"apr_cap": 0.30}, "kz2008": {}}
    assert Policy.in_force(simulated, content).apr_cap == 0.30
    assert Policy.in_force(kz, content) == Policy.from_mapping(kz)


@pytest.mark.parametrize("content", [None, {}, {"kz2008": {"apr_cap": 0.1}}, {"simulated": None}])
def test_a_policy_file_silent_on_a_book_leaves_its_own_policy(simulated, content):
    assert Policy.in_force(simulated, content) == Policy.from_mapping(simulated)


@pytest.mark.parametrize(
    ("content", "path"),
    [([1], "policy.yaml"), ("a", "policy.yaml"), ({"simulated": [1]}, "policy.yaml.simulated")],
)
def test_a_policy_file_of_the_wrong_form_is_named_by_its_path(simulated, content, path):
    with pytest.raises(InvalidDeclarationError, match=rf"^{path}: must be a mapping"):
        Policy.in_force(simulated, content)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"apr_capp": 0.3}, "apr_capp"),
        ({"trust_region": {"abvoe": 0.3}}, "trust_region.abvoe"),
        ({"trust_region": None}, "trust_region"),
        ({"trust_region": {"above": -0.01}}, "trust_region.above"),
        ({"minimum_rate": -0.01}, "minimum_rate"),
        ({"maximum_rate": 0.05}, "maximum_rate"),
        ({"tick": 0.00005}, "tick"),
        ({"tick": 0.02}, "tick"),
        ({"apr_cap": 0}, "apr_cap"),
        ({"pti_cap": 1.01}, "pti_cap"),
        ({"dti_cap": 2.01}, "dti_cap"),
        ({"pd_cutoff": 1.01}, "pd_cutoff"),
        ({"minimum_raroc": -1.01}, "minimum_raroc"),
        ({"menu_size": 0}, "menu_size"),
        ({"menu_size": 1.5}, "menu_size"),
        ({"terms": [36, 72]}, "terms"),
        ({"terms": []}, "terms"),
        ({"principal_ratios": [0, 1]}, "principal_ratios"),
        ({"principal_ratios": [11]}, "principal_ratios"),
        ({"principal_step": 0}, "principal_step"),
        ({"minimum_principal": 0}, "minimum_principal"),
        ({"economics": {"lgd": "high"}}, "economics.lgd"),
        ({"economics": 3}, "economics"),
    ],
)
def test_a_wrong_change_is_named_by_its_path(simulated, changes, path):
    with pytest.raises(InvalidDeclarationError, match=rf"^policy\.{path}: "):
        Policy.from_mapping(simulated, changes)


def test_a_value_of_the_wrong_type_is_refused_wherever_it_stands(book):
    for key in book.policy:
        with pytest.raises(InvalidDeclarationError, match=rf"^policy\.{key}: "):
            Policy.from_mapping(book, {key: "three"})


def test_a_missing_key_is_refused_unless_a_cap(book, changed):
    for key in book.policy:
        without = Portfolio.from_mapping(changed(book.name, {f"policy.{key}": ...}))
        if key in CAPS:
            assert getattr(Policy.from_mapping(without), key) is None
            continue
        with pytest.raises(InvalidDeclarationError, match=rf"^policy\.{key}: is missing"):
            Policy.from_mapping(without)


def test_economics_have_every_value_and_no_other(book, changed):
    for name in book.economics:
        message = rf"^portfolio\.economics\.{name}: is missing"
        with pytest.raises(InvalidDeclarationError, match=message):
            Portfolio.from_mapping(changed(book.name, {f"economics.{name}": ...}))
    entry = {"value": 1, "basis": "assumed", "source": "nobody"}
    with pytest.raises(InvalidDeclarationError, match=r"^portfolio\.economics\.surplus: "):
        Portfolio.from_mapping(changed(book.name, {"economics.surplus": entry}))


def test_the_digest_is_of_the_content_in_force_whoever_said_it(simulated):
    default = Policy.from_mapping(simulated)
    assert Policy.from_mapping(simulated, {"apr_cap": 0.36}).digest == default.digest
    two = {"apr_cap": 0.3, "pti_cap": 0.2}
    other = dict(reversed(two.items()))
    assert (
        Policy.from_mapping(simulated, two).digest == Policy.from_mapping(simulated, other).digest
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"menu_size": 2},
        {"tick": 0.0002},
        {"terms": [36]},
        {"trust_region": {"above": 0.04}},
        {"apr_cap": None},
        {"minimum_principal": 2000},
        {"economics": {"lgd": 0.8}},
    ],
)
def test_any_change_of_the_policy_changes_its_digest(simulated, changes):
    assert Policy.from_mapping(simulated, changes).digest != Policy.from_mapping(simulated).digest


@pytest.mark.parametrize("name", ["cost_of_funds", "lgd", "prepayment_rate", "hurdle_rate"])
def test_a_book_with_other_economics_has_another_policy_digest(simulated, changed, name):
    other = Portfolio.from_mapping(changed("simulated", {f"economics.{name}.value": 0.123}))
    assert Policy.from_mapping(other).digest != Policy.from_mapping(simulated).digest


# --- ticks and principals ----------------------------------------------------------------------


@given(
    low=st.integers(0, 2000), width=st.integers(0, 3000), step=st.sampled_from([1, 2, 5, 25, 100])
)
def test_ticks_run_from_the_lowest_rate_in_declared_steps_up_to_the_highest(
    simulated, low, width, step
):
    rates = {"minimum_rate": low / 1e4, "maximum_rate": (low + width) / 1e4, "tick": step / 1e4}
    ticks = Policy.from_mapping(simulated, rates).ticks()
    known = [round((low + k) / 1e4, 4) for k in range(0, width + 1, step)]
    np.testing.assert_array_equal(ticks, known)


def test_both_books_quote_every_basis_point_between_their_bounds(book):
    policy = Policy.from_mapping(book)
    ticks = policy.ticks()
    assert (ticks[0], ticks[-1]) == (policy.minimum_rate, policy.maximum_rate)
    np.testing.assert_array_equal(ticks, np.round(ticks, 4))
    np.testing.assert_allclose(np.diff(ticks), policy.tick, rtol=1e-9)


RATIOS = st.lists(st.floats(0.01, 10), min_size=1, max_size=5)


@given(requested=st.floats(100, 40_000), ratios=RATIOS, step=st.sampled_from([0.01, 1, 25, 100]))
def test_amounts_lie_inside_the_bounds_on_steps_and_rise(
    simulated, amounts, requested, ratios, step
):
    policy = Policy.from_mapping(simulated, {"principal_ratios": ratios, "principal_step": step})
    offered = amounts(policy, requested)
    assert 1 <= len(offered) <= len(ratios)
    assert offered == sorted(set(offered))
    for amount in offered:
        at_bound = amount in (policy.minimum_principal, policy.maximum_principal)
        assert policy.minimum_principal <= amount <= policy.maximum_principal
        assert at_bound or math.isclose(amount / step, round(amount / step), rel_tol=1e-9)
        assert amount == round(amount, 2)


@given(requested=st.integers(1000, 40_000))
def test_amounts_are_whole_steps_and_never_above_their_share_of_the_request(
    simulated, amounts, requested
):
    policy = Policy.from_mapping(simulated)
    for ratio in policy.principal_ratios:
        wanted = max(requested * ratio, policy.minimum_principal)
        below = [wanted - amount for amount in amounts(policy, requested) if amount <= wanted]
        assert min(below) < policy.principal_step
    assert max(amounts(policy, requested)) <= requested


@given(cents=st.integers(10_000, 1_000_000))
def test_a_book_that_offers_what_is_asked_offers_it_to_the_cent(kz, amounts, cents):
    assert amounts(Policy.from_mapping(kz), cents / 100) == [cents / 100]


def test_the_amounts_of_many_requests_are_those_of_each(simulated, amounts):
    policy = Policy.from_mapping(simulated)
    requested = np.array([1000.0, 1300.0, 12_050.0, 39_999.0])
    together = policy.principals(requested)
    for row, asked in zip(together, requested, strict=True):
        assert [float(x) for x in row if not np.isnan(x)] == amounts(policy, asked)


# --- values that cannot be ----------------------------------------------------------------------


def test_an_unknown_value_in_the_policys_economics_is_named_where_it_stands(simulated):
    with pytest.raises(InvalidDeclarationError, match=r"^policy\.economics\.lgdd: "):
        Policy.from_mapping(simulated, {"economics": {"lgdd": 0.5}})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lgd", 1.5),
        ("lgd", -0.1),
        ("origination_fee", 1),
        ("prepayment_rate", 1),
        ("prepayment_rate", -0.1),
        ("capital_ratio", -0.1),
        ("cost_of_funds", -13),
        ("recovery_lag_months", -1),
    ],
)
def test_impossible_economics_are_refused_by_path(simulated, name, value):
    with pytest.raises(InvalidDeclarationError, match=rf"economics\.{name}"):
        Policy.from_mapping(simulated, {"economics": {name: value}})


@pytest.mark.parametrize("terms", [[36.7], [36, 36]])
def test_terms_are_distinct_whole_months(simulated, terms):
    with pytest.raises(InvalidDeclarationError, match=r"^policy\.terms"):
        Policy.from_mapping(simulated, {"terms": terms})


@pytest.mark.parametrize(
    "bounds",
    [
        {"minimum_principal": 30_000, "maximum_principal": 2_000},
        {"maximum_principal": 2_000_000},
        {"minimum_principal": 1},
    ],
)
def test_the_policys_amounts_lie_inside_the_books(simulated, bounds):
    with pytest.raises(InvalidDeclarationError, match=r"^policy\.m\w+_principal"):
        Policy.from_mapping(simulated, bounds)


# --- jurisdictions -----------------------------------------------------------------------------

STATE = {
    "type": "category",
    "values": ["CA", "NY", "TX"],
    "role": "jurisdiction",
    "meaning": "State of residence",
}


def test_the_law_of_the_applicants_place_caps_the_apr(changed):
    book = Portfolio.from_mapping(changed("simulated", {"fields.state": STATE}))
    caps = {"jurisdictions": {"field": "state", "apr_caps": {"NY": 0.16, "TX": 0.5}}}
    policy = Policy.from_mapping(book, caps)
    columns = {"state": np.array(["CA", "NY", "TX"])}
    assert policy.apr_caps(columns).tolist() == [0.36, 0.16, 0.5]
    assert Policy.from_mapping(book).apr_caps(columns) is None


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ({"field": "home", "apr_caps": {}}, "field"),
        ({"field": "nowhere", "apr_caps": {}}, "field"),
        ({"field": "state", "apr_caps": {"ZZ": 0.1}}, r"apr_caps\.ZZ"),
        ({"field": "state", "apr_caps": {"NY": -1}}, r"apr_caps\.NY"),
        ({"field": "state"}, "apr_caps"),
    ],
)
def test_an_impossible_rule_of_law_is_refused_by_path(changed, rule, path):
    book = Portfolio.from_mapping(changed("simulated", {"fields.state": STATE}))
    with pytest.raises(InvalidDeclarationError, match=rf"^policy\.jurisdictions\.{path}: "):
        Policy.from_mapping(book, {"jurisdictions": rule})


def test_a_lower_cap_of_the_applicants_place_lowers_its_offers_apr(changed, models):
    changes = {"fields.state": STATE, "example.features.state": "CA"}
    book = Portfolio.from_mapping(changed("simulated", changes))
    caps = {"jurisdictions": {"field": "state", "apr_caps": {"NY": 0.14}}}
    risk, acceptance = models(book)
    market = Market(
        portfolio=book, policy=Policy.from_mapping(book, caps), risk=risk, acceptance=acceptance
    )
    found = {}
    for state in ("CA", "NY"):
        request = {**book.example, "features": {**book.example["features"], "state": state}}
        asked = application(book, **request)
        row = design_matrix(book, application_columns(asked))
        coefficients = [model.coefficients(row)[0] for model in (risk, acceptance)]
        found[state] = optimum(asked, market, *coefficients).offers
    assert found["CA"]
    assert max(offer.apr for offer in found["CA"]) > 0.14
    assert all(offer.apr <= 0.14 + 1e-9 for offer in found["NY"])


def test_offers_degrade_only_where_the_policy_says_so_and_the_digest_tells(simulated):
    plain = Policy.from_mapping(simulated)
    degrading = Policy.from_mapping(simulated, {"degrade": {"acceptance": "list_price"}})
    assert (plain.degrade, degrading.degrade) == (None, Degrade(acceptance=LIST_PRICE))
    assert plain.digest != degrading.digest


@pytest.mark.parametrize(
    ("degrade", "path"),
    [
        ({"acceptance": "guess"}, "policy.degrade.acceptance"),
        ({"risk": "list_price", "acceptance": "list_price"}, "policy.degrade.risk"),
        ({}, "policy.degrade.acceptance"),
    ],
)
def test_a_way_to_degrade_that_is_none_is_named(simulated, degrade, path):
    with pytest.raises(InvalidDeclarationError, match=path):
        Policy.from_mapping(simulated, {"degrade": degrade})
