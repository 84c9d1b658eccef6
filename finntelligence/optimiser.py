"""The best offers: the most profitable permitted rate of every permitted (principal, term).

`solve` prices any number of applicants at once; `optimum` answers one. Both are exact: the rate is
the one that valuing every tick would find (`finntelligence.search`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finntelligence import cashflow
from finntelligence.errors import ModelMismatchError
from finntelligence.features import application_columns
from finntelligence.menu import MOST_CANDIDATES, best_menu, choice_probabilities
from finntelligence.offers import Application, Offer, OfferTerms
from finntelligence.policy import RULES, Candidates, Policy
from finntelligence.portfolio import Portfolio
from finntelligence.response import PriceResponse, unsupported
from finntelligence.search import Cells, Grid, Optima, best_ticks
from finntelligence.value import default_hazard, loan_value

__all__ = [
    "PRICE_RANGE",
    "Market",
    "Optimum",
    "Solution",
    "candidates",
    "optimum",
    "solve",
    "terms_at",
]

Array = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]

PRICE_RANGE = "PRICE_RANGE"
"""The pseudo-rule of the price range: the quotable rates within the trust region."""

_PAYMENT_RULES = tuple(rule for rule in RULES if rule.payment_cap is not None)
LEAST_INCOME = 1e-9  # keeps a payment over no income finite
_TICK_SLACK = 1e-6  # of a tick: a bound that is itself a tick is permitted


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The two fitted models and the policy under which they price."""

    portfolio: Portfolio
    policy: Policy
    risk: PriceResponse
    acceptance: PriceResponse
    grid: Grid = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # what the search's bound rests on
        for response, sign in ((self.risk, 1), (self.acceptance, -1)):
            if any(h.phi in ("gap", "pti") and h.sign != sign for h in response.heads):
                raise ModelMismatchError(
                    f"{response.model}: heads along the price must have sign {sign:+d}"
                )
        object.__setattr__(self, "grid", Grid.of(self.portfolio, self.policy))


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """The optimum of every cell; arrays of shape (applicants, cells), terms x principals.

    `row` is the term's position in the grid, `low` and `high` are the first and last tick of the
    price range, `factor_caps` the largest payment per unit lent by each payment rule, (rules,
    applicants, cells). `optima` holds the same cells flattened. A principal of NaN is no cell.
    """

    principal: Array
    term_months: Array
    row: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    factor_caps: Array
    guessed: NDArray[np.bool_]
    optima: Optima


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """The best permitted offers, best first, and the rules that bound: code to number of cells."""

    offers: tuple[Offer, ...]
    broken: dict[str, int]


def solve(
    columns: Columns, market: Market, risk: Array, acceptance: Array, shadow_price: float = 0.0
) -> Solution:
    """Find the best tick of every cell of n applicants.

    `columns` are the applicants' features (`features.application_columns`), each of shape (n,);
    `risk` and `acceptance` the models' coefficients, (n, heads). `shadow_price` is charged per unit
    of principal of a booked loan: the Lagrange multiplier of a budget.
    """
    policy, grid = market.policy, market.grid
    amounts = policy.principals(columns["requested_principal"])
    shape = len(amounts), len(grid.terms), amounts.shape[1]
    cells = shape[1] * shape[2]
    row = np.tile(np.repeat(np.arange(shape[1]), shape[2]), shape[0])
    offered, listed = _offered(columns, market, amounts, row)
    low, high = _price_range(policy, listed, len(grid.ticks))
    caps = _factor_caps(columns, market, offered)
    guessed = unsupported(market.acceptance, offered)
    accept = market.acceptance.along_price(np.repeat(acceptance, cells, axis=0), offered)
    default = market.risk.along_price(np.repeat(risk, cells, axis=0), offered)
    income = offered.monthly_income
    income = np.where(np.isnan(income), market.risk.income_fill, income)
    optima = best_ticks(
        Cells(
            low=low,
            high=np.where(guessed | np.isnan(offered.principal), -1, high),
            row=row,
            principal=offered.principal,
            benchmark=offered.benchmark,
            accept_constant=accept.constant,
            accept_gap=accept.gap,
            accept_hinge=accept.gap_hinge,
            risk_constant=default.constant,
            risk_gap=default.gap,
            risk_pti=default.pti,
            pti_scale=offered.principal / np.maximum(income, LEAST_INCOME),
            risk_limit=np.full(len(row), _logit_of(policy.pd_cutoff)),
            factor_cap=caps.min(axis=0),
        ),
        grid,
        shadow_price,
    )
    return Solution(
        principal=offered.principal.reshape(-1, cells),
        term_months=offered.term_months.reshape(-1, cells),
        row=row.reshape(-1, cells),
        low=low.astype(np.int64).reshape(-1, cells),
        high=high.astype(np.int64).reshape(-1, cells),
        factor_caps=caps.reshape(len(caps), -1, cells),
        guessed=guessed.reshape(-1, cells),
        optima=optima,
    )


