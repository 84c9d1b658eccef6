import contextlib
import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finntelligence.adverse_action import Reason
from finntelligence.counter_offer import CounterOffer
from finntelligence.decision import Decision
from finntelligence.errors import InvalidApplicationError
from finntelligence.explain import Effect
from finntelligence.offers import Offer
from finntelligence.why_this import Explanation, Neighbour
from serving.problems import problem_of
from serving.validation import json_object, validated
from serving.wire import (
    BadRequestError,
    OfferRequest,
    OfferResponse,
    from_core,
    to_core,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
OFFER = Offer(
    principal=12_000.0,
    term_months=36,
    quoted_rate=0.1485,
    nominal_rate=0.1485,
    apr=0.170181699505476,
    monthly_payment=415.1,
    total_cost=3303.75,
    p_accept=0.1 + 0.2,
    pd_lifetime=1 / 3,
    expected_profit=165.07049892653407,
    binding=None,
)


def parsed(body):
    """Return the request that bytes are."""
    return validated(OfferRequest, json_object(body))


def refused(body, portfolio):
    """Return the problem of each field of a refused body."""
    with pytest.raises(InvalidApplicationError) as caught:
        to_core(parsed(body), portfolio)
    return {p.field: p.problem for p in caught.value.problems}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'features': 1}",
        b"[]",
        b"null",
        b'"text"',
        b"12",
        b"\xff\xfe",
        b"{}{}",
        b"[" * 100_000,
        b'{"features": ' + b"[" * 60_000,
        rb'{"features": {"\ud800": 1}}',
    ],
)
def test_a_body_that_is_not_a_json_object_is_a_bad_request(body):
    with pytest.raises(BadRequestError, match="the body must be"):
        parsed(body)


def test_the_example_is_an_application_with_every_value_it_holds(portfolio, example):
    application = to_core(parsed(json.dumps(example).encode()), portfolio)
    assert application.requested_principal == example["requested_principal"]
    assert application.requested_term_months == example["requested_term_months"]
    assert dict(application.features) == example["features"]


def test_every_missing_and_unknown_top_level_field_is_named_at_once(portfolio):
    problems = refused(b'{"requested_principal": 1000, "tenor": 3, "x": 1}', portfolio)
    assert set(problems) == {"requested_term_months", "features", "tenor", "x"}
    assert problems["features"] == "is required"
    assert "requested_term_months" in problems["tenor"]


@pytest.mark.parametrize("features", [[], "text", 1, None, True])
def test_features_must_be_an_object(portfolio, example, features):
    problems = refused(json.dumps(example | {"features": features}).encode(), portfolio)
    assert list(problems) == ["features"]
    assert "object" in problems["features"]


def test_every_wrong_feature_is_named_at_once_with_what_would_be_right(portfolio, example):
    example["features"] |= {"fico": 200, "home": "castle", "inquiries": 1.5, "shoe_size": 44}
    del example["features"]["dti"]
    problems = refused(json.dumps(example).encode(), portfolio)
    assert set(problems) == {
        f"features.{name}" for name in ("fico", "home", "inquiries", "shoe_size", "dti")
    }
    assert "300 to 850" in problems["features.fico"]
    assert "rent, own, mortgage" in problems["features.home"]
    assert "whole number" in problems["features.inquiries"]
    assert "known:" in problems["features.shoe_size"]
    assert "is required" in problems["features.dti"]


def test_a_protected_field_is_refused_because_offers_never_use_it(portfolio, example):
    example["features"]["group"] = "a"
    problems = refused(json.dumps(example).encode(), portfolio)
    assert "never used for offers" in problems["features.group"]


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400])
@pytest.mark.parametrize("name", ["annual_income", "fico"])
def test_a_feature_that_is_no_finite_number_is_refused_by_name(portfolio, example, name, text):
    example["features"][name] = "HERE"
    body = json.dumps(example).replace('"HERE"', text).encode()
    assert set(refused(body, portfolio)) == {f"features.{name}"}


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999", "true", '"9000"', "null", "[]"])
@pytest.mark.parametrize("name", ["requested_principal", "requested_term_months"])
def test_a_request_that_is_no_finite_number_is_refused_by_name(portfolio, example, name, text):
    body = json.dumps(example | {name: "HERE"}).replace('"HERE"', text).encode()
    assert set(refused(body, portfolio)) == {name}


