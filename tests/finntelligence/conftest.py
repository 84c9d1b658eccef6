"""Both real books, small hand-made models of them, and applications: all plain values."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from finntelligence.basis import BasisColumn
from finntelligence.explain import reference_of
from finntelligence.features import application_columns, design_matrix, feature_names
from finntelligence.fields import Kind
from finntelligence.heads import Head
from finntelligence.market import Market
from finntelligence.offers import Application, application
from finntelligence.optimiser import terms_at
from finntelligence.policy import Policy
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.response import PriceResponse

ROOT = Path(__file__).parents[2]
BOOKS = ("simulated", "kz2008")

settings.register_profile(
    "core",
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("core")


@pytest.fixture(scope="session")
def declarations():
    """The two declarations as their files have them; never change these, ask `changed`."""
    return {
        name: yaml.safe_load((ROOT / "portfolios" / f"{name}.yaml").read_text(encoding="utf-8"))
        for name in BOOKS
    }


@pytest.fixture(scope="session")
def changed(declarations):
    """A function: one declaration with the values at dotted paths replaced (`...` removes)."""

    def change(name, changes):
        declaration = copy.deepcopy(declarations[name])
        for path, value in changes.items():
            *parents, last = path.split(".")
            inner = declaration
            for key in parents:
                inner = inner[key]
            if value is ...:
                del inner[last]
            else:
                inner[last] = value
        return declaration

    return change


@pytest.fixture(scope="session")
def books(declarations):
    return {name: Portfolio.from_mapping(content) for name, content in declarations.items()}


@pytest.fixture(scope="session")
def simulated(books):
    return books["simulated"]


@pytest.fixture(scope="session")
def kz(books):
    return books["kz2008"]


@pytest.fixture(scope="session", params=BOOKS)
def book(request, books):
    """Each of the two books in turn."""
    return books[request.param]


BASES = {
    "simulated": (
        BasisColumn(feature="fico", kind="z", low=580, high=840, mean=700, sd=50),
        BasisColumn(feature="fico", kind="square", low=580, high=840, mean=700, sd=50),
        BasisColumn(
            feature="annual_income", kind="z", log=True, low=9e3, high=4e5, mean=11.1, sd=0.5
        ),
        BasisColumn(feature="home=rent", kind="flag"),
    ),
    "kz2008": (
        BasisColumn(feature="internal_score", kind="z", low=5, high=60, mean=30, sd=12),
        BasisColumn(feature="internal_score", kind="square", low=5, high=60, mean=30, sd=12),
        BasisColumn(
            feature="gross_monthly_income", kind="z", log=True, low=700, high=2e4, mean=8, sd=0.6
        ),
        BasisColumn(feature="bureau_score", kind="missing"),
    ),
}


def risk_model(portfolio):
    """A risk model whose every head matters: base, gap, PTI, term, principal."""
    return PriceResponse(
        model=Capability.RISK,
        portfolio=portfolio,
        features=feature_names(portfolio),
        basis=BASES[portfolio.name],
        heads=(
            Head(name="base", phi="one", tree=True),
            Head(name="gap", phi="gap", sign=1),
            Head(name="pti", phi="pti", sign=1, floor=0.001),
            Head(name="term", phi="term"),
            Head(name="principal", phi="principal"),
        ),
        linear=np.array(
            [
                [-2.6, -0.5, 0.1, -0.3, 0.2],
                [0.02, 0, 0, 0, 0],
                [0.15, 0, 0, 0, 0],
                [0.3, 0, 0, 0, 0],
                [0.1, 0, 0, 0, 0],
            ]
        ),
        calibration=(0.0, 1.0),
        income_fill=4000.0,
        evidence={"rows": 1000, "by": "hand"},
    )


def acceptance_model(portfolio):
    """An acceptance model with a kink at the benchmark; as on KZ's file, no other amount tried."""
    tried = portfolio.name != "kz2008"
    slope = {"simulated": -0.2, "kz2008": -0.06}[portfolio.name]
    return PriceResponse(
        model=Capability.ACCEPTANCE,
        portfolio=portfolio,
        features=feature_names(portfolio),
        basis=BASES[portfolio.name],
        heads=(
            Head(name="base", phi="one", tree=True),
            Head(
                name="gap",
                phi="gap",
                sign=-1,
                floor=portfolio.price.slope_floor,
                tree=True,
                scale=0.5,
            ),
            Head(name="term_change", phi="term_change", sign=-1),
            Head(name="shortfall", phi="shortfall", sign=-1, supported=tried),
            Head(name="excess", phi="excess", supported=tried),
            Head(name="gap_hinge", phi="gap_hinge"),
        ),
        linear=np.array(
            [
                [-0.4, -0.3, 0.0, 0.2, 0.4],
                [slope, 0.3 * slope, 0, 0.1 * slope, 0],
                [-0.45, 0, 0, 0, 0],
                [-2.2 * tried, 0, 0, 0, 0],
                [-0.5 * tried, 0, 0, 0, 0],
                [0.3 * slope, 0, 0, 0, 0],
            ]
        ),
        calibration=(0.0, 1.0),
        income_fill=4000.0,
        evidence={"rows": 2000, "by": "hand"},
    )