def _offered(
    columns: Columns, market: Market, amounts: Array, row: NDArray[np.int64]
) -> tuple[OfferTerms, Array]:
    """Return the cells' terms and list prices; their rates and payments are yet to be chosen."""
    portfolio, terms = market.portfolio, market.grid.terms
    per_term, cells = amounts.shape[1], len(terms) * amounts.shape[1]
    funds = market.policy.economics.cost_of_funds
    wide = {name: column[:, None] for name, column in columns.items()}
    benchmark = portfolio.price.benchmark.rate(wide, terms[None], funds)
    listed = portfolio.price.list_rate.rate(wide, terms[None], funds)
    open_rate = np.full(len(row), np.nan)
    caps = market.policy.apr_caps(columns)
    offered = OfferTerms(
        principal=np.tile(amounts, (1, len(terms))).ravel(),
        term_months=terms[row],
        quoted_rate=open_rate,
        nominal_rate=open_rate,
        payment=open_rate,
        benchmark=np.repeat(benchmark, per_term, axis=1).ravel(),
        requested_principal=np.repeat(columns["requested_principal"], cells),
        requested_term_months=np.repeat(columns["requested_term_months"], cells),
        monthly_income=np.repeat(portfolio.affordability.monthly_income(columns), cells),
        apr_cap=None if caps is None else np.repeat(caps, cells),
    )
    return offered, np.repeat(listed, per_term, axis=1).ravel()


def _price_range(policy: Policy, listed: Array, ticks: int) -> tuple[Array, Array]:
    """Return the first and last quotable tick within the trust region around the list price."""
    from_list = (listed - policy.minimum_rate) / policy.tick
    below, above = policy.trust_below / policy.tick, policy.trust_above / policy.tick
    low = np.maximum(np.ceil(from_list - below - _TICK_SLACK), 0)
    return low, np.minimum(np.floor(from_list + above + _TICK_SLACK), ticks - 1)


def _factor_caps(columns: Columns, market: Market, offered: OfferTerms) -> Array:
    """Return the largest payment per unit lent by each payment rule, shape (rules, cells)."""
    cells = len(offered.principal) // len(columns["requested_principal"])
    debt = np.repeat(market.portfolio.affordability.debt_share(columns), cells)
    caps = []
    for rule in _PAYMENT_RULES:
        assert rule.payment_cap is not None, "a payment rule caps the payment"
        caps.append(rule.payment_cap(offered, debt, market.policy) / offered.principal)
    return np.stack(caps)


def optimum(
    application: Application,
    market: Market,
    risk: Array,
    acceptance: Array,
    shadow_price: float = 0.0,
) -> Optimum:
    """Return the most profitable permitted offers, one per (principal, term), best first.

    `risk` and `acceptance` are the models' coefficients for this applicant, each (heads,). At
    equal profit the lower rate wins.
    """
    columns = application_columns(application)
    solution = solve(columns, market, risk[None], acceptance[None], shadow_price)
    optima = solution.optima
    won = np.flatnonzero(optima.tick >= 0)
    rate = market.grid.nominal[solution.row[0, won], optima.tick[won]]
    ranked = won[np.lexsort((rate, -optima.profit[won]))]
    shown, p_choice = _menu(optima, ranked, market.policy)
    offers = [
        _offer(solution, market, int(cell), shadow_price, p)
        for cell, p in zip(shown, p_choice, strict=True)
    ]
    broken: dict[str, int] = {}
    for cell in np.flatnonzero((optima.tick < 0) & ~np.isnan(solution.principal[0])):
        code = _first_broken(application, market, (risk, acceptance), solution, int(cell))
        broken[code] = broken.get(code, 0) + 1
    return Optimum(offers=tuple(offers), broken=broken)


def _menu(
    optima: Optima, ranked: NDArray[np.int64], policy: Policy
) -> tuple[NDArray[np.int64], Array]:
    """Choose which of the ranked cells to show, and with what probability each is picked."""
    shown = ranked[: policy.menu_size]
    if not policy.demand_choice:
        best = ranked[:MOST_CANDIDATES]
        p, npv = optima.p_accept[best], optima.npv[best]
        shown = best[list(best_menu(p, npv, policy.dissimilarity, policy.menu_size))]
    return shown, choice_probabilities(optima.p_accept[shown], policy.dissimilarity)[0]


def _first_broken(
    application: Application,
    market: Market,
    coefficients: tuple[Array, Array],
    solution: Solution,
    cell: int,
) -> str:
    """Name the first rule, in the order of `RULES`, that leaves a cell without a rate."""
    low = int(solution.low[0, cell])
    if solution.high[0, cell] < low:
        return PRICE_RANGE
    if solution.guessed[0, cell]:
        return "NO_EVIDENCE"
    code = _payment_rule_below(solution, cell, market.grid, low)
    if code is not None:
        return code
    if solution.optima.last[cell] < low:
        return "PD_CUTOFF"
    if market.policy.minimum_raroc is not None:
        rates = market.grid.ticks[low : solution.optima.last[cell] + 1]
        terms = terms_at(
            application,
            market,
            np.full(rates.shape, solution.principal[0, cell]),
            np.full(rates.shape, solution.term_months[0, cell]),
            rates,
        )
        valued = candidates(application, market, *coefficients, terms)
        if not (valued.value.raroc >= market.policy.minimum_raroc).any():
            return "RAROC"
    return "EXPECTED_LOSS"


