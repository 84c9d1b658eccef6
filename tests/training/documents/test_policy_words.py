from dataclasses import replace

import pytest

from finntelligence.policy import Jurisdictions, Policy
from training.documents.policy_words import in_words


def words(portfolio, **changes):
    return " ".join(in_words(Policy.from_mapping(portfolio, changes), portfolio))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"apr_cap": 0.24}, "APR at most 24 %."),
        ({"apr_cap": None}, "No cap on the APR."),
        ({"pti_cap": 0.3}, "The instalment takes at most 30 % of monthly income."),
        ({"dti_cap": None}, "No rule on debt payments."),
        ({"pd_cutoff": 0.2}, "No offer at a lifetime probability of default above 20 %."),
        ({"minimum_raroc": 0.15}, "The risk-adjusted return on capital is at least 15 %."),
        ({}, "No price is drawn at random."),
        (
            {"experiment": {"share": 0.1, "width": 0.02, "salt": "a"}},
            "Of 10 % of applicants the first offer's price is drawn at random, within 2 points of",
        ),
        ({"menu_size": 2}, "Up to 2 offers are shown, the most profitable ones."),
        ({"demand_choice": False}, "compete (dissimilarity 0.5, an assumption)."),
        ({"trust_region": {"above": 0.03}}, "5 points below and 3 points above the list price."),
        ({"principal_ratios": [0.5, 1.0]}, "Amounts: 50 %, 100 % of what is asked for"),
    ],
)
def test_every_rule_of_a_policy_is_said_as_it_is(simulated, changes, said):
    assert said in words(simulated, **changes)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("tick", 0.0001, 0.0002),
        ("pti_cap", 0.355, 0.36),
        ("dti_cap", 0.355, 0.36),
        ("pd_cutoff", 0.355, 0.36),
        ("minimum_raroc", 0.145, 0.15),
        ("apr_cap", 0.24, 0.24001),
        ("maximum_rate", 0.36, 0.35999),
        ("maximum_principal", 40_000, 39_999.6),
        ("principal_ratios", [0.755, 1.0], [0.76, 1.0]),
    ],
)
def test_two_policies_that_differ_never_read_alike(simulated, name, one, other):
    first, second = (
        in_words(Policy.from_mapping(simulated, {name: value}), simulated)[:-1]  # but the digest
        for value in (one, other)
    )
    assert first != second


def test_caps_by_jurisdiction_are_said_for_each(simulated):
    caps = Jurisdictions(field="state", apr_caps={"TX": 0.18, "NY": 0.16})
    policy = replace(Policy.from_mapping(simulated, {}), jurisdictions=caps)
    assert "by state: NY 16 %, TX 18 %." in " ".join(in_words(policy, simulated))


@pytest.mark.parametrize(
    ("does", "said"), [("decline", "nothing is offered"), ("skip", "left out")]
)
def test_what_happens_where_income_is_unknown_is_said(simulated, does, said):
    policy = replace(Policy.from_mapping(simulated, {}), if_missing={"pti": does})
    (sentence,) = (each for each in in_words(policy, simulated) if "cannot be known" in each)
    assert said in sentence
