import json
import shlex

import pytest

from finntelligence.portfolio import Portfolio
from serving.openapi import curl, example_request, openapi
from serving.wire_decisions import OutcomeRequest

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
TYPES = {"object", "array", "string", "number", "integer", "boolean", "null"}


@pytest.fixture
def document(any_portfolio):
    """The document as a client reads it."""
    return json.loads(json.dumps(openapi(any_portfolio, "1.2.3"), allow_nan=False))


@pytest.fixture
def client(client_for, any_engine):
    return client_for(any_engine)


def operations(document):
    """Return every (path, method, operation)."""
    return [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def nodes(value):
    """Return every object within a JSON value."""
    found = []
    if isinstance(value, dict):
        found.append(value)
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            found += nodes(inner)
    return found


def with_parts(schema):
    """Return a schema and those within it."""
    parts = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
    parts += [schema[key] for key in ("items", "additionalProperties") if schema.get(key)]
    return [schema, *(inner for part in parts for inner in with_parts(part))]


def schemas(document):
    """Return every schema, nested ones too."""
    roots = [*document["components"]["schemas"].values()]
    roots += [node["schema"] for node in nodes(document["paths"]) if "schema" in node]
    return [inner for root in roots for inner in with_parts(root)]


def request_schema(document):
    return document["components"]["schemas"]["OfferRequest"]["properties"]


def fits(value, schema):
    """Whether a value is what a request schema describes."""
    if "enum" in schema:
        return value in schema["enum"]
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if value is None:
        return "null" in kinds
    if not isinstance(value, int | float):
        return False
    whole = "integer" not in kinds or value == int(value)
    return whole and schema["minimum"] <= value <= schema["maximum"]


def test_the_document_has_the_shape_of_openapi_3_1(document):
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["title"]
    assert document["info"]["version"] == "1.2.3"
    assert set(document) <= {"openapi", "info", "security", "paths", "components"}
    assert all(path.startswith("/") for path in document["paths"])
    for _, method, operation in operations(document):
        assert method in METHODS
        assert operation["summary"]
        for code, response in operation["responses"].items():
            assert 100 <= int(code) < 600
            assert response["description"]
            assert all("schema" in media for media in response.get("content", {}).values())


def test_operation_ids_are_unique(document):
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names) > 0


def test_every_reference_leads_to_a_schema(document):
    references = {node["$ref"] for node in nodes(document) if "$ref" in node}
    assert references
    for reference in references:
        at = document
        for part in reference.removeprefix("#/").split("/"):
            at = at[part]
        assert at


def test_every_schema_says_only_what_json_schema_knows(document):
    assert len(schemas(document)) > len(document["components"]["schemas"])
    for schema in schemas(document):
        anything = set(schema) == {"title"}  # what a replay compares may be of any kind
        assert anything or {"type", "enum", "$ref", "anyOf"} & set(schema)
        kinds = schema.get("type", [])
        assert set(kinds if isinstance(kinds, list) else [kinds]) <= TYPES
        assert set(schema.get("required", [])) <= set(schema.get("properties", {}))
        if {"minimum", "maximum"} <= set(schema):
            assert schema["minimum"] <= schema["maximum"]
        if "enum" in schema:
            assert schema["enum"]


def test_every_field_that_is_asked_for_is_described_and_no_other(document, any_portfolio):
    features = request_schema(document)["features"]
    declared = {field.name: field for field in any_portfolio.asked}
    assert set(features["properties"]) == set(declared)
    assert set(features["required"]) == {f.name for f in declared.values() if f.required}
    for name, field in declared.items():
        assert field.meaning in features["properties"][name]["description"]


def test_the_document_allows_exactly_the_bounds_that_the_engine_allows(document, any_portfolio):
    schema, axes = request_schema(document), any_portfolio.axes
    principal = schema["requested_principal"]
    assert (principal["minimum"], principal["maximum"]) == (
        axes.minimum_principal,
        axes.maximum_principal,
    )
    assert schema["requested_term_months"]["enum"] == list(axes.terms)
    for field in any_portfolio.asked:
        described = schema["features"]["properties"][field.name]
        bounds = [] if field.values else [field.minimum, field.maximum]
        beyond = [value + step for value in bounds for step in (-1, -0.5, 0.5, 1)]
        for value in (*field.values, None, "nonsense", *bounds, *beyond):
            assert fits(value, described) is (field.problem(value) is None), field.name


