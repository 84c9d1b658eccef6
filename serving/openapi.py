"""The API's description, generated from the served portfolio's declaration."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from finntelligence.fields import Field, Kind
from finntelligence.portfolio import Portfolio
from finntelligence.why_not import DEAREST, LARGEST, LONGEST
from serving.operations import LONGEST_KEY
from serving.wire import OfferResponse, Problem
from serving.wire_decisions import DecisionRecord, OutcomeRequest, RecordedOutcome, Replayed
from serving.wire_quotes import QuoteResponse

__all__ = ["curl", "example_request", "openapi"]

_REF = "#/components/schemas/{model}"
_ANSWERS: tuple[type[BaseModel], ...] = (
    OfferResponse,
    QuoteResponse,
    DecisionRecord,
    Replayed,
    RecordedOutcome,
    Problem,
)
_ALWAYS = {
    "401": "No API key is shown, or none that is in force",
    "403": "The key is good for other things only",
    "429": "Too much is asked at once, or more than the key's allowance; Retry-After says when",
    "431": "The headers are too large",
    "500": "A defect on our side",
}
_OF_A_BODY = {
    "400": "The body is not a JSON object",
    "413": "The body is too large",
    "415": "The body is not application/json",
    "422": "A field is unknown, missing or out of range; `errors` names each",
}
_OF_A_RECORD = {
    "404": "No decision is recorded under this id",
    "501": "This service keeps no record",
    "503": "The record is not available; the same request may succeed later",
}
_OF_MODELS = {"503": "A model or the record is not available; the same request may succeed later"}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same request gets the same answer, for 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[!-~]+$"},
}
_DECISION_ID = {
    "name": "decision_id",
    "in": "path",
    "required": True,
    "description": "As it stands in the answer.",
    "schema": {"type": "string", "pattern": "^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$"},
}


def example_request(portfolio: Portfolio) -> dict[str, Any]:
    """Return a request that runs, from the declaration."""
    return {key: value for key, value in portfolio.example.items()}


def openapi(portfolio: Portfolio, version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the HTTP door for one portfolio."""
    kinds = [*((kind, "serialization") for kind in _ANSWERS), (OutcomeRequest, "validation")]
    _, definitions = models_json_schema(kinds, ref_template=_REF)  # type: ignore[arg-type]
    asked = {"OfferRequest": _request_schema(portfolio), "QuoteRequest": _quote_schema(portfolio)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Finntelligence",
            "version": version,
            "description": f"Profit-optimised loan offers: {portfolio.title}. Rates are fractions; "
            f"money is in {portfolio.currency}.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": [{"key": []}],
        "paths": _paths(portfolio),
        "components": {
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, as `finnt keys add` prints it.",
                }
            },
            "schemas": {**definitions["$defs"], **asked},
        },
    }


def _paths(portfolio: Portfolio) -> dict[str, Any]:
    example = example_request(portfolio)
    principal, term_months = example["requested_principal"], example["requested_term_months"]
    terms = {"principal": principal, "term_months": term_months, "quoted_rate": 0.15}
    offers = {
        "summary": "The best offers for one applicant, or a decline, with reasons",
        "parameters": [_KEY],
        "requestBody": _body("OfferRequest", example),
        "responses": _responses("OfferResponse", _OF_A_BODY, _OF_MODELS),
    }
    decision, accepted = "/v1/decisions/{decision_id}", {"outcome": "accepted", "on": "2027-01-15"}
    return {
        "/v1/offers": {"post": {"operationId": "optimiseOffers", **offers}},
        "/predict": {"post": {"operationId": "predict", **offers}},
        "/v1/quote": {
            "post": {
                "operationId": "quoteOffer",
                "summary": "What exactly these terms are worth, and which rules they break",
                "requestBody": _body("QuoteRequest", {**example, **terms}),
                "responses": _responses("QuoteResponse", _OF_A_BODY, _OF_MODELS),
            }
        },
        decision: {
            "get": {
                "operationId": "getDecision",
                "summary": "A recorded decision, and what became of it",
                "parameters": [_DECISION_ID],
                "responses": _responses("DecisionRecord", _OF_A_RECORD),
            }
        },
        f"{decision}/replay": {
            "post": {
                "operationId": "replayDecision",
                "summary": "A recorded decision computed again, and what came out otherwise",
                "parameters": [_DECISION_ID],
                "responses": _responses("Replayed", _OF_A_RECORD),
            }
        },
        f"{decision}/outcome": {
            "post": {
                "operationId": "recordOutcome",
                "summary": "Record what became of an offer: accepted, declined, defaulted, prepaid",
                "parameters": [_DECISION_ID],
                "requestBody": _body("OutcomeRequest", accepted),
                "responses": _responses(
                    "RecordedOutcome",
                    *(_OF_A_BODY, _OF_A_RECORD, {"409": "It contradicts what is recorded"}),
                ),
            }
        },
        "/v1/policy": {"get": _plain("policy", "The lending policy in force")},
        "/v1/status": {"get": _plain("status", "What is served, and whether its models answer")},
    }