def _payment_rule_below(solution: Solution, cell: int, grid: Grid, tick: int) -> str | None:
    """Name the first payment rule that forbids a tick of a cell, if one does."""
    factor = grid.factor[solution.row[0, cell], tick]
    for rule, cap in zip(_PAYMENT_RULES, solution.factor_caps[:, 0, cell], strict=True):
        if factor > cap:
            return rule.code
    return None


def _binding(solution: Solution, cell: int, grid: Grid) -> str | None:
    """Name what keeps the rate of a cell from a more profitable neighbour, if anything does."""
    optima = solution.optima
    tick, profit = int(optima.tick[cell]), optima.profit[cell]
    if optima.below[cell] > profit:
        return PRICE_RANGE if tick == solution.low[0, cell] else "RAROC"
    if tick == len(grid.ticks) - 1:  # there is no rate above to ask
        return PRICE_RANGE if optima.below[cell] < profit else None
    if optima.above[cell] <= profit:
        return None
    if tick == solution.high[0, cell]:
        return PRICE_RANGE
    code = _payment_rule_below(solution, cell, grid, tick + 1)
    return code or ("PD_CUTOFF" if optima.last[cell] == tick else "RAROC")


def _offer(
    solution: Solution, market: Market, cell: int, shadow_price: float, p_choice: float
) -> Offer:
    optima, grid = solution.optima, market.grid
    principal = float(solution.principal[0, cell])
    term, tick = int(solution.term_months[0, cell]), int(optima.tick[cell])
    nominal = float(grid.nominal[solution.row[0, cell], tick])
    received = principal * (1 - market.policy.economics.origination_fee)
    level, total = cashflow.contract_payments(principal, nominal, term)
    exact = float(cashflow.monthly_payment(principal, nominal, term))
    p_accept = float(optima.p_accept[cell])
    return Offer(
        principal=principal,
        term_months=term,
        quoted_rate=float(grid.ticks[tick]),
        nominal_rate=nominal,
        apr=float(cashflow.apr(received, exact, term)),
        monthly_payment=level,
        total_cost=round(total - received, 2),
        p_accept=p_accept,
        pd_lifetime=float(1 / (1 + np.exp(-optima.risk_logit[cell]))),
        expected_profit=p_accept * (float(optima.npv[cell]) + shadow_price * principal),
        binding=_binding(solution, cell, grid),
        p_choice=float(p_choice),
    )


def terms_at(
    application: Application,
    market: Market,
    principal: Array,
    term_months: Array,
    quoted_rate: Array,
) -> OfferTerms:
    """Return the full terms of offers to one applicant, from arrays of one shape."""
    portfolio, columns = market.portfolio, application_columns(application)
    nominal = cashflow.nominal_rate(quoted_rate, term_months, portfolio.price.convention)
    cost_of_funds = market.policy.economics.cost_of_funds
    return OfferTerms(
        principal=principal,
        term_months=term_months,
        quoted_rate=quoted_rate,
        nominal_rate=nominal,
        payment=cashflow.monthly_payment(principal, nominal, term_months),
        benchmark=portfolio.price.benchmark.rate(columns, term_months, cost_of_funds),
        requested_principal=columns["requested_principal"],
        requested_term_months=columns["requested_term_months"],
        monthly_income=portfolio.affordability.monthly_income(columns),
        apr_cap=market.policy.apr_caps(columns),
    )


def candidates(
    application: Application, market: Market, risk: Array, acceptance: Array, terms: OfferTerms
) -> Candidates:
    """Value offers to one applicant, given the models' coefficients, each of shape (heads,)."""
    portfolio, economics = market.portfolio, market.policy.economics
    columns = application_columns(application)
    pd_lifetime = market.risk.probability(risk, terms)
    horizon = portfolio.default.horizon_months or terms.term_months
    hazard = default_hazard(pd_lifetime, horizon, economics.monthly_prepayment)
    return Candidates(
        terms=terms,
        list_rate=portfolio.price.list_rate.rate(
            columns, terms.term_months, economics.cost_of_funds
        ),
        debt_share=portfolio.affordability.debt_share(columns),
        p_accept=market.acceptance.probability(acceptance, terms),
        pd_lifetime=pd_lifetime,
        value=loan_value(terms.principal, terms.nominal_rate, terms.term_months, hazard, economics),
        guessed=unsupported(market.acceptance, terms),
    )


def _logit_of(cutoff: float | None) -> float:
    return float("inf") if cutoff is None or cutoff >= 1 else math.log(cutoff / (1 - cutoff))
