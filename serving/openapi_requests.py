"""What the API asks for, as JSON schemas generated from the served portfolio's declaration."""

from collections.abc import Mapping
from typing import Any

from finntelligence.curve import MOST_SHADOW_PRICE
from finntelligence.fields import Field, Kind
from finntelligence.portfolio import ECONOMICS, Portfolio
from finntelligence.why_not import DEAREST, LARGEST, LONGEST
from serving.wire import LONGEST_ID, ApplicationRequest, OfferRequest

__all__ = ["curve_request", "offer_request", "quote_request"]


def offer_request(portfolio: Portfolio) -> dict[str, Any]:
    """Describe an application; `x-unit` is a value's unit, for those who make a form of it."""
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
                "x-unit": portfolio.currency,
            },
            "requested_term_months": {
                "type": "integer",
                "enum": list(axes.terms),
                "description": "Term asked for",
                "x-unit": "months",
            },
            "explain": {
                "type": "boolean",
                "default": False,
                "description": "Whether to explain the first offer; declines are always explained",
            },
            "applicant_id": {
                "type": ["string", "null"],
                "minLength": 1,
                "maxLength": LONGEST_ID,
                "description": OfferRequest.model_fields["applicant_id"].description,
            },
            "features": {
                "type": "object",
                "additionalProperties": False,
                "required": [field.name for field in features if field.required],
                "properties": {field.name: _field_schema(field) for field in features},
            },
        },
    }


def quote_request(portfolio: Portfolio) -> dict[str, Any]:
    """Describe a quote's request: any terms, the menu's or not."""
    asked = offer_request(portfolio)
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
    kept = _of_applications(asked)
    return {
        **asked,
        "required": [*asked["required"], *terms],
        "properties": {**kept, **terms},
    }


def curve_request(portfolio: Portfolio) -> dict[str, Any]:
    """Describe a curve's request: any amount, assumptions, and terms to value besides."""
    asked, terms = offer_request(portfolio), quote_request(portfolio)["properties"]
    kept = _of_applications(asked)
    bounds = {**ECONOMICS, "shadow_price": (0, MOST_SHADOW_PRICE)}
    texts = {
        "cost_of_funds": "A yearly fraction",
        "lgd": "Loss given default, a fraction",
        "shadow_price": "Charged per unit of principal",
    }
    assumed = {
        name: {
            "type": ["number", "null"],
            "minimum": bounds[name][0],
            "maximum": bounds[name][1],
            "description": text,
        }
        for name, text in texts.items()
    }
    return {
        **asked,
        "if": {"required": ["quoted_rate"], "properties": {"quoted_rate": {"type": "number"}}},
        "then": {"required": ["term_months"], "properties": {"term_months": {"type": "integer"}}},
        "properties": {
            **kept,
            "assume": {
                "type": "object",
                "additionalProperties": False,
                "properties": assumed,
                "description": "What the market might be instead; the policy's own by default",
            },
            **{
                name: {**terms[name], "type": [terms[name]["type"], "null"]}
                for name in ("principal", "term_months", "quoted_rate")
            },
        },
    }


def _of_applications(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what describes an application, without what is said of offers alone."""
    own = set(OfferRequest.model_fields) - set(ApplicationRequest.model_fields)
    return {name: schema for name, schema in asked["properties"].items() if name not in own}


def _field_schema(field: Field) -> Mapping[str, Any]:
    text = field.meaning + (f" ({field.unit})" if field.unit else "")
    nullable = [] if field.required else ["null"]
    if field.kind is Kind.CATEGORY:
        choices: list[str | None] = [*field.values, *(None for _ in nullable)]
        return {"enum": choices, "description": text}
    kind = "integer" if field.kind is Kind.INTEGER else "number"
    bounds = {"minimum": field.minimum, "maximum": field.maximum}
    unit = {"x-unit": field.unit} if field.unit else {}
    return {"type": [kind, *nullable], **bounds, "description": text, **unit}