def _body(model: str, example: Mapping[str, Any]) -> dict[str, Any]:
    content = {"schema": {"$ref": _REF.format(model=model)}, "example": example}
    return {"required": True, "content": {"application/json": content}}


def _responses(model: str, *refusals: Mapping[str, str]) -> dict[str, Any]:
    answer = {"application/json": {"schema": {"$ref": _REF.format(model=model)}}}
    return {"200": {"description": f"{model}", "content": answer}, **_refusals(*refusals)}


def _refusals(*refusals: Mapping[str, str]) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}}
    told = {code: text for each in (*refusals, _ALWAYS) for code, text in each.items()}
    return {code: {"description": text, "content": content} for code, text in sorted(told.items())}


def _plain(name: str, summary: str) -> dict[str, Any]:
    answer = {"application/json": {"schema": {"type": "object"}}}
    responses = {"200": {"description": summary, "content": answer}, **_refusals()}
    return {"operationId": name, "summary": summary, "responses": responses}


def _request_schema(portfolio: Portfolio) -> dict[str, Any]:
    axes = portfolio.axes
    features = portfolio.asked
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["requested_principal", "requested_term_months", "features"],
        "properties": {
            "requested_principal": {
                "type": "number",
                "minimum": axes.minimum_principal,
                "maximum": axes.maximum_principal,
                "description": f"Amount asked for, {portfolio.currency}",
            },
            "requested_term_months": {"type": "integer", "enum": list(axes.terms)},
            "explain": {
                "type": "boolean",
                "default": False,
                "description": "Whether to explain the first offer; declines are always explained",
            },
            "features": {
                "type": "object",
                "additionalProperties": False,
                "required": [field.name for field in features if field.required],
                "properties": {field.name: _field_schema(field) for field in features},
            },
        },
    }


def _quote_schema(portfolio: Portfolio) -> dict[str, Any]:
    """Describe a quote's request: any terms, the menu's or not."""
    asked = _request_schema(portfolio)
    currency = portfolio.currency
    terms = {
        "principal": {
            "type": "number",
            "minimum": 0.01,
            "maximum": LARGEST,
            "description": f"Amount lent, {currency}",
        },
        "term_months": {"type": "integer", "minimum": 1, "maximum": LONGEST},
        "quoted_rate": {
            "type": "number",
            "minimum": 0,
            "maximum": DEAREST,
            "description": "A fraction, in the book's own convention. With a long term it may be "
            "too high for payments to the cent to clear the debt: 422",
        },
    }
    kept = {name: schema for name, schema in asked["properties"].items() if name != "explain"}
    return {
        **asked,
        "required": [*asked["required"], *terms],
        "properties": {**kept, **terms},
    }


def _field_schema(field: Field) -> Mapping[str, Any]:
    text = field.meaning + (f" ({field.unit})" if field.unit else "")
    nullable = [] if field.required else ["null"]
    if field.kind is Kind.CATEGORY:
        choices: list[str | None] = [*field.values, *(None for _ in nullable)]
        return {"enum": choices, "description": text}
    kind = "integer" if field.kind is Kind.INTEGER else "number"
    bounds = {"minimum": field.minimum, "maximum": field.maximum}
    return {"type": [kind, *nullable], **bounds, "description": text}


def curl(portfolio: Portfolio, url: str) -> str:
    """Return a ready-to-paste shell command that asks for offers."""
    body = shlex.quote(json.dumps(example_request(portfolio)))
    return f"curl -s {url}/v1/offers -H 'Content-Type: application/json' -d {body}"