@given(st.binary())
def test_any_bytes_are_a_request_or_an_error_of_ours(body):
    with contextlib.suppress(BadRequestError, InvalidApplicationError):
        parsed(body)


@given(principal=JSON, term=JSON, name=st.text(), value=JSON)
def test_any_json_values_are_an_application_or_an_invalid_one(
    portfolio, principal, term, name, value
):
    features = dict(portfolio.example["features"]) | {"fico": value, "home": value, name: value}
    content = {"requested_principal": principal, "requested_term_months": term}
    try:
        request = parsed(json.dumps(content | {"features": features}).encode())
        application = to_core(request, portfolio)
    except (InvalidApplicationError, BadRequestError) as error:
        problem_of(error).model_dump_json()
    else:
        assert application.features["fico"] == value


def test_an_offer_travels_with_every_number_unchanged(portfolio):
    decision = Decision(offers=(OFFER,), reasons=(), versions={"risk": "risk:v1"})
    sent = from_core(decision, "0f", portfolio)
    received = OfferResponse.model_validate_json(sent.model_dump_json())
    (offer,) = received.offers
    for name in Offer.__slots__:
        assert getattr(offer, name) == getattr(OFFER, name)
    assert (received.outcome, received.reasons, received.currency) == ("offers", [], "USD")
    assert received.versions == {"risk": "risk:v1"}
    assert received.decision_id == "0f"


def test_a_counter_offer_travels_with_every_number_unchanged(portfolio):
    counter = CounterOffer(
        requested_principal=0.1 + 0.2, requested_term_months=60, offer=OFFER, sentence="An estimate"
    )
    decision = Decision(
        offers=(), reasons=(Reason("PTI", "Too much"),), counter_offer=counter, versions={}
    )
    sent = from_core(decision, "0f", portfolio).model_dump_json()
    assert json.loads(sent)["counter_offer"] == asdict(counter)


def test_an_explanation_travels_with_every_number_unchanged(portfolio):
    explanation = Explanation(
        pd_logit=0.1 + 0.2,
        approved_logit=-1 / 3,
        floor=1e-300,
        effects=(Effect(group="fico", label="Credit bureau score", effect=2 / 3),),
        price_slope=-0.07,
        waterfall={"interest": 1234.5678901234567, "npv": -1e-9},
        neighbours=(
            Neighbour(quoted_rate=0.1, p_accept=0.2, npv=0.3, expected_profit=0.06, broken="PTI"),
        ),
        binding="PTI",
    )
    decision = Decision(offers=(OFFER,), reasons=(), versions={}, explanation=explanation)
    sent = from_core(decision, "0f", portfolio).model_dump_json()
    assert json.loads(sent)["explanation"] == json.loads(json.dumps(asdict(explanation)))


@pytest.mark.parametrize("value", [True, False])
def test_a_request_may_ask_for_an_explanation(example, value):
    assert parsed(json.dumps(example | {"explain": value}).encode()).explain is value
    assert parsed(json.dumps(example).encode()).explain is False


@pytest.mark.parametrize("value", [1, 0, "true", None, "yes", [], {}])
def test_to_explain_is_true_or_false_and_nothing_else(portfolio, example, value):
    problems = refused(json.dumps(example | {"explain": value}).encode(), portfolio)
    assert problems == {"explain": "must be true or false"}


def test_a_decline_travels_with_its_reasons_and_versions(portfolio):
    reasons = (Reason("PTI", "Income is too low", "Ask for less"), Reason("DTI", "Too much debt"))
    decision = Decision(offers=(), reasons=reasons, versions={"risk": "risk:v1"})
    content = from_core(decision, "0f", portfolio).model_dump()
    assert content["outcome"] == "decline"
    assert content["offers"] == []
    assert content["reasons"] == [asdict(reason) for reason in reasons]
    assert content["versions"] == {"risk": "risk:v1"}


@pytest.mark.parametrize("value", ["", "x" * 201, 7, ["a"], {}])
def test_an_applicants_id_that_is_none_is_refused_without_repeating_it(example, portfolio, value):
    problems = refused(json.dumps(example | {"applicant_id": value}).encode(), portfolio)
    assert problems == {"applicant_id": "must be text of 1 to 200 characters"}


@pytest.mark.parametrize("value", [None, "a", "x" * 200, "\u00e9 \u4e16"])
def test_an_applicants_id_is_taken_as_it_is(example, value):
    assert parsed(json.dumps(example | {"applicant_id": value}).encode()).applicant_id == value