def with_reference(risk, acceptance):
    """Return the risk model with its reference: the declared example, at its list price."""
    book, policy = risk.portfolio, Policy.from_mapping(risk.portfolio)
    example = application(book, **book.example)
    columns = application_columns(example)
    term, funds = columns["requested_term_months"], policy.economics.cost_of_funds
    terms = terms_at(
        example,
        Market(portfolio=book, policy=policy, risk=risk, acceptance=acceptance),
        columns["requested_principal"],
        term,
        book.price.list_rate.rate(columns, term, funds),
    )
    approved = reference_of(risk, risk.contributions(design_matrix(book, columns)), terms)
    return replace(risk, evidence=risk.evidence | {"reference": approved})


class Asked(NamedTuple):
    """One application with everything the optimiser needs to answer it."""

    application: Application
    market: Market
    risk: np.ndarray
    acceptance: np.ndarray

    @property
    def all(self):
        return self.application, self.market, self.risk, self.acceptance


@pytest.fixture(scope="session")
def models():
    """A function: the hand-made (risk, acceptance) models of a book."""

    def made(portfolio):
        acceptance = acceptance_model(portfolio)
        return with_reference(risk_model(portfolio), acceptance), acceptance

    return made


class Forest(NamedTuple):
    """A model with a small real booster for its tree heads."""

    response: PriceResponse
    booster: object

    def coefficients(self, matrix):
        trees = self.booster.inplace_predict(matrix.astype(np.float32))
        return self.response.coefficients(matrix, trees.astype(float))

    def contributions(self, matrix):
        import xgboost as xgb

        data = xgb.DMatrix(matrix.astype(np.float32), nthread=1)
        trees = self.booster.predict(data, pred_contribs=True, strict_shape=True)
        return self.response.contributions(matrix, trees.astype(float))


@pytest.fixture(scope="session")
def forest(rows):
    """A function: a model with trees that tell of every column, of `spread` logits."""

    def grown(response, spread=0.5):
        import xgboost as xgb

        matrix = design_matrix(response.portfolio, rows(response.portfolio, 400, seed=3))
        shape = len(matrix), len(response.tree_heads)
        labels = spread * np.random.default_rng(4).standard_normal(shape)
        settings = {"max_depth": 3, "eta": 0.3, "base_score": 0.0, "nthread": 1}
        data = xgb.DMatrix(matrix.astype(np.float32), label=labels, nthread=1)
        return Forest(response, xgb.train(settings, data, 30))

    return grown


@pytest.fixture(scope="session")
def market(models):
    """A function: a book's market under its default policy with changes; built once."""
    known = {}

    def build(portfolio, changes=None):
        policy = Policy.from_mapping(portfolio, changes)
        key = portfolio.digest, policy.digest
        if key not in known:
            risk, acceptance = models(portfolio)
            known[key] = Market(
                portfolio=portfolio, policy=policy, risk=risk, acceptance=acceptance
            )
        return known[key]

    return build


@pytest.fixture(scope="session")
def ask(market):
    """A function: the book's example request, features changed (`...` removes), under a policy."""

    def build(portfolio, changes=None, features=None, **request):
        example = copy.deepcopy({**portfolio.example, **request})
        merged = example["features"] | (features or {})
        example["features"] = {k: v for k, v in merged.items() if v is not ...}
        applied = application(portfolio, **example)
        under = market(portfolio, changes)
        row = design_matrix(portfolio, application_columns(applied))
        return Asked(
            applied, under, under.risk.coefficients(row)[0], under.acceptance.coefficients(row)[0]
        )

    return build