def test_the_example_fits_its_own_description(document, any_portfolio):
    schema, example = request_schema(document), example_request(any_portfolio)
    described = schema["features"]["properties"]
    required = document["components"]["schemas"]["OfferRequest"]["required"]
    assert set(example) == set(required) < set(schema)
    assert all(fits(value, described[name]) for name, value in example["features"].items())


def test_the_example_runs_and_is_answered_as_described(document, client):
    described = document["components"]["schemas"]["OfferResponse"]["properties"]
    for path in ("/v1/offers", "/predict"):
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        response = client.post(path, json=body["example"])
        assert response.status_code == 200
        content = response.json()
        assert set(content) == set(described)
        offer = document["components"]["schemas"]["Offer"]["properties"]
        assert content["offers"]
        assert all(set(found) == set(offer) for found in content["offers"])


def test_the_example_of_a_quote_runs_and_is_answered_as_described(document, client):
    body = document["paths"]["/v1/quote"]["post"]["requestBody"]["content"]["application/json"]
    response = client.post("/v1/quote", json=body["example"])
    assert response.status_code == 200
    described = document["components"]["schemas"]["QuoteResponse"]["properties"]
    assert set(response.json()) == set(described)


def test_the_example_of_an_outcome_is_one(document):
    path = "/v1/decisions/{decision_id}/outcome"
    body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    OutcomeRequest.model_validate(body["example"])


def test_every_operation_says_how_it_refuses(document):
    for _, _, operation in operations(document):
        assert {"401", "403", "429", "500"} <= set(operation["responses"])


def test_an_explanation_is_answered_as_described(document, client, any_portfolio):
    described = document["components"]["schemas"]
    content = client.post("/v1/offers", json=example_request(any_portfolio) | {"explain": True})
    explanation = content.json()["explanation"]
    assert set(explanation) == set(described["Explanation"]["properties"])
    for part, name in (("effects", "Effect"), ("neighbours", "Neighbour")):
        assert explanation[part]
        assert all(set(one) == set(described[name]["properties"]) for one in explanation[part])


def test_every_described_path_is_served_by_the_described_method(document, client):
    for path, method, _ in operations(document):
        response = client.request(method, path)
        assert response.status_code != 405
        assert response.status_code != 404 or "unknown-decision" in response.json()["type"]


def test_every_refusal_the_door_gives_is_described(document, client, any_portfolio):
    example = example_request(any_portfolio)
    bad = [
        client.post("/v1/offers", content=b"{"),
        client.post("/v1/offers", json=example | {"unknown": 1}),
        client.post("/v1/offers", content=b"x", headers={"Content-Type": "text/plain"}),
        client.post("/v1/offers", content=b" " * 70_000),
    ]
    described = document["paths"]["/v1/offers"]["post"]["responses"]
    problem = document["components"]["schemas"]["Problem"]["properties"]
    for response in bad:
        kind = response.headers["content-type"]
        assert kind in described[str(response.status_code)]["content"]
        assert set(response.json()) == set(problem)


def test_the_document_is_what_the_door_gives(client, any_portfolio):
    assert client.get("/openapi.json").json() == openapi(any_portfolio, "1.2.3")


def test_the_printed_command_asks_for_the_example(any_portfolio):
    words = shlex.split(curl(any_portfolio, "http://127.0.0.1:3000"))
    assert words[0] == "curl"
    assert "http://127.0.0.1:3000/v1/offers" in words
    assert "Content-Type: application/json" in words
    assert json.loads(words[-1]) == example_request(any_portfolio)


def test_the_printed_command_survives_an_apostrophe(portfolio):
    text = json.dumps(portfolio.declaration).replace("debt_consolidation", "driver's licence")
    odd = Portfolio.from_mapping(json.loads(text))
    words = shlex.split(curl(odd, "http://127.0.0.1:3000"))
    assert json.loads(words[-1]) == example_request(odd)
