"""The schemas of requests, each held against what the door accepts and refuses."""

from copy import deepcopy

import pytest
from jsonschema import Draft202012Validator

from serving.openapi_requests import curve_request, offer_request, quote_request

TERMS = {"principal": 1000, "term_months": 12, "quoted_rate": 0.1}


@pytest.fixture
def client(client_for, any_engine):
    return client_for(any_engine)


@pytest.fixture
def asked(any_portfolio):
    return deepcopy(dict(any_portfolio.example))


def refused(response):
    """Return the fields that an answer refuses; none of an accepted request."""
    assert response.status_code in (200, 422)
    return {each["field"] for each in response.json().get("errors", [])}


def test_each_bound_of_an_application_is_accepted_and_what_is_beyond_it_refused(
    client, any_portfolio, asked
):
    features = offer_request(any_portfolio)["properties"]["features"]["properties"]
    bounded = {name: each for name, each in features.items() if "minimum" in each}
    assert bounded
    for name, schema in bounded.items():
        for bound, beyond in ((schema["minimum"], -1), (schema["maximum"], 1)):
            for value, wrong in ((bound, set()), (bound + beyond, {f"features.{name}"})):
                body = {**asked, "features": {**asked["features"], name: value}}
                assert refused(client.post("/v1/offers", json=body)) == wrong, (name, value)


def test_what_is_required_may_not_be_left_out_and_the_rest_may(client, any_portfolio, asked):
    schema = offer_request(any_portfolio)["properties"]["features"]
    for name in schema["properties"]:
        features = {each: value for each, value in asked["features"].items() if each != name}
        found = refused(client.post("/v1/offers", json={**asked, "features": features}))
        assert found == ({f"features.{name}"} if name in schema["required"] else set())


def test_quotes_and_curves_ask_of_an_applicant_what_offers_ask(any_portfolio):
    shared = ("requested_principal", "requested_term_months", "features")
    wanted = [offer_request(any_portfolio)["properties"][name] for name in shared]
    for request in (quote_request, curve_request):
        schema = request(any_portfolio)
        assert [schema["properties"][name] for name in shared] == wanted
        assert "applicant_id" not in schema["properties"]
        assert schema["additionalProperties"] is False


def test_each_bound_of_an_assumption_is_accepted_and_what_is_beyond_it_refused(
    client, any_portfolio, asked
):
    assumed = curve_request(any_portfolio)["properties"]["assume"]["properties"]
    for name, schema in assumed.items():
        for bound, beyond in ((schema["minimum"], -0.01), (schema["maximum"], 0.01)):
            for value, wrong in ((bound, set()), (bound + beyond, {f"assume.{name}"})):
                body = {**asked, "assume": {name: value}}
                assert refused(client.post("/v1/curve", json=body)) == wrong, (name, value)


def test_a_null_in_a_curves_request_is_as_if_left_out(client, any_portfolio, asked):
    properties = curve_request(any_portfolio)["properties"]
    nullable = {name: None for name in TERMS if "null" in properties[name]["type"]}
    assert nullable.keys() == TERMS.keys()
    assume = dict.fromkeys(properties["assume"]["properties"])
    plain, nulls = (
        client.post("/v1/curve", json=body).json()
        for body in (asked, {**asked, **nullable, "assume": assume})
    )
    assert plain == nulls


@pytest.mark.parametrize("absent", [{}, {"term_months": None}])
def test_a_rate_needs_a_term_as_the_schema_says(client, any_portfolio, asked, absent):
    schema = curve_request(any_portfolio)
    body = {**asked, "quoted_rate": TERMS["quoted_rate"], **absent}
    assert refused(client.post("/v1/curve", json=body)) == {"term_months"}
    assert not Draft202012Validator(schema).is_valid(body)
    body["term_months"] = TERMS["term_months"]
    assert refused(client.post("/v1/curve", json=body)) == set()
    assert Draft202012Validator(schema).is_valid(body)
