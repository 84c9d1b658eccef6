"""The API's description, generated from the served portfolio's declaration."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from finntelligence.fields import Field, Kind
from finntelligence.portfolio import Portfolio
from serving.wire import OfferResponse, Problem

__all__ = ["example_request", "openapi"]

_REF = "#/components/schemas/{model}"
_PROBLEMS = {
    "400": "The body is not a JSON object",
    "413": "The body is too large",
    "415": "The body is not application/json",
    "422": "A field is unknown, missing or out of range; `errors` names each",
    "500": "A defect on our side",
    "503": "A model is not available; the same request may succeed later",
}


def example_request(portfolio: Portfolio) -> dict[str, Any]:
    """Return a request that runs, from the declaration."""
    return {key: value for key, value in portfolio.example.items()}


def openapi(portfolio: Portfolio, version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the HTTP door for one portfolio."""
    kinds = [(OfferResponse, "serialization"), (Problem, "serialization")]
    _, definitions = models_json_schema(kinds, ref_template=_REF)  # type: ignore[arg-type]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Finntelligence",
            "version": version,
            "description": f"Profit-optimised loan offers: {portfolio.title}. Rates are fractions; "
            f"money is in {portfolio.currency}.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": {
            "/v1/offers": {"post": _offers(portfolio, "optimiseOffers")},
            "/predict": {"post": _offers(portfolio, "predict")},
            "/v1/status": {"get": _status()},
        },
        "components": {
            "schemas": {**definitions["$defs"], "OfferRequest": _request_schema(portfolio)}
        },
    }


def _offers(portfolio: Portfolio, name: str) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        "operationId": name,
        "summary": "The best offers for one applicant, or a decline, with reasons",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/OfferRequest"},
                    "example": example_request(portfolio),
                }
            },
        },
        "responses": {
            "200": {
                "description": "Offers, best first, or a decline",
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/OfferResponse"}}
                },
            },
            **{code: {"description": text, "content": problem} for code, text in _PROBLEMS.items()},
        },
    }


def _status() -> dict[str, Any]:
    return {
        "operationId": "status",
        "summary": "What is served, and whether its models answer",
        "responses": {
            "200": {
                "description": "System status",
                "content": {"application/json": {"schema": {"type": "object"}}},
            }
        },
    }


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
