"""The API's description, generated from the served portfolio's declaration."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from finntelligence.portfolio import Portfolio
from serving.openapi_requests import curve_request, offer_request, quote_request
from serving.operations import LONGEST_KEY
from serving.wire import OfferResponse, Problem
from serving.wire_curves import CurveResponse
from serving.wire_decisions import (
    ChainStatus,
    DecisionRecord,
    OutcomeRequest,
    RecordedOutcome,
    Replayed,
)
from serving.wire_models import ModelsResponse
from serving.wire_quotes import QuoteResponse

__all__ = ["curl", "example_request", "openapi"]

_REF = "#/components/schemas/{model}"
_ANSWERS: tuple[type[BaseModel], ...] = (
    OfferResponse,
    QuoteResponse,
    CurveResponse,
    ModelsResponse,
    DecisionRecord,
    ChainStatus,
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
    "504": "The request, or its body on the way, took too long",
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
    asked = {
        "OfferRequest": offer_request(portfolio),
        "QuoteRequest": quote_request(portfolio),
        "CurveRequest": curve_request(portfolio),
    }
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
        "/v1/curve": {
            "post": {
                "operationId": "priceCurve",
                "summary": "What every price would earn, under other assumptions if you like",
                "requestBody": _body("CurveRequest", {**example, "assume": {"lgd": 0.5}}),
                "responses": _responses("CurveResponse", _OF_A_BODY, _OF_MODELS),
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
        f"{decision}/chain": {
            "get": {
                "operationId": "decisionChain",
                "summary": "Where a decision stands in the record, and whether its links hold",
                "parameters": [_DECISION_ID],
                "responses": _responses("ChainStatus", _OF_A_RECORD),
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
        "/v1/models": {
            "get": {
                "operationId": "models",
                "summary": "Where the models in force come from, and what is known of them",
                "responses": _responses("ModelsResponse"),
            }
        },
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


def curl(portfolio: Portfolio, url: str) -> str:
    """Return a ready-to-paste shell command that asks for offers."""
    body = shlex.quote(json.dumps(example_request(portfolio)))
    return f"curl -s {url}/v1/offers -H 'Content-Type: application/json' -d {body}"
