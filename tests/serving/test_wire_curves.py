from dataclasses import asdict, fields
from decimal import Decimal

import numpy as np
import pytest

from finntelligence import cashflow
from finntelligence.curve import PriceCurve, price_curves
from finntelligence.errors import InvalidApplicationError
from finntelligence.features import application_columns, design_matrix
from finntelligence.offers import application
from finntelligence.policy import Policy
from serving.wire_curves import (
    Curve,
    CurveRequest,
    amounts,
    asked_terms,
    curve_from_core,
    permitted_amount,
    schedule_from_core,
)
from tests.serving.conftest import market_of


@pytest.fixture
def asked(any_portfolio):
    return application(any_portfolio, **any_portfolio.example)


@pytest.fixture
def curves(any_portfolio, asked):
    market = market_of(any_portfolio)
    row = design_matrix(any_portfolio, application_columns(asked))
    heads = (model.coefficients(row)[0] for model in (market.risk, market.acceptance))
    return price_curves(asked, market, *heads, asked.requested_principal)


def request(portfolio, **changes):
    return CurveRequest(**dict(portfolio.example), **changes)


def test_a_curve_travels_whole_and_unrounded(curves):
    assert set(Curve.model_fields) == {each.name for each in fields(PriceCurve)}
    for curve in curves:
        body = Curve.model_validate_json(curve_from_core(curve).model_dump_json())
        for name in Curve.model_fields:
            meant = getattr(curve, name)
            plain = meant.tolist() if isinstance(meant, np.ndarray) else meant
            plain = list(plain) if isinstance(plain, tuple) else plain
            assert getattr(body, name) == plain, name


def test_payments_travel_to_the_cent_and_clear_the_debt():
    rows = cashflow.schedule(1234.56, 0.12, 12)
    bodies = schedule_from_core(rows)
    for row, body in zip(rows, bodies, strict=True):
        assert {each.name: getattr(body, each.name) for each in fields(row)} == asdict(row)
        assert body.model_dump()["balance"] == float(row.balance)
    assert sum(body.principal for body in bodies) == Decimal("1234.56")


def test_the_amount_is_the_largest_unless_another_is_nearer_to_the_one_asked_about(
    any_portfolio, asked
):
    policy = Policy.from_mapping(any_portfolio)
    permitted = amounts(asked, policy)
    assert permitted == sorted(permitted)
    assert permitted_amount(request(any_portfolio), asked, policy) == permitted[-1]
    for wanted in (0.01, *permitted, 1e9):
        found = permitted_amount(request(any_portfolio, principal=wanted), asked, policy)
        assert abs(found - wanted) == min(abs(each - wanted) for each in permitted)


@pytest.mark.parametrize("principal", [0, -1, 1e10, "much", True])
def test_what_is_no_amount_is_refused_by_name(any_portfolio, asked, principal):
    policy = Policy.from_mapping(any_portfolio)
    with pytest.raises(InvalidApplicationError, match=r"principal: must be a number from 0\.01"):
        permitted_amount(request(any_portfolio, principal=principal), asked, policy)


def test_terms_are_valued_at_the_rate_asked_about_or_else_at_the_engines_own(any_portfolio, curves):
    for curve in curves:
        term = curve.term_months
        exact = request(any_portfolio, term_months=term, quoted_rate=0.2)
        assert asked_terms(exact, curves) == (term, 0.2)
        own = None if curve.best is None else (term, curve.quoted_rate[curve.best])
        assert asked_terms(request(any_portfolio, term_months=term), curves) == own
    assert asked_terms(request(any_portfolio), curves) is None
    assert asked_terms(request(any_portfolio, term_months=7), curves) is None  # no such curve