def usual_request(portfolio, rng):
    """A request with the spread of real ones: most can be served, some cannot."""
    terms = [int(t) for t in portfolio.axes.terms]
    if portfolio.name == "simulated":
        features = {
            "annual_income": float(np.exp(rng.normal(11.0, 0.7))),
            "fico": float(rng.integers(560, 850)),
            "dti": float(rng.uniform(0, 50)),
            "home": str(rng.choice(["rent", "own", "mortgage"])),
        }
        principal = float(rng.integers(10, 400)) * 100
    else:
        income = float(np.exp(rng.normal(8.0, 0.6))) if rng.random() < 0.7 else None
        features = {
            "risk_class": str(rng.choice(["LOW", "MEDIUM", "HIGH"])),
            "bureau_score": float(rng.integers(450, 750)) if rng.random() < 0.7 else None,
            "internal_score": float(rng.integers(1, 80)),
            "gross_monthly_income": income,
        }
        principal = round(float(rng.uniform(100, 5000)), 2)
    request = {"requested_principal": principal, "requested_term_months": int(rng.choice(terms))}
    return request, features


@pytest.fixture(scope="session")
def usual(ask):
    """A function: the question of one random applicant."""

    def build(portfolio, seed, changes=None):
        request, features = usual_request(portfolio, np.random.default_rng(seed))
        return ask(portfolio, changes, features, **request)

    return build


@pytest.fixture(scope="session")
def requests():
    """A function: hypothesis strategy of valid requests, anywhere inside the declared bounds."""

    def of(portfolio):
        values = {}
        for field in portfolio.features:
            if field.kind is Kind.CATEGORY:
                value = st.sampled_from(field.values)
            elif field.kind is Kind.INTEGER:
                value = st.integers(int(field.minimum), int(field.maximum))
            else:
                value = st.floats(field.minimum, field.maximum, allow_subnormal=False)
            values[field.name] = value if field.required else st.none() | value
        axes = portfolio.axes
        return st.fixed_dictionaries(
            {
                "requested_principal": st.floats(axes.minimum_principal, axes.maximum_principal),
                "requested_term_months": st.sampled_from(axes.terms),
                "features": st.fixed_dictionaries(values),
            }
        )

    return of


@pytest.fixture(scope="session")
def rows():
    """A function: n random applicants of a book as columns, with gaps where a field may have."""

    def draw(portfolio, n, seed=0):
        rng = np.random.default_rng(seed)
        columns = {}
        for field in portfolio.features:
            if field.kind is Kind.CATEGORY:
                columns[field.name] = rng.choice(np.array(field.values), n)
                continue
            high = min(field.maximum, 1e6)
            column = rng.uniform(field.minimum, high, n)
            column = np.floor(column) if field.kind is Kind.INTEGER else column
            if not field.required:
                column[rng.random(n) < 0.3] = np.nan
            columns[field.name] = column
        axes = portfolio.axes
        requested = rng.uniform(axes.minimum_principal, axes.maximum_principal, n)
        columns["requested_principal"] = np.round(requested, 2)
        columns["requested_term_months"] = rng.choice(np.array(axes.terms, dtype=float), n)
        return columns

    return draw


@pytest.fixture(scope="session")
def amounts():
    """A function: the amounts a policy offers on one request."""

    def of(policy, requested):
        offered = np.atleast_1d(policy.principals(requested))
        return [float(amount) for amount in offered if not np.isnan(amount)]

    return of


@pytest.fixture(scope="session")
def sweep():
    """A function: the terms of one asked cell at given rates."""

    def build(asked, rates, principal=None, term_months=None):
        applied = asked.application
        rates = np.asarray(rates, dtype=float)
        principal = applied.requested_principal if principal is None else principal
        term = applied.requested_term_months if term_months is None else term_months
        return terms_at(
            applied,
            asked.market,
            np.full(rates.shape, float(principal)),
            np.full(rates.shape, float(term)),
            rates,
        )

    return build


@pytest.fixture(scope="session")
def through_json():
    """A function: a value written as JSON with sorted keys, and read back."""
    return lambda value: json.loads(json.dumps(value, sort_keys=True))
